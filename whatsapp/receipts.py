"""Receipts of our messages: sent, delivered, read, played; per member in groups; never back."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from whatsapp import outbox
from whatsapp.driver.base import Ack, Found, Lookup, Receipt
from whatsapp.failpoints import failpoint
from whatsapp.models import Attempt, Contact, Message
from whatsapp.signals import message_played

State = Message.State

# Receipts have ranks; a state never goes down. A receipt may come before the send has returned,
# or for a message that was given up as uncertain or queued once more: it wins over all of them.
_BELOW = {
    Ack.SERVER: (State.QUEUED, State.SENDING, State.UNCERTAIN),
    Ack.DELIVERED: (State.QUEUED, State.SENDING, State.UNCERTAIN, State.SENT),
    Ack.READ: (State.QUEUED, State.SENDING, State.UNCERTAIN, State.SENT, State.DELIVERED),
}
# Looking one up takes some milliseconds; whoever has not read it after days may do so unseen.
RECEIPTS_ASKED_FOR = timedelta(days=3)
MOST_RECEIPTS_ASKED_FOR = 300
_STATE = {Ack.SERVER: State.SENT, Ack.DELIVERED: State.DELIVERED, Ack.READ: State.READ}


def store_receipt(account_id: int, receipt: Receipt) -> int:
    """Raise the state of the messages a receipt is about; returns how many changed.

    A post in a group is delivered, read or played once one member has it; each member's own times
    are in its `receipts`.
    """
    if receipt.ack < Ack.SERVER:
        return 0
    rank = Ack(min(receipt.ack, Ack.READ))
    messages = Message.objects.filter(account_id=account_id)
    if receipt.participant:
        # The key of a group receipt carries the receiver: only the stanza id is the message's.
        stanzas = [re.escape(wa_id.split("_")[2]) for wa_id in receipt.wa_ids]
        chat = receipt.wa_ids[0].split("_")[1]
        if chat.endswith("@g.us"):
            messages = messages.filter(group__chat_id=chat)  # few; of all it would be a long search
        messages = messages.filter(wa_id__regex=rf"_({'|'.join(stanzas)})(_|$)")
        for message in messages.filter(group__isnull=False):
            _note_member(message, receipt)
    else:
        messages = messages.filter(wa_id__in=receipt.wa_ids)
    changed = 0
    for message in messages.filter(state__in=_BELOW[rank]):
        changed += _raise(message, rank, receipt)
    if receipt.ack >= Ack.PLAYED:
        for message in messages.filter(state=State.READ, played_at=None):
            changed += _note_played(message, receipt)
    return changed


def _note_member(message: Message, receipt: Receipt) -> None:
    """The first time of each kind stays, in whatever order receipts come."""
    by_phone = Q(phone=receipt.participant_phone) if receipt.participant_phone else Q(pk=None)
    who = Contact.objects.filter(
        by_phone | Q(lid=receipt.participant), tenant_id=message.tenant_id
    ).first()
    times = [
        receipt.at if receipt.ack >= rank else None
        for rank in (Ack.DELIVERED, Ack.READ, Ack.PLAYED)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO whatsapp_messagereceipt AS known
                (message_id, participant, contact_id, delivered_at, read_at, played_at)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (message_id, participant) DO UPDATE
            SET contact_id = coalesce(known.contact_id, excluded.contact_id),
                delivered_at = coalesce(known.delivered_at, excluded.delivered_at),
                read_at = coalesce(known.read_at, excluded.read_at),
                played_at = coalesce(known.played_at, excluded.played_at)
            """,
            [message.pk, receipt.participant[:100], who.pk if who else None, *times],
        )


def _note_played(message: Message, receipt: Receipt) -> bool:
    now = timezone.now()
    with transaction.atomic():
        # The row's lock keeps its events in order, as `outbox.move` does.
        locked = Message.objects.select_for_update(of=("self",)).filter(
            pk=message.pk, played_at=None
        )
        if not locked.exists():
            return False
        Message.objects.filter(pk=message.pk).update(played_at=receipt.at, ack=Ack.PLAYED)
        message.refresh_from_db()
        message_played.send(sender=Message, message=message, now=now)
    return True


def _raise(message: Message, rank: Ack, receipt: Receipt) -> bool:
    fields: dict[str, Any] = {"ack": receipt.ack, "error_code": "", "error": ""}
    at = receipt.at
    if message.sent_at is None:
        fields["sent_at"] = message.sending_at or at
    if rank >= Ack.DELIVERED and message.delivered_at is None:
        fields["delivered_at"] = at
    if rank >= Ack.READ:
        fields["read_at"] = at
    with transaction.atomic():
        done = outbox.move(
            message, to=_STATE[rank], when=_BELOW[rank], now=timezone.now(), **fields
        )
        failpoint("receipt.before-commit")
        if done and message.state in (State.SENDING, State.UNCERTAIN):
            Attempt.objects.filter(message=message, outcome=Attempt.Outcome.UNKNOWN).update(
                outcome=Attempt.Outcome.SENT
            )
    return done


def awaiting_receipts(account_id: int, *, now: datetime) -> list[Message]:
    """Sent messages that were not read yet, as far as we heard: the newest of some days."""
    return list(
        Message.objects.filter(
            account_id=account_id,
            state__in=[State.SENT, State.DELIVERED],
            sent_at__gt=now - RECEIPTS_ASKED_FOR,
        ).order_by("-sent_at")[:MOST_RECEIPTS_ASKED_FOR]
    )


def store_found(message: Message, found: Lookup, *, now: datetime) -> int:
    """The receipt that a look-up amounts to; `now` stands for its time, which nobody knows."""
    if found.found is not Found.ON_SERVER or (found.ack or 0) <= message.ack:
        return 0
    receipt = Receipt(seq=0, at=now, wa_ids=(message.wa_id,), ack=found.ack or 0)
    return store_receipt(message.account_id, receipt)
