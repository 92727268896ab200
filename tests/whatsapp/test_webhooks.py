"""Outgoing webhooks: a company's own system hears of everything, at least once and in order."""

import datetime as dt

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import Activity
from tests.whatsapp.conftest import happen
from whatsapp import contacts, messages, outbox, receipts
from whatsapp.driver.base import Ack, Receipt
from whatsapp.models import Contact, Incoming, WebhookDelivery, WebhookEndpoint, WebhookEvent
from whatsapp.webhooks import delivery, endpoints

pytestmark = pytest.mark.usefixtures("local_receivers")


def make_due(**more):
    """As if the wait after a failure were over."""
    WebhookDelivery.objects.filter(state="pending", **more).update(next_at=timezone.now())


# ------------------------------------------------------------------------------ what is told


def test_the_way_of_a_message_is_told_step_by_step(linked, worker, write, crm, receiver):
    message = write(linked, body="Bonjour Zoé")
    worker.drive(linked)
    message.refresh_from_db()
    for ack in (Ack.DELIVERED, Ack.READ, Ack.PLAYED):
        receipt = Receipt(seq=0, at=timezone.now(), wa_ids=(message.wa_id,), ack=ack)
        receipts.store_receipt(linked.pk, receipt)

    delivery.deliver(crm.pk)

    told = [call.said for call in receiver.calls if call.said["type"].startswith("message.")]
    assert [one["type"] for one in told] == [
        "message.sent", "message.delivered", "message.read", "message.played",
    ]  # fmt: skip
    assert {one["data"]["message"] for one in told} == {str(message.public_id)}
    assert told[-1]["data"]["readAt"] is not None
    assert told[-1]["tenant"] == "acme"


def test_cancelled_messages_a_stop_and_the_account_are_told(linked, write, crm, receiver):
    message = write(linked)
    contacts.opt_out(message.contact, reason="said stop", now=timezone.now())

    delivery.deliver(crm.pk)

    assert {"message.cancelled", "contact.opted_out"} <= set(receiver.types)


def test_a_message_cancelled_by_hand_is_told(linked, write, crm, receiver):
    message = write(linked)
    messages.cancel([message.pk], now=timezone.now())

    delivery.deliver(crm.pk)

    assert "message.cancelled" in receiver.types


def test_what_somebody_writes_is_told_once(linked, world, worker, crm, receiver):
    world.inbound(linked.phone, "+33639980100", "Bonjour")
    worker.drive(linked)
    worker.settle()

    delivery.deliver(crm.pk)

    (said,) = [call.said for call in receiver.calls if call.said["type"] == "incoming.received"]
    incoming = Incoming.objects.get()
    assert said["data"]["incoming"] == incoming.pk
    assert said["data"]["contact"] == incoming.contact_id
    assert "Bonjour" not in str(said)


def test_nobody_is_told_what_was_rolled_back(tenant, crm, receiver):
    with transaction.atomic():
        happen(tenant)
        transaction.set_rollback(True)

    assert delivery.deliver(crm.pk) == 0
    assert receiver.calls == []


def test_nothing_is_written_that_nobody_wants(tenant, crm):
    WebhookEndpoint.objects.update(events=["message.read"])

    assert happen(tenant, event="message.sent") == 0
    assert not WebhookEvent.objects.exists()


def test_texts_are_told_only_to_whom_they_are_meant(linked, write, crm, receiver):
    message = write(linked, body="Bonjour Zoé")
    outbox.fail_queued(message, code="bad", error="bad", now=timezone.now())
    message = write(linked, body="Bonsoir Zoé")
    WebhookEndpoint.objects.update(include_text=True)
    outbox.fail_queued(message, code="bad", error="bad", now=timezone.now())
    WebhookEndpoint.objects.update(include_text=False)
    delivery.deliver(crm.pk)
    assert "Zoé" not in b"".join(call.body for call in receiver.calls).decode()

    WebhookEndpoint.objects.update(include_text=True)
    crm.refresh_from_db()
    endpoints.replay(crm, delivery_ids=[d.pk for d in crm.deliveries.all()], now=timezone.now())
    delivery.deliver(crm.pk)

    assert receiver.calls[-1].said["data"]["text"] == "Bonsoir Zoé"


def test_what_was_told_about_a_person_goes_with_them(linked, write, crm):
    message = write(linked)
    outbox.fail_queued(message, code="bad", error="bad", now=timezone.now())
    assert WebhookEvent.objects.filter(contact=message.contact).exists()

    Contact.objects.filter(pk=message.contact_id).delete()

    assert not WebhookEvent.objects.filter(object_id=message.public_id).exists()


# -------------------------------------------------------------------------------- signatures


def test_a_receiver_can_tell_that_a_call_is_ours(tenant, crm, receiver):
    happen(tenant)
    delivery.deliver(crm.pk)

    (call,) = receiver.calls
    assert call.is_signed_with(crm.secret)
    assert not call.is_signed_with("whsec_c29tZWJvZHkgZWxzZQ==")
    assert call.headers["webhook-id"] == call.said["id"]


def test_while_a_secret_is_rotated_both_fit_and_afterwards_one(tenant, crm, receiver):
    new = endpoints.rotate(crm, now=timezone.now())
    happen(tenant)
    delivery.deliver(crm.pk)
    WebhookEndpoint.objects.update(former_secret_until=timezone.now() - dt.timedelta(seconds=1))
    happen(tenant, thing="2")
    delivery.deliver(crm.pk)

    during, after = receiver.calls
    assert [during.is_signed_with(secret) for secret in (crm.secret, new)] == [True, True]
    assert [after.is_signed_with(secret) for secret in (crm.secret, new)] == [False, True]


