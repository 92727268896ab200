"""Waiting for a code, to scan or to type in, on behalf of a caller."""

from __future__ import annotations

import time

from django.conf import settings
from django.utils import timezone

from accounts.activity import Actor
from accounts.bodies import phone_of
from accounts.problems import Problem
from whatsapp import linking, pairing
from whatsapp.models import Account


def longest_wait() -> int:
    """Seconds: ten less than an attempt takes, so that callers who wait so long get an answer."""
    return max(1, settings.WHATSAPP_LINK_SECONDS - 10)


def phone_to_link(account: Account, text: str | None) -> str:
    """The phone on which a code is to be typed in, E.164; empty for none. Raises `Problem`."""
    return phone_of(text, "phoneNumber", account.tenant.region) if text else ""


def code_to_type(account: Account, *, phone: str, actor: Actor, seconds: float) -> str:
    """Ask for a code to type in on `phone`; empty when none came in time. Raises `Problem`."""
    linking.request(account, phone=phone, actor=actor, now=timezone.now())
    found = pairing.wait(account, timeout=seconds)
    if found is not None and found.error:
        raise Problem(
            502,
            "no_pairing_code",
            f"WhatsApp gave no code for this number ({found.error}): scan the QR code instead.",
        )
    return found.code if found is not None else ""


def wait_for_code(account: Account, *, actor: Actor, seconds: float) -> linking.PublishedQr | None:
    """A code to scan; None when the account is linked. Raises `Problem` when neither comes.

    It holds a thread of the web server for as long.
    """
    until = time.monotonic() + seconds
    while True:
        linking.request(account, actor=actor, now=timezone.now())
        left = until - time.monotonic()
        found = linking.wait_for_qr(account.pk, timeout=max(0.0, left))
        if found == "connected":
            return None
        if found is not None:
            return found
        account.refresh_from_db()
        if account.logout_requested_at is None or left <= 1:
            break
        time.sleep(1)  # the device is still being logged out: a new attempt follows that
    if account.status == Account.Status.PENDING and until - time.monotonic() > 1:
        raise Problem(503, "unavailable", "The code cannot be read just now. Try again shortly.")
    reason = f" ({account.status_reason})" if account.status_reason else ""
    raise Problem(504, "no_qr", f"WhatsApp showed no QR code in time{reason}. Please try again.")
