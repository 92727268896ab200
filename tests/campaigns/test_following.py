"""What becomes of a target when something happens to its message, its contact or its account."""

import datetime as dt

import pytest
from django.db import connection

from accounts.activity import Actor
from campaigns import enrolment, exits, following, planning
from campaigns.models import AccountSchedule, Delivery, Step, Target
from tests.campaigns.conftest import move, to_sending
from tests.factories import DAY, HOUR, NOW, make_account, make_referral, make_target
from whatsapp import contacts, outbox
from whatsapp.models import Account, Contact, Message
from whatsapp.signals import sending_resumed

pytestmark = pytest.mark.django_db
MINUTE = dt.timedelta(minutes=1)


def fresh(target):
    target.refresh_from_db()
    return target


# --------------------------------------------------------------------------------- one step


def test_a_sent_message_moves_the_target_to_its_next_slot(target, message):
    to_sending(message)
    move(message, "sent", now=NOW + MINUTE)

    fresh(target)
    assert target.steps_done == 1
    assert target.open_message is None
    assert target.last_sent_at == NOW + MINUTE
    assert target.slot_at == target.next_due_at == NOW + DAY
    assert AccountSchedule.objects.get().next_due_at == NOW + DAY


def test_a_late_message_keeps_its_distance_but_not_the_slot(target, message):
    late = NOW + 10 * HOUR
    to_sending(message)
    move(message, "sent", now=late)

    fresh(target)
    assert target.slot_at == NOW + DAY
    assert target.next_due_at == late + dt.timedelta(hours=19.2)


def test_a_receipt_that_comes_before_the_answer_counts_as_sent(target, message):
    to_sending(message)
    move(message, "delivered")
    assert fresh(target).steps_done == 1


def test_later_receipts_change_nothing(target, message):
    to_sending(message)
    move(message, "sent")
    before = Target.objects.values().get()
    move(message, "delivered", now=NOW + HOUR)
    assert Target.objects.values().get() == before


def test_after_the_last_step_the_target_is_completed(target, referrer):
    Target.objects.update(steps_done=2)
    planning.plan(now=NOW)
    message = to_sending(Message.objects.get())

    move(message, "sent", now=NOW + MINUTE)

    fresh(target)
    assert (target.state, target.steps_done) == ("completed", 3)
    assert target.ended_at == NOW + MINUTE
    assert target.next_due_at is None


def test_inactive_steps_do_not_count(target, message, campaign):
    campaign.steps.filter(number=2).update(active=False)
    Step.objects.filter(number=3).update(delay=3 * DAY)
    to_sending(message)
    move(message, "sent")
    assert fresh(target).slot_at == NOW + 3 * DAY


def test_a_whole_sequence_runs_on_its_slots(target):
    sent = []
    now = NOW
    while fresh(target).state == "active":
        if planning.plan(now=now).queued:
            message = to_sending(Message.objects.get(state="queued"), now=now)
            move(message, "sent", now=now)
            sent.append((now - NOW, message.body.split()[1]))
        now += HOUR
    assert sent == [(dt.timedelta(0), "1"), (DAY, "2"), (2 * DAY, "3")]


def test_messages_of_others_are_none_of_our_business(target):
    contact = Contact.objects.create(tenant=target.tenant, phone="+33639989999")
    message = outbox.queue(
        tenant=target.tenant,
        account=target.account,
        contact=contact,
        idempotency_key="target:1:step:1",
        body="by the API, with a key that looks like ours",
        now=NOW,
    )
    before = Target.objects.values().get()
    move(to_sending(message), "sent")
    assert Target.objects.values().get() == before


# --------------------------------------------------------------------------------- failures


def test_a_failed_step_is_recorded_and_the_sequence_goes_on_at_its_slot(target, message):
    to_sending(message)
    move(message, "failed", error_code="refused", now=NOW + HOUR)

    fresh(target)
    assert (target.state, target.steps_done, target.hold) == ("active", 1, "")
    assert target.next_due_at == NOW + DAY
    assert target.last_sent_at is None
    assert Delivery.objects.get().message.error_code == "refused"


