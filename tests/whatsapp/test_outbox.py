"""What is queued is queued once, and changes state only along its way."""

from datetime import timedelta
from operator import attrgetter

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import make_media
from tests.whatsapp.conftest import refused
from whatsapp import contacts, due, outbox, pace
from whatsapp.models import Attempt, Contact, Message
from whatsapp.signals import message_changed

State = Message.State


def test_the_same_key_and_content_queue_one_message(account, write):
    first = write(account, key="order-1")
    second = write(account, key="order-1")
    assert first == second
    assert Message.objects.count() == 1


def test_the_same_key_with_another_content_is_an_error(account, write):
    write(account, key="order-1", body="Bonjour")
    with pytest.raises(outbox.IdempotencyConflict, match="order-1"):
        write(account, key="order-1", body="Bonsoir")
    assert Message.objects.get().body == "Bonjour"


def test_a_batch_passes_over_keys_that_exist_whatever_their_content(account, write, tenant):
    message = write(account, key="t:1", body="before the template was edited")
    now = timezone.now()
    drafts = [
        outbox.Draft(
            tenant_id=tenant.pk,
            account_id=account.pk,
            contact_id=message.contact_id,
            idempotency_key=key,
            body="after",
            due_at=now,
        )
        for key in ("t:1", "t:2")
    ]
    made = outbox.queue_batch(drafts, now=now)
    assert set(made) == {"t:2"}
    assert Message.objects.get(idempotency_key="t:1").body == "before the template was edited"


def test_the_most_urgent_due_message_goes_first(account, write):
    now = timezone.now()
    write(account, body="later", due_at=now + timedelta(hours=1), priority=-5)
    write(account, body="second", due_at=now - timedelta(minutes=1))
    write(account, body="first", due_at=now, priority=-1)
    message = due.next_due(account.pk)
    assert message is not None
    assert message.body == "first"


def test_what_goes_first_is_read_whole_with_all_that_belongs_to_it(account, write, tenant):
    media = make_media(tenant)
    write(account, kind="media", media=media, content={"title": "Prix", "n": [1, {"deep": None}]})
    message = due.next_due(account.pk)
    assert message is not None
    plain = Message.objects.get(pk=message.pk)

    assert message.group is None
    for path in ("", "contact", "media", "account", "account.tenant"):
        mine, other = (attrgetter(path)(row) if path else row for row in (message, plain))
        assert type(mine) is type(other)
        for field in other._meta.concrete_fields:
            assert getattr(mine, field.attname) == getattr(other, field.attname), field
    with CaptureQueriesContext(connection) as queries:
        assert (message.contact.phone, message.account.tenant.slug) != ("", "")
        assert pace.hold(message, message.account, now=timezone.now()) is None
    assert len(queries) == 0  # all of it was there


def test_cancelling_takes_only_what_is_still_queued(account, write):
    queued, gone = write(account), write(account)
    Message.objects.filter(pk=gone.pk).update(state=State.SENT, sent_at=timezone.now())
    cancelled = outbox.cancel([queued.pk, gone.pk], reason="paid", now=timezone.now())
    assert cancelled == [queued.pk]
    gone.refresh_from_db()
    assert gone.state == State.SENT


def test_a_change_from_another_state_than_expected_does_nothing(account, write):
    message = write(account)
    heard = []
    listener = lambda **said: heard.append(said["message"].state)  # noqa: E731
    message_changed.connect(listener, weak=False, dispatch_uid="test")
    try:
        moved = outbox.move(message, to=State.FAILED, when=[State.SENDING], now=timezone.now())
    finally:
        message_changed.disconnect(dispatch_uid="test")
    assert not moved
    assert heard == []
    message.refresh_from_db()
    assert message.state == State.QUEUED


def test_whoever_says_stop_gets_nothing_more_from_the_tenant(account, write):
    message = write(account, "+33639980101")
    other = write(account, "+33639980102")
    contacts.opt_out(message.contact, reason="said stop", now=timezone.now())
    message.refresh_from_db()
    other.refresh_from_db()
    assert message.state == State.CANCELLED
    assert message.error_code == "opted_out"
    assert other.state == State.QUEUED


def test_contacts_are_made_once_per_phone(tenant):
    first = contacts.ensure(tenant_id=tenant.pk, people={"+33639980101": "Ana"})
    again = contacts.ensure(
        tenant_id=tenant.pk, people={"+33639980101": "Anna", "+33639980102": "Luc"}
    )
    assert again["+33639980101"] == first["+33639980101"]
    assert Contact.objects.get(phone="+33639980101").name == "Ana"


# ------------------------------------------------------------------------- in the database


def test_the_database_refuses_an_unknown_state(account, write):
    message = write(account)
    with refused("message_state_is_legal"), transaction.atomic():
        Message.objects.filter(pk=message.pk).update(state="flying")


def test_the_database_refuses_sending_without_an_intent(account, write):
    message = write(account)
    with refused("message_sending_has_intent"), transaction.atomic():
        Message.objects.filter(pk=message.pk).update(state="sending")


def test_the_database_refuses_sent_without_a_time(account, write):
    message = write(account)
    with refused("message_sent_has_time"), transaction.atomic():
        Message.objects.filter(pk=message.pk).update(state="delivered")


def test_the_database_refuses_a_key_used_twice(account, write):
    first, second = write(account, key="a"), write(account, key="b")
    with refused("message_idempotency_key"), transaction.atomic():
        Message.objects.filter(pk=second.pk).update(idempotency_key=first.idempotency_key)


def test_the_database_refuses_one_whatsapp_id_for_two_messages(account, write):
    first, second = write(account), write(account)
    Message.objects.filter(pk=first.pk).update(wa_id="true_x_1")
    with refused("message_wa_id_once"), transaction.atomic():
        Message.objects.filter(pk=second.pk).update(wa_id="true_x_1")


def test_the_database_refuses_media_without_a_file(account, write):
    message = write(account)
    with refused("message_media_has_file"), transaction.atomic():
        Message.objects.filter(pk=message.pk).update(kind="media")


def test_the_database_refuses_a_contact_whose_phone_is_not_e164(tenant):
    with refused("contact_phone_is_e164"), transaction.atomic():
        Contact.objects.create(tenant=tenant, phone="0639980101")


def test_the_database_refuses_two_attempts_of_one_number(account, write):
    message = write(account)
    values = {
        "message": message,
        "account": account,
        "number": 1,
        "fence": 1,
        "worker": "w",
        "wa_id": "x",
        "usage_day": timezone.now().date(),
        "intent_at": timezone.now(),
    }
    Attempt.objects.create(**values)
    with refused("attempt_number_once"), transaction.atomic():
        Attempt.objects.create(**values)
