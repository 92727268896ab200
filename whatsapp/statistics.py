"""The numbers of WhatsApp itself, for console and API: set-based, a fixed number of queries.

Every function takes the ids of the tenants it is about; a day is a day in the tenant's own zone.
`since` is inclusive, `until` is not. Numbers of campaigns: campaigns/statistics.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Count, Q

from accounts.models import Tenant
from whatsapp.models import Account, Contact, Group, Incoming, Message
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
class Totals:
    """What a company has, and what became of the messages made in a time.

    `messages` by state, every state is there. `written_to` counts contacts to whom something was
    sent in the time, `replied` those of them who wrote afterwards.
    """

    accounts: Accounts
    groups: int
    groups_writable: int
    contacts: int
    contacts_opted_out: int
    contacts_without_basis: int
    messages: dict[str, int]
    incoming: int
    written_to: int
    replied: int

    def _of_sent(self, *states: str) -> float | None:
        sent = sum(self.messages[state] for state in Message.ARRIVED)
        return sum(self.messages[state] for state in states) / sent if sent else None

    @property
    def delivery_rate(self) -> float | None:
        """Of what was sent; None where nothing was."""
        return self._of_sent(Message.State.DELIVERED, Message.State.READ)

    @property
    def read_rate(self) -> float | None:
        return self._of_sent(Message.State.READ)

    @property
    def reply_rate(self) -> float | None:
        """Contacts who wrote back, of those written to."""
        return self.replied / self.written_to if self.written_to else None

    @property
    def failure_rate(self) -> float | None:
        """Of what was sent or failed."""
        failed = self.messages[Message.State.FAILED]
        ended = failed + sum(self.messages[state] for state in Message.ARRIVED)
        return failed / ended if ended else None


def totals(tenant_id: int, *, since: datetime, until: datetime) -> Totals:
    """See `Totals`; accounts, groups and contacts are those of now."""
    contacts = Contact.objects.filter(tenant=tenant_id)
    groups = Group.objects.filter(tenant=tenant_id).exclude(role=Group.Role.LEFT)
    made = Message.objects.filter(tenant=tenant_id, created_at__gte=since, created_at__lt=until)
    by_state = dict(made.order_by().values_list("state").annotate(Count("pk")))
    of_contacts = contacts.aggregate(
        every=Count("pk"),
        opted_out=Count("pk", filter=Q(opted_out_at__isnull=False)),
        without_basis=Count("pk", filter=Q(source=Contact.Source.GROUP, lawful_basis="")),
    )
    written_to, replied = _replies(tenant_id, since=since, until=until)
    return Totals(
        accounts=accounts([tenant_id]),
        groups=groups.count(),
        groups_writable=groups.writable().count(),
        contacts=of_contacts["every"],
        contacts_opted_out=of_contacts["opted_out"],
        contacts_without_basis=of_contacts["without_basis"],
        messages={state: by_state.get(state, 0) for state in Message.State.values},
        incoming=Incoming.objects.filter(
            account__tenant=tenant_id, from_me=False, sent_at__gte=since, sent_at__lt=until
        ).count(),
        written_to=written_to,
        replied=replied,
    )


def _replies(tenant_id: int, *, since: datetime, until: datetime) -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*), count(*) FILTER (WHERE EXISTS (
                SELECT FROM whatsapp_incoming AS incoming
                WHERE incoming.contact_id = written.contact_id AND NOT incoming.from_me
                  AND incoming.chat_id NOT LIKE '%%@g.us'
                  AND incoming.sent_at >= written.first AND incoming.sent_at < %(until)s))
            FROM (SELECT contact_id, min(sent_at) AS first
                  FROM whatsapp_message
                  WHERE tenant_id = %(tenant)s AND contact_id IS NOT NULL
                    AND sent_at >= %(since)s AND sent_at < %(until)s
                  GROUP BY contact_id) AS written
            """,
            {"tenant": tenant_id, "since": since, "until": until},
        )
        written_to, replied = cursor.fetchone()
    return written_to, replied


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
