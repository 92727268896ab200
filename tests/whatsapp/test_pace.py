"""What keeps a number from being restricted: when a due message waits, and what for.

Each test switches on what it is about; the others are off (tests/conftest.py).
"""

import datetime as dt
import zoneinfo
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from tests.whatsapp.conftest import state_of, wrote
from whatsapp import driving, limits, messages, outbox, pace, sending
from whatsapp.driver.base import Outgoing
from whatsapp.driver.memory import MemoryDriver
from whatsapp.models import Account, Contact, Message, Usage

State = Message.State
ANA, BEA = "+33639980100", "+33639980101"
PARIS = zoneinfo.ZoneInfo("Europe/Paris")


# ---------------------------------------------------------------------------- new chats a day


def test_only_so_many_new_chats_are_begun_in_a_day(linked, world, worker, write, settings):
    settings.WHATSAPP_NEW_CHATS = 2
    messages = [write(linked, f"+3363998020{n}") for n in range(4)]
    worker.drive(linked)
    assert [state_of(m) for m in messages] == [State.SENT] * 2 + [State.QUEUED] * 2
    assert Usage.objects.get().new_chats == 2
    held = messages[3]
    assert held.error_code == pace.NEW_CHATS
    tomorrow = timezone.now().astimezone(PARIS).date() + timedelta(days=1)
    midnight = datetime.combine(tomorrow, dt.time(), tzinfo=PARIS)
    assert abs(held.due_at - midnight) < timedelta(seconds=5)


def test_chats_that_exist_go_on_when_no_new_one_may_begin(linked, worker, write, settings):
    first = write(linked, ANA)
    worker.drive(linked)
    settings.WHATSAPP_NEW_CHATS = 0
    second, reply, new = write(linked, ANA), write(linked, BEA), write(linked, "+33639980102")
    wrote(linked, BEA)
    worker.drive(linked)
    assert [state_of(m) for m in (first, second, reply)] == [State.SENT] * 3
    assert state_of(new) == State.QUEUED
    assert Usage.objects.get().new_chats == 1


def test_a_chat_is_new_until_something_has_arrived(linked, world, worker, write):
    world.fail("nack", code=429)
    message = write(linked, ANA)
    worker.drive(linked)
    assert state_of(message) == State.QUEUED
    assert Usage.objects.get().new_chats == 1
    Message.objects.filter(pk=message.pk).update(due_at=timezone.now())
    worker.drive(linked)
    assert Usage.objects.get().new_chats == 2
    write(linked, ANA)
    worker.drive(linked)
    assert Usage.objects.get().new_chats == 2


def test_who_only_writes_into_a_group_is_a_new_chat_all_the_same(linked, worker, write, settings):
    settings.WHATSAPP_NEW_CHATS = 0
    message = write(linked, ANA)
    wrote(linked, ANA, chat_id="1203@g.us")
    worker.drive(linked)
    assert state_of(message) == State.QUEUED
    assert message.error_code == pace.NEW_CHATS

    held = worker.pool.get(linked.pk).held
    day = limits.today(linked.tenant, now=timezone.now())
    Message.objects.filter(pk=message.pk).update(due_at=timezone.now())
    with pytest.raises(sending.Refused, match="new_chats"):
        sending.intend(message, Outgoing("a@c.us", "true_a@c.us_1"), held=held, day=day)


def test_the_intent_refuses_a_new_chat_over_the_budget_whatever_was_read_before(
    linked, worker, write, settings
):
    first, second = write(linked, ANA), write(linked, BEA)
    held = worker.pool.get(linked.pk).held
    day = limits.today(linked.tenant, now=timezone.now())
    settings.WHATSAPP_NEW_CHATS = 1
    sending.intend(first, Outgoing("a@c.us", "true_a@c.us_1"), held=held, day=day)
    with pytest.raises(sending.Refused, match="new_chats"):
        sending.intend(second, Outgoing("b@c.us", "true_b@c.us_2"), held=held, day=day)
    usage = Usage.objects.get()
    assert (usage.count, usage.new_chats) == (1, 1)
    assert state_of(second) == State.QUEUED


def test_a_message_that_is_gone_is_not_taken_for_a_day_that_is_full(linked, worker, write):
    message = write(linked, ANA)
    Message.objects.filter(pk=message.pk).delete()
    held = worker.pool.get(linked.pk).held
    day = limits.today(linked.tenant, now=timezone.now())
    with pytest.raises(sending.Refused, match="message_gone"):
        sending.intend(message, Outgoing("a@c.us", "true_a@c.us_1"), held=held, day=day)


