"""The processes of a whole Relance: started, awaited, started again when they die, stopped.

The browser journeys in tests/browser/ use the same. Children lead process groups of their own, so
Ctrl-C reaches only whoever supervises them; they write to a log file each; and the kernel ends
them when the supervising process is gone, however it went.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
from celery import current_app
from django.conf import settings
from django.db import connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from relance_project.celery import BROWSER_QUEUE, DEFAULT_QUEUE, OUTSIDE_QUEUE
from whatsapp.driver.processes import end_group

REPOSITORY = Path(__file__).resolve().parent.parent
BACKOFF_FIRST, BACKOFF_MOST, BACKOFF_FORGIVEN_AFTER = 0.2, 5.0, 10.0
LOOK_EVERY = 0.05  # seconds between two looks at the children


class ProgramFailed(Exception):
    """A program did not get ready; one sentence that names its log."""


@dataclass(frozen=True)
class Program:
    """What to run. `ready` asks whether it works; it may block for a second and must not raise."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[], bool]
    ready_seconds: float = 60.0
    stop_seconds: float = 45.0
    environment: Mapping[str, str] = field(default_factory=dict)  # added to the supervisor's


@dataclass
class _Child:
    program: Program
    log: Path
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = True
    was_ready: bool = False
    starts: int = 0
    started: float = 0.0
    not_before: float = 0.0
    backoff: float = BACKOFF_FIRST
    last_code: int = 0


