"""What comes in is stored once, and a wish to stop is heard."""

import pytest
from django.db import IntegrityError, OperationalError, transaction
from django.utils import timezone

from accounts.models import Activity
from whatsapp import inbox, upkeep
from whatsapp.driver import translate
from whatsapp.driver.base import Retryable
from whatsapp.driver.memory import MemoryDriver
from whatsapp.models import Contact, Incoming
from whatsapp.signals import incoming_stored

ACCOUNT, ANA = "+33639980001", "+33639980100"


def test_an_incoming_message_is_stored_with_who_wrote_it(linked, world, worker):
    world.inbound(ACCOUNT, ANA, "C'est combien ?", name="Ana")
    worker.settle()
    stored = Incoming.objects.get()
    assert (stored.phone, stored.body, stored.name) == (ANA, "C'est combien ?", "Ana")
    assert stored.contact.phone == ANA
    assert stored.contact.lid == stored.lid


def test_messages_that_came_while_nobody_listened_are_caught_up_once(
    linked, world, worker, start_worker
):
    worker.stop()
    world.inbound(ACCOUNT, ANA, "Allô ?")
    after = start_worker()
    after.drive(linked)
    after.pool.get(linked.pk).caught_up = False
    after.drive(linked)
    assert Incoming.objects.get().body == "Allô ?"


def test_receipts_that_came_while_nobody_listened_are_caught_up(
    linked, world, worker, start_worker, write
):
    message, other = write(linked, ANA), write(linked, "+33639980101")
    worker.drive(linked)
    worker.stop()
    message.refresh_from_db()
    world.receipt(message.wa_id, 3)
    start_worker().drive(linked)
    message.refresh_from_db()
    other.refresh_from_db()
    assert (message.state, other.state) == ("read", "sent")
    assert message.delivered_at == message.read_at


def test_a_message_that_cannot_be_looked_up_keeps_no_other_from_its_receipts(
    linked, world, worker, start_worker, write, monkeypatch
):
    bad, other = write(linked, ANA), write(linked, "+33639980101")
    worker.drive(linked)
    worker.stop()
    for message in (bad, other):
        message.refresh_from_db()
        world.receipt(message.wa_id, 3)
    lookup = MemoryDriver.lookup

    def fail(driver, wa_id, *, deadline):
        if wa_id == bad.wa_id:
            raise Retryable("lookup_failed")
        return lookup(driver, wa_id, deadline=deadline)

    monkeypatch.setattr(MemoryDriver, "lookup", fail)
    late = write(linked, "+33639980102")
    start_worker().drive(linked)
    for message in (bad, other, late):
        message.refresh_from_db()
    assert (bad.state, other.state, late.state) == ("sent", "read", "sent")


@pytest.mark.parametrize("odd", ["\0", "\ud83d"], ids=["NUL", "half a character"])
def test_what_no_database_takes_holds_nothing_up(linked, world, worker, start_worker, write, odd):
    """A stranger chooses their own name: it must stop neither their "stop" nor an account."""
    message, other = write(linked, ANA), write(linked, "+33639980101")
    worker.stop()
    world.inbound(ACCOUNT, ANA, f"Stop{odd}", name=f"An{odd}a")

    start_worker().drive(linked)

    message.refresh_from_db()
    other.refresh_from_db()
    assert (message.state, other.state) == ("cancelled", "sent")
    assert Incoming.objects.get().name.startswith("An")


def test_somebody_known_by_lid_only_is_matched_to_the_contact_that_has_it(linked, world, worker):
    world.inbound(ACCOUNT, ANA, "Bonjour")
    worker.settle()
    world.inbound(ACCOUNT, ANA, "STOP", lid_only=True)
    worker.settle()
    assert Contact.objects.get(phone=ANA).opted_out_at is not None


def test_the_database_refuses_one_incoming_message_twice(linked):
    values = {
        "account": linked,
        "wa_id": "false_x_1",
        "chat_id": "x",
        "kind": "chat",
        "sent_at": timezone.now(),
        "received_at": timezone.now(),
    }
    Incoming.objects.create(**values)
    with pytest.raises(IntegrityError, match="incoming_once"), transaction.atomic():
        Incoming.objects.create(**values)


