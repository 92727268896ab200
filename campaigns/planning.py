"""What is said next: due targets become queued messages, fairly and inside every day's limit.

A round takes the 50 accounts whose turn it is, at most 20 targets of each, and is one transaction
of a fixed number of statements. Accounts take turns (`AccountSchedule`): one with a backlog of a
million is served no more often than one with a single target.

Any number of workers may plan at the same time. One statement locks the schedule rows of a round's
accounts and their due targets, and passes over rows that somebody else has; a target with an open
message is not due; and the key ``target:<id>:step:<number>`` can be queued once only.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from django.db import connection, transaction
from django.utils.translation import gettext as _

from accounts import activity, deadlocks, poison
from accounts.activity import Verb
from accounts.database import is_away
from campaigns import exits, following, holds, schedule
from campaigns.claiming import Row, claim
from campaigns.content import Contents, Due, Held, Text
from campaigns.models import Delivery, Target
from campaigns.room import Room, room_of
from whatsapp import contacts, limits, outbox
from whatsapp.failpoints import failpoint
from whatsapp.models import Account

log = structlog.get_logger(__name__)

ACCOUNTS = 50  # of one round
PER_ACCOUNT = 20  # targets of one account in one round
ROUNDS = 20  # of one call: a call ends although somebody makes targets due all the time
FULL_RECHECK = dt.timedelta(minutes=5)  # a day that is full may be made longer by hand
MOST_FAILED = 3  # targets of one account in a row, before all of it waits for as long


@dataclass(slots=True)
class PlanReport:
    """What a call did, in targets. `per_account` counts queued messages by account id."""

    queued: int = 0
    held: int = 0
    exited: int = 0
    completed: int = 0
    settled: int = 0
    rounds: int = 0
    per_account: Counter[int] = field(default_factory=Counter)


def plan(*, now: datetime, limit: int = 1000) -> PlanReport:
    """Queue the messages that are due, about `limit` at most (a round is finished)."""
    report = PlanReport(settled=following.settle_lost(now=now))
    contents = Contents()
    while report.rounds < ROUNDS and report.queued < limit:
        # Accounts that were served carry the round's number in microseconds: they queue up anew.
        round_now = now + dt.timedelta(microseconds=report.rounds)
        if not _turn(report, contents, now=now, round_now=round_now):
            break
        report.rounds += 1
    if report.queued or report.held or report.exited:
        log.info(
            "planned",
            queued=report.queued,
            held=report.held,
            exited=report.exited,
            completed=report.completed,
            accounts=len(report.per_account),
            rounds=report.rounds,
        )
    return report


def _turn(report: PlanReport, contents: Contents, *, now: datetime, round_now: datetime) -> bool:
    """A round of up to 50 accounts; False when nothing was left to do."""
    met: list[Row] = []
    each = PER_ACCOUNT
    try:
        return _round(report, contents, met, now=now, round_now=round_now, each=each)
    except Exception as error:
        if is_away(error) or not met:
            raise
        log.warning("round done again account by account", error=type(error).__name__)
    for account_id in dict.fromkeys(row[3] for row in met):
        one = functools.partial(
            _round, report, contents, met, now=now, round_now=round_now, account_id=account_id
        )
        try:
            one(each=each)
            continue
        except Exception as error:
            if is_away(error):
                raise
        _one_by_one(one, report, met, account_id, now=now)
    return True


def _one_by_one(
    one: Callable[..., bool], report: PlanReport, met: list[Row], account_id: int, *, now: datetime
) -> None:
    """Plan an account target by target: `one` is its round, `met` what that has claimed.

    A target that fails is held. After some in a row, or where the account fails without any, all
    of it waits: one company of which nothing can be said must not take everybody's time.
    """
    with poison.apart("account not planned", account_id=account_id) as whole:
        one(each=0)
    failed = MOST_FAILED if whole.error else 0
    seen: set[int | None] = {None}
    while failed < MOST_FAILED and len(seen) <= PER_ACCOUNT:
        try:
            one(each=1)
        except Exception as error:
            if is_away(error) or not met:
                raise
            target = Due(*met[0])
            log.exception("target not planned", target_id=target.id, account_id=account_id)
            report.held += _hold_failed(target, error, now=now)
            failed += 1
        else:
            failed = 0
            if not met or met[0][0] in seen:
                break  # nothing is due any more, or its day is full
        seen.add(met[0][0])
    if failed == MOST_FAILED:
        schedule.put_off(account_id, now=now, until=now + FULL_RECHECK)


@deadlocks.retried
def _hold_failed(target: Due, error: Exception, *, now: datetime) -> int:
    """Hold one that could not be planned, unless it has left or got its message meanwhile."""
    why = _("its message cannot be made: %(error)s") % {"error": type(error).__name__}
    active = Target.objects.filter(state=Target.State.ACTIVE, open_message=None)
    with transaction.atomic():
        locked = active.filter(pk=target.id).select_for_update(of=("self",)).values_list("pk")
        held = [(target, Held(Target.Hold.TEMPLATE, why)) for _row in locked]
        holds.hold(held, now=now)
    return len(held)


@deadlocks.retried
def _round(
    report: PlanReport,
    contents: Contents,
    met: list[Row],
    *,
    now: datetime,
    round_now: datetime,
    each: int,
    account_id: int | None = None,
) -> bool:
    """One turn of up to 50 accounts, or of one; False when nothing was left to do.

    `met` says what it has claimed, which is of use when it raises.
    """
    met.clear()
    # Counted apart: a round that is tried again after a deadlock must not count twice.
    this = PlanReport()
    with transaction.atomic():
        rows = claim(
            now=now, round_now=round_now, accounts=ACCOUNTS, each=each, account_id=account_id
        )
        if not rows:
            return False
        met += rows
        accounts = Account.objects.select_related("tenant").in_bulk({row[3] for row in rows})
        room = room_of(accounts, now=now)
        claimed = [Due(*row) for row in rows if row[0] is not None]
        lapsed = [target for target in claimed if not target.subscribed]
        this.held += holds.hold_lapsed(lapsed, now=now)
        subscribed = [target for target in claimed if target.subscribed]
        going: list[Due] = []
        first: list[Due] = []
        for target in subscribed:
            may_go = target.steps_done or room[target.account_id].begins
            (going if may_go else first).append(target)
        _wait_for_tomorrow(first, accounts, now=now)
        due = _fitting(going, room)
        _handle(due, contents, accounts, this, now=now)
        # Marked as soon as the last place is taken: the next turn would lock targets for nothing.
        full = [pk for pk, found in room.items() if found.left <= this.per_account[pk]]
        done = schedule.raise_bounds(
            list(accounts),
            now=round_now,
            served_at=round_now + dt.timedelta(microseconds=1),
            full=dict.fromkeys(full, now + FULL_RECHECK),
        )
    report.queued += this.queued
    report.held += this.held
    report.exited += this.exited
    report.completed += this.completed
    report.per_account += this.per_account
    return bool(claimed or done)


def _wait_for_tomorrow(first: list[Due], accounts: dict[int, Account], *, now: datetime) -> None:
    """First steps wait for the next day's budget of new chats: whoever is under way goes on."""
    by_account: dict[int, list[int]] = defaultdict(list)
    for target in first:
        by_account[target.account_id].append(target.id)
    for pk, ids in by_account.items():
        left = limits.seconds_to_midnight(accounts[pk].tenant, now=now)
        tomorrow = now + dt.timedelta(seconds=left)
        Target.objects.filter(pk__in=ids).update(next_due_at=tomorrow)


