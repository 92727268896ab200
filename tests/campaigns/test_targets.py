"""Somebody holds a target back, lets it go on, takes it out."""

import datetime as dt

import pytest
from django.utils import timezone

from accounts.activity import Actor
from accounts.models import Activity
from campaigns import exits, planning, schedule, targets
from campaigns.models import AccountSchedule, Target
from tests.campaigns.conftest import move, to_sending
from tests.factories import DAY, HOUR, NOW, make_referral, make_target
from whatsapp import due, linking, messages, outbox
from whatsapp.models import Message

pytestmark = pytest.mark.django_db

MAX = Actor("user", "max")


def planned(*, now=NOW):
    return planning.plan(now=now).queued


def test_a_paused_target_is_not_planned_and_its_account_sleeps(target):
    assert targets.pause([target.pk], actor=MAX, now=NOW) == 1

    assert planned(now=NOW + DAY) == 0
    assert AccountSchedule.objects.get().next_due_at is None
    assert schedule.rebuild(now=NOW + DAY) == 0
    (line,) = Activity.objects.filter(verb="target_paused")
    assert (line.actor_name, line.subject_id, line.tenant_id) == (
        "max",
        target.pk,
        target.tenant_id,
    )


def test_pausing_twice_is_pausing_once(target):
    targets.pause([target.pk], now=NOW)

    assert targets.pause([target.pk], now=NOW + DAY) == 0
    target.refresh_from_db()
    assert target.paused_at == NOW


def test_places_move_on_by_the_length_of_the_pause(target):
    targets.pause([target.pk], now=NOW - HOUR)

    assert targets.resume([target.pk], actor=MAX, now=NOW + 3 * DAY) == 1

    target.refresh_from_db()
    assert (target.paused_at, target.slot_at) == (None, NOW + 3 * DAY + HOUR)
    assert target.next_due_at == NOW + 3 * DAY + HOUR
    assert planned(now=NOW + 3 * DAY) == 0
    assert planned(now=NOW + 3 * DAY + HOUR) == 1
    assert Activity.objects.filter(verb="target_resumed", actor_name="max").count() == 1


def test_resuming_what_is_not_paused_changes_nothing(target):
    assert targets.resume([target.pk], now=NOW + DAY) == 0
    target.refresh_from_db()
    assert target.slot_at == NOW


def test_a_queued_message_is_held_back_and_goes_out_once_after_the_pause(target, message):
    targets.pause([target.pk], now=NOW)
    message.refresh_from_db()
    assert (message.state, message.due_at) == ("queued", outbox.NEVER)
    assert due.next_due(message.account_id) is None
    assert planned(now=NOW + DAY) == 0

    targets.resume([target.pk], now=NOW + DAY)

    message.refresh_from_db()
    assert (message.state, message.due_at) == ("queued", NOW + DAY)
    assert planned(now=NOW + DAY) == 0
    assert Message.objects.count() == 1


def test_a_message_that_is_being_sent_goes_out_and_nothing_follows_it(target, message):
    to_sending(message)
    targets.pause([target.pk], now=NOW)

    move(message, "sent")

    target.refresh_from_db()
    assert (target.steps_done, target.open_message) == (1, None)
    assert planned(now=NOW + 2 * DAY) == 0
    targets.resume([target.pk], now=NOW + 2 * DAY)
    target.refresh_from_db()
    assert target.next_due_at == NOW + 3 * DAY


@pytest.mark.parametrize("way", ["refused", "settled"])
def test_a_message_that_comes_back_while_paused_is_held_back(target, message, way):
    to_sending(message)
    if way == "settled":
        move(message, "uncertain")
    targets.pause([target.pk], now=NOW)

    if way == "settled":
        outbox.settle(message.pk, sent=False, actor=MAX, now=NOW)
    else:
        move(message, "queued", due_at=NOW)

    message.refresh_from_db()
    assert (message.state, message.due_at) == ("queued", outbox.NEVER)
    targets.resume([target.pk], now=NOW + DAY)
    message.refresh_from_db()
    assert message.due_at == NOW + DAY


def test_the_last_message_arriving_ends_a_paused_target(target, message, campaign):
    campaign.steps.exclude(number=1).delete()
    to_sending(message)
    targets.pause([target.pk], now=NOW)

    move(message, "sent")

    target.refresh_from_db()
    assert (target.state, target.paused_at) == ("completed", None)


