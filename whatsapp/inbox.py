"""What comes in: receipts of our messages, and messages of others; each stored once."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from whatsapp import contacts, outbox, suppression
from whatsapp.driver.base import Ack, Found, IncomingMessage, Lookup, Receipt, storable
from whatsapp.failpoints import failpoint
from whatsapp.models import Account, Attempt, Contact, Incoming, Message
from whatsapp.models.accounts import E164

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
    """Raise the state of the messages a receipt is about; returns how many changed."""
    if receipt.ack < Ack.SERVER:
        return 0
    rank = Ack(min(receipt.ack, Ack.READ))
    messages = Message.objects.filter(account_id=account_id)
    if receipt.participant:
        # The key of a group receipt carries the receiver: only the stanza id is the message's.
        stanzas = [re.escape(wa_id.split("_")[2]) for wa_id in receipt.wa_ids]
        messages = messages.filter(wa_id__regex=rf"_({'|'.join(stanzas)})(_|$)")
    else:
        messages = messages.filter(wa_id__in=receipt.wa_ids)
    changed = 0
    for message in messages.filter(state__in=_BELOW[rank]):
        changed += _raise(message, rank, receipt)
    return changed


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


def store_incoming(account_id: int, message: IncomingMessage, *, now: datetime) -> bool:
    """Store a message once and act on a wish to stop. False when it was there already."""
    if message.from_me:
        return False  # the owner's own words are no answer of the contact's
    account = Account.objects.select_related("tenant").get(pk=account_id)
    texts: dict[str, Any] = {
        name: storable(value) for name, value in asdict(message).items() if isinstance(value, str)
    }
    message = replace(message, **texts)
    with transaction.atomic():
        suppression.hold(account.tenant)
        forgotten = suppression.suppressed(account.tenant, [message.phone]).get(message.phone)
        if forgotten is not None and message.sent_at <= forgotten:
            return False  # deleted here; the page still has it and tells it again
        contact = _contact(account, message)
        if forgotten is not None and contact is not None:
            contacts.opt_out(contact, reason="asked to be forgotten", now=now)
        _, created = Incoming.objects.get_or_create(
            account=account,
            wa_id=message.wa_id[:200],
            defaults={
                "contact": contact,
                "chat_id": message.chat_id[:100],
                "phone": message.phone[:16],
                "lid": message.lid[:40],
                "name": message.name[:200],
                "kind": message.kind[:20],
                "body": message.body,
                "sent_at": message.sent_at,
                "received_at": now,
            },
        )
        if created and contact is not None and contacts.means_stop(message.body):
            contacts.opt_out(contact, reason="said stop", now=now)
    return created


def _contact(account: Account, message: IncomingMessage) -> Contact | None:
    """The contact who wrote, by phone or else by LID; somebody unknown by phone is made."""
    known = Contact.objects.filter(tenant=account.tenant)
    if re.fullmatch(E164, message.phone):
        ids = contacts.ensure(tenant_id=account.tenant_id, people={message.phone: message.name})
        if message.lid and not known.filter(lid=message.lid).exists():
            known.filter(pk=ids[message.phone], lid="").update(lid=message.lid)
        return known.get(pk=ids[message.phone])
    return known.filter(lid=message.lid).first() if message.lid else None