def test_somebody_not_on_whatsapp_leaves(target, message):
    to_sending(message)
    move(message, "failed", error_code="not_on_whatsapp")
    fresh(target)
    assert (target.state, target.exit_reason) == ("exited", "not_on_whatsapp")


def test_a_message_that_fails_before_any_intent_counts_the_same(target, message):
    assert outbox.fail_queued(message, code="media_gone", error="no file", now=NOW)
    assert fresh(target).steps_done == 1


def test_a_refused_message_that_is_queued_again_stays_open(target, message):
    to_sending(message)
    move(message, "queued", due_at=NOW + MINUTE)
    assert fresh(target).open_message == message
    assert fresh(target).steps_done == 0


def test_a_refused_message_is_not_queued_again_for_somebody_who_left(target, message):
    to_sending(message)
    exits.exit_referral(tenant=target.tenant, external_id="ref-1", now=NOW)

    move(message, "queued", due_at=NOW)

    message.refresh_from_db()
    assert (message.state, message.error_code) == ("cancelled", "paid")


def test_a_message_cancelled_by_hand_is_skipped_by_the_next_planning(target, message):
    outbox.cancel([message.pk], reason="by hand", now=NOW)

    report = planning.plan(now=NOW + MINUTE)

    assert report.settled == 1
    fresh(target)
    assert (target.steps_done, target.open_message) == (1, None)
    assert target.next_due_at == NOW + DAY


def test_a_sent_message_whose_target_ended_meanwhile_is_still_recorded(target, message):
    to_sending(message)
    exits.exit_referral(tenant=target.tenant, external_id="ref-1", now=NOW)
    move(message, "sent", now=NOW + MINUTE)
    fresh(target)
    assert (target.state, target.steps_done, target.last_sent_at) == ("exited", 1, NOW + MINUTE)


# -------------------------------------------------------------------------------- uncertain


@pytest.fixture
def uncertain(target, message):
    to_sending(message)
    move(message, "uncertain", now=NOW + HOUR)
    return message


def test_uncertain_waits_for_a_person_one_delay(target, uncertain):
    fresh(target)
    assert target.hold == "uncertain"
    assert target.next_due_at == NOW + HOUR + DAY
    assert planning.plan(now=NOW + DAY).queued == 0


def test_then_it_goes_on_without_sending_again(target, uncertain):
    assert planning.plan(now=NOW + DAY + HOUR).queued == 1
    fresh(target)
    assert target.hold == ""
    assert target.open_message.delivery.number == 2
    assert Delivery.objects.filter(number=1).count() == 1


def test_found_to_be_sent_it_goes_on_at_the_slot(target, uncertain):
    outbox.settle(uncertain.pk, sent=True, actor=Actor("user", "olga"), now=NOW + 2 * HOUR)
    fresh(target)
    assert (target.hold, target.steps_done) == ("", 1)
    assert target.last_sent_at == NOW
    assert target.slot_at == target.next_due_at == NOW + DAY


def test_found_to_have_failed_it_goes_on_at_the_slot(target, uncertain):
    move(uncertain, "failed", error_code="lost", now=NOW + 2 * HOUR)
    fresh(target)
    assert (target.hold, target.steps_done, target.next_due_at) == ("", 1, NOW + DAY)


def test_sent_again_by_a_person_it_is_open_again(target, uncertain):
    outbox.settle(uncertain.pk, sent=False, actor=Actor("user", "olga"), now=NOW + 2 * HOUR)
    fresh(target)
    assert (target.hold, target.steps_done, target.open_message) == ("", 0, uncertain)
    assert target.slot_at == NOW

    to_sending(uncertain)
    move(uncertain, "sent", now=NOW + 3 * HOUR)
    assert fresh(target).slot_at == NOW + DAY
    assert target.steps_done == 1


