"""What goes out, went out and failed on each day and from each account: seven queries for any span.

A day is one of the zone that is asked for. What is overdue is planned for today.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Greatest, TruncDate

from campaigns.models import Broadcast, Recipient, Target
from whatsapp import outbox
from whatsapp.models import Account, Message

ONE_DAY = dt.timedelta(days=1)
State = Message.State


@dataclass(slots=True)
class Counts:
    """Messages of one account on one day.

    `planned` are queued ones; `sequences` and `broadcasts` have yet to be queued: the next message
    of each person who is followed, and whoever a running broadcast has not come to.
    """

    planned: int = 0
    sent: int = 0
    failed: int = 0
    sequences: int = 0
    broadcasts: int = 0

    @property
    def coming(self) -> int:
        """What is yet to be queued."""
        return self.sequences + self.broadcasts

    @property
    def all(self) -> int:
        return self.planned + self.sent + self.failed + self.coming

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.planned + other.planned,
            self.sent + other.sent,
            self.failed + other.failed,
            self.sequences + other.sequences,
            self.broadcasts + other.broadcasts,
        )


@dataclass(slots=True)
class Day:
    """One day; `accounts` by their id, `starting` are broadcasts that begin then."""

    date: dt.date
    accounts: dict[int, Counts] = field(default_factory=lambda: defaultdict(Counts))
    starting: list[Broadcast] = field(default_factory=list)

    @property
    def total(self) -> Counts:
        return sum(self.accounts.values(), Counts())


@dataclass(frozen=True, slots=True)
class Span:
    """The days from `first` to `last`, both included, on the clock of `zone`."""

    first: dt.date
    last: dt.date
    zone: ZoneInfo

    @property
    def begin(self) -> datetime:
        return datetime.combine(self.first, dt.time(), tzinfo=self.zone)

    @property
    def end(self) -> datetime:
        return datetime.combine(self.last + ONE_DAY, dt.time(), tzinfo=self.zone)

    @property
    def dates(self) -> Sequence[dt.date]:
        return [self.first + n * ONE_DAY for n in range((self.last - self.first).days + 1)]

    def of(self, field: str) -> Q:
        return Q(**{f"{field}__gte": self.begin, f"{field}__lt": self.end})

    def to_come(self, field: str, *, now: datetime) -> Q:
        """What is due in the span; what is overdue if today is in it."""
        if now >= self.end:
            return Q(pk=None)
        return Q(**{f"{field}__lt": self.end}) if now >= self.begin else self.of(field)


def days(
    tenant_ids: Iterable[int], span: Span, *, account_id: int | None = None, now: datetime
) -> list[Day]:
    """Each day of the span, quiet ones included. `account_id` leaves the other accounts out."""
    tenants = list(tenant_ids)
    accounts = Q() if account_id is None else Q(account=account_id)
    found = {date: Day(date) for date in span.dates}
    for name, rows, moment in (
        ("planned", _queued(span, now=now), "due_at"),
        ("sent", Message.objects.filter(span.of("sent_at")), "sent_at"),
        ("failed", _failed(span), "ended_at"),
        ("sequences", _followed(span, now=now), "next_due_at"),
    ):
        _count(found, name, rows.filter(accounts, tenant__in=tenants), moment, span, now=now)
    waiting = Recipient.objects.filter(
        span.to_come("due_at", now=now),
        accounts,
        broadcast__tenant__in=tenants,
        broadcast__state=Broadcast.State.RUNNING,
        state=Recipient.State.WAITING,
    )
    _count(found, "broadcasts", waiting, "due_at", span, now=now)
    starting = Broadcast.objects.filter(
        span.to_come("starts_at", now=now), tenant__in=tenants, state=Broadcast.State.SCHEDULED
    )
    if account_id is not None:
        starting = starting.filter(accounts=account_id)
    for broadcast in starting.order_by("starts_at"):
        assert broadcast.starts_at is not None  # noqa: S101  the database has it
        found[max(broadcast.starts_at, now).astimezone(span.zone).date()].starting.append(broadcast)
    return list(found.values())


def _queued(span: Span, *, now: datetime) -> QuerySet[Message]:
    # One that is held back has no time.
    queued = Message.objects.filter(state=State.QUEUED).exclude(due_at=outbox.NEVER)
    return queued.filter(span.to_come("due_at", now=now))


def _failed(span: Span) -> QuerySet[Message]:
    return Message.objects.filter(span.of("ended_at"), state=State.FAILED)


def _followed(span: Span, *, now: datetime) -> QuerySet[Target]:
    """Those whose next message has a time and is not queued yet."""
    active = Target.objects.filter(
        state=Target.State.ACTIVE, open_message=None, hold="", paused_at=None
    )
    return active.filter(span.to_come("next_due_at", now=now))


def _count(
    found: dict[dt.date, Day],
    name: str,
    rows: QuerySet[Message] | QuerySet[Target] | QuerySet[Recipient],
    moment: str,
    span: Span,
    *,
    now: datetime,
) -> None:
    past = name in {"sent", "failed"}
    at = moment if past else Greatest(moment, Value(now))
    counted = (
        rows.order_by()
        .annotate(day=TruncDate(at, tzinfo=span.zone))
        .values_list("account_id", "day")
        .annotate(n=Count("pk"))
    )
    for account_id, day, n in counted:
        if day in found:  # what is overdue and held up to the last second is tomorrow's
            setattr(found[day].accounts[account_id], name, n)


def messages_of(
    tenant_ids: Iterable[int],
    span: Span,
    *,
    account_id: int | None = None,
    show: str = "",
    now: datetime,
) -> QuerySet[Message]:
    """The messages that `days` counts, in the order of their times, with all a list shows of them.

    `show` is planned, sent or failed; empty: all three.
    """
    kinds = {
        "planned": Q(state=State.QUEUED)
        & ~Q(due_at=outbox.NEVER)
        & span.to_come("due_at", now=now),
        "sent": span.of("sent_at"),
        "failed": Q(state=State.FAILED) & span.of("ended_at"),
    }
    wanted = kinds.get(show) or kinds["planned"] | kinds["sent"] | kinds["failed"]
    rows = Message.objects.filter(wanted, tenant__in=list(tenant_ids))
    if account_id is not None:
        rows = rows.filter(account=account_id)
    at: Any = Coalesce("sent_at", "ended_at", "due_at")
    rows = rows.select_related("account", "contact", "group", "media")
    return rows.annotate(at=at).order_by(at, "pk")


def accounts_of(tenant_ids: Iterable[int], *, most: int) -> dict[int, str]:
    """Names of accounts by id, for a choice."""
    rows = Account.objects.filter(tenant__in=list(tenant_ids)).order_by("name")
    return dict(rows.values_list("pk", "name")[:most])
