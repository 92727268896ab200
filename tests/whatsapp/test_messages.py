"""Sending directly, trying a failed message again, cancelling one in time."""

import datetime as dt

import pytest
from django.utils import timezone

from accounts.activity import Actor
from accounts.models import Activity
from whatsapp import contacts, due, explaining, limits, messages, outbox, retention
from whatsapp.contents import TextContent
from whatsapp.models import Account, Contact, Message

MAX = Actor("user", "max")
PHONE = "+33639980100"


def send(account, **fields):
    return messages.send_direct(
        **{
            "account": account,
            "to": PHONE,
            "content": TextContent("Bonjour"),
            "idempotency_key": "order-1",
            "actor": MAX,
            "now": timezone.now(),
            **fields,
        }
    )


def test_a_direct_message_goes_before_what_sequences_have_queued(linked, write):
    write(linked, body="of a sequence")

    message = send(linked, to="06 39 98 01 00")

    assert due.next_due(linked.pk) == message
    assert (message.contact.phone, message.state) == (PHONE, "queued")
    (line,) = Activity.objects.filter(verb="message_queued")
    assert (line.actor_name, line.subject_id) == ("max", message.pk)


def test_the_same_call_again_returns_the_message_and_is_recorded_once(linked):
    assert send(linked) == send(linked)
    assert Activity.objects.filter(verb="message_queued").count() == 1
    with pytest.raises(outbox.IdempotencyConflict):
        send(linked, content=TextContent("Bonsoir"))


def test_a_call_whose_answer_was_lost_gets_the_message_whatever_happened_since(linked):
    message = send(linked)
    contacts.opt_out(message.contact, reason="said stop", now=timezone.now())
    Account.objects.update(status="disconnected")
    linked.refresh_from_db()

    assert send(linked) == message

    with pytest.raises(outbox.IdempotencyConflict):
        send(linked, to="+33639980101")
    assert Message.objects.count() == Contact.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"idempotency_key": "target:1:step:1"}, "idempotencyKey", "reserved"),
        ({"to": "nobody"}, "to", "unreadable"),
        ({"to": "+33639"}, "to", "too_short"),
        ({"to": "+33639980001"}, "to", "own_number"),
        ({"quoted_wa_id": "true_33639980100@c.us_3EB0"}, "quotedMessageId", "unknown"),
        ({"due_at": timezone.now() - dt.timedelta(hours=1)}, "scheduledAt", "past"),
        ({"due_at": timezone.now() + dt.timedelta(days=400)}, "scheduledAt", "too_far"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_field(linked, fields, field, code):
    with pytest.raises(messages.CannotSend) as refused:
        send(linked, **fields)

    assert (refused.value.field, refused.value.code) == (field, code)
    assert not Message.objects.exists()
    assert not Contact.objects.exists()


def test_nobody_who_said_stop_is_written_to(linked):
    ids = contacts.ensure(tenant_id=linked.tenant_id, people={PHONE: "Zoé"})
    contacts.opt_out(Contact.objects.get(pk=ids[PHONE]), reason="stop", now=timezone.now())

    with pytest.raises(messages.CannotSend, match="asked for no more"):
        send(linked)

    assert not Message.objects.exists()


def test_an_account_that_is_not_linked_takes_no_message(account):
    with pytest.raises(messages.CannotSend, match="connect it first"):
        send(account)


def test_a_failed_message_is_sent_again_with_the_id_it_had(linked, world, worker, write):
    world.fail("nack", code=401)
    message = write(linked, phone=PHONE)
    worker.drive(linked)
    message.refresh_from_db()
    assert message.state == "failed"
    wa_id = message.wa_id

    assert messages.retry(message, actor=MAX, now=timezone.now())
    worker.drive(linked)

    message.refresh_from_db()
    assert (message.state, message.wa_id) == ("sent", wa_id)
    assert message.attempts.count() == message.attempts_made == 2
    assert len(world.record) == 1
    assert Activity.objects.filter(verb="retried", actor_name="max").count() == 1


@pytest.mark.parametrize("state", ["queued", "sent", "uncertain", "cancelled"])
def test_only_a_failed_message_is_tried_again(linked, write, state):
    message = write(linked)
    Message.objects.update(state=state, sent_at=timezone.now())

    assert not messages.retry(message, now=timezone.now())

    message.refresh_from_db()
    assert message.state == state
    assert not Activity.objects.filter(verb="retried").exists()


def test_a_message_whose_text_is_forgotten_is_not_tried_again_without_it(linked, write, settings):
    settings.MESSAGE_DAYS = 30
    now = timezone.now()
    message = write(linked)
    Message.objects.update(state="failed", ended_at=now, created_at=now - dt.timedelta(days=31))
    message.refresh_from_db()

    assert not messages.retry(message, now=now)  # also before the job has run: it may run any time
    assert retention.forget_texts(now=now) == 1
    assert not messages.retry(message, now=now)

    message.refresh_from_db()
    assert (message.state, message.body) == ("failed", "")


def test_only_what_is_still_queued_is_cancelled(linked, write):
    queued, sent = write(linked), write(linked)
    Message.objects.filter(pk=sent.pk).update(state="sent", sent_at=timezone.now())

    assert messages.cancel([queued.pk, sent.pk], actor=MAX, now=timezone.now()) == [queued.pk]

    queued.refresh_from_db()
    assert (queued.state, queued.error_code) == ("cancelled", "cancelled")
    assert "somebody cancelled it" in explaining.why(queued, now=timezone.now())
    (line,) = Activity.objects.filter(verb="cancelled")
    assert (line.actor_name, line.subject_id) == ("max", queued.pk)


# ---------------------------------------------------------------------------- holding back


def test_what_is_held_back_is_not_sent_until_it_is_let_go(linked, world, worker, write):
    message = write(linked)
    assert outbox.hold_back([message.pk]) == [message.pk]
    worker.drive(linked)
    message.refresh_from_db()
    assert message.state == "queued"

    assert outbox.let_go([message.pk], now=timezone.now()) == [message.pk]
    worker.drive(linked)

    message.refresh_from_db()
    assert message.state in Message.ARRIVED


def test_what_is_held_back_after_a_worker_has_read_it_is_not_sent(
    linked, world, worker, write, monkeypatch
):
    message = write(linked)
    reserve = limits.reserve

    def hold_back_meanwhile(account):
        place = reserve(account)
        outbox.hold_back([message.pk])
        return place

    monkeypatch.setattr(limits, "reserve", hold_back_meanwhile)
    worker.drive(linked)

    message.refresh_from_db()
    assert (message.state, message.due_at, message.attempts_made) == ("queued", outbox.NEVER, 0)
    assert world.record == []