def test_sent_again_too_late_is_not_sent_beside_the_next_step(target, uncertain):
    planning.plan(now=NOW + DAY + HOUR)
    outbox.settle(uncertain.pk, sent=False, actor=Actor("user", "olga"), now=NOW + DAY + 2 * HOUR)
    uncertain.refresh_from_db()
    assert (uncertain.state, uncertain.error_code) == ("cancelled", "sequence_went_on")


def test_a_late_receipt_of_an_uncertain_message_is_recorded(target, uncertain):
    planning.plan(now=NOW + DAY + HOUR)
    move(uncertain, "delivered", sent_at=NOW, now=NOW + DAY + 2 * HOUR)
    fresh(target)
    assert target.last_sent_at == NOW
    assert target.open_message.delivery.number == 2


def test_an_uncertain_last_step_completes_after_a_delay(target):
    Target.objects.update(steps_done=2)
    planning.plan(now=NOW)
    message = to_sending(Message.objects.get())
    move(message, "uncertain")
    assert fresh(target).state == "active"

    planning.plan(now=NOW + DAY)

    assert fresh(target).state == "completed"


def test_uncertain_that_somebody_who_left_is_not_sent_again(target, uncertain):
    exits.exit_referral(tenant=target.tenant, external_id="ref-1", now=NOW)
    outbox.settle(uncertain.pk, sent=False, actor=Actor("user", "olga"), now=NOW)
    uncertain.refresh_from_db()
    assert uncertain.state == "cancelled"


# ----------------------------------------------------------------------- contacts, accounts


def test_stop_ends_the_sequence_and_what_is_queued(target, message):
    contacts.opt_out(message.contact, reason="stop", now=NOW)
    fresh(target)
    message.refresh_from_db()
    assert (target.state, target.exit_reason) == ("exited", "opted_out")
    assert (message.state, message.error_code) == ("cancelled", "opted_out")


def test_stop_said_to_another_tenant_ends_nothing_here(target, message):
    other = make_target(make_referral(phone=target.phone))
    contact = Contact.objects.create(tenant=other.tenant, phone=target.phone)
    contacts.opt_out(contact, reason="stop", now=NOW)
    assert fresh(target).state == "active"
    assert fresh(other).state == "exited"


def resume(account, paused_for, *, now):
    sending_resumed.send(sender=Account, account=account, paused_for=paused_for, now=now)


def test_a_pause_keeps_everyones_place(referrer):
    offsets = [dt.timedelta(hours=h) for h in (-2, 0, 5, 30)]
    targets = [
        make_target(
            make_referral(referrer), slot_at=NOW + o, next_due_at=NOW + o, enrolled_at=NOW - 9 * DAY
        )
        for o in offsets
    ]

    resume(referrer.account, 3 * DAY, now=NOW + 3 * DAY)

    moved = [fresh(t).next_due_at - NOW for t in targets]
    assert moved == [o + 3 * DAY for o in offsets]
    assert [fresh(t).slot_at - NOW for t in targets] == moved


def test_a_target_of_the_pause_itself_moves_by_what_it_saw_of_it(referrer):
    enrolled = NOW + DAY
    make_referral(referrer)
    assert enrolment.enrol(now=enrolled) == 1
    resume(referrer.account, 3 * DAY, now=NOW + 3 * DAY)
    assert Target.objects.get().next_due_at == NOW + 3 * DAY


def test_a_pause_of_one_account_moves_nobody_elses_place(target):
    resume(make_account(target.tenant), DAY, now=NOW + DAY)
    assert fresh(target).next_due_at == NOW


def test_an_ended_target_has_no_place_to_move(referrer):
    ended = make_target(make_referral(referrer), state="completed", next_due_at=None)
    resume(referrer.account, DAY, now=NOW + DAY)
    assert fresh(ended).next_due_at is None


def test_a_receiver_that_was_never_called_is_made_up_for(target, message):
    """The message was changed in SQL: no signal. Planning's sweep finds it."""
    to_sending(message)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE whatsapp_message SET state = 'sent', sent_at = %s", [NOW])
    assert following.settle_lost(now=NOW + HOUR) == 1
    assert fresh(target).steps_done == 1
    assert following.settle_lost(now=NOW + HOUR) == 0
