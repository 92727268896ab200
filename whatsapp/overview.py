"""Where all accounts stand, for whoever runs Relance: sessions, the queue, what one may send."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Q
from django.db.models.functions import Now

from whatsapp import limits, pace
from whatsapp.models import Account, Lease, Message

State = Message.State


class UnknownAccount(Exception):
    """No account goes by that name; the message lists those that come close."""


def find_account(text: str) -> Account:
    """The account of that id, or of that tenant and name (``acme/amina``).

    Raises `UnknownAccount`.
    """
    accounts = Account.objects.select_related("tenant", "lease")
    tenant, slash, name = text.partition("/")
    if slash:
        found = accounts.filter(tenant__slug=tenant, name=name).first()
    else:
        # No id is longer; PostgreSQL would refuse the number.
        found = None
        if text.isdecimal() and len(text) < 18:
            found = accounts.filter(pk=int(text)).first()
    if found is not None:
        return found
    near = Account.objects.filter(Q(tenant__slug=tenant) if slash else Q(name=text))
    names = ", ".join(str(account) for account in near.select_related("tenant")[:10])
    raise UnknownAccount(
        f"there is no account {text}: give its id, or tenant/name"
        + (f"; did you mean {names}?" if names else "")
    )


def holder(account: Account) -> str:
    """The worker that holds the account's lease now, or nothing."""
    held = Lease.objects.filter(account=account, lease_until__gt=Now())
    return held.values_list("worker", flat=True).first() or ""


def nothing_to_do(account: Account) -> str:
    """Why a worker that looks at the account would do nothing; empty when it may do something."""
    if account.status == Account.Status.PENDING or account.logout_requested_at is not None:
        return ""
    if not account.enabled:
        return "the account is switched off"
    if not account.is_linked:
        return f"the account is {account.get_status_display()}: connect it with a QR code"
    if account.sending_paused_at is not None:
        return "its sending is paused"
    if account.is_resting:
        return "it rests for its health"
    return ""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """An account that has, or should have, a browser. `driven` while its lease is renewed."""

    account: Account
    driven: bool
    worker: str
    memory: int | None  # bytes
    since: datetime | None
    unsent: int


def sessions() -> list[SessionRow]:
    """Accounts that a worker holds, and those that one should: linked or being linked."""
    wanted = Q(enabled=True, status__in=[*Account.LINKED_STATUSES, Account.Status.PENDING])
    accounts = (
        Account.objects.filter(wanted | Q(lease__lease_until__isnull=False))
        .select_related("tenant", "lease")
        .order_by("tenant__slug", "name")
    )
    driven = set(Lease.objects.filter(lease_until__gt=Now()).values_list("account_id", flat=True))
    unsent = {row["account"]: row["waiting"] + row["due"] + row["in_flight"] for row in queue()}
    rows = []
    for account in accounts:
        lease: Lease | None = getattr(account, "lease", None)
        if lease is not None and lease.lease_until is None:
            lease = None
        rows.append(
            SessionRow(
                account=account,
                driven=account.pk in driven,
                worker=lease.worker if lease else "",
                memory=lease.memory if lease else None,
                since=lease.taken_at if lease else None,
                unsent=unsent.get(account.pk, 0),
            )
        )
    return rows


def queue() -> list[dict[str, Any]]:
    """Undecided messages by account id: ``account, waiting, due, in_flight, uncertain``, and
    ``oldest_due``, the time since when the oldest of those that are due waits."""
    counted = {
        "waiting": Count("pk", filter=Q(due_at__gt=Now())),
        "due": Count("pk", filter=Q(due_at__lte=Now())),
        "oldest_due": Min("due_at", filter=Q(due_at__lte=Now())),
    }
    # Two statements, an index each: one with both would read every message there ever was.
    queued = Message.objects.filter(state=State.QUEUED).values("account").annotate(**counted)
    undecided = (
        Message.objects.filter(state__in=[State.SENDING, State.UNCERTAIN])
        .values("account")
        .annotate(
            in_flight=Count("pk", filter=Q(state=State.SENDING)),
            uncertain=Count("pk", filter=Q(state=State.UNCERTAIN)),
        )
    )
    rows: dict[int, dict[str, Any]] = {}
    nothing = {"waiting": 0, "due": 0, "in_flight": 0, "uncertain": 0, "oldest_due": None}
    for row in [*queued, *undecided]:
        rows.setdefault(row["account"], dict(nothing)).update(row)
    return [rows[account_id] for account_id in sorted(rows)]


def allowance(account: Account, *, now: datetime) -> dict[str, Any]:
    """What the account may send: ``remaining``, ``resetIn`` (milliseconds) and ``isLimited`` as in
    the API, and where they come from. Works without Redis."""
    left = limits.snapshot(account, now=now)
    try:
        paced = limits.paced(account)
        redis = "ok" if paced is not None else "to be told again"
    except limits.Unavailable as error:
        paced, redis = None, str(error)
    return {
        "account": str(account),
        "remaining": left.remaining,
        "resetIn": left.reset_in_ms,
        "isLimited": left.is_limited,
        "sentToday": left.sent_today,
        "perDay": left.daily_limit,
        "perMinute": account.limit_per_minute,
        "gapMs": int(account.gap.total_seconds() * 1000),
        "jitterMs": int(account.jitter.total_seconds() * 1000),
        "newChatsToday": left.new_chats_today,
        "newChatsPerDay": left.new_chats_limit,
        "warmsUp": account.warms_up_on(limits.today(account.tenant, now=now)),
        "health": account.health_score,
        "share": account.health_share,
        "holds": [
            {"code": held.code, "until": held.until, "reason": held.detail}
            for held in pace.holds(account, now=now)
        ],
        "paced": paced
        and {"day": paced.day, "today": paced.today, "minute": paced.minute, "last": paced.last_at},
        "redis": redis,
    }
