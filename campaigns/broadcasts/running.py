"""Starting, pausing and ending a broadcast: the one writer of its state.

Locks: broadcast, contacts (shared), recipients, then messages (by conditional statements only).
Planning holds the broadcast shared while it queues, so a pause that has committed is the end of
queueing; a receiver that finds a message queued *again* holds it shared, too (tracking.py). A pause
takes the broadcast alone, waits for both, and then holds back whatever is queued.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _

from accounts import activity, deadlocks, poison
from accounts.activity import SYSTEM, Actor, Verb
from campaigns import segments
from campaigns.broadcasts import readiness
from campaigns.models import Broadcast, Recipient
from whatsapp import outbox, schedules
from whatsapp.failpoints import failpoint
from whatsapp.models import Account, Contact, Message

log = structlog.get_logger(__name__)

State = Broadcast.State
# What a cancelled message, and a recipient who gets none, carry as the reason.
CANCELLED = "broadcast_cancelled"
# Recipients of one that begins as it is started, or is written off as it is cancelled; with more,
# planning's next round does it.
AT_ONCE = 10_000
# Clocks go from UTC-12 to UTC+14: a time on the wall comes so much earlier somewhere at most.
EARLIEST_ZONE = dt.timedelta(hours=26)


class NotPossible(ValueError):
    """The broadcast is in another state than this needs; nothing was changed."""


class StartsInThePast(ValueError):
    """The time chosen has passed."""


@deadlocks.retried
def start(
    broadcast: Broadcast, *, at: datetime | None = None, actor: Actor = SYSTEM, now: datetime
) -> None:
    """Have it begin now, or at `at` (or at the `starts_at` it was given).

    Raises `readiness.NotReady`, `StartsInThePast` and `NotPossible`.
    """
    with transaction.atomic():
        current = _locked(broadcast, [State.DRAFT])
        when = at or current.starts_at
        if when is not None and when < now - dt.timedelta(minutes=1):
            raise StartsInThePast(
                _("the time has passed: choose a later one, or none to start now")
            )
        current.starts_at = when or now
        if missing := readiness.gaps(current, now=now):
            raise readiness.NotReady(missing)
        current.state = State.SCHEDULED
        current.save(update_fields=["state", "starts_at"])
        _record(current, Verb.BROADCAST_SCHEDULED, actor, now, at=current.starts_at.isoformat())
        # Nobody waits in front of a browser while a hundred thousand lines are written.
        if begins_at(current) <= now and _people(current).count() <= AT_ONCE:
            _begin(current, actor=actor, now=now)
    broadcast.refresh_from_db()


def begins_at(broadcast: Broadcast) -> datetime:
    """When its recipients are decided: earlier where each is written to by their own clock."""
    assert broadcast.starts_at is not None  # noqa: S101  by a constraint
    if broadcast.clock == Broadcast.Clock.RECIPIENT:
        return broadcast.starts_at - EARLIEST_ZONE
    return broadcast.starts_at


def begin_due(*, now: datetime) -> int:
    """Begin what is scheduled for now; returns how many did.

    One that is not ready any more is a draft again, with the reason.
    """
    due = Broadcast.objects.filter(
        state=State.SCHEDULED, starts_at__lte=now + EARLIEST_ZONE
    ).select_related("tenant")
    begun = 0
    for broadcast in due:
        if begins_at(broadcast) <= now:
            with poison.apart("broadcast not begun", broadcast_id=broadcast.pk):
                begun += _begin_one(broadcast, now=now)
    return begun


@deadlocks.retried
def _begin_one(broadcast: Broadcast, *, now: datetime) -> bool:
    with transaction.atomic():
        try:
            current = _locked(broadcast, [State.SCHEDULED])
        except NotPossible:
            return False
        if missing := readiness.gaps(current, now=now):
            current.state = State.DRAFT
            current.state_reason = missing[0].text[:200]
            current.save(update_fields=["state", "state_reason"])
            _record(current, Verb.BROADCAST_WITHDRAWN, SYSTEM, now)
            log.error("broadcast not begun", broadcast_id=current.pk, missing=len(missing))
            return False
        _begin(current, actor=SYSTEM, now=now)
    return True


def _begin(broadcast: Broadcast, *, actor: Actor, now: datetime) -> None:
    broadcast.total = _freeze(broadcast, now=now)
    failpoint("broadcast.frozen")
    broadcast.state, broadcast.state_reason, broadcast.started_at = State.RUNNING, "", now
    broadcast.save(update_fields=["total", "state", "state_reason", "started_at"])
    _record(broadcast, Verb.BROADCAST_STARTED, actor, now, recipients=broadcast.total)
    log.info("broadcast begun", broadcast_id=broadcast.pk, recipients=broadcast.total)


def _freeze(broadcast: Broadcast, *, now: datetime) -> int:
    """Write the ledger, in one statement; returns the number of recipients.

    Contacts are held from before they are written down: one that is being merged or deleted is
    waited for, and is no recipient. Who it was merged into may be chosen only then: once more.
    """
    chosen, params = chosen_people(broadcast)
    frozen, lost = 0, True
    while lost:
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                WITH chosen AS MATERIALIZED ({chosen}), there AS MATERIALIZED (
                    SELECT chosen.contact_id, chosen.account_id FROM chosen
                    JOIN whatsapp_contact AS contact ON contact.id = chosen.contact_id
                    ORDER BY contact.id FOR KEY SHARE OF contact
                ), frozen AS (
                    INSERT INTO campaigns_recipient
                        (broadcast_id, contact_id, account_id, language, state, reason, due_at)
                    SELECT %s, contact_id, account_id, '', 'waiting', '', %s FROM there
                    ON CONFLICT (broadcast_id, contact_id) DO NOTHING RETURNING 1
                )
                SELECT (SELECT count(*) FROM frozen),
                       (SELECT count(*) FROM chosen) > (SELECT count(*) FROM there)
                """,  # noqa: S608  the query is Django's
                [*params, broadcast.pk, broadcast.starts_at or now],
            )
            more, lost = cursor.fetchone()
        frozen += more
    if broadcast.clock == Broadcast.Clock.RECIPIENT:
        _by_own_clock(broadcast)
    return frozen


