"""What nobody can tell whether it was sent: found out, or left to a person; never sent twice."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.activity import Actor
from tests.whatsapp.conftest import intend, make_old, state_of
from whatsapp import linking, outbox, recovery
from whatsapp.driver.base import Found, Lookup
from whatsapp.models import Account, Attempt, Message

State = Message.State


# ------------------------------------------------------------------------- nobody can tell


def test_an_ack_that_never_comes_leaves_the_message_undecided(linked, world, worker, write):
    world.fail("lost")
    message = write(linked)
    worker.drive(linked)
    assert state_of(message) == State.SENDING
    assert Attempt.objects.get().outcome == Attempt.Outcome.UNKNOWN


def test_a_late_receipt_decides_an_undecided_message(linked, world, worker, write):
    world.fail("lost")
    message = write(linked)
    worker.drive(linked)
    world.receipt(message.wa_id or Message.objects.get().wa_id, 2)
    worker.settle()
    assert state_of(message) == State.DELIVERED
    assert Attempt.objects.get().outcome == Attempt.Outcome.SENT


def test_an_undecided_message_becomes_uncertain_and_is_not_sent_again(linked, world, worker, write):
    world.fail("lost")
    message = write(linked)
    worker.drive(linked)
    make_old(message)
    worker.drive(linked)
    assert state_of(message) == State.UNCERTAIN
    assert "looked up" in message.error
    assert world.record[0].attempts == 1


def test_a_message_the_session_does_not_know_is_uncertain_where_pages_may_forget(
    linked, world, worker, write, settings
):
    settings.RESEND_NOT_FOUND = False
    message = crash_before_sending(linked, world, worker, write)
    worker.drive(linked)
    assert state_of(message) == State.UNCERTAIN
    assert world.record == []


def test_a_message_the_session_does_not_know_is_sent_once_more_with_the_same_id(
    linked, world, worker, write, settings
):
    settings.RESEND_NOT_FOUND = True
    message = crash_before_sending(linked, world, worker, write)
    first_id = message.wa_id
    worker.drive(linked)
    assert state_of(message) == State.SENT
    assert [s.wa_id for s in world.record] == [first_id]


def crash_before_sending(linked, world, worker, write) -> Message:
    """A worker is lost between the intent and the send; time passes."""

    class Lost(BaseException):
        pass

    def die(out):
        raise Lost

    world.hooks["sending"] = die
    message = write(linked)
    with pytest.raises(Lost):
        worker.drive(linked)
    world.hooks.clear()
    assert state_of(message) == State.SENDING
    make_old(message)
    message.refresh_from_db()
    return message


def test_nothing_is_decided_while_the_old_holder_might_still_be_sending(
    linked, world, worker, write, settings
):
    settings.RESEND_NOT_FOUND = True
    message = crash_before_sending(linked, world, worker, write)
    Message.objects.filter(pk=message.pk).update(not_after=timezone.now())
    worker.drive(linked)
    assert state_of(message) == State.SENDING
    assert world.record == []


def test_a_lost_ack_is_found_by_the_next_worker(linked, world, worker, write, start_worker):
    message = write(linked)

    class Lost(BaseException):
        pass

    def die(out):
        raise Lost

    world.hooks["acked"] = die
    with pytest.raises(Lost):
        worker.drive(linked)
    world.hooks.clear()
    Message.objects.filter(pk=message.pk).update(state=State.SENDING)
    worker.drive(linked)
    assert state_of(message) == State.SENT
    assert world.record[0].attempts == 1


@pytest.mark.parametrize(("sent", "state"), [(True, State.SENT), (False, State.QUEUED)])
def test_a_person_settles_what_is_uncertain(linked, world, worker, write, sent, state):
    world.fail("lost")
    message = write(linked)
    worker.drive(linked)
    make_old(message)
    worker.drive(linked)
    assert outbox.settle(message.pk, sent=sent, actor=Actor("user", "alice"), now=timezone.now())
    assert state_of(message) == state
    assert "alice" in message.error
    assert not outbox.settle(message.pk, sent=sent, actor=Actor("user", "bob"), now=timezone.now())


# ----------------------------------------------------------------- who knows what was sent


def test_after_a_new_scan_a_message_the_page_does_not_know_is_not_sent_again(
    linked, world, worker, write, settings
):
    settings.RESEND_NOT_FOUND = True

    class Lost(BaseException):
        pass

    def die(out):
        raise Lost

    world.hooks["accepted"] = die
    message = write(linked)
    with pytest.raises(Lost):
        worker.drive(linked)
    world.hooks.clear()
    make_old(message)
    world.log_out("+33639980001")
    worker.settle()
    linked.refresh_from_db()
    linking.request(linked, now=timezone.now())
    worker.drive(linked)
    world.scan("+33639980001")
    worker.settle()
    assert state_of(message) == State.UNCERTAIN
    assert [s.attempts for s in world.record] == [1]


def test_a_look_up_from_before_does_not_touch_a_newer_attempt(linked, held, write, settings):
    message = write(linked)
    intend(message, held, linked)
    make_old(message)
    message.refresh_from_db()
    Message.objects.filter(pk=message.pk).update(fence=held.fence + 5)
    decided = recovery.recover(message, Lookup(Found.PENDING, 0), held=held, same_profile=True)
    assert decided == "gone"
    assert state_of(message) == State.SENDING


def test_a_receipt_for_a_message_that_was_queued_once_more_settles_it(linked, world, worker, write):
    world.fail("lost")
    message = write(linked)
    worker.drive(linked)
    make_old(message)
    worker.drive(linked)
    outbox.settle(message.pk, sent=False, actor=Actor("user", "alice"), now=timezone.now())
    world.receipt(world.record[0].wa_id, 2)
    worker.settle()
    assert state_of(message) == State.DELIVERED
    assert world.record[0].attempts == 1


def test_what_was_begun_by_an_account_nobody_drives_any_more_becomes_uncertain(linked, held, write):
    message = write(linked)
    intend(message, held, linked)
    assert recovery.give_up_undriven(now=timezone.now() + timedelta(hours=1)) == 0
    Account.objects.update(status=Account.Status.LOGGED_OUT)
    assert recovery.give_up_undriven(now=timezone.now()) == 0, "it may still be on its way"
    assert recovery.give_up_undriven(now=timezone.now() + timedelta(hours=1)) == 1
    assert state_of(message) == State.UNCERTAIN
