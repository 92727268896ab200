"""What the demo needs before it can begin, made apart from everything else on this machine.

Its own database (`relance_demo`, new for each run), its own part of Redis, its own directory for
profiles, files and logs. The demo then runs in a process of its own, ``python -m demo``, because
settings come from the environment only and have been read in this one already.
"""

from __future__ import annotations

import csv
import fcntl
import math
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import redis
from django.conf import settings
from psycopg import sql

from demo.processes import REPOSITORY, ProgramFailed, free_port
from relance_project import local

DATA = Path(__file__).resolve().parent
REFERRALS = DATA / "referrals.csv"
SEQUENCE = DATA / "relance-7-days.yaml"
DATABASE = "relance_demo"
REDIS_PREFIX = "relance-demo:"
REDIS_DATABASE = 1  # of the embedded Redis; another server may have one only
STEPS = 7
FIRST_PORT = 8000


class NotPossible(Exception):
    """The demo cannot run here; one sentence that says why and how to mend it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two steps, and the limits that this takes: no more is raised."""

    step_seconds: int
    per_day: int
    per_minute: int
    gap_ms: int

    @classmethod
    def for_file(cls, path: Path, *, step_seconds: int = 15) -> Pace:
        """Limits by the busiest referrer: all steps in a day, one step of everybody in a delay."""
        with path.open(encoding="utf-8", newline="") as file:
            busiest = max(Counter(row["referrer"] for row in csv.DictReader(file)).values())
        return cls(
            step_seconds=step_seconds,
            per_day=busiest * STEPS,
            # A round that was late is made up for: a fifth more than the mean.
            per_minute=math.ceil(busiest * 60 / step_seconds * 1.2),
            gap_ms=100,
        )


def run(module: str = "demo", *arguments: str, **settings_: str) -> int:
    """Prepare, play, and tidy up; returns the exit status.

    What plays is ``python -m module`` with `arguments`; `settings_` are put over the stage's own.
    """
    directory = local.state_dir() / "demo"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"demo: another demo of this clone is running ({directory})", file=sys.stderr)
        return 1
    try:
        environment = prepare(directory) | settings_
    except (NotPossible, ProgramFailed) as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 1
    status = _play([sys.executable, "-m", module, *arguments], environment)
    if status == 0:
        _drop_database()
    return status


def prepare(directory: Path) -> dict[str, str]:
    """Everything the demo finds in place, as the environment of its processes."""
    _check_programs()
    for name in ("profiles", "media", "log"):
        shutil.rmtree(directory / name, ignore_errors=True)
        (directory / name).mkdir(mode=0o700)
    (directory / "simulator.json").unlink(missing_ok=True)
    _drop_database()
    _execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    redis_url = settings.REDIS_URL
    if redis_url == local.redis_url():
        redis_url = local.redis_url(database=REDIS_DATABASE)
    _forget_redis(redis_url)
    pace = Pace.for_file(REFERRALS)
    port = free_port()
    loopback = "127.0.0.1,localhost"
    return {
        **os.environ,
        "DATABASE_URL": _database_url(),
        "REDIS_URL": redis_url,
        "REDIS_PREFIX": REDIS_PREFIX,
        "MEDIA_ROOT": str(directory / "media"),
        "WHATSAPP_SESSION_PATH": str(directory / "profiles"),
        "WHATSAPP_WEB_URL": f"http://127.0.0.1:{port}/",
        # The simulator shows a message once however often it comes: looking it up may be trusted.
        "RESEND_NOT_FOUND": "1",
        "RELANCE_ENROL_EVERY": "2",
        "RELANCE_PLAN_EVERY": "1",
        "RELANCE_RECONCILE_EVERY": "5",
        # A week in two minutes, at any hour, from numbers that are linked now.
        "WHATSAPP_SAFE_PACE": "0",
        "WHATSAPP_DAILY_LIMIT": str(pace.per_day),
        "WHATSAPP_PER_MINUTE": str(pace.per_minute),
        "RELANCE_MESSAGE_DELAY_MS": str(pace.gap_ms),
        "RELANCE_DEMO_STEP_SECONDS": str(pace.step_seconds),
        "RELANCE_DEMO_DIRECTORY": str(directory),
        "ALLOWED_HOSTS": loopback,
        "HTTPS": "0",
        "DEBUG": "0",
        "no_proxy": ",".join(filter(None, [os.environ.get("no_proxy"), loopback])),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
    }


def _play(command: list[str], environment: dict[str, str]) -> int:
    """Run the demo proper in front of this process; Ctrl-C is its business, other ends are told."""
    if setpriv := shutil.which("setpriv"):
        command = [setpriv, "--pdeathsig", "TERM", "--", *command]
    child = subprocess.Popen(command, cwd=REPOSITORY, env=environment)
    # Set after the start: what is ignored is inherited.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: child.send_signal(n))
    status = child.wait()
    if status < 0:
        # Its processes ended with it: the kernel saw to that.
        print(f"demo: ended by {signal.Signals(-status).name}", file=sys.stderr)
        return 128 - status
    return status


def _check_programs() -> None:
    if not settings.WA_JS_PATH.is_file():
        raise NotPossible(
            f"wa-js is missing ({settings.WA_JS_PATH}): run `make install`, or set WA_JS_PATH"
        )
    for setting, names in (
        ("CHROMIUM_BINARY", ("chromium", "google-chrome")),
        ("CHROMEDRIVER_BINARY", ("chromedriver",)),
    ):
        wanted = getattr(settings, setting)
        if wanted and not os.access(wanted, os.X_OK):
            raise NotPossible(f"{setting} is {wanted}, which is no program: mend or unset it")
        # Selenium Manager keeps what it fetched there; the driver asks it when PATH has none.
        fetched = Path(os.environ.get("SE_CACHE_PATH") or Path.home() / ".cache/selenium")
        if not wanted and not any(map(shutil.which, names)) and not fetched.is_dir():
            raise NotPossible(f"there is no {names[0]}: run `make install`, or set {setting}")


# ------------------------------------------------------------------------ database and Redis


def _database_url() -> str:
    parts = urlsplit(settings.DATABASE_URL)
    return urlunsplit(parts._replace(path="/" + quote(DATABASE)))


def _execute(statement: sql.Composed) -> None:
    try:
        with psycopg.connect(settings.DATABASE_URL, autocommit=True, connect_timeout=10) as server:
            server.execute(statement)
    except psycopg.Error as error:
        raise NotPossible(f"PostgreSQL refuses the database {DATABASE}: {error}") from error


def _drop_database() -> None:
    _execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(DATABASE)))


def _forget_redis(url: str) -> None:
    try:
        with redis.Redis.from_url(url, socket_timeout=10) as client:
            if keys := list(client.scan_iter(match=REDIS_PREFIX + "*", count=1000)):
                client.delete(*keys)
    except redis.RedisError as error:
        raise NotPossible(f"Redis does not answer: {error}") from error
