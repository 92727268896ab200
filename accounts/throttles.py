"""How often somebody may call. Counted in Redis, in fixed windows, by one atomic increment.

While Redis is away the two kinds decide differently: ordinary routes go on without limits
(sending has limits of its own, in PostgreSQL); attempts to log in are then counted in this
process, because a password must never be guessable at full speed.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any, ClassVar

import structlog
from django.core.cache import cache
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.http import HttpRequest
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

logger = structlog.get_logger(__name__)

IN_PROCESS = LocMemCache("throttles", {})


def count(key: str, *, window: int, now: float, backend: BaseCache = cache) -> int:
    """How many calls of `key` the current window of `window` seconds has, this one included."""
    name = f"throttle:{key}:{int(now // window)}"
    backend.add(name, 0, timeout=window * 2)
    try:
        return int(backend.incr(name))
    except ValueError:
        return 1  # gone between the two calls: Redis was flushed


class Throttle(BaseThrottle):
    """Common to both kinds: when the window ends."""

    window: ClassVar[int] = 60  # seconds
    now = staticmethod(time.time)

    def wait(self) -> float:
        return self.window - self.now() % self.window


class PerUser(Throttle):
    """`view.calls_per_minute` for each user (or service) and route; fails open."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        limits: dict[str, int] = getattr(view, "calls_per_minute", {})
        limit = limits.get(request.method or "")
        if limit is None:
            return True
        who = f"u{request.user.pk}" if request.user.pk else f"s{request.auth}"
        key = f"{type(view).__name__}:{request.method}:{digest(who)}"
        try:
            return count(key, window=self.window, now=self.now()) <= limit
        except RedisError as error:
            logger.warning("throttle_without_redis", error=type(error).__name__)
            return True


class LoginThrottle(Throttle):
    """Attempts to log in: 10 in five minutes from one address for one name, 50 for one name.

    The second number is what is left against guessing from many addresses; it is well above the
    first, so that a stranger cannot easily lock somebody out. The API and the admin count together.
    """

    window: ClassVar[int] = 300
    per_address_and_name: ClassVar[int] = 10
    per_name: ClassVar[int] = 50

    def allow_request(self, request: Request, view: APIView) -> bool:  # noqa: ARG002
        data: Any = request.data
        name = str(data.get("username", "") if isinstance(data, dict) else "")
        return self.allow(request, name)

    def allow(self, request: Request | HttpRequest, username: str) -> bool:
        """Count one attempt; False when it is one too many."""
        name = username.strip().casefold()
        limits = {
            "login:" + digest(f"{address_of(request)} {name}"): self.per_address_and_name,
            "login:" + digest(name): self.per_name,
        }
        counts = {key: self._count(key) for key in limits}
        return all(counts[key] <= limits[key] for key in limits)

    def _count(self, key: str) -> int:
        try:
            return count(key, window=self.window, now=self.now())
        except RedisError as error:
            logger.warning("login_throttle_without_redis", error=type(error).__name__)
            return count(key, window=self.window, now=self.now(), backend=IN_PROCESS)


def address_of(request: Request | HttpRequest) -> str:
    """The caller's address. X-Forwarded-For counts only when NUM_PROXIES says who writes it."""
    if api_settings.NUM_PROXIES:
        return str(BaseThrottle().get_ident(request))  # type: ignore[arg-type]  # reads META only
    return str(request.META.get("REMOTE_ADDR", ""))


def digest(text: str) -> str:
    """Names and addresses do not go into Redis as they are."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
