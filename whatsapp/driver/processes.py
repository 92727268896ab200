"""Process groups on this machine: start one that cannot outlive us, end it, see that it is gone.

A driver and its browser share one process group: every process of Chromium stays in the group of
the chromedriver that began it, except its crash handlers, which end with it. So `killpg` reaches
all of them, from this process or from the worker that takes the account over.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path


class _Launcher:
    """One thread that lives as long as the process and starts children for everybody.

    The kernel sends a child its parent-death signal when the *thread* that started it ends, and
    pool threads may end before their browsers do.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[
            tuple[Sequence[str], Mapping[str, str], Future[subprocess.Popen[bytes]]]
        ] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._pid = 0

    def start(self, argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._pid != os.getpid():  # first use, or a fork took the object but not the thread
                self._jobs = queue.SimpleQueue()
                self._pid = os.getpid()
                threading.Thread(target=self._run, name="browser-launcher", daemon=True).start()
        started: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((argv, env, started))
        return started.result()

    def _run(self) -> None:
        while True:
            argv, env, started = self._jobs.get()
            try:
                started.set_result(
                    subprocess.Popen(
                        argv,
                        env=dict(env),
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                        start_new_session=True,
                    )
                )
            except Exception as error:  # noqa: BLE001 - to the caller; the thread must live
                started.set_exception(error)


_launcher = _Launcher()


def start_group(argv: Sequence[str], *, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start `argv` as leader of a new session and process group that dies with this process.

    Its standard output and error are pipes, which the caller empties. Without util-linux's
    `setpriv` the group still ends on `end_group`, but survives a SIGKILL of this process. Raises
    `OSError`.
    """
    setpriv = shutil.which("setpriv")
    tied = [setpriv, "--pdeathsig", "KILL", *argv] if setpriv else list(argv)
    return _launcher.start(tied, env)


def is_alive(pid: int) -> bool:
    """Whether `pid` runs. A zombie does not: its memory and files are gone."""
    return _running_group(pid) is not None


def group_members(group: int) -> list[int]:
    """The processes of a process group that run, zombies left out."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _running_group(pid) == group]


def command_line(pid: int) -> bytes:
    """The arguments of `pid`, each ended by a zero byte; empty when it does not run."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def processes_with(variable: str) -> list[int]:
    """The processes of ours that have ``NAME=value`` in their environment, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            pid = int(entry.name)
            if variable.encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def ask_to_end(pids: Sequence[int], *, group: int, deadline: float) -> bool:
    """SIGTERM to members of `group`; True when all are gone within `deadline` seconds."""
    until = time.monotonic() + deadline
    for pid in pids:
        if _running_group(pid) == group:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    while any(_running_group(pid) == group for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def end_group(group: int, *, grace: float = 1.0, deadline: float = 5.0) -> bool:
    """End every process of a group: SIGTERM, after `grace` seconds SIGKILL. True when all are gone.

    Stopped (SIGSTOP) processes are ended too: SIGKILL needs no cooperation.
    """
    if grace > 0 and _signal(group, signal.SIGTERM) and wait_gone(group, deadline=grace):
        return True
    _signal(group, signal.SIGKILL)
    return wait_gone(group, deadline=deadline)


def wait_gone(group: int, *, deadline: float) -> bool:
    """Wait until no process of the group runs; False when some still does after `deadline` s."""
    until = time.monotonic() + deadline
    while group_members(group):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def _signal(group: int, number: signal.Signals) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False


def _running_group(pid: int) -> int | None:
    """The process group of `pid`, None when it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the name in parentheses and may hold spaces: read after the last ")".
    state, _parent, group = stat.rpartition(")")[2].split()[:3]
    return None if state in "ZX" else int(group)
