"""Recipients become queued messages: a little at a time, fairly, inside every day's limit.

Of each account only what two minutes take is in the queue at once, so that a pause has little to
hold back and whatever is more urgent goes first (`outbox.BROADCAST` is the last of the
priorities). Broadcasts of one account share that room evenly.

One planner works at a time (an advisory lock; another one leaves). It holds the broadcasts shared,
locks waiting recipients after their contacts, passing over those somebody else has, and writes
messages and recipients in one transaction: whatever is killed, a recipient either waits or has a
message with the key ``broadcast:<broadcast>:<contact>``, which can be queued once only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Count, Q

from accounts import deadlocks
from campaigns import rendering
from campaigns.broadcasts import running, tracking
from campaigns.broadcasts.texts import Person, Said, Texts
from campaigns.models import Broadcast, BroadcastText, Recipient
from whatsapp import limits, outbox
from whatsapp.failpoints import failpoint
from whatsapp.models import Account, Message, Usage

log = structlog.get_logger(__name__)

State = Recipient.State
AHEAD_MINUTES = 2
LEAST_AHEAD = 20  # messages of an account in the queue
ROUNDS = 20  # of one call
BATCH = 2_000  # recipients of one round
# Key of an advisory lock; used by nothing else in this database.
PLANNER = 7_305_417_003

TURNS = """
SELECT broadcast.id, chosen.account_id
FROM campaigns_broadcast AS broadcast
JOIN campaigns_broadcast_accounts AS chosen ON chosen.broadcast_id = broadcast.id
JOIN whatsapp_account AS account ON account.id = chosen.account_id
    AND account.enabled AND account.status = ANY(%(linked)s)
    AND account.sending_paused_at IS NULL
WHERE broadcast.state = 'running' AND EXISTS (
    SELECT FROM campaigns_recipient AS recipient
    WHERE recipient.broadcast_id = broadcast.id AND recipient.account_id = chosen.account_id
      AND recipient.state = 'waiting' AND recipient.due_at <= %(now)s)
ORDER BY broadcast.id, chosen.account_id
FOR SHARE OF broadcast SKIP LOCKED
"""

# The newest referral of a number is whom {{link}} and {{referrer}} are about.
CLAIM = """
SELECT recipient.id, recipient.broadcast_id, recipient.account_id, recipient.due_at,
       contact.id, contact.name, contact.language, contact.opted_out_at IS NOT NULL,
       contact.source = 'group' AND contact.lawful_basis = '',
       chat.taken_over_until, referral.external_id, referral.name, referral.language,
       referral.referrer
FROM unnest(%(broadcasts)s::bigint[], %(accounts)s::bigint[], %(room)s::int[])
    AS turn (broadcast_id, account_id, room)
CROSS JOIN LATERAL (
    SELECT id, broadcast_id, account_id, contact_id, due_at
    FROM campaigns_recipient AS due
    WHERE due.broadcast_id = turn.broadcast_id AND due.account_id = turn.account_id
      AND due.state = 'waiting' AND due.due_at <= %(now)s
      -- Contacts are locked first. Who is being merged or deleted is left to the next round.
      AND (due.contact_id IS NULL OR EXISTS (
          SELECT FROM whatsapp_contact AS person
          WHERE person.id = due.contact_id FOR KEY SHARE SKIP LOCKED))
    ORDER BY due.due_at, due.id LIMIT turn.room
    FOR UPDATE SKIP LOCKED
) AS recipient
LEFT JOIN whatsapp_contact AS contact ON contact.id = recipient.contact_id
LEFT JOIN whatsapp_chat AS chat ON chat.account_id = recipient.account_id
    AND chat.contact_id = recipient.contact_id AND chat.taken_over_until > %(now)s
LEFT JOIN LATERAL (
    SELECT found.external_id, found.name, found.language, referrer.name AS referrer
    FROM campaigns_referral AS found
    JOIN campaigns_referrer AS referrer ON referrer.id = found.referrer_id
    WHERE found.tenant_id = contact.tenant_id AND found.phone = contact.phone
    ORDER BY found.id DESC LIMIT 1) AS referral ON true
