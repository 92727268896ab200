"""What becomes of messages, written into the activity log in the transaction that changed them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.dispatch import receiver

from accounts import activity
from accounts.activity import Actor, Verb
from whatsapp.models import Contact, Message
from whatsapp.signals import contact_opted_in, contact_opted_out, message_changed

State = Message.State

VERBS: dict[str, Verb] = {
    State.FAILED: Verb.FAILED,
    State.UNCERTAIN: Verb.UNCERTAIN,
    State.CANCELLED: Verb.CANCELLED,
}


@receiver(message_changed)
def on_message_changed(*, message: Message, old_state: str, now: datetime, **_: Any) -> None:
    """Once for each message that left, failed or was given up; receipts are on the message."""
    if message.state in Message.ARRIVED:
        # What a person settled is recorded with that person (outbox.settle).
        if old_state in Message.ARRIVED or message.error_code == "settled_sent":
            return
        verb = Verb.SENT
    elif message.state in VERBS:
        verb = VERBS[message.state]
    else:
        return
    detail: dict[str, Any] = {"account": message.account_id}
    if message.error_code:
        detail["code"] = message.error_code
    activity.record(tenant_id=message.tenant_id, verb=verb, subject=message, detail=detail, now=now)


@receiver(contact_opted_out)
def on_contact_opted_out(*, contact: Contact, actor: Actor, now: datetime, **_: Any) -> None:
    activity.record(
        tenant_id=contact.tenant_id,
        verb=Verb.OPTED_OUT,
        actor=actor,
        subject=contact,
        detail={"reason": contact.opt_out_reason},
        now=now,
    )


@receiver(contact_opted_in)
def on_contact_opted_in(*, contact: Contact, actor: Actor, now: datetime, **_: Any) -> None:
    activity.record(
        tenant_id=contact.tenant_id, verb=Verb.OPTED_IN, actor=actor, subject=contact, now=now
    )
