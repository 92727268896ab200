"""How fast an account may send: a rolling minute, a gap between messages, a day.

To a gap some time is added by chance (`Account.jitter`), which hangs on the time of the message
before: asking again brings no shorter one.

Redis paces, PostgreSQL decides. One atomic Lua script reserves a place; the Usage table is raised
by the intent that follows (sending.py) and is what a day's limit rests on. Everything about an
account is one string, so that it is there whole or not at all:

===========  ============================================================================
40 bytes     run id of the Redis server it was seeded on: a restarted or restored server has
             another, a flushed one has none, and the account is seeded again from PostgreSQL
10 bytes     the tenant's day, ISO
10 digits    reservations of that day
16 digits    for each of the last reservations, as many as a minute allows, oldest first:
             microseconds since 1970; so the one that matters is found without a loop
===========  ============================================================================

While Redis is away nothing is sent (`Unavailable`).
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import math
import threading
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis
import structlog
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.models import Tenant
from whatsapp.clock import database_now
from whatsapp.models import Account, Attempt, Usage

log = structlog.get_logger(__name__)

MINUTE = dt.timedelta(seconds=60)

# Its one argument is `_wish`: packing eight costs the client more than Lua takes to part them.
# Returns the time of the reservation, or {code, microseconds to wait}; codes as in `_CODES`.
RESERVE = """
local epoch, day = string.sub(ARGV[1], 1, 40), string.sub(ARGV[1], 41, 50)
local a, b, c, d = string.match(ARGV[1], '(%d+) (%d+) (%d+) (%d+)', 51)
local per_day, per_minute, gap, jitter = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
local state = redis.call('GET', KEYS[1])
if not state or string.sub(state, 1, 40) ~= epoch then return {4, 0} end
local seen = string.sub(state, 41, 50)
if seen > day then return {4, 0} end
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local used = seen == day and tonumber(string.sub(state, 51, 60)) or 0
if used >= per_day then return {3, 0} end
local times = string.sub(state, 61)
local function ago(n)  -- microseconds since the n-th reservation from the end; never in the future
  local at = tonumber(string.sub(times, -16 * n, -16 * n + 15) or '')
  return at and math.max(0, now - at)
end
if jitter > 0 and #times >= 16 then  -- by chance, but the same however often it is asked for
  gap = gap + tonumber(string.sub(redis.sha1hex(string.sub(times, -16)), 1, 8), 16) % (jitter + 1)
end
if #times >= 16 and ago(1) < gap then return {1, gap - ago(1)} end
if #times >= 16 * per_minute and ago(per_minute) < 60000000 then
  return {2, 60000000 - ago(per_minute)}
end
local mine = string.format('%016.0f', now)
if string.sub(times, -16) >= mine then  -- the time names the reservation: no two are alike
  mine = string.format('%016.0f', tonumber(string.sub(times, -16)) + 1)
end
times = per_minute == 1 and '' or string.sub(times, -16 * (per_minute - 1))
state = epoch .. day .. string.format('%010d', used + 1) .. times .. mine
if seen == day then redis.call('SET', KEYS[1], state, 'KEEPTTL')
else redis.call('SET', KEYS[1], state, 'EX', 172800) end
return mine
"""

# Two that find nothing seed once: the second would forget what the first has granted since.
SEED = """
local state = redis.call('GET', KEYS[1])
if state and string.sub(state, 1, 40) == ARGV[1] and string.sub(state, 41, 50) <= ARGV[2] then
  return 0
end
state = ARGV[1] .. ARGV[2] .. string.format('%010d', ARGV[3]) .. ARGV[4]
redis.call('SET', KEYS[1], state, 'EX', 172800)
return 1
"""

RELEASE = """
local state = redis.call('GET', KEYS[1])
if not state or string.sub(state, 1, 50) ~= ARGV[1] .. ARGV[2] then return 0 end
for from = #state - 15, 61, -16 do
  if string.sub(state, from, from + 15) == ARGV[3] then
    local used = math.max(0, tonumber(string.sub(state, 51, 60)) - 1)
    redis.call('SET', KEYS[1], string.sub(state, 1, 50) .. string.format('%010d', used)
      .. string.sub(state, 61, from - 1) .. string.sub(state, from + 16), 'KEEPTTL')
    return 1
  end
end
return 0
"""

# The message may have arrived as late as now: the gap and the minute count from here.
USED = """
local state = redis.call('GET', KEYS[1])
if not state or string.sub(state, 1, 40) ~= ARGV[1] then return 0 end
if #state < 76 or string.sub(state, -16) ~= ARGV[2] then return 0 end
local clock = redis.call('TIME')
local now = string.format('%016.0f', clock[1] * 1000000 + clock[2])
if now > ARGV[2] then
  redis.call('SET', KEYS[1], string.sub(state, 1, -17) .. now, 'KEEPTTL')
