"""The simulator as a subprocess, for tests and the demo.

with SimulatorProcess() as simulator:
    simulator.control.scan("33639980001")
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from whatsapp.simulator.client import SimulatorControl

START_DEADLINE = 15.0  # seconds
STOP_DEADLINE = 5.0  # seconds until SIGTERM becomes SIGKILL
_ROOT = Path(__file__).resolve().parents[2]


class SimulatorFailedError(RuntimeError):
    """The simulator did not start; the message holds what it wrote."""


class SimulatorProcess:
    """Starts ``python -m whatsapp.simulator`` in a process group of its own; a context manager.

    `arguments` are further options of the command line. After `start`: `url`, `port`, `pid`,
    `spki` (with ``--tls``) and `control`. Raises `SimulatorFailedError`.
    """

    def __init__(self, *arguments: str, port: int = 0) -> None:
        self.arguments = arguments
        self.url = ""
        self.port = port
        self.spki: str | None = None
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def control(self) -> SimulatorControl:
        return SimulatorControl(self.url)

    @property
    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise SimulatorFailedError("the simulator has not been started")
        return self._process

    def start(self) -> Self:
        command = [sys.executable, "-m", "whatsapp.simulator", "--port", str(self.port)]
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [*command, *self.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        try:
            said = json.loads(self._first_line())
        except ValueError as error:
            self.stop()
            raise SimulatorFailedError("the simulator did not start; see its messages") from error
        self.url, self.port, self.spki = said["url"], said["port"], said["spki"]
        return self

    def _first_line(self) -> str:
        output = self._running.stdout
        assert output is not None  # noqa: S101 - stdout=PIPE above
        deadline = time.monotonic() + START_DEADLINE
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            ready = selector.select(max(0.0, deadline - time.monotonic()))
        return output.readline() if ready else ""

    def stop(self) -> None:
        """End it: ask, then kill the process group. May be called twice."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
