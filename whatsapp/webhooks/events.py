"""What is told: receivers of this app's signals, each inside the transaction of what happened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.dispatch import receiver

from accounts.activity import Actor
from whatsapp.models import Account, Chat, Contact, Incoming, Message
from whatsapp.models.webhooks import WebhookEndpoint
from whatsapp.signals import (
    account_changed,
    contact_opted_out,
    incoming_stored,
    message_changed,
    message_played,
    messages_cancelled,
)
from whatsapp.webhooks.outgoing import emit

Event = WebhookEndpoint.Event
State = Message.State

OF_STATE: dict[str, Event] = {
    State.SENT: Event.MESSAGE_SENT,
    State.DELIVERED: Event.MESSAGE_DELIVERED,
    State.READ: Event.MESSAGE_READ,
    State.FAILED: Event.MESSAGE_FAILED,
    State.UNCERTAIN: Event.MESSAGE_UNCERTAIN,
    State.CANCELLED: Event.MESSAGE_CANCELLED,
}


@receiver(message_changed)
def on_message_changed(*, message: Message, now: datetime, **_: Any) -> None:
    event = OF_STATE.get(message.state)
    if event is not None:
        tell_message(message, event, now=now)


@receiver(message_played)
def on_message_played(*, message: Message, now: datetime, **_: Any) -> None:
    tell_message(message, Event.MESSAGE_PLAYED, now=now)


@receiver(messages_cancelled)
def on_messages_cancelled(*, message_ids: Sequence[int], now: datetime, **_: Any) -> None:
    """Cancelled in sets, often many at once: read only where somebody wants to know."""
    wanting = WebhookEndpoint.objects.filter(
        active=True, events__contains=[Event.MESSAGE_CANCELLED]
    )
    told = Message.objects.filter(pk__in=message_ids, tenant__in=wanting.values("tenant"))
    for message in told.order_by("pk"):
        tell_message(message, Event.MESSAGE_CANCELLED, now=now)


def tell_message(message: Message, event: Event, *, now: datetime) -> None:
    emit(
        tenant_id=message.tenant_id,
        event=event,
        object_type="message",
        object_id=message.public_id,
        contact_id=message.contact_id,
        data={
            "message": message.public_id,
            "idempotencyKey": message.idempotency_key,
            "account": message.account_id,
            "contact": message.contact_id,
            "group": message.group_id,
            "kind": message.kind,
            "origin": message.origin,
            "state": message.state,
            "errorCode": message.error_code,
            "error": message.error,
            "retries": message.retries,
            "sentAt": message.sent_at,
            "deliveredAt": message.delivered_at,
            "readAt": message.read_at,
            "playedAt": message.played_at,
        },
        now=now,
    )


@receiver(incoming_stored)
def on_incoming_stored(*, incoming: Incoming, chat: Chat | None, now: datetime, **_: Any) -> None:
    """What others wrote; what the owner wrote on their own phone is no news to the company."""
    if incoming.from_me:
        return
    emit(
        tenant_id=incoming.account.tenant_id,
        event=Event.INCOMING_RECEIVED,
        object_type="incoming",
        object_id=incoming.pk,
        contact_id=incoming.contact_id,
        data={
            "incoming": incoming.pk,
            "account": incoming.account_id,
            "contact": incoming.contact_id,
            "chat": chat.pk if chat else None,
            "group": incoming.group_id,
            "kind": incoming.kind,
            "sentAt": incoming.sent_at,
        },
        now=now,
    )


@receiver(account_changed)
def on_account_changed(*, account: Account, old_status: str, now: datetime, **_: Any) -> None:
    emit(
        tenant_id=account.tenant_id,
        event=Event.ACCOUNT_STATUS,
        object_type="account",
        object_id=account.pk,
        data={
            "account": account.pk,
            "name": account.name,
            "status": account.status,
            "before": old_status,
            "reason": account.status_reason,
        },
        now=now,
    )


@receiver(contact_opted_out)
def on_contact_opted_out(*, contact: Contact, actor: Actor, now: datetime, **_: Any) -> None:
    emit(
        tenant_id=contact.tenant_id,
        event=Event.CONTACT_OPTED_OUT,
        object_type="contact",
        object_id=contact.pk,
        contact_id=contact.pk,
        data={"contact": contact.pk, "reason": contact.opt_out_reason, "by": actor.kind},
        now=now,
    )
