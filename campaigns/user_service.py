"""Referrals and subscriptions from the customer's user service, over HTTP.

Two questions, with ``Authorization: Bearer <USER_SERVICE_SECRET>``:

====================================================  =========================================
``GET <url>/users/<id>/subscriptions/relance``        ``{"active": true}``
``GET <url>/users/<id>/referrals?paid=false``         ``[{"_id", "createdAt", "name",
                                                      "phoneNumber", "language"}]``
====================================================  =========================================

Either answer may come wrapped as ``{"success": true, "data": …}``. An answer that cannot be had or
read changes nothing: a service that is down neither ends a subscription nor starts one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F

from accounts import poison
from accounts.findings import Finding
from accounts.models import Tenant
from campaigns import holds, referrals
from campaigns.models import Referrer
from campaigns.rows import Row

log = structlog.get_logger(__name__)

TIMEOUT = httpx.Timeout(5.0, connect=2.0)
ATTEMPTS = 3
BACKOFF = 0.2  # seconds, doubled after each attempt
LONGEST_ANSWER = 20 * 1024 * 1024  # bytes
DEADLINE = 20.0  # seconds for one question, retries and slow bodies included
GIVE_UP_AFTER = 5  # referrers in a row that could not be asked: the service is down


class ServiceError(Exception):
    """The user service gave no usable answer. `retryable` says whether a moment later might."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


@dataclass(slots=True)
class RefreshReport:
    """What asking the user service did, in referrers; created and updated in referrals."""

    asked: int = 0
    failed: int = 0
    lapsed: int = 0
    resumed: int = 0
    created: int = 0
    updated: int = 0


class UserService:
    """The user service behind `url`. Close it, or use it in a `with`."""

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        timeout: httpx.Timeout = TIMEOUT,
        deadline: float = DEADLINE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._deadline = deadline
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {secret}", "Accept": "application/json"},
            timeout=timeout,
            # A redirect would carry the secret to wherever it points.
            follow_redirects=False,
            trust_env=False,
        )

    def __enter__(self) -> UserService:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def has_subscription(self, user_id: str) -> bool:
        """Whether the user has an active subscription now. Raises `ServiceError`."""
        answer = self._get(f"users/{quote(user_id, safe='')}/subscriptions/relance")
        active = answer.get("active") if isinstance(answer, dict) else None
        if not isinstance(active, bool):
            raise ServiceError(
                "the user service did not say whether the subscription is active",
                retryable=False,
            )
        return active

    def unpaid_referrals(self, user_id: str) -> list[dict[str, Any]]:
        """The user's unpaid referrals as the service has them. Raises `ServiceError`."""
        answer = self._get(f"users/{quote(user_id, safe='')}/referrals", {"paid": "false"})
        if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
            raise ServiceError("the user service sent no list of referrals", retryable=False)
        return answer

    def _get(self, path: str, params: dict[str, str] | None = None) -> Any:
        end = time.monotonic() + self._deadline
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._ask(path, params, end)
            except ServiceError as error:
                wait = BACKOFF * 2 ** (attempt - 1)
                if not error.retryable or attempt == ATTEMPTS or time.monotonic() + wait > end:
                    raise
                self._sleep(wait)
        raise AssertionError("unreachable")

    def _ask(self, path: str, params: dict[str, str] | None, end: float) -> Any:
        body = bytearray()
        try:
            with self._http.stream("GET", path, params=params) as response:
                if response.status_code != httpx.codes.OK:
                    raise ServiceError(
                        f"the user service answered {response.status_code}",
                        retryable=response.status_code >= 500 or response.status_code == 429,
                    )
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > LONGEST_ANSWER:
                        raise ServiceError("the answer is too long", retryable=False)
                    if time.monotonic() > end:
                        raise ServiceError("the answer took too long", retryable=False)
            answer = json.loads(bytes(body))
        except httpx.HTTPError as error:
            raise ServiceError(
                f"the user service does not answer ({type(error).__name__})", retryable=True
            ) from error
        except ValueError as error:  # neither UTF-8 nor JSON
            raise ServiceError("the user service did not send JSON", retryable=False) from error
        if isinstance(answer, dict) and "data" in answer:
            if answer.get("success") is False:
                raise ServiceError("the user service refused to answer", retryable=False)
            return answer["data"]
        return answer