end
return 1
"""

_CODES = {1: "gap", 2: "minute", 3: "day"}


class Unavailable(Exception):
    """Redis does not answer: no reservation can be made, so nothing may be sent."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """A place for one message on `day`; give it back with `release` if the intent fails."""

    account_id: int
    day: dt.date
    epoch: str
    at: str


@dataclass(frozen=True, slots=True)
class Wait:
    """No place now. `reason` is gap, minute or day; `seconds` until one may be free."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an account may still send. `reset_in_ms`: until more becomes free, or a moment later.

    `sent_this_minute`: begun in the last 60 seconds.
    """

    sent_today: int
    daily_limit: int
    remaining: int
    reset_in_ms: int
    is_limited: bool
    sent_this_minute: int
    per_minute: int
    new_chats_today: int = 0
    new_chats_limit: int = 0

    @property
    def daily_left(self) -> int:
        """What is left of the day, whatever the minute says."""
        return max(0, self.daily_limit - self.sent_today)


class _Server:
    """The Redis client and the run id of the server behind it, read at each new connection."""

    def __init__(self) -> None:
        self.run_id = ""
        self._lock = threading.Lock()
        self.client = redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=5,
            socket_connect_timeout=5,
            health_check_interval=10,
            decode_responses=True,
            redis_connect_func=self._greet,
        )

    def run(self, script: str, account_id: int, *args: str | int) -> Any:
        """Run one of the scripts above on the hash of an account, by its digest if it is known."""
        rest = (1, key(account_id), *args)
        execute: Callable[..., Any] = self.client.execute_command
        try:
            return execute("EVALSHA", _digest(script), *rest)
        except redis.exceptions.NoScriptError:
            return execute("EVAL", script, *rest)

    def _greet(self, conn: redis.Connection) -> None:
        """A restart of the server breaks every connection, so no reservation can miss it."""
        conn.on_connect()  # type: ignore[no-untyped-call]
        conn.send_command("INFO", "server")  # type: ignore[no-untyped-call]
        info = conn.read_response()
        text = info if isinstance(info, str) else info.decode()
        run_id = next(
            line.partition(":")[2].strip()
            for line in text.splitlines()
            if line.startswith("run_id:")
        )
        with self._lock:
            self.run_id = run_id


@functools.cache
def _digest(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


@functools.cache
def server() -> _Server:
    """One client per process; redis-py's pool makes it safe for threads."""
    return _Server()


def key(account_id: int) -> str:
    return f"{settings.REDIS_PREFIX}limits:{account_id}"


def today(tenant: Tenant, *, now: datetime) -> dt.date:
    """The tenant's day at `now`."""
    return now.astimezone(tenant.zone).date()


def reserve(account: Account) -> Reserved | Wait:
    """Take a place for one message of `account` now. Raises `Unavailable`."""
    # By this machine's clock: the intent compares it with the database's day.
    day = today(account.tenant, now=timezone.now())
    try:
        redis_server = server()
        for _ in range(3):
            if not redis_server.run_id:
                redis_server.client.ping()
            epoch = redis_server.run_id
            answer = redis_server.run(RESERVE, account.pk, _wish(account, epoch, day))
            if isinstance(answer, str):
                return Reserved(account_id=account.pk, day=day, epoch=epoch, at=answer)
            code, wait = answer
            if code == 4:
                seed(account, day=day, epoch=epoch)
                continue
            if code == 3:
                return Wait(reason="day", seconds=seconds_to_midnight(account.tenant))
            return Wait(reason=_CODES[code], seconds=max(wait, 1000) / 1e6)
    except redis.RedisError as error:
        raise Unavailable(f"Redis does not answer ({type(error).__name__})") from error
    raise Unavailable("Redis forgets what it was told: is its memory full?")


