"""What becomes of a broadcast's recipients when something happens to message, contact or chat.

Receivers run in the sender's transaction, with the message locked; they lock the recipient after
it. Whoever locks recipients first (planning, a cancellation, an opt-out) touches messages by
conditional statements only, which pass over one that is being finished. A message that was queued
a moment ago may be waited for by one of those: its receiver does not wait for the recipient, and
`settle_lost` finds what it left (campaigns/exits.py tells the same of targets).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Count
from django.dispatch import receiver

from accounts import poison
from accounts.activity import Actor
from campaigns.models import Broadcast, Recipient
from whatsapp import outbox
from whatsapp.models import Contact, Message
from whatsapp.signals import contact_opted_out, contacts_merged, message_changed

State = Recipient.State
KEY_PREFIX = "broadcast:"
# An answer belongs to the newest broadcast they got, unless that is too long ago.
REPLY_WINDOW = dt.timedelta(days=7)
# How far the message has come; the rest of the states are no rung of this ladder.
RUNGS = [State.WAITING, State.QUEUED, State.UNCERTAIN, State.SENT, State.DELIVERED, State.READ,
         State.REPLIED]  # fmt: skip
# Which of two lines of one person counts: the later one here.
_PRECEDENCE = [State.SKIPPED, State.FAILED, *RUNGS, State.OPTED_OUT]
LEFT = (State.OPTED_OUT, State.SKIPPED)


def key(broadcast_id: int, contact_id: int) -> str:
    """The idempotency key: nobody gets a broadcast twice, whatever is restored or repeated."""
    return f"{KEY_PREFIX}{broadcast_id}:{contact_id}"


@receiver(message_changed)
def on_message_changed(*, message: Message, old_state: str, now: datetime, **_: Any) -> None:
    if message.idempotency_key.startswith(KEY_PREFIX) and message.state != Message.State.SENDING:
        follow(message, now=now, wait=old_state != Message.State.QUEUED)


def follow(message: Message, *, now: datetime, wait: bool) -> None:
    """Bring the recipient of `message` in line with its state; once or many times."""
    with transaction.atomic():
        recipient = (
            Recipient.objects.select_for_update(of=("self",), skip_locked=not wait)
            .filter(message_id=message.pk)
            .first()
        )
        if recipient is None:
            return
        match message.state:
            case Message.State.QUEUED:
                _queued_again(recipient, message, now=now)
            case Message.State.SENT | Message.State.DELIVERED | Message.State.READ:
                _arrived(recipient, message, now=now)
            case Message.State.UNCERTAIN:
                _climb(recipient, State.UNCERTAIN)
            case Message.State.FAILED if message.error_code == "opted_out":
                _end(recipient, State.OPTED_OUT, "", now=now)
            case Message.State.FAILED:
                _end(recipient, State.FAILED, message.error_code or "failed", now=now)
            case Message.State.CANCELLED if message.error_code == "opted_out":
                _end(recipient, State.OPTED_OUT, "", now=now)
            case Message.State.CANCELLED:
                _end(recipient, State.SKIPPED, message.error_code or "cancelled", now=now)
        recipient.save()


def _climb(recipient: Recipient, to: State) -> None:
    if recipient.state == State.FAILED or (
        recipient.state in RUNGS and RUNGS.index(State(recipient.state)) < RUNGS.index(to)
    ):
        recipient.state, recipient.reason, recipient.ended_at = to, "", None


def _arrived(recipient: Recipient, message: Message, *, now: datetime) -> None:
    """Whoever left meanwhile keeps that state; that it arrived is true all the same."""
    recipient.sent_at = recipient.sent_at or message.sent_at or now
    # A receipt for reading may be the first, and the only one.
    recipient.delivered_at = recipient.delivered_at or message.delivered_at or message.read_at
    recipient.read_at = recipient.read_at or message.read_at
    _climb(recipient, State(message.state))


def _end(recipient: Recipient, state: State, reason: str, *, now: datetime) -> None:
    if recipient.state in (State.QUEUED, State.UNCERTAIN):
        recipient.state, recipient.reason, recipient.ended_at = state, reason[:60], now


def _queued_again(recipient: Recipient, message: Message, *, now: datetime) -> None:
    """Refused before it left, or a person wants it sent again: unless nobody is to get it now."""
    # A pause that we do not see waits for this lock, and holds the message back after it.
    state = _locked_state(recipient.broadcast_id)
    if state == Broadcast.State.CANCELLED or recipient.state in LEFT:
        reason = "opted_out" if recipient.state == State.OPTED_OUT else "broadcast_cancelled"
        outbox.cancel([message.pk], reason=reason, now=now)
        return
    if state == Broadcast.State.PAUSED:
        outbox.hold_back([message.pk])
    if recipient.state in (State.UNCERTAIN, State.FAILED):
        recipient.state, recipient.reason, recipient.ended_at = State.QUEUED, "", None


def _locked_state(broadcast_id: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state FROM campaigns_broadcast WHERE id = %s FOR SHARE", [broadcast_id]
        )
        return str(cursor.fetchone()[0])


def settle_lost(*, now: datetime, limit: int = 500) -> int:
    """Follow up messages that ended without their recipient hearing of it; returns how many."""
    lost = Message.objects.filter(
        broadcast_recipient__state=State.QUEUED,
        broadcast_recipient__broadcast__state__in=[
            Broadcast.State.RUNNING, Broadcast.State.PAUSED, Broadcast.State.CANCELLED,
        ],
    ).exclude(state__in=Message.OPEN)  # fmt: skip
    found = list(lost[:limit])
    for message in found:
        with poison.apart("message not followed", message_id=message.pk):
            follow(message, now=now, wait=False)
    return len(found)


@receiver(contacts_merged)
def on_contacts_merged(*, kept: Contact, gone: Contact, now: datetime, **_: Any) -> None:
    """Two lines of one ledger are one person: the one that has come further is theirs.

    The other one stays, without a name, and whatever it still had to send is not sent. All that
    is left of `gone` becomes that of `kept` afterwards.
    """
    rows = Recipient.objects.filter(contact__in=[kept, gone])
    twice = rows.values("broadcast").annotate(n=Count("pk")).filter(n=2).values("broadcast")
    pairs: dict[int, list[Recipient]] = defaultdict(list)
    for row in rows.filter(broadcast__in=twice).select_for_update(of=("self",)).order_by("pk"):
        pairs[row.broadcast_id].append(row)
    for pair in pairs.values():
        other, theirs = sorted(pair, key=lambda row: _PRECEDENCE.index(State(row.state)))
        queued = [other.message_id] if other.message_id else []
        if other.state == State.WAITING or outbox.cancel(queued, reason="merged", now=now):
            other.state, other.reason, other.ended_at = State.SKIPPED, "merged", now
        other.contact, theirs.contact = None, kept
        other.save(update_fields=["state", "reason", "ended_at", "contact"])
        theirs.save(update_fields=["contact"])


@receiver(contact_opted_out)
def on_contact_opted_out(*, contact: Contact, actor: Actor, now: datetime, **_: Any) -> None:  # noqa: ARG001
    leave(contact.pk, now=now)


def leave(contact_id: int, *, now: datetime) -> int:
    """Take somebody who opted out from every ledger that may still write to them, or did lately.

    Whoever got it before and says stop is one whom the broadcast has lost: that is counted where
    it was the newest they got, as a reply is.
    """
    unsent = [State.WAITING, State.QUEUED, State.UNCERTAIN]
    with transaction.atomic():
        rows = Recipient.objects.filter(contact_id=contact_id)
        ids = set(rows.filter(state__in=unsent).values_list("pk", flat=True))
        if newest := _newest_sent(contact_id, now=now):
            ids.add(newest)
        locked = rows.filter(pk__in=ids).select_for_update().order_by("pk")
        queued = list(locked.values_list("message_id", flat=True))
        left = rows.filter(pk__in=ids).update(state=State.OPTED_OUT, reason="", ended_at=now)
        outbox.cancel([pk for pk in queued if pk], reason="opted_out", now=now)
    return left


def _newest_sent(contact_id: int, *, now: datetime, account_id: int | None = None) -> int | None:
    rows = Recipient.objects.filter(contact_id=contact_id, sent_at__gt=now - REPLY_WINDOW)
    if account_id is not None:
        rows = rows.filter(account_id=account_id)
    return rows.order_by("-sent_at").values_list("pk", flat=True).first()


def replied(contact_id: int, *, account_id: int, quoted_wa_id: str, at: datetime) -> bool:
    """They wrote to `account_id`: the newest broadcast they got from there has a reply.

    Or the one that they quote, however old it is. False when there is none.
    """
    rows = Recipient.objects.filter(contact_id=contact_id, account_id=account_id)
    chosen: int | None = None
    if quoted_wa_id:
        quoted = rows.filter(message__wa_id=quoted_wa_id)
        chosen = quoted.values_list("pk", flat=True).first()
    if chosen is None:
        chosen = _newest_sent(contact_id, now=at, account_id=account_id)
    if chosen is None:
        return False
    ladder = RUNGS[RUNGS.index(State.UNCERTAIN) :]
    return bool(
        rows.filter(pk=chosen, replied_at=None, state__in=ladder, sent_at__isnull=False).update(
            replied_at=at, state=State.REPLIED
        )
    )
