"""Keeps one PostgreSQL and one Redis running for relance_project.local.

Run as a script, with the standard library only, so that it starts in a few milliseconds and holds
nothing of Django. It lives as long as somebody holds a shared lock on `users.lock`, restarts a
program that dies, and ends both when the last user has gone, however that user ended.

If this process itself is killed, the kernel ends both programs (setpriv --pdeathsig), and a user
that is still there starts a new supervisor (relance_project.local).
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import json
import os
import pwd
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

SUPERUSER = "relance"
DATABASE = "relance"
REDIS_DATABASES = 64

BACKOFF_FIRST, BACKOFF_MOST, BACKOFF_FORGIVEN_AFTER = 0.1, 5.0, 10.0
LOG_BYTES_KEPT = 5_000_000
GAVE_UP = 3  # exit code; the reason is in the file `error`


class LocalServicesError(RuntimeError):
    """The embedded services can't run here; the message says why and how to mend it."""


@dataclass(frozen=True)
class Config:
    """Where the services live and what they are made of. `user` is set only under root."""

    directory: str
    postgres_bin: str
    redis_server: str
    user: str | None
    fast: bool

    @property
    def root(self) -> Path:
        return Path(self.directory)

    @property
    def sockets(self) -> Path:
        return self.root / "run"

    @property
    def redis_socket(self) -> Path:
        return self.sockets / "redis.sock"

    def to_json(self) -> str:
        return json.dumps(asdict(self))


# --- questions that both sides ask ----------------------------------------------------------------


def reachable_by(user: str | None, path: Path) -> bool:
    """Whether `user` may pass every directory on the way to `path`; None stands for ourselves."""
    if user is None:
        return True
    entry = pwd.getpwnam(user)
    groups = {entry.pw_gid} | {g.gr_gid for g in grp.getgrall() if user in g.gr_mem}
    for directory in path.resolve().parents:
        with contextlib.suppress(FileNotFoundError):
            found = directory.stat()
            if found.st_uid == entry.pw_uid:
                passable = stat.S_IXUSR
            elif found.st_gid in groups:
                passable = stat.S_IXGRP
            else:
                passable = stat.S_IXOTH
            if not found.st_mode & passable:
                return False
    return True


def postgres_answers(config: Config) -> bool:
    program = f"{config.postgres_bin}/pg_isready"
    where = ["-h", str(config.sockets), "-U", SUPERUSER, "-d", DATABASE]
    asked = subprocess.run([program, "-q", "-t", "2", *where], check=False, env=environment())
    return asked.returncode == 0


def redis_answers(config: Config) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        client.connect(str(config.redis_socket))
        client.sendall(b"PING\r\n")
        return client.recv(16).startswith(b"+PONG")
    return False


# --- the programs ---------------------------------------------------------------------------------


def log(text: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, file=sys.stderr, flush=True)


def unprivileged(config: Config, command: list[str]) -> list[str]:
    """`command` as the unprivileged user, ended by the kernel when this process is gone.

    setpriv sets the death signal after it has changed the user; set before, the change clears it.
    """
    way = ["setpriv", "--pdeathsig", "INT"]
    if config.user is not None:
        group = str(pwd.getpwnam(config.user).pw_gid)
        way += ["--reuid", config.user, "--regid", group, "--clear-groups"]
    return [*way, "--", *command]