class UserServiceSource:
    """A `ReferralSource`: the unpaid referrals of one referrer."""

    source = "user_service"

    def __init__(self, service: UserService, referrer_external_id: str) -> None:
        self._service = service
        self._referrer = referrer_external_id

    def rows(self) -> Iterator[Row | Finding]:
        for number, item in enumerate(self._service.unpaid_referrals(self._referrer), start=1):
            yield Row(
                row=number,
                external_id=_text(item.get("_id")),
                referrer=self._referrer,
                name=_text(item.get("name")),
                phone=_text(item.get("phoneNumber")),
                language=_text(item.get("language")),
                registered_at=_text(item.get("createdAt")),
            )


def refresh(*, now: datetime, limit: int = 2000) -> RefreshReport:
    """Ask about the referrers of the service's tenant, those not asked for longest first.

    Never inside a transaction: the network is waited for here.
    """
    report = RefreshReport()
    tenant = service_tenant()
    if tenant is None:
        log.error("user service belongs to no tenant", hint="set LEGACY_SERVICE_TENANT to a slug")
        return report
    waiting = Referrer.objects.filter(tenant=tenant, account__isnull=False).order_by(
        F("subscription_checked_at").asc(nulls_first=True), "id"
    )[:limit]
    in_a_row = 0
    with UserService(settings.USER_SERVICE_URL, settings.USER_SERVICE_SECRET) as service:
        for referrer in waiting:
            report.asked += 1
            try:
                with poison.apart(
                    "referrer not refreshed", but=ServiceError, referrer_id=referrer.pk
                ) as this:
                    refresh_referrer(referrer, service, report, now=now)
                report.failed += this.error is not None
                in_a_row = 0
            except ServiceError as error:
                report.failed += 1
                in_a_row += 1
                log.warning("user service failed", referrer_id=referrer.pk, error=str(error))
                if in_a_row >= GIVE_UP_AFTER:
                    break
    return report


def refresh_referrer(
    referrer: Referrer, service: UserService, report: RefreshReport, *, now: datetime
) -> None:
    """Subscription first: who has none has nobody followed. Raises `ServiceError`."""
    active = service.has_subscription(referrer.external_id)
    with transaction.atomic():
        changed = Referrer.objects.filter(pk=referrer.pk, subscribed=not active).update(
            subscribed=active
        )
        Referrer.objects.filter(pk=referrer.pk).update(subscription_checked_at=now)
        if changed and active:
            holds.release_referrers([referrer.pk], now=now)
    if changed:
        report.resumed += active
        report.lapsed += not active
        log.info("subscription changed", referrer_id=referrer.pk, active=active)
    if active:
        rows = UserServiceSource(service, referrer.external_id).rows()
        done = referrals.import_rows(referrer.tenant, rows, now=now, source="user_service")
        report.created += done.created
        report.updated += done.updated


def service_tenant() -> Tenant | None:
    """Whose users the service knows: the tenant that is named, or the only one there is."""
    if settings.LEGACY_SERVICE_TENANT:
        return Tenant.objects.filter(slug=settings.LEGACY_SERVICE_TENANT).first()
    tenants = list(Tenant.objects.all()[:2])
    return tenants[0] if len(tenants) == 1 else None


def _text(value: object) -> str:
    """JSON's text or number as text; an `_id` may come as ``{"$oid": "…"}``."""
    if isinstance(value, dict):
        value = value.get("$oid") or value.get("$date")
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value)
