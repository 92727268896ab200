"""Messages that go where a test sends them, without a worker."""

from __future__ import annotations

import pytest

from accounts import deadlocks
from campaigns import explaining, planning
from campaigns.models import Target
from tests.factories import (
    NOW,
    make_account,
    make_broadcast,
    make_campaign,
    make_referral,
    make_referrer,
    make_target,
    make_tenant,
)
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


def load(target):
    return Target.objects.select_related(*explaining.RELATED).get(pk=target.pk)


def due(referrer, **fields):
    wanted = {k: fields.pop(k) for k in ("name", "language", "external_id") if k in fields}
    return make_target(make_referral(referrer, **wanted), **fields)


def many_due(referrer, number, **fields):
    return [due(referrer, **fields) for _ in range(number)]


@pytest.fixture
def tenant(db):
    return make_tenant()


@pytest.fixture
def account(tenant):
    return make_account(tenant)


@pytest.fixture
def campaign(tenant):
    return make_campaign(tenant, days=3)


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


@pytest.fixture
def broadcast(account):
    """To everybody of the company, from its one account."""
    return make_broadcast(accounts=[account])


@pytest.fixture
def deadlocks_are_errors(monkeypatch):
    """Nothing is tried again: a deadlock that PostgreSQL has to break fails the test."""
    monkeypatch.setattr(deadlocks, "ATTEMPTS", 1)
