"""What tests of broadcasts do again and again."""

from __future__ import annotations

from campaigns.broadcasts import queueing, running
from tests.campaigns.conftest import to_sending
from tests.factories import NOW, make_contact
from whatsapp import outbox
from whatsapp.models import Message


def people(tenant, count, **fields):
    return [make_contact(tenant, **fields) for _ in range(count)]


def begin(broadcast, *, now=NOW):
    running.start(broadcast, now=now)
    return queueing.plan(now=now)


def states(broadcast):
    return list(broadcast.recipients.order_by("pk").values_list("state", flat=True))


def message_of(contact):
    return Message.objects.get(contact=contact)


def arrive(contact, *ways, now=NOW):
    """As far as `ways` say: sent, then delivered, read."""
    message = to_sending(message_of(contact), now=now)
    times = {"delivered": {"delivered_at": now}, "read": {"read_at": now}}
    for way in ways:
        message.refresh_from_db()
        assert outbox.move(
            message, to=way, when=[message.state], now=now,
            **({"sent_at": now} if way == "sent" else times.get(way, {})),
        )  # fmt: skip
    return message
