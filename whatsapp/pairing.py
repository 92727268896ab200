"""Linking by a code that is typed in on the phone, beside the QR code that it scans.

Whoever asks names the phone (`linking.request`), the worker that shows the page asks WhatsApp for a
code and publishes it here; like a QR code it lives in Redis, as long as the attempt.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
import structlog
from django.utils import timezone

from whatsapp import limits, linking
from whatsapp.models import Account

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PairingCode:
    """A code (``ABCD-EFGH``) for one phone; empty with an `error` when WhatsApp gave none."""

    phone: str
    code: str
    error: str
    expires_at: datetime


def publish(account: Account, code: str, *, error: str = "") -> None:
    """Show `code` to whoever waits for one for the account's `link_phone`, or why there is none."""
    now = timezone.now()
    ends = linking.attempt_ends(account) or now + timedelta(seconds=60)
    value = json.dumps(
        {
            "phone": account.link_phone,
            "code": code,
            "error": error,
            "expires_at": ends.isoformat(),
        }
    )
    client = limits.server().client
    try:
        client.set(_key(account.pk), value, ex=max(1, int((ends - now).total_seconds())))
        client.publish(linking.key(account.pk), "new")
    except redis.RedisError as problem:
        log.warning("code not published", account_id=account.pk, error=type(problem).__name__)


def current(account: Account) -> PairingCode | None:
    """The code to type in on the account's `link_phone`. None when there is none yet."""
    try:
        value = limits.server().client.get(_key(account.pk))
    except redis.RedisError:
        return None
    if not isinstance(value, str) or account.status != Account.Status.PENDING:
        return None
    found = json.loads(value)
    if found["phone"] != account.link_phone:
        return None  # of another phone, asked for before
    return PairingCode(**found | {"expires_at": datetime.fromisoformat(found["expires_at"])})


def wait(account: Account, *, timeout: float) -> PairingCode | None:
    """Wait up to `timeout` seconds for a code, or for why there is none.

    None when neither came, the attempt ended, or Redis is away.
    """

    def look() -> PairingCode | None:
        account.refresh_from_db()
        return current(account)

    found = linking.wait_for(account.pk, look, timeout=timeout)
    return found if isinstance(found, PairingCode) else None


def _key(account_id: int) -> str:
    return linking.key(account_id) + ":typed"
