"""How far our messages came: states never go back, and in a group each member has their own."""

import datetime as dt
import itertools

import pytest
from django.utils import timezone

from whatsapp import receipts
from whatsapp.driver.base import Ack, Receipt
from whatsapp.models import Contact, Group, Message, MessageReceipt

NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
ZOE, MAX = "33639980100@c.us", "777@lid"


@pytest.fixture
def sent(linked, worker, write):
    """A message that the server has."""
    message = write(linked)
    worker.drive(linked)
    message.refresh_from_db()
    return message


@pytest.fixture
def post(account):
    """A post in a group, as it stands once it was sent."""
    group = Group.objects.create(
        tenant=account.tenant, account=account, chat_id="12@g.us", subject="Parents",
        discovered_at=NOON, refreshed_at=NOON,
    )  # fmt: skip
    return Message.objects.create(
        tenant=account.tenant, account=account, group=group, idempotency_key="post",
        content_hash="h", body="Bonjour", due_at=NOON, state="sent", sent_at=NOON, ack=1,
        wa_id="true_12@g.us_ABC_1@lid",
    )  # fmt: skip


def receive(message, *acks, participant="", phone="", minute=0):
    key = f"true_12@g.us_ABC_{participant}" if participant else message.wa_id
    for ack in acks:
        receipts.store_receipt(
            message.account_id,
            Receipt(
                seq=0, at=NOON + dt.timedelta(minutes=minute), wa_ids=(key,), ack=ack,
                participant=participant, participant_phone=phone,
            ),
        )  # fmt: skip
    message.refresh_from_db()


@pytest.mark.parametrize(
    "order", list(itertools.permutations([Ack.DELIVERED, Ack.READ, Ack.PLAYED])), ids=str
)
def test_receipts_may_come_in_any_order_and_nothing_goes_back(sent, order):
    for ack in order:
        before = (sent.ack, sent.state)
        receive(sent, ack)
        assert sent.ack >= before[0]

    assert (sent.state, sent.ack) == ("read", Ack.PLAYED)
    assert None not in (sent.delivered_at, sent.read_at, sent.played_at)


def test_the_first_time_it_was_played_stays(sent):
    receive(sent, Ack.PLAYED)
    receive(sent, Ack.PLAYED, minute=5)

    assert sent.played_at == NOON


def test_each_member_of_a_group_has_times_of_their_own(post):
    zoe = Contact.objects.create(tenant=post.tenant, phone="+33639980100")
    receive(post, Ack.DELIVERED, participant=ZOE, phone="+33639980100", minute=1)
    receive(post, Ack.READ, participant=ZOE, phone="+33639980100", minute=2)
    receive(post, Ack.DELIVERED, participant=MAX, minute=3)

    of_zoe = MessageReceipt.objects.get(participant=ZOE)
    of_max = MessageReceipt.objects.get(participant=MAX)
    assert (of_zoe.contact, of_zoe.read_at) == (zoe, NOON + dt.timedelta(minutes=2))
    assert (of_max.contact, of_max.read_at) == (None, None)
    assert post.state == "read"


def test_a_member_known_by_lid_alone_is_found(post):
    max_ = Contact.objects.create(tenant=post.tenant, lid=MAX)

    receive(post, Ack.READ, participant=MAX)

    assert MessageReceipt.objects.get().contact == max_


def test_a_late_receipt_of_a_member_takes_nothing_back(post):
    receive(post, Ack.READ, participant=ZOE, minute=1)
    receive(post, Ack.DELIVERED, participant=ZOE, minute=9)

    (one,) = MessageReceipt.objects.all()
    assert (one.delivered_at, one.read_at) == (NOON + dt.timedelta(minutes=1),) * 2
    assert post.state == "read"


def test_a_receipt_of_another_message_changes_nothing(sent):
    receipts.store_receipt(
        sent.account_id,
        Receipt(seq=0, at=timezone.now(), wa_ids=("true_x@c.us_OTHER",), ack=Ack.READ),
    )
    sent.refresh_from_db()

    assert sent.read_at is None
