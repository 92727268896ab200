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
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from django.db import connection, transaction

from accounts import activity, deadlocks
from accounts.activity import Verb
from campaigns import exits, following, holds, schedule
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


# Turn and claim at once: a row for each target, or one without target for an account of which
# nothing is due. Three things are there for the planner's sake. The limits are numbers in the text:
# of a column it guesses three rows an account, and joins the rest by loops, a third slower. That
# the joins name `turn`, for nothing, tells it that no referral and no phone comes twice: else it
# keeps each in a cache. And `tenant_id + 0` leaves for contacts only the index of phones: while the
# table's statistics are old it would take the tenant's, and read all its contacts for each target.
CLAIM = """
WITH turn AS MATERIALIZED (
    SELECT schedule.account_id
    FROM campaigns_accountschedule AS schedule
    JOIN whatsapp_account AS account ON account.id = schedule.account_id
    WHERE schedule.next_due_at <= %(turn)s AND account.status = ANY(%(linked)s)
      AND account.enabled AND account.sending_paused_at IS NULL
    ORDER BY schedule.next_due_at, schedule.account_id LIMIT %(accounts)s
    FOR UPDATE OF schedule SKIP LOCKED
)
SELECT target.id, target.tenant_id, target.campaign_id, turn.account_id, target.phone,
       target.steps_done, target.next_due_at, target.hold,
       referral.external_id, referral.name, referral.language, referral.paid_at IS NOT NULL,
       referrer.name, referrer.subscribed, contact.id, contact.opted_out_at IS NOT NULL
FROM turn
LEFT JOIN LATERAL (
    SELECT id, tenant_id, campaign_id, referral_id, phone, steps_done, next_due_at, hold
    FROM campaigns_target AS due
    WHERE due.account_id = turn.account_id AND due.state = 'active'
      AND due.open_message_id IS NULL AND due.paused_at IS NULL AND due.next_due_at <= %(now)s
    ORDER BY due.next_due_at, due.id LIMIT %(each)s
    FOR UPDATE SKIP LOCKED
) AS target ON true
LEFT JOIN campaigns_referral AS referral
    ON referral.id = target.referral_id + 0 * turn.account_id
LEFT JOIN campaigns_referrer AS referrer ON referrer.id = referral.referrer_id
LEFT JOIN whatsapp_contact AS contact
    ON contact.phone = coalesce(target.phone, turn.account_id::text)
    AND contact.tenant_id + 0 = target.tenant_id
"""

# Everything due of the referrers whose subscription lapsed, at once: twenty at a time they would
# stand in the way of a referrer who shares the account for more than one round.
HOLD_LAPSED = """
WITH lapsed AS (
    SELECT target.id FROM campaigns_referrer AS referrer
    JOIN campaigns_referral AS referral ON referral.referrer_id = referrer.id
    JOIN campaigns_target AS target ON target.referral_id = referral.id
    WHERE referrer.id IN (
        SELECT referrer_id FROM campaigns_referral WHERE id IN (
            SELECT referral_id FROM campaigns_target WHERE id = ANY(%(claimed)s)
        )
    ) AND NOT referrer.subscribed
      AND target.account_id = ANY(%(accounts)s) AND target.state = 'active'
      AND target.open_message_id IS NULL AND target.paused_at IS NULL
      AND target.next_due_at <= %(now)s
    FOR UPDATE OF target SKIP LOCKED
), changed AS (
    UPDATE campaigns_target AS target
    SET hold = 'subscription', hold_detail = '', next_due_at = %(again)s
    FROM lapsed WHERE target.id = lapsed.id
)
SELECT count(*) FROM lapsed
"""


def plan(*, now: datetime, limit: int = 1000) -> PlanReport:
    """Queue the messages that are due, about `limit` at most (a round is finished)."""
    report = PlanReport(settled=following.settle_lost(now=now))
    contents = Contents()
    while report.rounds < ROUNDS and report.queued < limit:
        # Accounts that were served carry the round's number in microseconds: they queue up anew.
        round_now = now + dt.timedelta(microseconds=report.rounds)
        if not _round(report, contents, now=now, round_now=round_now):
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


@deadlocks.retried
def _round(report: PlanReport, contents: Contents, *, now: datetime, round_now: datetime) -> bool:
    """One turn of up to 50 accounts; False when nothing was left to do."""
    # Counted apart: a round that is tried again after a deadlock must not count twice.
    this = PlanReport()
    with transaction.atomic():
        rows = claim(now=now, round_now=round_now)
        if not rows:
            return False
        accounts = Account.objects.select_related("tenant").in_bulk({row[3] for row in rows})
        room = room_of(accounts, now=now)
        claimed = [Due(*row) for row in rows if row[0] is not None]
        lapsed = [target for target in claimed if not target.subscribed]
        this.held += _hold_lapsed(lapsed, now=now)
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


def claim(*, now: datetime, round_now: datetime) -> list[tuple[Any, ...]]:
    """Lock the accounts whose turn it is, and up to 20 targets due of each: the rows of `CLAIM`."""
    with connection.cursor() as cursor:
        cursor.execute(
            CLAIM,
            {
                "turn": round_now,
                "now": now,
                "linked": [str(status) for status in Account.LINKED_STATUSES],
                "accounts": ACCOUNTS,
                "each": PER_ACCOUNT,
            },
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _wait_for_tomorrow(first: list[Due], accounts: dict[int, Account], *, now: datetime) -> None:
    """First steps wait for the next day's budget of new chats: whoever is under way goes on."""
    by_account: dict[int, list[int]] = defaultdict(list)
    for target in first:
        by_account[target.account_id].append(target.id)
    for pk, ids in by_account.items():
        left = limits.seconds_to_midnight(accounts[pk].tenant, now=now)
        tomorrow = now + dt.timedelta(seconds=left)
        Target.objects.filter(pk__in=ids).update(next_due_at=tomorrow)


def _hold_lapsed(claimed: list[Due], *, now: datetime) -> int:
    """Hold these targets, and whatever else is due of their referrers on these accounts."""
    if not claimed:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            HOLD_LAPSED,
            {
                "claimed": [target.id for target in claimed],
                "accounts": list({target.account_id for target in claimed}),
                "now": now,
                "again": now + holds.RECHECK,
            },
        )
        count: int = cursor.fetchone()[0]
    log.info("targets held", hold="subscription", count=count)
    return count


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
    _hold(held, now=now)
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


def _hold(held: list[tuple[Due, Held]], *, now: datetime) -> None:
    by_reason: dict[Held, list[Due]] = defaultdict(list)
    for target, reason in held:
        by_reason[reason].append(target)
    for reason, targets in by_reason.items():
        Target.objects.filter(pk__in=[target.id for target in targets]).update(
            hold=reason.hold, hold_detail=reason.detail[:200], next_due_at=now + holds.RECHECK
        )
        new = [target for target in targets if target.hold != reason.hold]
        if new:
            log.error(
                "targets held",
                hold=str(reason.hold),
                detail=reason.detail,
                campaign_id=new[0].campaign_id,
                count=len(new),
                target_ids=[target.id for target in new[:10]],
            )
