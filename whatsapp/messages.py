"""What people do with messages: send one directly, try a failed one again, cancel one in time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from accounts import phones
from accounts.activity import SYSTEM, Actor, Verb, record, record_each
from whatsapp import contacts, doorbells, outbox, retention, suppression
from whatsapp.models import Account, Contact, Media, Message

# Keys of sequences (campaigns/following.py): one used by hand would take a step's place.
RESERVED = "target:"


class CannotSend(ValueError):
    """Why a message cannot be queued; `field` is what to change, `code` a stable word."""

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.code = code


def send_direct(
    *,
    account: Account,
    contact_phone: str,
    body: str,
    media: Media | None = None,
    idempotency_key: str,
    actor: Actor = SYSTEM,
    now: datetime,
) -> Message:
    """Queue one message to `contact_phone`, as a person writes it, ahead of any sequence.

    The same key with the same content returns the message that exists, whatever became of the
    account or the person since. Raises `CannotSend`, and `outbox.IdempotencyConflict` for a key
    that stands for another content.
    """
    if idempotency_key.startswith(RESERVED):
        raise CannotSend(
            "idempotencyKey", "reserved", f"keys that begin with “{RESERVED}” are Relance's own"
        )
    if not body.strip() and media is None:
        raise CannotSend("text", "empty", "write a text or add a file")
    try:
        phone = phones.parse(contact_phone, region=account.tenant.region)
    except phones.BadPhone as error:
        raise CannotSend("to", error.code, str(error)) from error
    with transaction.atomic():
        suppression.hold(account.tenant)
        # Whoever repeats a call whose answer was lost must not hear that nothing was sent.
        repeated = Message.objects.filter(
            tenant=account.tenant, idempotency_key=idempotency_key
        ).exists()
        if not repeated:
            _check(account, phone)
        ids = contacts.ensure(tenant_id=account.tenant_id, people={phone: ""})
        contact = Contact.objects.get(pk=ids[phone])
        message = outbox.queue(
            tenant=account.tenant,
            account=account,
            contact=contact,
            idempotency_key=idempotency_key,
            body=body,
            media=media,
            priority=outbox.DIRECT,
            origin=Message.Origin.DIRECT,
            now=now,
        )
        if message.created_at == now:  # not one that an earlier call has queued
            record(
                tenant_id=message.tenant_id,
                verb=Verb.MESSAGE_QUEUED,
                actor=actor,
                subject=message,
                now=now,
            )
    return message


def _check(account: Account, phone: str) -> None:
    """Raises `CannotSend` when `account` may not write to `phone` now."""
    if not account.enabled or not account.is_linked:
        raise CannotSend("account", "not_linked", "this account is not linked: connect it first")
    if suppression.suppressed(account.tenant, [phone]):
        raise CannotSend("to", "suppressed", "this person asked to be forgotten")
    known = Contact.objects.filter(tenant=account.tenant, phone=phone)
    if known.exclude(opted_out_at=None).exists():
        raise CannotSend("to", "opted_out", "this person asked for no more messages")


def retry(message: Message, *, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Send a failed message again, with the id it had. False when it is not failed any more.

    False, too, when whatever it belongs to has ended or gone on (a sequence takes its last step
    back, but not an earlier one), and when what it said is forgotten.
    """
    with transaction.atomic():
        if message.contact is not None and message.contact.obstacle:
            return False
        if retention.is_forgotten(message, now=now):
            return False
        done = outbox.move(
            message,
            to=Message.State.QUEUED,
            when=[Message.State.FAILED],
            due_at=now,
            ended_at=None,
            retries=0,
            now=now,
        )
        if not done:
            return False
        message.refresh_from_db()
        if message.state != Message.State.QUEUED:
            # A receiver has cancelled it: nobody is to get it now. It stays failed.
            transaction.set_rollback(True)
            return False
        doorbells.ring_on_commit([message.account_id])
        record(
            tenant_id=message.tenant_id, verb=Verb.RETRIED, actor=actor, subject=message, now=now
        )
    return True


def cancel(message_ids: Iterable[int], *, actor: Actor = SYSTEM, now: datetime) -> list[int]:
    """Cancel those that are still queued; their ids. A sequence goes on with its next step."""
    with transaction.atomic():
        cancelled = outbox.cancel(message_ids, reason="cancelled", now=now)
        by_tenant: dict[int, list[int]] = defaultdict(list)
        for pk, tenant_id in Message.objects.filter(pk__in=cancelled).values_list(
            "id", "tenant_id"
        ):
            by_tenant[tenant_id].append(pk)
        for tenant_id, ids in by_tenant.items():
            record_each(
                tenant_id=tenant_id,
                verb=Verb.CANCELLED,
                actor=actor,
                model=Message,
                ids=ids,
                now=now,
            )
    return cancelled
