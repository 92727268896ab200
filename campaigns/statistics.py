"""The numbers of the dashboard and of the API's stats: set-based, a fixed number of queries.

Every function takes the ids of the tenants it is about; a day is a day in the tenant's own zone.
`since` is inclusive, `until` is not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count, Max, QuerySet, Value
from django.db.models.functions import Concat

from accounts.models import Tenant
from campaigns.models import Step, Target
from whatsapp.models import Account, Message
from whatsapp.models.pace import limit_on_sql

ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Day:
    """Messages sent on one day, and how many of those were delivered and read since."""

    day: dt.date
    sent: int
    delivered: int
    read: int


@dataclass(frozen=True, slots=True)
class Funnel:
    """Targets enrolled in a time, and how far they came.

    `reached[n - 1]` counts those that have step n behind them; `exited` counts by exit reason.
    """

    enrolled: int
    reached: tuple[int, ...]
    active: int
    completed: int
    exited: dict[str, int]


@dataclass(frozen=True, slots=True)
class AccountUsage:
    """What one account sent today, in messages, against its limit of a day."""

    account_id: int
    name: str
    tenant_id: int
    tenant: str
    used: int
    limit: int

    @property
    def percent(self) -> int:
        return min(100, round(100 * self.used / self.limit)) if self.limit else 100


@dataclass(frozen=True, slots=True)
class Usage:
    """What all accounts that can send used of today's limits; `fullest` first, not all of them."""

    used: int
    limit: int
    accounts: int
    fullest: tuple[AccountUsage, ...]


@dataclass(frozen=True, slots=True)
class Accounts:
    """Enabled accounts by status (every status is there), and how many of them are paused."""

    by_status: dict[str, int]
    paused: int


@dataclass(frozen=True, slots=True)
class Failures:
    """Messages that failed, by error code, the most frequent first."""

    total: int
    by_code: dict[str, int]


@dataclass(frozen=True, slots=True)
class OpenQuestions:
    """What waits for a person, or should not last: counts of rows."""

    uncertain: int
    stuck: int
    failed_today: int
    accounts_to_link: int
    accounts_paused: int
    accounts_at_limit: int
    accounts_without_worker: int
    held: dict[str, int]


def days(tenant_ids: Collection[int], *, since: datetime, until: datetime) -> list[Day]:
    """One `Day` for each day from `since` to `until`, in order, quiet ones included.

    The days are those of the tenants' zones: the first and the last may be partly in the time.
    """
    zones = dict(Tenant.objects.filter(pk__in=tenant_ids).values_list("pk", "timezone"))
    asked = [
        (tenant_id, *span)
        for tenant_id, zone in zones.items()
        for span in _days_of(zone, since=since, until=until)
    ]
    if not asked:
        return []
    with connection.cursor() as cursor:
        # One short range of the index message_sent each: nothing is computed per message.
        cursor.execute(
            """
            SELECT asked.day, sum(of_day.sent), sum(of_day.delivered), sum(of_day.read)
            FROM unnest(%s::bigint[], %s::date[], %s::timestamptz[], %s::timestamptz[])
                AS asked (tenant_id, day, since, until)
            CROSS JOIN LATERAL (
                SELECT count(*) AS sent, count(coalesce(delivered_at, read_at)) AS delivered,
                       count(read_at) AS read
                FROM whatsapp_message AS message
                WHERE message.tenant_id = asked.tenant_id
                  AND message.sent_at >= asked.since AND message.sent_at < asked.until
            ) AS of_day
            GROUP BY asked.day ORDER BY asked.day
            """,
            [list(column) for column in zip(*asked, strict=True)],
        )
        return [
            Day(day, int(sent), int(delivered), int(read))
            for day, sent, delivered, read in cursor.fetchall()
        ]


def _days_of(
    zone_name: str, *, since: datetime, until: datetime
) -> list[tuple[dt.date, datetime, datetime]]:
    """The days of a zone from `since` to `until`: date, begin, end; 23 and 25 hours included."""
    zone = Tenant(timezone=zone_name).zone
    found: list[tuple[dt.date, datetime, datetime]] = []
    day = since.astimezone(zone).date()
    while True:
        begins = datetime.combine(day, dt.time(), tzinfo=zone)
        ends = datetime.combine(day + ONE_DAY, dt.time(), tzinfo=zone)
        if begins >= until:
            return found
        found.append((day, max(begins, since), min(ends, until)))
        day += ONE_DAY