def _by_own_clock(broadcast: Broadcast) -> None:
    """Each is due when their clock shows what the company's shows at `starts_at`."""
    assert broadcast.starts_at is not None  # noqa: S101  by a constraint
    wall = broadcast.starts_at.astimezone(broadcast.tenant.zone).replace(tzinfo=None)
    account = Account(tenant=broadcast.tenant)
    moments: dict[ZoneInfo, datetime] = {}
    ids, due = [], []
    rows = broadcast.recipients.values_list("pk", "contact__phone")
    for pk, phone in rows.iterator(chunk_size=10_000):
        zone = schedules.zone_for(phone or "", account)
        if zone not in moments:
            moments[zone] = schedules.moment(wall, zone)
        ids.append(pk)
        due.append(moments[zone])
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE campaigns_recipient AS recipient SET due_at = own.due_at
            FROM unnest(%s::bigint[], %s::timestamptz[]) AS own (id, due_at)
            WHERE recipient.id = own.id AND recipient.due_at <> own.due_at
            """,
            [ids, due],
        )


def chosen_people(broadcast: Broadcast) -> tuple[str, Sequence[Any]]:
    """SQL for who would get it now, and from which account: ``(contact_id, account_id)``.

    From the account that talked with them last; the others take turns. Nobody writes to an
    account's own number.
    """
    ids = list(broadcast.accounts.order_by("pk").values_list("pk", flat=True))
    sql, params = _people(broadcast).values("pk").query.sql_with_params()
    return (
        f"""
        SELECT person.id AS contact_id,
               coalesce(known.account_id, (%s::bigint[])
                   [1 + (row_number() OVER (ORDER BY person.id) - 1) %% %s]) AS account_id
        FROM ({sql}) AS person (id)
        LEFT JOIN LATERAL (
            SELECT chat.account_id FROM whatsapp_chat AS chat
            WHERE chat.contact_id = person.id AND chat.account_id = ANY(%s)
            ORDER BY greatest(chat.last_incoming_at, chat.last_outgoing_at) DESC NULLS LAST
            LIMIT 1) AS known ON true
        """,  # noqa: S608  the query is Django's
        [ids, len(ids), *params, ids],
    )


def _people(broadcast: Broadcast) -> QuerySet[Contact]:
    assert broadcast.segment is not None  # noqa: S101  by readiness
    own = [phone for phone in broadcast.accounts.values_list("phone", flat=True) if phone]
    people = segments.reachable(broadcast.tenant, broadcast.segment.rules)
    return people.exclude(phone__in=own)


def withdraw(broadcast: Broadcast, *, actor: Actor = SYSTEM, now: datetime) -> None:
    """Make a scheduled one a draft again, to be changed. Raises `NotPossible`."""
    with transaction.atomic():
        current = _locked(broadcast, [State.SCHEDULED])
        current.state = State.DRAFT
        current.save(update_fields=["state"])
        _record(current, Verb.BROADCAST_WITHDRAWN, actor, now)
    broadcast.refresh_from_db()


@deadlocks.retried
def pause(broadcast: Broadcast, *, actor: Actor = SYSTEM, now: datetime) -> None:
    """Send nothing more of it until `resume`; what is being sent arrives. Raises `NotPossible`."""
    with transaction.atomic():
        current = _locked(broadcast, [State.RUNNING])
        current.state, current.paused_at = State.PAUSED, now
        current.save(update_fields=["state", "paused_at"])
        failpoint("broadcast.paused")
        outbox.hold_back(_queued(current))
        _record(current, Verb.BROADCAST_PAUSED, actor, now)
    broadcast.refresh_from_db()


@deadlocks.retried
def resume(broadcast: Broadcast, *, actor: Actor = SYSTEM, now: datetime) -> None:
    """Go on where it stopped. Raises `NotPossible`."""
    with transaction.atomic():
        current = _locked(broadcast, [State.PAUSED])
        current.state, current.paused_at = State.RUNNING, None
        current.save(update_fields=["state", "paused_at"])
        outbox.let_go(_queued(current), now=now)
        _record(current, Verb.BROADCAST_RESUMED, actor, now)
    broadcast.refresh_from_db()


@deadlocks.retried
def cancel(broadcast: Broadcast, *, actor: Actor = SYSTEM, now: datetime) -> int:
    """End it for ever; returns how many get nothing. What is being sent arrives.

    Nobody who waits is queued any more; of more than `AT_ONCE` the ledger says so after planning's
    next round (`skip_cancelled`). Raises `NotPossible`.
    """
    with transaction.atomic():
        current = _locked(broadcast, list(Broadcast.OPEN))
        current.state, current.ended_at, current.paused_at = State.CANCELLED, now, None
        current.save(update_fields=["state", "ended_at", "paused_at"])
        waiting = current.recipients.filter(state=Recipient.State.WAITING).count()
        if waiting <= AT_ONCE:
            _skip_waiting(current, limit=AT_ONCE)
        cancelled = outbox.cancel(_queued(current), reason=CANCELLED, now=now)
        spared = waiting + Recipient.objects.filter(message__in=cancelled).update(
            state=Recipient.State.SKIPPED, reason=CANCELLED, ended_at=now
        )
        _record(current, Verb.BROADCAST_CANCELLED, actor, now, spared=spared)
    broadcast.refresh_from_db()
    return spared


def skip_cancelled() -> int:
    """Write down who waits in vain, of those that were cancelled; returns how many."""
    waiting = Recipient.objects.filter(broadcast=OuterRef("pk"), state=Recipient.State.WAITING)
    skipped = 0
    for broadcast in Broadcast.objects.filter(Exists(waiting), state=State.CANCELLED):
        while some := _skip_waiting(broadcast, limit=AT_ONCE):
            skipped += some
    return skipped


def _skip_waiting(broadcast: Broadcast, *, limit: int) -> int:
    """Of a cancelled one; whom somebody else has in hand is passed over."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE campaigns_recipient SET state = 'skipped', reason = %s, ended_at = %s
            WHERE id IN (SELECT id FROM campaigns_recipient
                         WHERE broadcast_id = %s AND state = 'waiting'
                         LIMIT %s FOR UPDATE SKIP LOCKED)
            """,
            [CANCELLED, broadcast.ended_at, broadcast.pk, limit],
        )
        return int(cursor.rowcount)


def finish(*, now: datetime) -> int:
    """End those in which nobody waits any more; returns how many."""
    open_states = [Recipient.State.WAITING, Recipient.State.QUEUED]
    done = 0
    for broadcast in Broadcast.objects.filter(state=State.RUNNING):
        if broadcast.recipients.filter(state__in=open_states).exists():
            continue
        with transaction.atomic():
            try:
                current = _locked(broadcast, [State.RUNNING])
            except NotPossible:
                continue
            # Again under its lock: a failed message may have been sent again meanwhile.
            if current.recipients.filter(state__in=open_states).exists():
                continue
            current.state, current.ended_at = State.DONE, now
            current.save(update_fields=["state", "ended_at"])
            _record(current, Verb.BROADCAST_DONE, SYSTEM, now)
            done += 1
    return done


def _queued(broadcast: Broadcast) -> list[int]:
    return list(
        broadcast.recipients.filter(
            state=Recipient.State.QUEUED, message__state=Message.State.QUEUED
        ).values_list("message_id", flat=True)
    )


def _locked(broadcast: Broadcast, states: Sequence[str]) -> Broadcast:
    current = (
        Broadcast.objects.select_for_update(of=("self",))
        .select_related("tenant", "segment")
        .get(pk=broadcast.pk)
    )
    if current.state not in states:
        raise NotPossible(_("this broadcast is %s") % current.get_state_display())
    return current


def _record(
    broadcast: Broadcast, verb: Verb, actor: Actor, now: datetime, **detail: int | str
) -> None:
    activity.record(
        tenant_id=broadcast.tenant_id,
        verb=verb,
        actor=actor,
        subject=broadcast,
        detail=detail,
        now=now,
    )
