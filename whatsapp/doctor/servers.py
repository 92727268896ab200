"""PostgreSQL and Redis: there, ours to write to, set up as Relance needs them, and of one time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import redis as redis_py
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from relance_project import local
from whatsapp.doctor.findings import Finding, fail, first_line, megabytes, ok, warning

OLDEST_POSTGRESQL = 140000
OLDEST_REDIS = (6, 2)
SKEW_DOUBTFUL, SKEW_BROKEN = 2.0, 30.0  # seconds


def database() -> Iterator[Finding]:
    """PostgreSQL answers, takes writes, has our tables, and agrees about the time."""
    try:
        local.ensure_running(reason="doctor")
    except SystemExit as problem:
        yield fail(str(problem), "or set DATABASE_URL and REDIS_URL to servers of your own")
        return
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        host = settings.DATABASES["default"]["HOST"] or "localhost"
        yield fail(
            f"PostgreSQL at {host} cannot be reached: {first_line(error)}",
            "start it, or put the right address, user and password into DATABASE_URL",
        )
        return
    with connection.cursor() as cursor:
        began = time.time()
        cursor.execute(
            "SELECT extract(epoch FROM clock_timestamp())::float8,"
            " current_setting('transaction_read_only') = 'on', pg_is_in_recovery(),"
            " current_setting('max_connections')::int,"
            " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
        )
        theirs, read_only, standby, most, connected = cursor.fetchone()
        took = time.time() - began
    yield from _version()
    yield from _writable(read_only=read_only, standby=standby)
    yield from _clock(theirs - (began + took / 2))
    if connected > 0.8 * most:
        yield warning(
            f"{connected} of {most} connections are taken",
            "raise max_connections, or run fewer web threads and workers",
        )
    yield from _migrations()


def _version() -> Iterator[Finding]:
    number = connection.cursor().connection.info.server_version
    version = f"PostgreSQL {number // 10000}.{number % 10000}"
    if number < OLDEST_POSTGRESQL:
        yield fail(f"{version} is too old", "use PostgreSQL 14 or newer")
    else:
        yield ok(f"{version} answers")


def _writable(*, read_only: bool, standby: bool) -> Iterator[Finding]:
    if standby:
        yield fail(
            "this server is a standby, which takes no writes", "point DATABASE_URL at the primary"
        )
    elif read_only:
        yield fail(
            "transactions are read-only (default_transaction_read_only)",
            "ALTER DATABASE or ROLE ... RESET default_transaction_read_only; often it was set "
            "because the disk was full",
        )
    else:
        yield ok("it takes writes")


def _clock(skew: float) -> Iterator[Finding]:
    said = f"its clock differs from this machine's by {abs(skew):.1f} s"
    mend = "synchronise both clocks (NTP); leases go by PostgreSQL's, signatures by this machine's"
    if abs(skew) > SKEW_BROKEN:
        yield fail(said, mend)
    elif abs(skew) > SKEW_DOUBTFUL:
        yield warning(said, mend)
    else:
        yield ok("its clock and this machine's agree")


def _migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        first = missing[0][0]
        yield fail(
            f"{len(missing)} migrations are not applied, {first.app_label}.{first.name} the first",
            "run manage.py migrate",
        )
        return
    known = executor.loader.disk_migrations
    foreign = [name for name in executor.loader.applied_migrations if name not in known]
    ours = [name for name in foreign if name[0] in {"accounts", "whatsapp", "campaigns"}]
    if ours:
        yield warning(
            f"the database knows {len(ours)} migrations that this code does not",
            "it was used by a newer Relance: run that version here, too",
        )
    else:
        yield ok("every migration is applied")


def redis() -> Iterator[Finding]:
    """Redis answers, lets us in, never drops a key by itself and has memory left."""
    client = redis_py.Redis.from_url(
        settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5, decode_responses=True
    )
    try:
        info: dict[str, Any] = client.info()
    except redis_py.AuthenticationError as error:
        yield fail(
            f"Redis does not let us in: {first_line(error)}",
            "put its password into REDIS_URL: redis://:<password>@<host>:6379/0",
        )
        return
    except redis_py.BusyLoadingError:
        yield fail("Redis is still loading its data", "wait, then look again")
        return
    except redis_py.RedisError as error:
        yield fail(
            f"Redis cannot be reached: {first_line(error)}",
            "start it, or put the right address into REDIS_URL; meanwhile nothing is sent",
        )
        return
    version = info["redis_version"]
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        yield fail(f"Redis {version} is too old", "use Redis 6.2 or newer")
    else:
        yield ok(f"Redis {version} answers")
    yield from _redis_memory(info)
    yield from _redis_writes(client, info)


def _redis_memory(info: dict[str, Any]) -> Iterator[Finding]:
    policy, most, used = info["maxmemory_policy"], info["maxmemory"], info["used_memory"]
    if policy != "noeviction":
        yield fail(
            f"its maxmemory-policy is {policy}: it may drop what the limits rest on",
            "set maxmemory-policy noeviction",
        )
    elif most and used > 0.8 * most:
        yield warning(
            f"{megabytes(used)} of {megabytes(most)} are used; when it is full nothing is sent",
            "raise its maxmemory",
        )
    else:
        yield ok(f"it drops nothing (noeviction); {megabytes(used)} used")


def _redis_writes(client: redis_py.Redis, info: dict[str, Any]) -> Iterator[Finding]:
    key = f"{settings.REDIS_PREFIX}doctor"
    try:
        client.set(key, "1", ex=10)
        client.delete(key)
    except redis_py.RedisError as error:
        yield fail(
            f"Redis takes no writes: {first_line(error)}",
            "look at its log; a replica is read-only, a full disk stops one that saves",
        )
        return
    if info.get("rdb_last_bgsave_status") == "err" or info.get("aof_last_write_status") == "err":
        yield warning(
            "it could not save to its disk the last time",
            "give it disk space, or turn saving off: Relance needs nothing of it after a restart",
        )
    elif info.get("aof_enabled") or _snapshots(client):
        yield ok("it takes writes; it also saves them to disk, which Relance does not need")
    else:
        yield ok("it takes writes, and keeps nothing on disk, which Relance does not need")


def _snapshots(client: redis_py.Redis) -> bool:
    try:
        return bool(client.config_get("save").get("save"))
    except redis_py.ResponseError:  # hosted ones do not tell
        return False