def test_a_sender_without_a_proper_phone_is_stored_without_a_contact(linked, world, worker):
    world.inbound(ACCOUNT, "+0", "from WhatsApp itself")
    world.inbound(ACCOUNT, ANA, "Bonjour")
    worker.settle()
    assert set(Incoming.objects.values_list("body", flat=True)) == {
        "from WhatsApp itself",
        "Bonjour",
    }


def test_an_event_waits_for_the_database_and_is_stored_then(linked, worker, world, monkeypatch):
    monkeypatch.setattr(upkeep, "RETRY_SECONDS", 0.01)
    failures = iter([OperationalError("away"), OperationalError("away")])
    stored = []

    def store(session, event):
        if failure := next(failures, None):
            raise failure
        stored.append(event)

    worker.pool._upkeep._on_event = store
    worker.pool._upkeep.store(worker.pool.get(linked.pk), "event")
    assert stored == ["event"]


def test_catching_up_goes_on_where_the_database_failed(
    linked, world, worker, start_worker, monkeypatch
):
    worker.stop()
    for body in ("one", "two"):
        world.inbound(ACCOUNT, ANA, body)
    after = start_worker()
    store = inbox.store_incoming
    monkeypatch.setattr(
        inbox, "store_incoming", lambda *_, **__: (_ for _ in ()).throw(OperationalError("away"))
    )
    with pytest.raises(OperationalError):
        after.drive(linked)
    monkeypatch.setattr(inbox, "store_incoming", store)
    after.drive(linked)
    assert set(Incoming.objects.values_list("body", flat=True)) == {"one", "two"}


# ----------------------------------------------------------- messages that cannot be stored


@pytest.fixture
def poison():
    """Whoever is told of a message that says so raises: nothing of it can be stored."""

    def choke(incoming, **_):
        if incoming.body == "poison":
            raise ValueError(f"poison from {ANA}")

    incoming_stored.connect(choke)
    yield "poison"
    incoming_stored.disconnect(choke)


def not_stored():
    return list(
        Activity.objects.filter(verb="incoming_not_stored").values_list("subject_id", "detail")
    )


def test_a_message_that_cannot_be_stored_holds_up_neither_others_nor_sending(
    linked, world, worker, start_worker, write, poison, caplog
):
    message = write(linked, "+33639980101")
    worker.stop()
    for body in ("one", poison, "two"):
        world.inbound(ACCOUNT, ANA, body)

    start_worker().drive(linked)

    message.refresh_from_db()
    assert set(Incoming.objects.values_list("body", flat=True)) == {"one", "two"}
    assert message.state == "sent"
    assert not_stored() == [(linked.pk, {"error": "ValueError"})]
    assert "incoming message not stored" in caplog.text
    assert "poison" not in caplog.text
    assert ANA not in caplog.text


def test_a_message_that_is_heard_and_cannot_be_stored_is_noted(linked, world, worker, poison):
    for body in ("one", poison, "two"):
        world.inbound(ACCOUNT, ANA, body)
    worker.settle()
    assert set(Incoming.objects.values_list("body", flat=True)) == {"one", "two"}
    assert not_stored() == [(linked.pk, {"error": "ValueError"})]


def test_a_message_that_cannot_be_read_hides_no_other(caplog):
    def said(text, t):
        return {
            "id": f"false_x_{text}", "chat": "x", "phone": ANA, "lid": "", "name": "", "t": t,
            "kind": "chat", "body": text, "author": "", "authorPhone": "", "authorLid": "",
            "fromMe": False, "quoted": "", "location": None, "media": None,
        }  # fmt: skip

    found = translate.incoming_messages([said("one", 1), said("odd", -1e20), said("two", 2)])

    assert [message.body for message in found] == ["one", "two"]
    assert "incoming message unreadable" in caplog.text
    assert ANA not in caplog.text