def funnel(
    tenant_ids: Collection[int],
    *,
    since: datetime,
    until: datetime,
    campaign_id: int | None = None,
) -> Funnel:
    """How far those came who were enrolled between `since` and `until`."""
    targets = Target.objects.filter(
        tenant__in=tenant_ids, enrolled_at__gte=since, enrolled_at__lt=until
    )
    steps = Step.objects.filter(campaign__tenant__in=tenant_ids)
    if campaign_id is not None:
        targets, steps = targets.filter(campaign=campaign_id), steps.filter(campaign=campaign_id)
    else:
        steps = steps.filter(campaign__active=True)
    groups = list(targets.values_list("steps_done", "state", "exit_reason").annotate(Count("pk")))
    last = max(
        steps.aggregate(last=Max("number"))["last"] or 0,
        *(done for done, *_ in groups),
        0,
    )
    exited: dict[str, int] = {}
    for _, state, reason, count in groups:
        if state == Target.State.EXITED:
            exited[reason] = exited.get(reason, 0) + count
    by_state = {
        wanted: sum(count for _, state, _, count in groups if state == wanted)
        for wanted in Target.State.values
    }
    return Funnel(
        enrolled=sum(by_state.values()),
        reached=tuple(
            sum(count for done, *_, count in groups if done >= number)
            for number in range(1, last + 1)
        ),
        active=by_state[Target.State.ACTIVE],
        completed=by_state[Target.State.COMPLETED],
        exited=exited,
    )


def accounts(tenant_ids: Collection[int]) -> Accounts:
    """Enabled accounts by status."""
    rows = Account.objects.filter(tenant__in=tenant_ids, enabled=True)
    found = {
        status: (count, paused)
        for status, count, paused in rows.values_list("status").annotate(
            Count("pk"), Count("sending_paused_at")
        )
    }
    return Accounts(
        by_status={status: found.get(status, (0, 0))[0] for status in Account.Status.values},
        paused=sum(paused for _, paused in found.values()),
    )


def usage(tenant_ids: Collection[int], *, now: datetime, fullest: int = 10) -> Usage:
    """What linked accounts sent today, each against its limit; the `fullest` by name."""
    day = "(%(now)s AT TIME ZONE tenant.timezone)::date"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH linked AS (
                SELECT account.id, account.name, tenant.id AS tenant_id, tenant.name AS tenant,
                       coalesce(usage.count, 0) AS used, {limit_on_sql(day)} AS daily_limit
                FROM whatsapp_account AS account
                JOIN accounts_tenant AS tenant ON tenant.id = account.tenant_id
                LEFT JOIN whatsapp_usage AS usage ON usage.account_id = account.id
                     AND usage.day = {day}
                WHERE account.tenant_id = ANY(%(tenants)s) AND account.enabled
                  AND account.status = ANY(%(linked)s)
            )
            SELECT *, sum(used) OVER (), sum(daily_limit) OVER (), count(*) OVER ()
            FROM linked
            ORDER BY used::float / greatest(daily_limit, 1) DESC, name, id
            LIMIT %(fullest)s
            """,  # noqa: S608  numbers of the settings
            {
                "now": now,
                "tenants": list(tenant_ids),
                "linked": list(Account.LINKED_STATUSES),
                "fullest": fullest,
            },
        )
        rows = cursor.fetchall()
    if not rows:
        return Usage(used=0, limit=0, accounts=0, fullest=())
    *_, used, limit, count = rows[0]
    return Usage(
        used=int(used),
        limit=int(limit),
        accounts=count,
        fullest=tuple(AccountUsage(*row[:6]) for row in rows),
    )


def failures(tenant_ids: Collection[int], *, since: datetime, until: datetime) -> Failures:
    """Messages that failed between `since` and `until`."""
    failed = Message.objects.filter(
        tenant__in=tenant_ids,
        state=Message.State.FAILED,
        ended_at__gte=since,
        ended_at__lt=until,
    )
    by_code = dict(
        failed.values_list("error_code")
        .annotate(count=Count("pk"))
        .order_by("-count", "error_code")
    )
    return Failures(total=sum(by_code.values()), by_code=by_code)


def open_questions(tenant_ids: Collection[int], *, now: datetime) -> OpenQuestions:
    """What waits for a person now, all in one query."""
    messages = Message.objects.filter(tenant__in=tenant_ids)
    numbers = Account.objects.filter(tenant__in=tenant_ids)
    asked: Sequence[tuple[str, QuerySet[Any]]] = [
        ("uncertain", messages.uncertain()),
        ("stuck", messages.stuck(now=now)),
        ("failed_today", messages.failed_since(now - ONE_DAY)),
        ("accounts_to_link", numbers.to_link(now=now)),
        ("accounts_paused", numbers.paused()),
        ("accounts_at_limit", numbers.at_limit(now=now)),
        ("accounts_without_worker", numbers.without_worker(now=now)),
    ]
    held = (
        Target.objects.filter(tenant__in=tenant_ids)
        .exclude(hold="")
        .annotate(question=Concat(Value("held: "), "hold"))
        .values_list("question")
        .annotate(Count("pk"))
    )
    counts = [
        rows.annotate(question=Value(name)).order_by().values_list("question").annotate(Count("pk"))
        for name, rows in asked
    ]
    found: dict[str, int] = dict(counts[0].union(*counts[1:], held, all=True))
    return OpenQuestions(
        **{name: found.get(name, 0) for name, _ in asked},
        held={
            hold: found[f"held: {hold}"]
            for hold in Target.Hold.values
            if found.get(f"held: {hold}")
        },
    )
