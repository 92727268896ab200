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
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Count, Q

from accounts import deadlocks, poison
from accounts.database import is_away
from campaigns import rendering
from campaigns.broadcasts import claiming, running, tracking
from campaigns.broadcasts.claiming import Due, Turn
from campaigns.broadcasts.texts import Said, Texts
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
RECHECK = timedelta(minutes=5)  # whoever could not be queued
MOST_FAILED = 3  # recipients of a broadcast in a row, before all of it waits for the next call
# Key of an advisory lock; used by nothing else in this database.
PLANNER = 7_305_417_003


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


@dataclass(slots=True)
class _Met:
    """What a round had before it, which is of use when it raises."""

    turns: list[Turn] = field(default_factory=list)
    due: list[Due] = field(default_factory=list)


def plan(*, now: datetime) -> QueueReport:
    """Begin what is scheduled, queue what has room, end what is through."""
    report = QueueReport(begun=running.begin_due(now=now), settled=tracking.settle_lost(now=now))
    left_out: set[Turn] = set()
    while report.rounds < ROUNDS and _next(report, left_out, now=now):
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


def _next(report: QueueReport, left_out: set[Turn], *, now: datetime) -> bool:
    """A round; one that raises is done again in parts, without whom it fails: they are `left_out`.

    The next call tries them again.
    """
    met = _Met()
    try:
        return _round(report, met, lambda turn: turn not in left_out, now=now)
    except Exception as error:
        if is_away(error) or not met.turns:
            raise
        log.warning("round done again in parts", error=type(error).__name__)
    for turn, why in poison.alone(
        lambda some: _round(report, met, set(some).__contains__, now=now), met.turns.copy()
    ):
        left_out.add(turn)
        broadcast_id, account_id = turn
        if met.due:
            _one_by_one(report, met, turn, now=now)
        else:
            log.error(
                "broadcast not queued",
                broadcast_id=broadcast_id,
                account_id=account_id,
                exc_info=why,
            )
    return True


def _one_by_one(report: QueueReport, met: _Met, turn: Turn, *, now: datetime) -> None:
    failed = 0
    for _ in range(LEAST_AHEAD):
        try:
            if failed == MOST_FAILED or not _round(report, met, turn.__eq__, most=1, now=now):
                return
            failed = 0
        except Exception as error:
            if is_away(error) or not met.due:
                raise
            failed += 1
            one = met.due[0]
            log.exception(
                "recipient not queued", recipient_id=one.id, broadcast_id=one.broadcast_id
            )
            Recipient.objects.filter(pk=one.id, state=State.WAITING).update(due_at=now + RECHECK)


@deadlocks.retried
def _round(
    report: QueueReport,
    met: _Met,
    chosen: Callable[[Turn], bool],
    *,
    now: datetime,
    most: int = BATCH,
) -> bool:
    """One batch; False when nothing has room, or another planner is at work."""
    met.turns, met.due = [], []
    with transaction.atomic():
        if not _alone():
            return False
        met.turns = [turn for turn in claiming.turns(now=now) if chosen(turn)]
        met.due = due = claiming.claim(_shares(met.turns, most, now=now), now=now)
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


def _shares(turns: list[Turn], most: int, *, now: datetime) -> list[tuple[int, int, int]]:
    """(broadcast, account, room): an account's room in equal parts, what is left to the oldest."""
    shares: list[tuple[int, int, int]] = []
    by_account: dict[int, list[int]] = defaultdict(list)
    for broadcast_id, account_id in turns:
        by_account[account_id].append(broadcast_id)
    left = most
    for account_id, free in _room(list(by_account), now=now).items():
        room = min(free, left)
        left -= room
        of_account = by_account[account_id]
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


def _handle(due: list[Due], *, now: datetime) -> QueueReport:
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
    said: list[tuple[Due, Said]] = []
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
    said: list[tuple[Due, Said]],
    broadcasts: dict[int, Broadcast],
    report: QueueReport,
    *,
    now: datetime,
) -> None:
    keys: dict[str, tuple[Due, Said]] = {
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
