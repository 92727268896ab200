"""Places where tests of faults stop a process between two steps: ``RELANCE_FAILPOINT``.

``intent.after-commit,send.before``
    a comma list of names; each kills this process with SIGKILL the first time it is reached. With
    a file name after an ``@`` it does so once in all, whichever process gets there first and
    creates the file.
``/a/directory/``
    what to do stands in a file of the failpoint's name, put there while processes run:
    ``kill``, ``stop`` (SIGSTOP) or ``wait``. Whoever gets there first takes the file away and
    leaves ``<name>.reached`` with its process id; ``wait`` goes on when that one is removed.

Unset, which is always outside `tests/`, the function does nothing at all.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

LONGEST_WAIT = 60.0  # seconds: whoever was to remove the file may have died


def _armed(spec: str) -> Callable[[str], None]:
    names, _, marker = spec.partition("@")
    armed = set(names.split(","))

    def reached(name: str) -> None:
        if name not in armed:
            return
        if marker:
            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return
        os.kill(os.getpid(), signal.SIGKILL)

    return reached


def _directed(directory: Path) -> Callable[[str], None]:
    def reached(name: str) -> None:
        pid = os.getpid()
        mine = directory / f"{name}.{pid}"
        try:
            os.rename(directory / name, mine)  # noqa: PTH104 - the winner of a race, in one call
        except FileNotFoundError:
            return
        action = mine.read_text()
        mine.write_text(str(pid))
        told = mine.rename(directory / f"{name}.reached")
        if action == "kill":
            os.kill(pid, signal.SIGKILL)
        elif action == "stop":
            os.kill(pid, signal.SIGSTOP)
        else:
            until = time.monotonic() + LONGEST_WAIT
            while told.exists() and time.monotonic() < until:
                time.sleep(0.005)

    return reached


def _nothing(name: str) -> None:
    """Production: no fault is injected."""


def _for(spec: str) -> Callable[[str], None]:
    if not spec:
        return _nothing
    return _directed(Path(spec)) if spec.endswith("/") else _armed(spec)


failpoint: Callable[[str], None] = _for(os.environ.get("RELANCE_FAILPOINT", ""))