ORDER BY recipient.due_at, recipient.id
"""


@dataclass(slots=True)
class QueueReport:
    """What a call did, in recipients; `per_account` counts queued ones by account id."""

    begun: int = 0
    queued: int = 0
    skipped: int = 0
    put_off: int = 0
    settled: int = 0
    done: int = 0
    rounds: int = 0
    per_account: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Due:
    """A row of `CLAIM`, in its order."""

    id: int
    broadcast_id: int
    account_id: int
    due_at: datetime
    contact_id: int | None
    name: str
    language: str
    opted_out: bool
    no_basis: bool
    taken_over_until: datetime | None
    external_id: str | None
    referral_name: str | None
    referral_language: str | None
    referrer: str | None

    @property
    def person(self) -> Person:
        return Person(
            name=self.name or self.referral_name or "",
            language=self.language or self.referral_language or "",
            external_id=self.external_id,
            referrer=self.referrer,
        )


def plan(*, now: datetime) -> QueueReport:
    """Begin what is scheduled, queue what has room, end what is through."""
    report = QueueReport(begun=running.begin_due(now=now), settled=tracking.settle_lost(now=now))
    while report.rounds < ROUNDS and _round(report, now=now):
        report.rounds += 1
    report.skipped += running.skip_cancelled()
    report.done = running.finish(now=now)
    if report.queued or report.skipped or report.done:
        log.info(
            "broadcasts planned",
            queued=report.queued,
            skipped=report.skipped,
            done=report.done,
            accounts=len(report.per_account),
        )
    return report


@deadlocks.retried
def _round(report: QueueReport, *, now: datetime) -> bool:
    """One batch; False when nothing has room, or another planner is at work."""
    with transaction.atomic():
        if not _alone():
            return False
        turns = _turns(now=now)
        due = _claim(_shares(turns, now=now), now=now)
        if not due:
            return False
        failpoint("broadcast.claimed")
        this = _handle(due, now=now)
        failpoint("broadcast.before-commit")
    report.queued += this.queued
    report.skipped += this.skipped
    report.put_off += this.put_off
    report.per_account += this.per_account
    return True


def _alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [PLANNER])
        return bool(cursor.fetchone()[0])


def _turns(*, now: datetime) -> dict[int, list[int]]:
    """Account id -> its running broadcasts with somebody whose time has come; locked shared."""
    turns: dict[int, list[int]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(TURNS, {"linked": list(Account.LINKED_STATUSES), "now": now})
        for broadcast_id, account_id in cursor.fetchall():
            turns[account_id].append(broadcast_id)
    return turns


def _shares(turns: dict[int, list[int]], *, now: datetime) -> list[tuple[int, int, int]]:
    """(broadcast, account, room): an account's room in equal parts, what is left to the oldest."""
    shares: list[tuple[int, int, int]] = []
    left = BATCH
    for account_id, free in _room(list(turns), now=now).items():
        room = min(free, left)
        left -= room
        of_account = turns[account_id]
        each, over = divmod(room, len(of_account))
        for place, broadcast_id in enumerate(of_account):
            if share := each + (place < over):
                shares.append((broadcast_id, account_id, share))
    return shares


def _room(account_ids: list[int], *, now: datetime) -> dict[int, int]:
    """Account id -> broadcast messages that may be queued now.

    Two minutes' worth less what is queued of broadcasts for now (what waits for its hour or for
    tomorrow's new chats, `pace.put_off`, keeps nobody else back); and no more than fits into the
    day.
    """
    accounts = Account.objects.filter(pk__in=account_ids).select_related("tenant")
    days = {account.pk: limits.today(account.tenant, now=now) for account in accounts}
    usage = Usage.objects.filter(account_id__in=days, day__in=set(days.values()))
    used = {
        account_id: count
        for account_id, day, count in usage.values_list("account_id", "day", "count")
        if days[account_id] == day
    }
    queued = {
        row["account_id"]: row
        for row in Message.objects.filter(
            account_id__in=days,
            state=Message.State.QUEUED,
            due_at__lt=now + timedelta(days=1),
        )
        .values("account_id")
        .annotate(
            all=Count("id"),
            ours=Count("id", filter=Q(priority__gte=outbox.BROADCAST, due_at__lte=now)),
        )
    }
    room = {}
    for account in accounts:
        waiting = queued.get(account.pk, {"all": 0, "ours": 0})
        ahead = max(LEAST_AHEAD, AHEAD_MINUTES * account.limit_per_minute) - waiting["ours"]
        today = account.limit_on(days[account.pk]) - used.get(account.pk, 0) - waiting["all"]
        if (free := min(ahead, today)) > 0:
            room[account.pk] = free
    return room