def test_a_payer_leaves_although_paused(target, message):
    targets.pause([target.pk], now=NOW)

    exits.exit_referral(tenant=target.tenant, external_id="ref-1", now=NOW)

    target.refresh_from_db()
    message.refresh_from_db()
    assert (target.state, target.paused_at, message.state) == ("exited", None, "cancelled")
    assert targets.resume([target.pk], now=NOW + DAY) == 0


def test_what_mends_a_hold_does_not_end_a_pause(target, campaign):
    campaign.active = False
    campaign.save()
    planning.plan(now=NOW)
    targets.pause([target.pk], now=NOW)

    campaign.active = True
    campaign.save()

    assert planned(now=timezone.now() + DAY) == 0
    target.refresh_from_db()
    assert (target.hold, target.paused_at) == ("campaign", NOW)


@pytest.mark.parametrize(
    ("account", "person"),
    [((0, 4), (1, 3)), ((1, 3), (0, 4)), ((0, 2), (1, 4)), ((1, 4), (0, 2)), ((0, 1), (2, 4))],
)
def test_no_time_counts_twice_when_account_and_target_are_paused(target, account, person):
    """Hours after NOW of each pause; together they lasted four hours, or two that did not touch."""
    enrolled = NOW - DAY
    Target.objects.update(enrolled_at=enrolled)
    hours = {(0, 1): 3}.get(account, 4)
    events = [
        (account[0], lambda at: linking.pause_sending(target.account, now=at)),
        (account[1], lambda at: linking.resume_sending(target.account, now=at)),
        (person[0], lambda at: targets.pause([target.pk], now=at)),
        (person[1], lambda at: targets.resume([target.pk], now=at)),
    ]
    for hour, act in sorted(events, key=lambda event: event[0]):
        act(NOW + hour * HOUR)

    target.refresh_from_db()
    assert target.slot_at == NOW + hours * HOUR
    assert target.next_due_at == NOW + hours * HOUR


def test_taking_out_by_hand_says_who_did_it(target, message):
    result = targets.exit([target.pk], actor=MAX, now=NOW)

    assert (result.targets_exited, result.messages_cancelled) == (1, 1)
    target.refresh_from_db()
    assert target.exit_reason == "by_hand"
    (line,) = Activity.objects.filter(verb="exited")
    assert (line.actor_name, line.detail["reason"]) == ("max", "by_hand")


def test_many_are_paused_in_few_statements(referrer, django_assert_max_num_queries):
    made = [make_target(make_referral(referrer)).pk for _ in range(30)]
    with django_assert_max_num_queries(10):
        assert targets.pause(made, now=NOW) == 30
    with django_assert_max_num_queries(10):
        assert targets.resume(made, now=NOW + HOUR) == 30


# ------------------------------------------------------------- trying a failed step again


def failed(message: Message) -> Message:
    to_sending(message)
    move(message, "failed", error_code="broken", ended_at=NOW)
    return message


def test_a_failed_step_is_tried_again_in_its_place(target, message):
    failed(message)
    target.refresh_from_db()
    slot = target.slot_at
    assert target.steps_done == 1

    assert messages.retry(message, actor=MAX, now=NOW + HOUR)

    message.refresh_from_db()
    target.refresh_from_db()
    assert (message.state, message.due_at, message.wa_id) == (
        "queued", NOW + HOUR, f"wa-{message.pk}",
    )  # fmt: skip
    assert (target.steps_done, target.open_message_id) == (0, message.pk)
    to_sending(message)
    move(message, "sent", now=NOW + HOUR)
    target.refresh_from_db()
    assert (target.steps_done, target.slot_at) == (1, slot)


def test_a_failed_step_is_not_tried_again_once_the_sequence_went_on(target, message):
    failed(message)
    assert planned(now=NOW + 2 * DAY) == 1

    assert not messages.retry(message, actor=MAX, now=NOW + 2 * DAY)

    message.refresh_from_db()
    assert (message.state, message.error_code) == ("failed", "broken")
    assert not Activity.objects.filter(verb="retried").exists()


def test_a_failed_step_of_somebody_who_paid_is_not_tried_again(target, message):
    failed(message)
    exits.exit_referral(tenant=target.tenant, external_id="ref-1", now=NOW)

    assert not messages.retry(message, now=NOW + HOUR)

    message.refresh_from_db()
    assert message.state == "failed"


def test_a_step_cancelled_by_hand_is_passed_over(target, message):
    assert messages.cancel([message.pk], actor=MAX, now=NOW) == [message.pk]

    planning.plan(now=NOW + dt.timedelta(seconds=1))

    target.refresh_from_db()
    assert (target.state, target.steps_done) == ("active", 1)