class Supervisor:
    """Keeps programs running. A context manager that stops them, last started first.

    A program that ends is started again after a growing pause; one that ends twice without ever
    having been ready fails its `wait_ready`.
    """

    def __init__(self, *, logs: Path, environment: Mapping[str, str]) -> None:
        self.logs = logs
        self._environment = dict(environment)
        self._children: dict[str, _Child] = {}
        self._changed = threading.Condition()
        self._over = False
        logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The kernel sends the parent-death signal when the *thread* that started a child ends:
        # so one thread that lives as long as this object starts them all.
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # ------------------------------------------------------------------ what callers do

    def start(self, *programs: Program) -> None:
        """Has `programs` run from now on; returns at once. See `wait_ready`."""
        with self._changed:
            for program in programs:
                log = self.logs / f"{program.name}.log"
                self._children[program.name] = _Child(program, log)
            self._changed.notify_all()

    def wait_ready(self, *names: str) -> None:
        """Waits until the programs (all, if none is named) work. Raises `ProgramFailed`."""
        for name in names or tuple(self._children):
            child = self._children[name]
            until = time.monotonic() + child.program.ready_seconds
            while not (child.process is not None and child.program.ready()):
                with self._changed:
                    if child.process is None and child.starts >= 2 and not child.was_ready:
                        raise ProgramFailed(
                            f"{name} ended with {child.last_code} before it was ready"
                            f"{_last_words(child.log)}: see {child.log}"
                        )
                    if time.monotonic() > until:
                        raise ProgramFailed(
                            f"{name} was not ready within {child.program.ready_seconds:.0f} s"
                            f"{_last_words(child.log)}: see {child.log}"
                        )
                    self._changed.wait(LOOK_EVERY)
            child.was_ready = True

    def pid(self, name: str) -> int:
        """The process id of a program that runs now; waits for one that is being started."""
        child = self._children[name]
        with self._changed:
            self._changed.wait_for(lambda: child.process is not None, timeout=10)
            if child.process is None:
                raise ProgramFailed(f"{name} does not run: see {child.log}")
            return child.process.pid

    def starts(self, name: str) -> int:
        """How many times the program has been started."""
        return self._children[name].starts

    def signal(self, name: str, number: signal.Signals) -> None:
        """Sends a signal, and waits until the program has been started anew if it ends by it."""
        before = self.starts(name)
        os.kill(self.pid(name), number)
        child = self._children[name]
        with self._changed:
            if not self._changed.wait_for(
                lambda: child.starts > before, timeout=child.program.stop_seconds
            ):
                raise ProgramFailed(f"{name} did not end by {number.name}: see {child.log}")

    def stop(self) -> None:
        """Stops everything, last started first, and returns when nothing is left running."""
        with self._changed:
            for child in self._children.values():
                child.wanted = False
        for child in reversed(self._children.values()):
            self._stop(child)
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._thread.join(5)

    # ------------------------------------------------------------------ how it is done

    def _stop(self, child: _Child) -> None:
        with self._changed:
            process = child.process
            if process is None:
                return
            # To the leader alone: it tells its own children, in its own order.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            if not self._changed.wait_for(
                lambda: child.process is None, timeout=child.program.stop_seconds
            ):
                end_group(process.pid, grace=0)
                self._changed.wait_for(lambda: child.process is None, timeout=5)

    def _watch(self) -> None:
        with self._changed:
            while not self._over:
                for child in self._children.values():
                    self._look_at(child)
                self._changed.wait(LOOK_EVERY)

    def _look_at(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if child.wanted and now >= child.not_before:
                if child.starts >= 2 and not child.was_ready:
                    return  # it never works: `wait_ready` says so
                self._spawn(child)
        elif (code := child.process.poll()) is not None:
            # Its children must not hold the port, or work on, while its successor starts.
            end_group(child.process.pid, grace=0)
            lived = now - child.started
            child.backoff = (
                BACKOFF_FIRST
                if lived > BACKOFF_FORGIVEN_AFTER
                else min(child.backoff * 2, BACKOFF_MOST)
            )
            child.not_before = now + child.backoff
            child.last_code = code
            child.process = None
            self._changed.notify_all()

    def _spawn(self, child: _Child) -> None:
        command = list(child.program.command)
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "KILL", "--", *command]
        with child.log.open("ab") as output:
            child.process = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env={**self._environment, **child.program.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        child.starts += 1
        child.started = time.monotonic()
        self._changed.notify_all()


def _last_words(log: Path) -> str:
    """The last line a program wrote, to be put into a sentence."""
    with contextlib.suppress(OSError, IndexError):
        return f" ({log.read_text(errors='replace').strip().splitlines()[-1][-200:]})"
    return ""


# ------------------------------------------------------------------------------- the programs


def free_port(first: int = 0) -> int:
    """A port of 127.0.0.1 that nobody listens on: `first` or one of the next, 0 for any."""
    for port in range(first, first + 20) if first else (0,):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            chosen: int = probe.getsockname()[1]
            return chosen
    raise ProgramFailed(
        f"the ports {first} to {first + 19} of this machine are all in use: end what listens there"
    )


def this_database() -> str:
    """URL of the database that this process works on, a test's for instance, for its children."""
    path = "/" + quote(str(connection.settings_dict["NAME"]))
    return urlunsplit(urlsplit(settings.DATABASE_URL)._replace(path=path))


def _answers(url: str) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            # trust_env=False: a proxy of the environment is not for this machine.
            return httpx.get(url, timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    return ready


def _pongs(node: str) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            return bool(current_app.control.ping(destination=[node], timeout=1.0, limit=1))
        except (OperationalError, RedisError, OSError):
            return False

    return ready


def simulator(*, port: int, state: Path) -> Program:
    """WhatsApp Web on loopback; linked devices survive its restart."""
    return Program(
        name="simulator",
        command=(
            *(sys.executable, "-m", "whatsapp.simulator"),
            *("--port", str(port), "--state", str(state)),
        ),
        ready=_answers(f"http://127.0.0.1:{port}/__sim/state"),
        stop_seconds=5,
    )


def web(*, port: int) -> Program:
    """The API and the admin. Threads: a call for a QR code waits for it."""
    return Program(
        name="web",
        command=(
            *(sys.executable, "-m", "gunicorn", "relance_project.wsgi"),
            *("--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"),
            *("--workers", "1", "--threads", "12", "--timeout", "150"),
            *("--graceful-timeout", "3", "--access-logfile", "-", "--no-control-socket"),
        ),
        ready=_answers(f"http://127.0.0.1:{port}/healthz"),
        stop_seconds=10,
    )


def beat(ready: Callable[[], bool]) -> Program:
    """The clock; `ready` says whether it has begun, for it answers nobody."""
    return Program(
        name="beat",
        command=(*_celery("beat"), "--pidfile=", "--loglevel", "INFO"),
        ready=ready,
        stop_seconds=10,
    )


def default_worker() -> Program:
    """What needs no browser: enrolment, planning, reconciling."""
    return worker("default", queues=DEFAULT_QUEUE, pool="prefork", concurrency=2)


def outside_worker() -> Program:
    """What waits for other people's systems: agents, webhooks, mail."""
    return worker("outside", queues=OUTSIDE_QUEUE, pool="threads", concurrency=4)


def browser_worker() -> Program:
    """The browsers: a thread for each account that is busy."""
    return worker("browser", queues=BROWSER_QUEUE, pool="threads", concurrency=8)


def worker(
    name: str,
    *,
    queues: str,
    pool: str,
    concurrency: int,
    environment: Mapping[str, str] | None = None,
) -> Program:
    """A Celery worker that calls itself ``<name>@relance``, stable over its restarts."""
    node = f"{name}@relance"
    return Program(
        name=name,
        command=(
            *_celery("worker"),
            *("-Q", queues, "--pool", pool, "--concurrency", str(concurrency)),
            *("-n", node, "--loglevel", "INFO", "--without-gossip", "--without-mingle"),
        ),
        ready=_pongs(node),
        environment=environment or {},
    )


def _celery(command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "celery", "-A", "relance_project", command)