def _fitting(claimed: list[Due], room: dict[int, Room]) -> list[Due]:
    """The oldest of each account, as many as its day has room for. The others stay due."""
    due: list[Due] = []
    taken: Counter[int] = Counter()
    for target in sorted(claimed, key=lambda target: (target.next_due_at, target.id)):
        if taken[target.account_id] < room[target.account_id].left:
            taken[target.account_id] += 1
            due.append(target)
    return due


def _handle(
    due: list[Due],
    contents: Contents,
    accounts: dict[int, Account],
    report: PlanReport,
    *,
    now: datetime,
) -> None:
    """Decide about each target whose row we hold, then write each kind of decision at once."""
    if due:
        failpoint("plan.claimed")
    contents.load({target.campaign_id for target in due})
    texts: list[tuple[Due, Text]] = []
    held: list[tuple[Due, Held]] = []
    ended: dict[str, list[int]] = defaultdict(list)
    completed: dict[int, list[int]] = defaultdict(list)
    for target in due:
        if target.paid or target.opted_out:
            # Their exits did this before; a target restored from a backup may have missed it.
            ended["paid" if target.paid else "opted_out"].append(target.id)
            continue
        match contents.next_text(target, accounts[target.account_id].tenant):
            case None:
                completed[target.tenant_id].append(target.id)
            case Held() as reason:
                held.append((target, reason))
            case text:
                texts.append((target, text))
    held += _queue(texts, report, now=now)
    holds.hold(held, now=now)
    for exit_reason, ids in ended.items():
        exits.end_locked(ids, reason=exit_reason, now=now)
        report.exited += len(ids)
    for tenant_id, ids in completed.items():
        Target.objects.filter(pk__in=ids).update(
            state=Target.State.COMPLETED, ended_at=now, next_due_at=None, hold="", hold_detail=""
        )
        activity.record_each(
            tenant_id=tenant_id, verb=Verb.COMPLETED, model=Target, ids=ids, now=now
        )
        report.completed += len(ids)
    report.held += len(held)


