"""What comes in: messages of others, each stored once. Receipts: receipts.py."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from django.db import transaction

from whatsapp import contacts, suppression
from whatsapp.driver.base import IncomingMessage, storable
from whatsapp.models import Account, Contact, Incoming
from whatsapp.models.accounts import E164


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
