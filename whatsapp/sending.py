"""Intent, send, finish: the part of the outbox that holds a lease.

The intent is committed before anything leaves, with the id the message will have; whatever dies
afterwards, the row says `sending` and under which id to look it up (`recovery`). Rules 3 to 5 of
docs/explanation/effectively-once.md.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest

from whatsapp import outbox, pace
from whatsapp.driver.base import (
    DriverError,
    Outgoing,
    Permanent,
    Retryable,
    SendResult,
    SessionLost,
    TooLate,
    Unknown,
)
from whatsapp.failpoints import failpoint
from whatsapp.leases import Held
from whatsapp.models import Account, Attempt, Message
from whatsapp.standing import IS_NEW

# A send may start until this long before the lease ends.
MARGIN = dt.timedelta(seconds=3)
FIRST_BACKOFF = dt.timedelta(seconds=15)
PUT_ASIDE = dt.timedelta(minutes=5)
# Nothing is wrong with the message, only with the moment: these do not use up its retries.
BAD_MOMENTS = frozenset({"offline", "busy", "chat_busy"})

State = Message.State


class Refused(Exception):
    """The intent was not committed; `reason` says why. Nothing of it remains."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Intent:
    """A committed decision to send. `not_after` is a reading of `time.monotonic`."""

    message_id: int
    attempt_id: int
    out: Outgoing
    fence: int
    not_after: float


def intend(message: Message, out: Outgoing, *, held: Held, day: dt.date) -> Intent:
    """Commit to sending `message` as `out`, in one short transaction.

    Checks that the lease is ours, the account may send, the message is still queued and its
    contact has not opted out; raises usage of `day` (the day the reservation was made for) below
    the limit. Raises `Refused` with one of ``lease_lost``, ``account_stopped``, ``day_changed``,
    ``daily_limit``, ``new_chats`` (the day's budget of them is used up), ``message_gone`` (it is
    not queued any more, is held back, or its contact may not be written to: `Message.obstacle`).
    """
    before = time.monotonic()
    with transaction.atomic():
        lease_until, now, account = _check_lease(held)
        not_after = lease_until - MARGIN
        if not_after <= now:
            raise Refused("lease_lost")
        attempt_id = _commit_to(message, out, held, account, not_after=not_after, now=now, day=day)
        failpoint("intent.before-commit")
    failpoint("intent.after-commit")
    return Intent(
        message_id=message.pk,
        attempt_id=attempt_id,
        out=out,
        fence=held.fence,
        # `before` was read before the database read its clock: this never errs to the late side.
        not_after=before + (not_after - now).total_seconds(),
    )


_PACED = (
    "daily_limit", "warm_up_days", "first_linked_on", "health_share", "new_chats_per_day",
)  # fmt: skip


def _check_lease(held: Held) -> tuple[datetime, datetime, Account]:
    with connection.cursor() as cursor:
        # FOR SHARE: a take-over, a pause or a disconnect waits for this commit or is seen by it.
        cursor.execute(
            """
            SELECT lease.lease_until, clock_timestamp(), account.daily_limit, account.warm_up_days,
                   account.first_linked_on, account.health_share,
                   account.new_chats_per_day,
                   account.status = 'connected' AND account.enabled
                       AND account.sending_paused_at IS NULL
                       AND account.logout_requested_at IS NULL
            FROM whatsapp_lease AS lease
            JOIN whatsapp_account AS account ON account.id = lease.account_id
            WHERE lease.account_id = %s AND lease.fence = %s AND lease.instance = %s
            FOR SHARE OF lease, account
            """,
            [held.account_id, held.fence, held.holder.instance],
        )
        row = cursor.fetchone()
    if row is None or row[0] is None:
        raise Refused("lease_lost")
    lease_until, now, *paced, may_send = row
    if not may_send:
        raise Refused("account_stopped")
    account = Account(pk=held.account_id, **dict(zip(_PACED, paced, strict=True)))
    return lease_until, now, account