# --------------------------------------------------------------------- at least once, in order


def test_events_of_one_object_wait_for_the_first_of_them(tenant, crm, receiver):
    for n in range(3):
        happen(tenant, thing="one", n=n)
    happen(tenant, thing="other", n=9)
    receiver.answer = lambda call: 500 if call.said["data"]["n"] == 0 else 200

    delivery.deliver(crm.pk)
    assert [call.said["data"]["n"] for call in receiver.calls] == [0, 9]

    receiver.answer = lambda call: 200
    make_due()
    delivery.deliver(crm.pk)
    assert [call.said["data"]["n"] for call in receiver.calls] == [0, 9, 0, 1, 2]


def test_after_a_dead_letter_the_later_ones_go_on(tenant, crm, receiver):
    happen(tenant, n=0)
    happen(tenant, n=1)
    WebhookDelivery.objects.filter(event__data__n=0).update(give_up_at=timezone.now())
    receiver.answer = lambda call: 500 if call.said["data"]["n"] == 0 else 200

    delivery.deliver(crm.pk)

    assert [call.said["data"]["n"] for call in receiver.calls] == [0, 1]
    assert crm.deliveries.get(state="dead").error == "the server answered 500"


def test_a_call_whose_maker_was_killed_is_made_again(tenant, crm, receiver):
    happen(tenant)
    claimed = delivery.claim(crm)
    delivery.call(crm, claimed)  # and killed before it could write that down

    assert delivery.claim(crm) is None  # nobody makes it while it may still be running
    WebhookDelivery.objects.update(claimed_until=timezone.now())
    delivery.deliver(crm.pk)

    first, again = receiver.calls
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert crm.deliveries.get().state == "delivered"


def test_an_endpoint_is_called_by_one_at_a_time(tenant, crm, receiver):
    happen(tenant)
    happen(tenant, thing="2")
    delivery.claim(crm)

    assert delivery.deliver(crm.pk) == 0
    assert receiver.calls == []


def test_a_doorbell_for_an_endpoint_that_is_gone_is_answered_with_nothing(crm):
    endpoints.delete(crm, now=timezone.now())

    assert delivery.deliver(crm.pk or 0) == 0


def test_a_failing_endpoint_is_tried_with_one_call_at_a_time(tenant, crm, receiver):
    for n in range(5):
        happen(tenant, thing=str(n))
    receiver.answer = lambda call: 503

    delivery.deliver(crm.pk)
    assert len(receiver.calls) == delivery.FAILURES_IN_A_ROW
    make_due()
    delivery.deliver(crm.pk)
    assert len(receiver.calls) == delivery.FAILURES_IN_A_ROW + 1


def test_a_maker_who_comes_back_late_changes_nothing(tenant, crm, receiver):
    happen(tenant)
    late = delivery.claim(crm)
    WebhookDelivery.objects.update(claimed_until=timezone.now())
    delivery.deliver(crm.pk)

    delivery._end(crm, late, delivery.Outcome(None, "too_slow", 10_000))

    assert crm.deliveries.get().state == "delivered"


@pytest.mark.parametrize("failures", range(1, 9))
def test_a_failing_endpoint_is_called_less_and_less_often(tenant, crm, receiver, failures):
    receiver.answer = lambda call: 503
    happen(tenant)
    WebhookDelivery.objects.update(attempts=failures - 1)
    before = timezone.now()

    delivery.deliver(crm.pk)

    (waiting,) = crm.deliveries.all()
    least = delivery.BACKOFF[failures - 1]
    assert least <= waiting.next_at - before <= least * 1.2 + dt.timedelta(seconds=10)
    assert waiting.state == "pending"


def test_an_endpoint_that_fails_for_days_is_switched_off_and_hears_all_once_it_is_back(
    tenant, crm, receiver
):
    receiver.answer = lambda call: 503
    happen(tenant)
    WebhookEndpoint.objects.update(failing_since=timezone.now() - dt.timedelta(days=4))
    delivery.deliver(crm.pk)
    crm.refresh_from_db()
    assert not crm.active
    assert Activity.objects.filter(verb="webhook_switched_off", subject_id=crm.pk).exists()
    assert delivery.due() == []

    receiver.answer = lambda call: 200
    make_due()
    endpoints.change(
        crm, url=crm.url, events=crm.events, include_text=False, active=True, now=timezone.now()
    )
    delivery.deliver(crm.pk)

    assert crm.deliveries.get().state == "delivered"


def test_dead_letters_are_sent_again_on_request(tenant, crm, receiver):
    receiver.answer = lambda call: 500
    happen(tenant)
    WebhookDelivery.objects.update(give_up_at=timezone.now())
    delivery.deliver(crm.pk)
    assert crm.deliveries.get().state == "dead"

    receiver.answer = lambda call: 204
    assert endpoints.replay(crm, now=timezone.now()) == 1
    delivery.deliver(crm.pk)

    assert crm.deliveries.get().state == "delivered"
    assert receiver.calls[0].headers["webhook-id"] == receiver.calls[1].headers["webhook-id"]


def test_a_test_event_goes_to_one_endpoint_whatever_it_wants(crm, receiver):
    WebhookEndpoint.objects.update(events=["message.read"])

    endpoints.test(crm, now=timezone.now())
    delivery.deliver(crm.pk)

    assert receiver.types == ["webhook.test"]
