"""Arming failpoints of running processes; see whatsapp/failpoints.py."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

Action = Literal["kill", "stop", "wait"]


class Failpoints:
    """The directory that the processes of a rig look into."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700)

    def arm(self, name: str, action: Action) -> None:
        """The next process that reaches `name` does `action`, once."""
        (self.directory / f"{name}.reached").unlink(missing_ok=True)
        draft = self.directory / f"{name}.draft"
        draft.write_text(action)
        draft.rename(self.directory / name)

    def reached(self, name: str, seconds: float = 30.0) -> int | None:
        """Wait until somebody was there; their process id. None, and disarmed: nobody was."""
        told = self.directory / f"{name}.reached"
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if told.exists():
                return int(told.read_text())
            time.sleep(0.01)
        (self.directory / name).unlink(missing_ok=True)
        # Somebody may have taken it in the last moment.
        return int(told.read_text()) if told.exists() else None

    def release(self, name: str) -> None:
        """Let whoever waits there go on."""
        (self.directory / f"{name}.reached").unlink(missing_ok=True)

    def clear(self) -> None:
        """Disarm everything and let everybody go."""
        for path in self.directory.iterdir():
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def held(
        self, name: str, work: Callable[[], object], seconds: float = 30.0
    ) -> Iterator[int | None]:
        """`work` brings a process to `name`, where it is held while the body runs.

        Gives its process id, None if nobody came.
        """
        self.arm(name, "wait")
        try:
            work()
            yield self.reached(name, seconds)
        finally:
            (self.directory / name).unlink(missing_ok=True)
            self.release(name)