def _claim(shares: list[tuple[int, int, int]], *, now: datetime) -> list[_Due]:
    if not shares:
        return []
    broadcasts, accounts, room = zip(*shares, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            CLAIM,
            {
                "broadcasts": list(broadcasts),
                "accounts": list(accounts),
                "room": list(room),
                "now": now,
            },
        )
        return [_Due(*row) for row in cursor.fetchall()]


def _handle(due: list[_Due], *, now: datetime) -> QueueReport:
    """Decide about each recipient whose row we hold, then write each kind of decision at once."""
    report = QueueReport()
    ids = {one.broadcast_id for one in due}
    broadcasts = {
        one.pk: one for one in Broadcast.objects.filter(pk__in=ids).select_related("tenant")
    }
    written: dict[int, list[BroadcastText]] = defaultdict(list)
    for text in BroadcastText.objects.filter(broadcast__in=ids):
        written[text.broadcast_id].append(text)
    texts = {pk: Texts(one, written[pk]) for pk, one in broadcasts.items()}
    said: list[tuple[_Due, Said]] = []
    ended: dict[tuple[str, str], list[int]] = defaultdict(list)
    put_off: dict[datetime, list[int]] = defaultdict(list)
    for one in due:
        if one.contact_id is None:
            ended[State.SKIPPED, "deleted"].append(one.id)
        elif one.opted_out:
            ended[State.OPTED_OUT, ""].append(one.id)
        elif one.no_basis:
            ended[State.SKIPPED, "no_lawful_basis"].append(one.id)
        elif one.taken_over_until is not None:
            put_off[one.taken_over_until].append(one.id)
        else:
            try:
                said.append((one, texts[one.broadcast_id].say(one.person)))
            except rendering.TemplateError as error:
                ended[State.SKIPPED, f"text: {error}"[:60]].append(one.id)
    _queue(said, broadcasts, report, now=now)
    for (state, reason), recipients in ended.items():
        Recipient.objects.filter(pk__in=recipients).update(state=state, reason=reason, ended_at=now)
        report.skipped += len(recipients)
    for until, recipients in put_off.items():
        report.put_off += Recipient.objects.filter(pk__in=recipients).update(due_at=until)
    return report


def _queue(
    said: list[tuple[_Due, Said]],
    broadcasts: dict[int, Broadcast],
    report: QueueReport,
    *,
    now: datetime,
) -> None:
    keys: dict[str, tuple[_Due, Said]] = {
        tracking.key(one.broadcast_id, one.contact_id or 0): (one, text) for one, text in said
    }
    made = outbox.queue_batch(
        [
            outbox.Draft(
                tenant_id=broadcasts[one.broadcast_id].tenant_id,
                account_id=one.account_id,
                contact_id=one.contact_id,
                idempotency_key=key,
                body=text.body,
                media_id=text.media_id,
                due_at=max(one.due_at, now),
                priority=outbox.BROADCAST,
                kind=text.kind,
                content=dict(text.content),
                origin=Message.Origin.BROADCAST,
            )
            for key, (one, text) in keys.items()
        ],
        now=now,
    )
    failpoint("broadcast.queued")
    # A key that was used before: a ledger restored from a backup. That message is theirs.
    taken = [key for key in keys if key not in made]
    tenants = {one.tenant_id for one in broadcasts.values()}
    known = dict(
        Message.objects.filter(tenant__in=tenants, idempotency_key__in=taken).values_list(
            "idempotency_key", "id"
        )
    )
    rows: list[tuple[Any, ...]] = [
        (keys[key][0].id, message_id, keys[key][1].language)
        for key, message_id in (made | known).items()
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE campaigns_recipient AS recipient
            SET state = 'queued', message_id = made.message_id, language = made.language,
                queued_at = %s
            FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS made (id, message_id, language)
            WHERE recipient.id = made.id
            """,
            [now, *(list(column) for column in zip(*rows, strict=True))]
            if rows
            else [now, [], [], []],
        )
    report.queued += len(made)
    report.per_account.update(keys[key][0].account_id for key in made)
