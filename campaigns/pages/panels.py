"""What the two live parts of the page show, as plain values: equal values look equal.

Each part is asked for again and again. `version` is a digest of what it shows, so that a part that
has not changed costs no drawing, moves no focus and is not read out again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import phonenumbers
from django.db.models import Count, Q
from django.utils.translation import get_language

from accounts.wording import when
from campaigns.models import Referrer
from campaigns.pages.health import LATE, Facts, Health, health_of
from whatsapp import limits, linking, pairing
from whatsapp.limits import Allowance
from whatsapp.models import Account, Message

State = Message.State
FAST, SLOW = 2, 15  # seconds between two looks


class Versioned:
    @cached_property
    def version(self) -> str:
        """Changes when anything that is shown changes, its language included."""
        return hashlib.sha256(f"{get_language()} {self!r}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Code:
    """A QR code to scan."""

    data_url: str
    expires_at: datetime


@dataclass(frozen=True)
class CodeToType:
    """What to type in on the phone instead of scanning; without a `code` there is none."""

    code: str
    phone: str


@dataclass(frozen=True)
class AccountPanel(Versioned):
    """How the account is, what is left today, and what may be done."""

    status: str
    health: Health
    code: Code | None
    to_type: CodeToType | None
    name: str
    phone: str
    platform: str
    sent_today: int
    daily_limit: int
    remaining: int
    more_at: datetime | None  # when more may be sent; None: now
    day_is_full: bool
    paused_since: str  # in words; "" while sending goes on
    enrolment_paused: bool
    may_act: bool

    @property
    def looks_again_after(self) -> int:
        return FAST if self.health.changing else SLOW


def account_panel(referrer: Referrer, *, may_act: bool, now: datetime) -> AccountPanel:
    """Three queries at most. A referrer without an account sees that of one never linked."""
    account = referrer.account or Account(tenant=referrer.tenant)
    waits_for_scan = account.status == Account.Status.PENDING
    shown = linking.current_qr(account.pk) if waits_for_scan else None
    typed = pairing.current(account) if waits_for_scan else None
    facts = _facts(account, has_code=shown is not None, now=now)
    allowance, paused = facts.allowance, account.sending_paused_at
    return AccountPanel(
        status=account.status,
        health=health_of(referrer, account, facts, now=now),
        code=Code(shown.data_url, shown.expires_at) if shown else None,
        to_type=CodeToType(typed.code, masked(typed.phone)) if typed else None,
        name=account.push_name or referrer.name,
        phone=masked(account.phone),
        platform=account.platform,
        sent_today=allowance.sent_today,
        daily_limit=allowance.daily_limit,
        remaining=max(0, allowance.daily_limit - allowance.sent_today),
        more_at=_more_at(allowance, now=now),
        day_is_full=allowance.sent_today >= allowance.daily_limit,
        paused_since=when(paused, now=now, zone=referrer.tenant.zone) if paused else "",
        enrolment_paused=referrer.enrolment_paused,
        may_act=may_act,
    )


def _facts(account: Account, *, has_code: bool, now: datetime) -> Facts:
    allowance = limits.snapshot(account, now=now)
    if account.status == Account.Status.NEW:
        return Facts(allowance=allowance, has_code=has_code)
    queued = Q(state=State.QUEUED)
    counts = Message.objects.filter(
        queued
        | Q(state=State.UNCERTAIN)
        | Q(state=State.FAILED, ended_at__gt=now - dt.timedelta(days=1)),
        account=account,
    ).aggregate(
        queued=Count("id", filter=queued),
        late=Count("id", filter=queued & Q(due_at__lt=now - LATE)),
        uncertain=Count("id", filter=Q(state=State.UNCERTAIN)),
        refused_chats=Count("id", filter=Q(error_code="nack_463")),
    )
    return Facts(allowance=allowance, has_code=has_code, **counts)


def _more_at(allowance: Allowance, *, now: datetime) -> datetime | None:
    """To the second: the same moment must be the same value at every look."""
    if not allowance.is_limited:
        return None
    at = now + dt.timedelta(milliseconds=allowance.reset_in_ms)
    return at.replace(microsecond=0) + dt.timedelta(seconds=at.microsecond >= 500_000)


def masked(phone: str) -> str:
    """A number as its owner knows it, without its middle: the page may be seen by others."""
    if not phone:
        return ""
    shown = phonenumbers.format_number(
        phonenumbers.parse(phone), phonenumbers.PhoneNumberFormat.INTERNATIONAL
    )
    digits = [at for at, character in enumerate(shown) if character.isdigit()]
    return "".join("•" if at in digits[3:-2] else shown[at] for at in range(len(shown)))