def environment() -> dict[str, str]:
    # Nothing of the caller's: no PGHOST, no PGDATA, no secrets in a server's environment.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def run_once(config: Config, command: list[str], *, stdin: str | None = None) -> None:
    done = subprocess.run(
        unprivileged(config, command),
        check=False,
        cwd=config.sockets,
        env=environment(),
        input=stdin or "",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        said = " | ".join(done.stdout.strip().splitlines()[-5:])
        raise LocalServicesError(f"{Path(command[0]).name} failed in {config.directory}: {said}")


def owned_directory(config: Config, path: Path) -> Path:
    """Makes `path` the unprivileged user's own directory, 0700."""
    path.mkdir(exist_ok=True)
    if config.user is not None:
        entry = pwd.getpwnam(config.user)
        os.chown(path, entry.pw_uid, entry.pw_gid)
    path.chmod(0o700)
    return path


def within_reach(config: Config, programs: Path, name: str) -> Path:
    """`programs`, or a copy of it that the unprivileged user can reach (a venv below /root)."""
    if reachable_by(config.user, programs / "x"):
        return programs
    copy = config.root / "programs" / name
    # Keyed by what it was copied from: another version of the wheel is copied anew.
    source = f"{programs} {programs.stat().st_mtime_ns}"
    noted = copy / ".copied-from"
    if not (noted.exists() and noted.read_text() == source):
        log(f"copying {programs} to {copy}, where {config.user} can reach it")
        shutil.rmtree(copy, ignore_errors=True)
        copy.parent.mkdir(exist_ok=True, mode=0o755)
        shutil.copytree(programs, copy, symlinks=True)
        noted.write_text(source)
    return copy


def prepare_postgres(config: Config) -> list[str]:
    """Makes the cluster if there is none, and answers the server's command line."""
    # The programs look for their shared libraries beside their package, so both are taken along.
    package = Path(config.postgres_bin).parents[1]
    libraries = package.parent / f"{package.name}.libs"
    reached = within_reach(config, package, package.name)
    if reached != package and libraries.is_dir():
        within_reach(config, libraries, libraries.name)
    programs = reached / Path(config.postgres_bin).relative_to(package)

    data = config.root / "data"
    if not data.exists():
        # In another directory, renamed when it is whole: a half-made cluster is never started.
        for left_over in config.root.glob("data.new.*"):
            shutil.rmtree(left_over, ignore_errors=True)
        unfinished = config.root / f"data.new.{os.getpid()}"
        owned_directory(config, unfinished)
        make = [f"{programs}/initdb", "-D", str(unfinished), "-U", SUPERUSER, "-A", "trust"]
        make += ["-E", "UTF8", "--locale", "C.UTF-8"]
        run_once(config, [*make, "--no-sync"] if config.fast else make)
        single = [f"{programs}/postgres", "--single", "-D", str(unfinished), "template1"]
        run_once(config, single, stdin=f"CREATE DATABASE {DATABASE};\n")
        unfinished.rename(data)
    made_by = (data / "PG_VERSION").read_text().strip()
    version = subprocess.run(
        [f"{programs}/postgres", "--version"], check=True, capture_output=True, text=True
    ).stdout.split()[-1]
    if version.split(".")[0] != made_by:
        raise LocalServicesError(
            f"{data} was made by PostgreSQL {made_by}, but the installed programs are {version}: "
            "install the earlier requirements and dump it, or set it aside by renaming it"
        )

    # trust is safe here: no TCP, and only root and the owner can enter the sockets' directory.
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(config.sockets),
        "max_connections": "100",
        "shared_buffers": "64MB",
        "max_wal_size": "256MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_min_messages": "warning",
        "logging_collector": "off",
    }
    if config.fast:
        # Survives a killed server, not a power cut: commits are written, only not flushed.
        options |= {"fsync": "off", "full_page_writes": "off"}
    flags = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    return [f"{programs}/postgres", "-D", str(data), *flags]


def prepare_redis(config: Config) -> list[str]:
    """Redis paces and caches; losing it loses nothing, so nothing of it is kept on disk."""
    owned_directory(config, config.root / "redis")
    server = Path(config.redis_server)
    if not reachable_by(config.user, server):
        server = within_reach(config, server.parent, "redis") / server.name
    options = {
        "port": "0",
        "unixsocket": str(config.redis_socket),
        "unixsocketperm": "700",
        "databases": str(REDIS_DATABASES),
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
        "dir": str(config.root / "redis"),
        "loglevel": "notice",
    }
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [str(server), *flags]


def processes_in(directory: Path) -> Iterator[int]:
    """Ids of the processes whose working directory is `directory`: both servers go to theirs."""
    wanted = str(directory.resolve())
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(entry / "cwd") == wanted:  # noqa: PTH115 - no Path is needed
                    yield int(entry.name)


