"""A sentence for every state and hold, a timeline without gaps, a forecast that comes true."""

import pytest
from django.utils import translation

from accounts.activity import Actor
from campaigns import exits, explaining, planning, targets
from campaigns.models import Campaign, Referral, Referrer, Step, Target, Template
from tests.campaigns.conftest import load, move, to_sending
from tests.factories import DAY, HOUR, NOW, make_referral, make_referrer, make_target
from whatsapp import contacts, messages
from whatsapp.models import Account, Attempt, Contact, Incoming, Message, Usage


def why(target, now=NOW):
    return explaining.why(load(target), now=now)


# ---------------------------------------------------------------------------- why


def test_a_message_whose_time_has_not_come_says_when_it_will(target):
    Target.objects.update(next_due_at=NOW + DAY, slot_at=NOW + DAY)

    assert why(target) == "Message 1 goes out tomorrow at 10:00: its time has not come yet."


def test_a_message_that_is_due_says_that_it_is_written_at_once(target):
    assert why(target) == "Message 1 is due and is written within a minute."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "new", "phone": "", "linked_at": None}, "was never linked: scan its QR code"),
        ({"status": "pending"}, "waits to be scanned"),
        ({"status": "disconnected"}, "is disconnected: scan its QR code again"),
        ({"status": "logged_out"}, "was logged out from the phone"),
        ({"status": "conflict"}, "was opened somewhere else"),
        ({"enabled": False}, "is switched off: switch it on"),
        ({"sending_paused_at": NOW - DAY}, "was paused yesterday at 10:00: resume it"),
        ({"daily_limit": 0}, "is 0: raise it"),
    ],
)
def test_an_account_that_cannot_send_is_named_with_what_to_do(target, changes, words):
    Account.objects.update(**changes)

    assert words in why(target)
    assert why(target).startswith("Message 1 has been due since today at 10:00, but ")


def test_a_full_day_says_when_the_next_one_begins(target):
    Account.objects.update(daily_limit=5)
    Usage.objects.create(account=target.account, day=NOW.date(), count=5)

    assert "has sent its 5 messages of the day: it goes on tomorrow at 00:00" in why(target)


def test_a_written_message_waits_for_its_account(target, message):
    Account.objects.update(sending_paused_at=NOW)

    assert why(target).startswith("Message 1 is ready and waits: sending from ")


def test_a_written_message_waits_its_turn(target, message):
    assert why(target) == "Message 1 is ready and goes out in a moment."
    Message.objects.create(
        tenant=message.tenant, account=message.account, contact=message.contact, body="x",
        idempotency_key="direct", content_hash="h", due_at=NOW - HOUR,
    )  # fmt: skip

    assert "1 other of this account is first" in why(target)


def test_a_message_that_is_tried_again_says_why_and_when(target, message):
    Message.objects.update(due_at=NOW + HOUR, error="the page did not answer")

    assert why(target) == "Message 1 is tried again today at 11:00: the page did not answer."


def test_a_pause_says_since_when_and_by_whom(target, message):
    targets.pause([target.pk], actor=Actor("user", "Max"), now=NOW)

    assert why(target) == (
        "Paused today at 10:00 by Max: nothing is sent until somebody resumes them."
    )
    planned = explaining.forecast(load(target), now=NOW)
    assert (planned[0].step, planned[0].due_at) == (1, NOW)
    assert "they are paused: resume them" in planned[0].limit_note


def test_a_message_on_its_way_says_so(target, message):
    to_sending(message)

    assert why(target) == "Message 1 is being sent at this moment."


def test_an_uncertain_message_asks_for_a_look_at_the_phone(target, message):
    move(to_sending(message), "uncertain")

    assert why(target) == (
        "Nobody can tell whether message 1 arrived: look at the phone and settle it. Without an "
        "answer the sequence goes on tomorrow at 10:00."
    )


def test_a_late_message_keeps_its_distance(target, message):
    move(to_sending(message), "sent", now=NOW + 10 * HOUR)

    assert "the one before went out late, and two keep their distance" in why(target)


def test_a_missing_language_is_named(target, campaign):
    Referral.objects.update(language="en")
    Template.objects.filter(step__number=1, language="en").delete()

    assert why(target) == ("Held: step 1 has no text in “en”. They go on as soon as it is mended.")


def test_a_variable_without_a_value_is_named(target, campaign):
    campaign.tenant.payment_link = ""
    campaign.tenant.save()
    Template.objects.update(body="{{link}}")

    assert "step 1, fr: no value for {{link}}" in why(target)


def test_a_campaign_that_is_off_and_a_subscription_that_lapsed_are_named(target):
    Referrer.objects.update(subscribed=False)
    assert "has lapsed" in why(target)

    Campaign.objects.update(active=False)
    assert "is switched off: activate it" in why(target)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("paid", "They paid: left today at 10:00, nothing more is sent."),
        ("opted_out", "They said stop: left"),
        ("not_on_whatsapp", "Their number is not on WhatsApp: left"),
        ("by_hand", "Taken out by hand today at 10:00"),
    ],
)
def test_somebody_who_left_says_why(target, reason, words):
    exits.exit_targets([target.pk], reason=reason, now=NOW)
    Target.objects.update(ended_at=NOW)

    assert words in why(target)


def test_every_exit_reason_and_hold_has_a_sentence(target):
    for reason in Target.ExitReason.values:
        Target.objects.update(state="exited", exit_reason=reason, ended_at=NOW, next_due_at=None)
        assert why(target)
    Target.objects.update(state="active", exit_reason="", ended_at=None, next_due_at=NOW)
    for hold in Target.Hold.values:
        Target.objects.update(hold=hold)
        assert why(target)


