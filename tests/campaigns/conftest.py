"""Messages that go where a test sends them, without a worker."""

from __future__ import annotations

import pytest

from campaigns import planning
from tests.factories import NOW, make_campaign, make_referral, make_referrer, make_target
from whatsapp import outbox
from whatsapp.models import Message

WAYS = {
    "sent": ["queued", "sending"],
    "delivered": ["sending", "sent", "uncertain"],
    "failed": ["queued", "sending", "uncertain"],
    "uncertain": ["sending"],
    "queued": ["sending", "uncertain"],
    "cancelled": ["queued"],
}


def to_sending(message: Message, *, now=NOW) -> Message:
    """As an intent leaves it; the intent itself signals nothing."""
    changed = Message.objects.filter(pk=message.pk, state="queued").update(
        state="sending", wa_id=f"wa-{message.pk}", fence=1, not_after=now, sending_at=now
    )
    assert changed == 1
    message.refresh_from_db()
    return message


def move(message: Message, to: str, *, now=NOW, **fields) -> bool:
    """Change a message as the outbox does, signal included."""
    if to in {"sent", "delivered"}:
        fields.setdefault("sent_at", now)
    return outbox.move(message, to=to, when=WAYS[to], now=now, **fields)


@pytest.fixture
def campaign(db):
    return make_campaign(days=3)


@pytest.fixture
def referrer(campaign):
    return make_referrer(campaign.tenant)


@pytest.fixture
def target(referrer):
    return make_target(make_referral(referrer, external_id="ref-1"))


@pytest.fixture
def message(target):
    """The queued message of the target's first step."""
    planning.plan(now=NOW)
    return Message.objects.get()