def _wish(account: Account, epoch: str, day: dt.date) -> str:
    gap, jitter = (wait // dt.timedelta(microseconds=1) for wait in (account.gap, account.jitter))
    limits = f"{account.limit_on(day)} {account.limit_per_minute} {gap} {jitter}"
    return f"{epoch}{day.isoformat()}{limits}"


def release(reserved: Reserved) -> None:
    """Give a place back whose intent was not committed. Best effort: losing it errs to less."""
    try:
        server().run(
            RELEASE, reserved.account_id, reserved.epoch, reserved.day.isoformat(), reserved.at
        )
    except redis.RedisError:
        log.warning("reservation not released", account_id=reserved.account_id)


def used(reserved: Reserved) -> None:
    """The message of a reservation has been sent, or may have been, until now.

    Counting from here and not from the reservation, no two messages *arrive* sooner after each
    other than the gap says, and no minute sees more than its limit. Best effort: it only delays.
    """
    try:
        server().run(USED, reserved.account_id, reserved.epoch, reserved.at)
    except redis.RedisError:
        log.warning("reservation not moved", account_id=reserved.account_id)


def forget(account_id: int) -> None:
    """Have the next reservation start from PostgreSQL: a new holder knows no old reservation.

    Only the holder of the account reserves, so nothing is running beside it.
    """
    try:
        server().client.delete(key(account_id))
    except redis.RedisError:
        log.warning("limits not reset", account_id=account_id)


def seed(account: Account, *, day: dt.date, epoch: str) -> None:
    """Write the account's state from PostgreSQL: the day from Usage, the minute from Attempts."""
    used = Usage.objects.filter(account=account, day=day).values_list("count", flat=True).first()
    now = database_now()
    longest_send = dt.timedelta(seconds=settings.WHATSAPP_SEND_SECONDS)
    recent = Attempt.objects.filter(account=account, intent_at__gt=now - MINUTE - longest_send)
    times = sorted(
        int((finished or intent).timestamp() * 1e6)
        for intent, finished in recent.values_list("intent_at", "finished_at")
    )
    history = "".join(f"{at:016d}" for at in times)
    seeded = server().run(SEED, account.pk, epoch, day.isoformat(), used or 0, history)
    if seeded:
        log.info("limits seeded", account_id=account.pk, used=used or 0, minute=len(times))


def snapshot(account: Account, *, now: datetime) -> Allowance:
    """What is left today and this minute, from PostgreSQL alone: it answers without Redis."""
    day = today(account.tenant, now=now)
    since = now - MINUTE
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT coalesce(max(usage.count), 0), coalesce(max(usage.new_chats), 0),
                   count(recent.intent_at), min(recent.intent_at)
            FROM (SELECT %(account)s::bigint AS id) AS account
            LEFT JOIN whatsapp_usage AS usage
                   ON usage.account_id = account.id AND usage.day = %(day)s
            LEFT JOIN (SELECT intent_at FROM whatsapp_attempt
                  WHERE account_id = %(account)s AND intent_at > %(since)s
                  ORDER BY intent_at DESC LIMIT %(per_minute)s) AS recent ON true
            """,
            {
                "account": account.pk,
                "day": day,
                "since": since,
                "per_minute": account.limit_per_minute,
            },
        )
        sent, new_chats, minute, oldest = cursor.fetchone()
    limit = account.limit_on(day)
    remaining, wait_ms = max(0, limit - sent), 0
    if remaining and minute >= account.limit_per_minute:
        remaining, wait_ms = 0, math.ceil((oldest + MINUTE - now).total_seconds() * 1000)
    return Allowance(
        sent_today=sent,
        daily_limit=limit,
        remaining=remaining,
        reset_in_ms=wait_ms or math.ceil(seconds_to_midnight(account.tenant, now=now) * 1000),
        is_limited=remaining == 0,
        sent_this_minute=minute,
        per_minute=account.limit_per_minute,
        new_chats_today=new_chats,
        new_chats_limit=account.new_chats_limit,
    )


@dataclass(frozen=True, slots=True)
class Paced:
    """What Redis knows of an account: places taken today and in the last 60 seconds."""

    day: dt.date
    today: int
    minute: int
    last_at: datetime | None


def paced(account: Account) -> Paced | None:
    """What Redis has counted, None when it must be told again (`seed`). Raises `Unavailable`."""
    redis_server = server()
    try:
        state: str | None = redis_server.client.get(key(account.pk))  # type: ignore[assignment]
        seconds, microseconds = redis_server.client.time()
    except redis.RedisError as error:
        raise Unavailable(f"Redis does not answer ({type(error).__name__})") from error
    if state is None or state[:40] != redis_server.run_id:
        return None
    now = datetime.fromtimestamp(seconds, tz=dt.UTC) + dt.timedelta(microseconds=microseconds)
    places = [
        datetime.fromtimestamp(int(state[at : at + 16]) / 1e6, tz=dt.UTC)
        for at in range(60, len(state), 16)
    ]
    return Paced(
        day=dt.date.fromisoformat(state[40:50]),
        today=int(state[50:60]),
        minute=sum(now - at < MINUTE for at in places),
        last_at=places[-1] if places else None,
    )


def seconds_to_midnight(tenant: Tenant, *, now: datetime | None = None) -> float:
    """Seconds until the tenant's day ends; 23 or 25 hours' days included."""
    zone: zoneinfo.ZoneInfo = tenant.zone
    local = (now or timezone.now()).astimezone(zone)
    midnight = datetime.combine(local.date() + dt.timedelta(days=1), dt.time(), tzinfo=zone)
    return max(0.0, (midnight.astimezone(dt.UTC) - local.astimezone(dt.UTC)).total_seconds())