def end_orphans(directory: Path) -> None:
    """Ends what an earlier supervisor left behind. We hold the only lock, so none is in use."""
    for number in (0, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        deadline = time.monotonic() + 3
        for pid in processes_in(directory):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while any(processes_in(directory)):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        else:
            return
    raise LocalServicesError(f"a process in {directory} does not end: end it by hand")


@dataclass
class Program:
    """One server: its command line, its process, and when it may be started again."""

    name: str
    config: Config
    command: list[str]
    home: Path
    stop_signals: tuple[signal.Signals, ...]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    not_before: float = 0.0
    backoff: float = field(default=BACKOFF_FIRST)

    def start(self) -> None:
        end_orphans(self.home)
        # Nobody lives here any more, so pid files are stale: their number may be another's by now,
        # and PostgreSQL would not start while that one lives.
        for stale in (self.home / "postmaster.pid", self.config.sockets / ".s.PGSQL.5432.lock"):
            if self.name == "postgres":
                stale.unlink(missing_ok=True)
        path = self.config.root / "log" / f"{self.name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES_KEPT:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as output:
            self.process = subprocess.Popen(
                unprivileged(self.config, self.command),
                cwd=self.home,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.started = time.monotonic()

    def ended(self) -> bool:
        """Reaps the process if it has ended, and plans the next start."""
        if self.process is None:
            return True
        if (code := self.process.poll()) is None:
            return False
        lived = time.monotonic() - self.started
        self.backoff = (
            BACKOFF_FIRST if lived > BACKOFF_FORGIVEN_AFTER else min(self.backoff * 2, BACKOFF_MOST)
        )
        self.not_before = time.monotonic() + self.backoff
        self.process = None
        log(f"{self.name} ended with {code} after {lived:.1f} s; starting it again")
        return True

    def stop(self) -> None:
        if self.process is None:
            return
        for number in (*self.stop_signals, signal.SIGKILL):
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
                break
        self.process = None


# --- the supervisor -------------------------------------------------------------------------------


def only_supervisor(path: Path) -> bool:
    """Takes the supervisor's lock for this process's life; False if another one has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # Users that look whether it is held take it shared for an instant: hence more than one try.
    for _ in range(50):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


def on_last_user_gone(path: Path, call: Callable[[], None]) -> None:
    """Calls `call` once nobody holds `path` shared; the lock is then ours, so no one gets in."""

    def wait() -> None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        call()

    threading.Thread(target=wait, daemon=True).start()


def supervise(config: Config) -> None:
    owned_directory(config, config.sockets)
    (config.root / "log").mkdir(exist_ok=True, mode=0o700)

    waker, wake = os.pipe()
    os.set_blocking(wake, False)
    leaving = threading.Event()

    def leave(*_: object) -> None:
        leaving.set()
        os.write(wake, b"x")

    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # its arrival wakes the loop below
    on_last_user_gone(config.root / "users.lock", leave)

    data, redis = config.root / "data", config.root / "redis"
    programs = [
        # Redis first: it answers at once, while a new cluster takes a second to be made.
        Program("redis", config, prepare_redis(config), redis, (signal.SIGTERM,)),
        Program(
            "postgres", config, prepare_postgres(config), data, (signal.SIGINT, signal.SIGQUIT)
        ),
    ]
    try:
        while not leaving.is_set():
            waits = [60.0]
            for program in programs:
                if program.ended():
                    if (wait := program.not_before - time.monotonic()) <= 0:
                        program.start()
                    else:
                        waits.append(wait)
            if select.select([waker], [], [], min(waits))[0]:
                os.read(waker, 4096)
    finally:
        for program in programs:
            program.stop()


def main() -> int:
    config = Config(**json.loads(sys.argv[1]))
    if not only_supervisor(config.root / "supervisor.lock"):
        return 0
    error = config.root / "error"
    error.unlink(missing_ok=True)
    try:
        supervise(config)
    except (LocalServicesError, OSError, subprocess.SubprocessError) as problem:
        log(f"giving up: {problem}")
        error.write_text(f"{problem}\n")
        return GAVE_UP
    return 0


if __name__ == "__main__":
    sys.exit(main())
