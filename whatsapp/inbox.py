"""What comes in: messages of others, each stored once. Receipts: receipts.py."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q

from accounts import activity, deadlocks
from accounts.activity import Actor, Verb
from accounts.database import is_away
from whatsapp import chats, contacts, identities, stopping, suppression
from whatsapp.driver.base import IncomingMessage, storable
from whatsapp.failpoints import failpoint
from whatsapp.models import (
    Account,
    Attempt,
    ConsentEntry,
    Contact,
    Group,
    Incoming,
    Lease,
    Message,
)
from whatsapp.models.accounts import E164
from whatsapp.signals import incoming_stored

log = structlog.get_logger(__name__)

# The page's clock is WhatsApp's and knows whole seconds.
CLOCKS_DIFFER = timedelta(minutes=10)


def take_in(account_id: int, message: IncomingMessage, *, now: datetime) -> bool:
    """`store_incoming` of one among many: what cannot be stored is noted and holds nobody up.

    Raises what `database.is_away` is about, to be tried again as it is.
    """
    try:
        return store_incoming(account_id, message, now=now)
    except Exception as error:
        if is_away(error):
            raise
        # Its type only: what an error says, and the message's id, name the writer.
        kind = type(error).__name__
        log.error("incoming message not stored", account_id=account_id, error=kind)
        account = Account.objects.get(pk=account_id)
        activity.record(
            tenant_id=account.tenant_id,
            verb=Verb.INCOMING_NOT_STORED,
            subject=account,
            detail={"error": kind},
            now=now,
        )
        return False


@deadlocks.retried
def store_incoming(account_id: int, message: IncomingMessage, *, now: datetime) -> bool:
    """Store a message once, heed a wish to stop, tell receivers. False when it was there already.

    What the account's owner wrote on their phone is stored, too, and takes the chat over; what we
    sent ourselves is not: the outbox has it.
    """
    account = Account.objects.select_related("tenant", "owner", "agent").get(pk=account_id)
    message = _storable(message)
    in_group = message.chat_id.endswith(chats.GROUP)
    with transaction.atomic():
        suppression.hold(account.tenant)
        if message.from_me and _is_ours(account, message):
            return False
        since = suppression.suppressed(account.tenant, {message.phone, message.lid} - {""})
        forgotten = max(since.values(), default=None)
        if forgotten is not None and message.sent_at <= forgotten:
            return False  # deleted here; the page still has it and tells it again
        person = _author if in_group else _contact
        contact = person(account, message, now=now)
        incoming, created = Incoming.objects.get_or_create(
            account=account,
            wa_id=message.wa_id[:200],
            defaults=_fields(account, message, now=now) | {"contact": contact},
        )
        if not created:
            return False
        if contact is not None and not in_group and not message.from_me:
            _heed(contact, message, account=account, forgotten=forgotten is not None, now=now)
        chat = chats.note_incoming(incoming)
        if chat is not None and message.from_me:
            chats.take_over(chat, actor=_owner(account), wrote_at=message.sent_at, now=now)
        incoming_stored.send(sender=Incoming, incoming=incoming, chat=chat, now=now)
        failpoint("incoming.before-commit")
    return True


def note_heard(account_id: int, *, until: datetime) -> None:
    """All that came in before `until` is stored: the next catch-up need not ask for it."""
    Lease.objects.filter(account_id=account_id).filter(
        Q(heard_until=None) | Q(heard_until__lt=until)
    ).update(heard_until=until)


def not_heard_since(account_id: int) -> datetime | None:
    """From when on something may have come in that is not stored; None: it was never linked."""
    account = Account.objects.select_related("lease").get(pk=account_id)
    lease = getattr(account, "lease", None)
    if lease is None or lease.heard_until is None:
        return account.linked_at
    heard: datetime = lease.heard_until
    return heard - CLOCKS_DIFFER


def _storable(message: IncomingMessage) -> IncomingMessage:
    texts: dict[str, Any] = {
        field.name: storable(value)
        for field in fields(message)
        if isinstance(value := getattr(message, field.name), str)
    }
    return replace(message, **texts)


def _fields(account: Account, message: IncomingMessage, *, now: datetime) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if message.location is not None:
        place = message.location
        content = {
            "latitude": place.latitude,
            "longitude": place.longitude,
            "name": storable(place.name)[:300],
            "address": storable(place.address)[:300],
        }
    elif message.media is not None:
        content = {
            "mime": storable(message.media.mime)[:100],
            "filename": storable(message.media.filename)[:200],
            "size": message.media.size,
        }
    return {
        "group": Group.objects.filter(account=account, chat_id=message.chat_id).first(),
        "from_me": message.from_me,
        "chat_id": message.chat_id[:100],
        "phone": message.phone[:16],
        "lid": message.lid[:40],
        "author_phone": message.author_phone[:16],
        "author_lid": message.author_lid[:40],
        "name": message.name[:200],
        "kind": message.kind[:20],
        "body": message.body,
        "content": content,
        "quoted_wa_id": message.quoted[:200],
        "media_state": Incoming.MediaState.WANTED if message.media is not None else "",
        "sent_at": message.sent_at,
        "received_at": now,
    }


def _is_ours(account: Account, message: IncomingMessage) -> bool:
    """Whether the outbox sent it: what an earlier session of the profile sent comes back."""
    if Message.objects.filter(account=account, wa_id=message.wa_id).exists():
        return True
    # A message that was tried under another id before keeps the newer one only.
    around = (message.sent_at - timedelta(days=1), message.sent_at + timedelta(days=1))
    return Attempt.objects.filter(
        account=account, wa_id=message.wa_id, intent_at__range=around
    ).exists()


def _owner(account: Account) -> Actor:
    if account.owner is None:
        return Actor("system", f"phone of {account.name}")
    return Actor("user", account.owner.get_username(), account.owner.pk)


def _heed(
    contact: Contact, message: IncomingMessage, *, account: Account, forgotten: bool, now: datetime
) -> None:
    """Act on a wish to stop or to start again."""
    tenant = account.tenant
    if stopping.means(message.body, tenant.start_words):
        # What was caught up late takes back nothing that somebody has entered since.
        since = contact.consent.filter(
            what=ConsentEntry.What.OPTED_OUT, at__gt=message.sent_at + CLOCKS_DIFFER
        )
        if not since.exclude(how="message").exists():
            contacts.opt_in(contact, now=now)
    elif forgotten:
        contacts.opt_out(contact, reason=suppression.REASON, now=now)
    elif stopping.means(message.body, tenant.stop_words):
        contacts.opt_out(contact, reason="said stop", now=now)
        stopping.confirm(contact, account=account, now=now)


def _author(account: Account, message: IncomingMessage, *, now: datetime) -> Contact | None:
    """Who wrote into a group, if they are known: nobody becomes a contact by that."""
    if message.from_me:
        return None
    phone, lid = message.author_phone or message.phone, message.author_lid or message.lid
    known = Q(phone=phone) if phone else Q()
    known |= Q(lid=lid) if lid else Q()
    if not known or not Contact.objects.filter(known, tenant=account.tenant).exists():
        return None
    return _find_or_make(account, phone, lid, message.name, now=now)


def _contact(account: Account, message: IncomingMessage, *, now: datetime) -> Contact | None:
    """The other person of a chat of two, made if they are new."""
    name = "" if message.from_me else message.name
    return _find_or_make(account, message.phone, message.lid, name, now=now)


def _find_or_make(
    account: Account, phone: str, lid: str, name: str, *, now: datetime
) -> Contact | None:
    """None for WhatsApp itself, whose number is none."""
    if (phone and not re.fullmatch(E164, phone)) or not (phone or lid):
        return None
    return identities.find_or_make(
        tenant_id=account.tenant_id,
        phone=phone,
        lid=lid[:40],
        name=name,
        source=Contact.Source.INBOUND,
        source_detail=account.name,
        now=now,
    )