def _commit_to(
    message: Message,
    out: Outgoing,
    held: Held,
    account: Account,
    *,
    not_after: datetime,
    now: datetime,
    day: dt.date,
) -> int:
    """Raise the usage, mark the message, note the attempt: one statement, all or nothing of it.

    Returns the attempt's id. The caller's transaction undoes the usage where the message is gone,
    or the day another: the zone is read here and not with the lease, for whoever waited there for a
    tenant's move (zones.py) has seen the old one.
    """
    values: dict[str, Any] = {
        "account": account.pk,
        "day": day,
        "limit": account.limit_on(day),
        "new_limit": account.new_chats_limit,
        "message": message.pk,
        "wa_id": out.wa_id,
        "chat_id": out.chat_id,
        "fence": held.fence,
        "worker": held.holder.worker,
        "not_after": not_after,
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH chat AS MATERIALIZED (
                SELECT ({IS_NEW})::int AS new,
                       (clock_timestamp() AT TIME ZONE tenant.timezone)::date AS today
                FROM whatsapp_message AS message
                JOIN accounts_tenant AS tenant ON tenant.id = message.tenant_id
                WHERE message.id = %(message)s
            ), raised AS (
                INSERT INTO whatsapp_usage AS usage (account_id, day, count, new_chats)
                SELECT %(account)s, %(day)s, 1, new FROM chat
                WHERE %(limit)s >= 1 AND new <= %(new_limit)s
                ON CONFLICT (account_id, day) DO UPDATE
                SET count = usage.count + 1, new_chats = usage.new_chats + excluded.new_chats
                WHERE usage.count < %(limit)s
                  AND (excluded.new_chats = 0 OR usage.new_chats < %(new_limit)s)
                RETURNING count
            ), marked AS (
                UPDATE whatsapp_message AS message
                SET state = 'sending', wa_id = %(wa_id)s, chat_id = %(chat_id)s,
                    fence = %(fence)s, not_after = %(not_after)s, sending_at = %(now)s,
                    attempts_made = attempts_made + 1, error_code = '', error = ''
                FROM raised
                WHERE message.id = %(message)s AND message.state = 'queued'
                  AND message.due_at <= %(now)s
                  AND NOT EXISTS (SELECT FROM whatsapp_contact AS contact
                                  WHERE contact.id = message.contact_id
                                    -- As `Message.obstacle`: what that lets pass and this does
                                    -- not would be due, and refused, for ever.
                                    AND CASE WHEN contact.opted_out_at IS NOT NULL
                                             THEN message.origin <> 'system'
                                             ELSE contact.source = 'group'
                                                  AND contact.lawful_basis = '' END)
                RETURNING message.id, message.attempts_made
            ), noted AS (
                INSERT INTO whatsapp_attempt (message_id, account_id, number, fence, worker, wa_id,
                                              usage_day, intent_at, outcome, error_code, error)
                SELECT id, %(account)s, attempts_made, %(fence)s, %(worker)s, %(wa_id)s, %(day)s,
                       %(now)s, 'open', '', ''
                FROM marked
                RETURNING id
            )
            SELECT (SELECT count FROM raised), (SELECT id FROM noted), (SELECT new FROM chat),
                   (SELECT today FROM chat), (SELECT new_chats FROM whatsapp_usage
                    WHERE account_id = %(account)s AND day = %(day)s)
            """,  # noqa: S608  a constant of ours
            values,
        )
        raised, attempt_id, is_new, today, begun = cursor.fetchone()
    if today not in (None, day):
        raise Refused("day_changed")
    if is_new is None or (raised is not None and attempt_id is None):
        raise Refused("message_gone")
    if raised is None:
        over_budget = is_new and (begun or 0) >= account.new_chats_limit
        raise Refused("new_chats" if over_budget else "daily_limit")
    return int(attempt_id)


def finish_sent(intent: Intent, result: SendResult, *, now: datetime) -> bool:
    """The server has it. False when a receipt said so first, or the message is no longer ours.

    Does not wait for the disk: what a crash of PostgreSQL takes back is `sending` again, and found
    by its id. The next intent's commit writes this one out before anything else leaves.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                """
                UPDATE whatsapp_attempt SET outcome = 'sent', finished_at = %s
                WHERE id = %s AND outcome = 'open'
                RETURNING set_config('synchronous_commit', 'off', true)
                """,
                [now, intent.attempt_id],
            )
        failpoint("finish.before-move")
        return outbox.move(
            Message(pk=intent.message_id),
            to=State.SENT,
            when=[State.SENDING],
            fence=intent.fence,
            ack=max(result.ack, 1),
            sent_at=now,
            now=now,
        )


def finish_error(intent: Intent, error: DriverError, *, now: datetime) -> bool:
    """Record what a send raised. Unknown leaves the message `sending` for `recover`.

    False when the message is no longer ours to decide.
    """
    message = Message.objects.get(pk=intent.message_id)
    text = str(error)[:300]
    if isinstance(error, Unknown) or not isinstance(error, Permanent | Retryable):
        _close_attempt(
            intent.attempt_id, Attempt.Outcome.UNKNOWN, now=now, code=error.code, error=text
        )
        return True
    # A lost session or a closed window says nothing about the message: that is no retry of its.
    bad_moment = error.code in BAD_MOMENTS
    counts = not bad_moment and not isinstance(error, SessionLost | TooLate)
    retries = message.retries + (1 if counts else 0)
    again = isinstance(error, Retryable) and retries <= settings.WHATSAPP_MAX_RETRIES
    with transaction.atomic():
        if error.code == pace.COLD_NACK:
            # It did not leave, and no other to a new chat would: not this message's own failure.
            held_until = pace.note_cold_nack(message.account_id, now=now)
            _close_attempt(
                intent.attempt_id, Attempt.Outcome.RETRY, now=now, code=error.code, error=text
            )
            return outbox.move(
                message,
                to=State.QUEUED,
                when=[State.SENDING],
                fence=intent.fence,
                due_at=held_until,
                error_code=error.code,
                error=text,
                now=now,
            )
        if not again:
            _close_attempt(
                intent.attempt_id, Attempt.Outcome.FAILED, now=now, code=error.code, error=text
            )
            return outbox.move(
                message,
                to=State.FAILED,
                when=[State.SENDING],
                fence=intent.fence,
                retries=min(retries, settings.WHATSAPP_MAX_RETRIES),
                error_code=error.code,
                error=text,
                ended_at=now,
                now=now,
            )
        _close_attempt(
            intent.attempt_id, Attempt.Outcome.RETRY, now=now, code=error.code, error=text
        )
        wait = FIRST_BACKOFF * bad_moment
        if counts:
            wait = FIRST_BACKOFF * (2 ** (retries - 1))
        return outbox.move(
            message,
            to=State.QUEUED,
            when=[State.SENDING],
            fence=intent.fence,
            retries=retries,
            due_at=now + wait,
            error_code=error.code,
            error=text,
            now=now,
        )


def _close_attempt(
    attempt_id: int, outcome: Attempt.Outcome, *, now: datetime, code: str = "", error: str = ""
) -> None:
    Attempt.objects.filter(pk=attempt_id, outcome=Attempt.Outcome.OPEN).update(
        outcome=outcome, finished_at=now, error_code=code, error=error
    )


def put_aside(message: Message, error: Exception, *, now: datetime) -> bool:
    """A queued message that nobody foresaw: later again, for people to see why.

    Nothing says that it can never be sent: it does not fail. False when it is not queued any more.
    """
    queued = Message.objects.filter(pk=message.pk, state=State.QUEUED)
    return bool(
        queued.update(
            due_at=Greatest(F("due_at"), Value(now + PUT_ASIDE)),
            error_code="internal",
            error=type(error).__name__,
        )
    )


def postpone(message: Message, error: DriverError, *, now: datetime) -> bool:
    """A queued message that could not even be prepared: later, and after some tries, never.

    Those behind it do not wait for it.
    """
    counts = error.code not in BAD_MOMENTS
    retries = message.retries + (1 if counts else 0)
    if retries > settings.WHATSAPP_MAX_RETRIES:
        return outbox.fail_queued(message, code=error.code, error=str(error), now=now)
    wait = FIRST_BACKOFF * (2 ** (retries - 1)) if counts else FIRST_BACKOFF
    changed = Message.objects.filter(pk=message.pk, state=State.QUEUED).update(
        retries=retries,
        # One that somebody holds back meanwhile stays held back.
        due_at=Greatest(F("due_at"), Value(now + wait)),
        error_code=error.code,
        error=str(error)[:300],
    )
    return bool(changed)