def test_a_message_that_left_before_the_payment_may_still_arrive(target, message):
    to_sending(message)
    exits.exit_targets([target.pk], reason="paid", now=NOW)

    assert "A message that was being sent already may still arrive." in why(target)


def test_a_payer_and_a_stop_that_slipped_through_leave_at_the_next_round(target):
    Referral.objects.update(paid_at=NOW)
    assert why(target) == "They paid today at 10:00: they leave at the next round."
    Contact.objects.create(tenant=target.tenant, phone=target.phone, opted_out_at=NOW)
    assert why(target) == "They said stop today at 10:00: they leave at the next round."


def test_the_end_counts_what_went_out_and_what_failed(referrer):
    Step.objects.filter(number__gt=2).delete()
    target = make_target(make_referral(referrer))
    planning.plan(now=NOW)
    move(to_sending(Message.objects.get()), "sent")
    planning.plan(now=NOW + DAY)
    move(Message.objects.get(state="queued"), "failed", error_code="x", now=NOW + DAY)

    assert why(target, NOW + DAY) == (
        "Through the whole sequence today at 10:00: 1 message went out and 1 failed."
    )


def test_the_sentence_speaks_the_language_of_the_reader(target):
    Target.objects.update(next_due_at=NOW + 3 * DAY, slot_at=NOW + 3 * DAY)

    with translation.override("fr"):
        assert "lundi 23 novembre" in why(target)


def test_why_timeline_and_forecast_are_six_queries_each_at_most(
    target, message, django_assert_max_num_queries
):
    loaded = load(target)
    with django_assert_max_num_queries(6):
        assert explaining.why(loaded, now=NOW)
    with django_assert_max_num_queries(6):
        assert explaining.timeline(loaded)
    with django_assert_max_num_queries(6):
        assert explaining.forecast(loaded, now=NOW)


# ----------------------------------------------------------------------- timeline


def test_a_timeline_tells_everything_in_order(target, message):
    message = to_sending(message, now=NOW + HOUR)
    Attempt.objects.create(
        message=message, account=message.account, number=1, fence=1, worker="w", wa_id="x",
        usage_day=NOW.date(), intent_at=NOW + HOUR, outcome="sent",
    )  # fmt: skip
    move(message, "sent", now=NOW + 2 * HOUR)
    Message.objects.update(
        created_at=NOW, delivered_at=NOW + 3 * HOUR, read_at=NOW + 4 * HOUR, state="read"
    )
    Incoming.objects.create(
        account=message.account, contact=message.contact, wa_id="in", chat_id="c", kind="chat",
        body="Stop", sent_at=NOW + 5 * HOUR, received_at=NOW + 5 * HOUR,
    )  # fmt: skip
    contacts.opt_out(message.contact, reason="said STOP", now=NOW + 6 * HOUR)
    Target.objects.update(ended_at=NOW + 7 * HOUR)

    entries = explaining.timeline(load(target))

    assert [entry.kind for entry in entries] == [
        "registered", "enrolled", "written", "attempt", "sent", "delivered", "read", "answer",
        "opted_out", "exited",
    ]  # fmt: skip
    assert entries == sorted(entries, key=lambda entry: entry.at)
    details = {entry.kind: entry.detail for entry in entries}
    assert details["written"] == message.body
    assert details["answer"] == "Stop"
    assert details["exited"] == "said stop"


def test_a_failure_tells_its_reason(target, message):
    outcome = {"error_code": "too_large", "error": "the file is too large", "ended_at": NOW}
    move(message, "failed", **outcome)

    failed = [entry for entry in explaining.timeline(load(target)) if entry.kind == "failed"]

    assert [entry.detail for entry in failed] == ["the file is too large"]


def test_what_people_decided_is_in_it_with_their_names(target, message):
    max_ = Actor("user", "Max")
    targets.pause([target.pk], actor=max_, now=NOW)
    targets.resume([target.pk], actor=max_, now=NOW + HOUR)
    move(message, "failed", error_code="x", ended_at=NOW)
    messages.retry(Message.objects.get(), actor=max_, now=NOW + 2 * HOUR)
    targets.exit([target.pk], actor=max_, now=NOW + 3 * HOUR)

    entries = explaining.timeline(load(target))

    decisions = [(e.text, e.detail) for e in entries if e.kind in {"decision", "exited"}]
    assert decisions == [
        ("Follow-up paused", "Max"),
        ("Follow-up resumed", "Max"),
        ("Message 1: message tried again", "Max"),
        ("Left the sequence", "taken out by hand, Max"),
    ]


def test_the_whole_story_takes_eleven_queries_at_most(
    target, message, django_assert_max_num_queries
):
    loaded = load(target)
    with django_assert_max_num_queries(11):
        told = explaining.story(loaded, now=NOW)

    assert told.why == explaining.why(loaded, now=NOW)
    assert told.planned == explaining.forecast(loaded, now=NOW)
    assert told.entries == explaining.timeline(loaded)


def test_another_companys_answers_are_not_in_it(target, message):
    stranger = make_referrer()
    contact = Contact.objects.create(tenant=stranger.tenant, phone=target.phone)
    Incoming.objects.create(
        account=stranger.account, contact=contact, wa_id="in", chat_id="c", kind="chat",
        body="secret", sent_at=NOW + HOUR, received_at=NOW + HOUR,
    )  # fmt: skip

    assert "secret" not in str(explaining.timeline(load(target)))
