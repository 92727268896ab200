"""The verdict notices every way in which a message can go wrong."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from campaigns.models import Delivery, Target
from demo import conversations, verdict
from tests.factories import NOW, make_campaign, make_referral, make_referrer, make_target
from whatsapp.models import Account, Attempt, Contact, Incoming, Message
from whatsapp.simulator.client import RecordedMessage

pytestmark = pytest.mark.django_db

SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def account() -> Account:
    referrer = make_referrer()
    make_campaign(referrer.tenant, days=2)
    account = referrer.account
    assert account is not None
    return account


@pytest.fixture
def target(account: Account) -> Target:
    """Somebody who got both messages."""
    referral = make_referral(account.referrer)
    done = make_target(referral, state="completed", steps_done=2, ended_at=NOW)
    for number in (1, 2):
        send(done, number)
    return done


def send(target: Target, number: int, *, at: dt.datetime = NOW, **values: Any) -> Message:
    contact, _ = Contact.objects.get_or_create(tenant=target.tenant, phone=target.phone)
    chat = f"{target.phone[1:]}@c.us"
    message = Message.objects.create(
        tenant=target.tenant,
        account=target.account,
        contact=contact,
        idempotency_key=f"target:{target.pk}:step:{number}",
        content_hash="-",
        body=f"message {number}",
        due_at=at,
        wa_id=f"true_{chat}_3EB0{target.pk:04d}{number}",
        **{"state": "sent", "sent_at": at, "sending_at": at, **values},
    )
    Delivery.objects.create(target=target, number=number, language="fr", message=message)
    Attempt.objects.create(
        message=message,
        account=target.account,
        number=1,
        fence=1,
        worker="w",
        wa_id=message.wa_id,
        usage_day=at.date(),
        intent_at=at,
    )
    return message


def arrived(sender: Account, **values: Any) -> list[RecordedMessage]:
    """What the simulator would have recorded of every message, once each."""
    return [
        RecordedMessage(
            **{
                "index": index,
                "id": verdict.stanza_id(message),
                "key": message.wa_id,
                "account": sender.phone[1:],
                "chat": "",
                "to": message.contact.phone[1:],
                "type": "chat",
                "body": message.body,
                "media": None,
                "location": None,
                "received": NOW.timestamp() + index,
                "acked": None,
                "delivered": None,
                "read": None,
                "deliveries": 1,
                "silent": False,
                "attempts": (),
                **values,
            }
        )
        for index, message in enumerate(Message.objects.order_by("id"))
    ]


def figures(found: verdict.Verdict) -> tuple[int, ...]:
    total = found.total
    return (
        total.expected,
        total.received,
        total.lost,
        total.twice,
        total.after_payment,
        total.over_limit,
    )


def test_everything_once_passes(account: Account, target: Target) -> None:
    found = verdict.judge(target.tenant, arrived(account))
    assert figures(found) == (2, 2, 0, 0, 0, 0)
    assert found.passed


def test_what_did_not_arrive_is_lost_whatever_we_believe(account: Account, target: Target) -> None:
    found = verdict.judge(target.tenant, arrived(account)[:1])
    assert figures(found) == (2, 1, 1, 0, 0, 0)
    assert not found.passed


def test_a_step_that_was_never_queued_is_lost(account: Account, target: Target) -> None:
    Message.objects.latest("id").delete()
    assert figures(verdict.judge(target.tenant, arrived(account))) == (2, 1, 1, 0, 0, 0)


def test_somebody_who_was_never_enrolled_has_lost_everything(
    account: Account, target: Target
) -> None:
    make_referral(account.referrer)
    assert figures(verdict.judge(target.tenant, arrived(account))) == (4, 2, 2, 0, 0, 0)


def test_shown_twice_under_one_id_is_twice(account: Account, target: Target) -> None:
    record = arrived(account, deliveries=2)
    assert figures(verdict.judge(target.tenant, record)) == (2, 2, 0, 2, 0, 0)


def test_the_same_words_under_two_ids_are_twice(account: Account, target: Target) -> None:
    record = arrived(account)
    again = arrived(account, id="3EB0ANOTHER")[:1]
    found = verdict.judge(target.tenant, record + again)
    assert figures(found) == (2, 3, 0, 1, 0, 0)


def test_a_message_from_an_unknown_number_fails(account: Account, target: Target) -> None:
    stranger = arrived(account, account="33639980999")[:1]
    assert not verdict.judge(target.tenant, arrived(account) + stranger).passed


def test_more_than_the_minute_allows_is_over_limit(account: Account, target: Target) -> None:
    Account.objects.filter(pk=account.pk).update(per_minute=1)
    found = verdict.judge(target.tenant, arrived(account))
    assert figures(found) == (2, 2, 0, 0, 0, 1)


def test_more_than_the_day_allows_is_over_limit(account: Account, target: Target) -> None:
    Account.objects.filter(pk=account.pk).update(daily_limit=1)
    assert verdict.judge(target.tenant, arrived(account)).total.over_limit == 1


@pytest.fixture
def payer(account: Account) -> Target:
    """Left after the first message."""
    referral = make_referral(account.referrer)
    left = make_target(referral, state="exited", exit_reason="paid", ended_at=NOW)
    send(left, 1, at=NOW - SECOND)
    return left


def test_a_payer_gets_what_was_begun_before(account: Account, payer: Target) -> None:
    found = verdict.judge(payer.tenant, arrived(account))
    assert figures(found) == (1, 1, 0, 0, 0, 0)
    assert found.passed


def test_what_was_cancelled_in_time_is_not_missed(account: Account, payer: Target) -> None:
    message = send(payer, 2, at=NOW - SECOND)
    Message.objects.filter(pk=message.pk).update(state="cancelled")
    record = [m for m in arrived(account) if m.body == "message 1"]
    assert figures(verdict.judge(payer.tenant, record)) == (1, 1, 0, 0, 0, 0)


def test_an_intent_after_the_exit_is_after_payment(account: Account, payer: Target) -> None:
    send(payer, 2, at=NOW + SECOND)
    found = verdict.judge(payer.tenant, arrived(account))
    assert found.total.after_payment == 1
    assert not found.passed


# ------------------------------------------------------------------- what belongs to no sequence


@pytest.fixture
def scene(account: Account, target: Target) -> conversations.Scene:
    """An answer of an agent, that arrived, to a question that was stored."""
    contact = Contact.objects.get(phone=target.phone)
    Incoming.objects.create(
        account=account, contact=contact, wa_id="false_q", chat_id="q", kind="chat",
        body="Question ?", sent_at=NOW, received_at=NOW,
    )  # fmt: skip
    Message.objects.create(
        tenant=account.tenant, account=account, contact=contact, idempotency_key="agent:1",
        content_hash="-", body="Answer", due_at=NOW, state="sent", sent_at=NOW, origin="agent",
        wa_id="true_q_3EB0ANSWER",
    )  # fmt: skip
    return conversations.Scene(
        "a question", account, heard=["Question ?"],
        expected=lambda: Message.objects.filter(origin="agent"),
    )  # fmt: skip


def test_a_scene_counts_apart_from_the_sequence(account: Account, scene) -> None:
    record = arrived(account)
    apart = conversations.ids_of([scene])

    found = verdict.judge(account.tenant, record, apart=apart)
    tally, wrong = conversations.judge(scene, record)

    assert figures(found) == (2, 2, 0, 0, 0, 0)
    assert (tally.expected, tally.received, tally.lost, tally.twice) == (1, 1, 0, 0)
    assert wrong == []


def test_an_answer_that_never_arrived_is_lost(account: Account, scene) -> None:
    record = [one for one in arrived(account) if one.body != "Answer"]

    tally, _wrong = conversations.judge(scene, record)

    assert (tally.received, tally.lost) == (0, 1)


def test_two_answers_to_one_question_are_twice(account: Account, scene) -> None:
    answer = Message.objects.get(origin="agent")
    answer.pk, answer.public_id = None, uuid.uuid4()
    answer.idempotency_key, answer.wa_id = "agent:2", "true_q_3EB0AGAIN"
    answer.save()

    tally, _wrong = conversations.judge(scene, arrived(account))

    assert tally.twice == 1


def test_a_question_that_was_not_stored_fails_the_scene(account: Account, scene) -> None:
    Incoming.objects.all().delete()

    _tally, wrong = conversations.judge(scene, arrived(account))

    assert wrong == ["a question: what was written is stored 0 times"]


def test_whoever_said_stop_and_is_still_followed_fails_the_scene(
    account: Account, target: Target, scene
) -> None:
    scene.ended = target

    _tally, (wrong,) = conversations.judge(scene, arrived(account))

    assert "still completed" in wrong