def _queue(
    texts: list[tuple[Due, Text]], report: PlanReport, *, now: datetime
) -> list[tuple[Due, Held]]:
    """Queue each text with its delivery; returns those whose key somebody else has used."""
    if not texts:
        return []
    contact_ids = _contacts([target for target, _ in texts])
    keys = {f"target:{target.id}:step:{text.number}": (target, text) for target, text in texts}
    made = outbox.queue_batch(
        [
            outbox.Draft(
                tenant_id=target.tenant_id,
                account_id=target.account_id,
                contact_id=contact_ids[target.tenant_id, target.phone],
                idempotency_key=key,
                body=text.body,
                media_id=text.media_id,
                due_at=target.next_due_at,
            )
            for key, (target, text) in keys.items()
        ],
        now=now,
    )
    failpoint("plan.queued")
    Delivery.objects.bulk_create(
        Delivery(
            target_id=target.id,
            step_id=text.step_id,
            number=text.number,
            language=text.language,
            message_id=made[key],
        )
        for key, (target, text) in keys.items()
        if key in made
    )
    failpoint("plan.before-open")
    open_messages({keys[key][0].id: message_id for key, message_id in made.items()}, now=now)
    report.queued += len(made)
    report.per_account.update(keys[key][0].account_id for key in made)
    return _taken([pair for key, pair in keys.items() if key not in made], now=now)


def _taken(pairs: list[tuple[Due, Text]], *, now: datetime) -> list[tuple[Due, Held]]:
    """Steps queued before. One of ours is opened again, and the sweep goes on from there."""
    if not pairs:
        return []
    ours = {
        (target_id, number): message_id
        for target_id, number, message_id in Delivery.objects.filter(
            target_id__in=[target.id for target, _ in pairs]
        ).values_list("target_id", "number", "message_id")
    }
    open_messages(
        {t.id: ours[t.id, x.number] for t, x in pairs if (t.id, x.number) in ours},
        now=now,
    )
    return [
        (target, Held(Target.Hold.TEMPLATE, "another message uses this step's key"))
        for target, text in pairs
        if (target.id, text.number) not in ours
    ]


def _contacts(targets: list[Due]) -> dict[tuple[int, str], int]:
    """Contact ids by (tenant, phone). Only missing ones are made: no contact row is locked here."""
    found = {(t.tenant_id, t.phone): t.contact_id for t in targets if t.contact_id is not None}
    missing: dict[int, dict[str, str]] = defaultdict(dict)
    for target in targets:
        if target.contact_id is None:
            missing[target.tenant_id][target.phone] = target.name
    for tenant_id, people in missing.items():
        for phone, contact_id in contacts.ensure(tenant_id=tenant_id, people=people).items():
            found[tenant_id, phone] = contact_id
    return found


def open_messages(messages: dict[int, int], *, now: datetime) -> None:
    """Take targets (id -> id of their message) out of what is due, until that message is settled.

    One that was held goes on from here, not from then.
    """
    if not messages:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE campaigns_target AS target
            SET open_message_id = made.message_id, hold = '', hold_detail = '',
                slot_at = CASE WHEN target.hold = ANY(%s) THEN greatest(target.slot_at, %s)
                               ELSE target.slot_at END
            FROM unnest(%s::bigint[], %s::bigint[]) AS made (target_id, message_id)
            WHERE target.id = made.target_id
            """,
            [list(holds.MENDABLE), now, list(messages.keys()), list(messages.values())],
        )