def test_what_is_held_goes_out_when_its_reason_has_gone(linked, worker, write, settings):
    settings.WHATSAPP_NEW_CHATS = 0
    message = write(linked, ANA)
    worker.drive(linked)
    settings.WHATSAPP_NEW_CHATS = 1
    assert pace.ask_again(linked, now=timezone.now()) == 1
    worker.drive(linked)
    assert state_of(message) == State.SENT


def test_what_a_person_holds_back_is_not_asked_again(linked, worker, write, settings):
    settings.WHATSAPP_NEW_CHATS = 0
    message = write(linked, ANA)
    worker.drive(linked)
    outbox.hold_back([message.pk])
    assert pace.ask_again(linked, now=timezone.now()) == 0


# ------------------------------------------------------------------------------------ typing


def test_typing_is_shown_before_a_text_and_holds_no_place_meanwhile(linked, world, worker, write):
    Account.objects.update(typing_ms=50)
    message = write(linked, ANA, "Bonjour Ana")
    worker.drive(linked)
    assert state_of(message) == State.SENT
    assert [(t.chat_id, t.seconds) for t in world.typed] == [(message.chat_id, 0.05)]
    assert Usage.objects.get().count == 1


def test_typing_is_part_of_the_gap(linked, world, worker, write):
    Account.objects.update(typing_ms=200, gap_ms=250)
    for phone in (ANA, BEA):
        write(linked, phone, "Bonjour")
    began = timezone.now()
    worker.drive(linked)
    took = timezone.now() - began
    assert len(world.record) == len(world.typed) == 2
    # The first waits for its typing, the second for the gap alone.
    assert timedelta(seconds=0.45) <= took < timedelta(seconds=5)


@pytest.mark.parametrize(("length", "seconds"), [(1, 0.315), (40, 0.9), (4000, 2.0)])
def test_a_longer_text_takes_longer_to_type_up_to_a_bound(length, seconds):
    message = Message(contact_id=1, kind="text", body="x" * length)
    assert pace.typing_time(message, Account(typing_ms=2000)) == pytest.approx(seconds)


def test_nobody_types_a_picture_or_to_a_group():
    account = Account(typing_ms=2000)
    assert pace.typing_time(Message(contact_id=1, kind="media", body="look"), account) == 0
    assert pace.typing_time(Message(group_id=1, kind="text", body="hello"), account) == 0


def test_a_message_is_sent_although_typing_could_not_be_shown(
    linked, world, worker, write, monkeypatch
):
    Account.objects.update(typing_ms=20)

    def refuse(*_, **__):
        raise driving.Retryable("busy")

    monkeypatch.setattr("whatsapp.driver.memory.MemoryDriver.typing", refuse)
    message = write(linked, ANA)
    worker.drive(linked)
    assert state_of(message) == State.SENT


# ------------------------------------------------------------- numbers that are not on WhatsApp


def asked(world, monkeypatch) -> list[str]:
    """Whom the sessions asked WhatsApp for, from now on."""
    found = []
    find = MemoryDriver._find

    def note(self, phone):
        found.append(phone)
        return find(self, phone)

    monkeypatch.setattr(MemoryDriver, "_find", note)
    return found


def test_a_number_that_is_not_on_whatsapp_is_not_asked_for_again_and_again(
    linked, world, worker, write, monkeypatch
):
    world.absent.add(ANA)
    numbers = asked(world, monkeypatch)
    first, second = write(linked, ANA), write(linked, ANA)
    worker.drive(linked)
    assert [state_of(m) for m in (first, second)] == [State.FAILED] * 2
    assert second.error_code == "not_on_whatsapp"
    assert numbers == [ANA]


def test_it_is_asked_for_again_after_a_while(linked, world, worker, write, settings, monkeypatch):
    settings.WHATSAPP_NUMBER_CHECK_DAYS = 30
    Contact.objects.create(
        tenant=linked.tenant,
        phone=ANA,
        on_whatsapp=False,
        checked_at=timezone.now() - timedelta(days=31),
    )
    numbers = asked(world, monkeypatch)
    message = write(linked, ANA)
    worker.drive(linked)
    assert state_of(message) == State.SENT
    assert numbers == [ANA]
    assert Contact.objects.get(phone=ANA).on_whatsapp is True


def test_whoever_tries_a_message_again_has_its_number_asked_for_anew(linked, world, worker, write):
    world.absent.add(ANA)
    message = write(linked, ANA)
    worker.drive(linked)
    world.absent.clear()
    message.refresh_from_db()
    assert messages.retry(message, now=timezone.now())
    worker.drive(linked)
    assert state_of(message) == State.SENT
