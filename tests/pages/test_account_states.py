"""What the page says about the referrer's WhatsApp account, state by state."""

import datetime as dt

import pytest
from django.utils import timezone

from tests.pages.conftest import PHONE, linked, make_message, say, use_up
from whatsapp import linking
from whatsapp.driver.base import QrCode

MINUTE = dt.timedelta(minutes=1)


# ------------------------------------------------------------------ each state, in words


def test_before_the_first_time_it_offers_to_link(acme, amina):
    acme.make_referrer("amina", account=False)

    page = say(amina)

    assert "Not linked yet" in page
    assert "Link my WhatsApp" in page
    assert "Disconnect" not in page


def test_a_linked_phone_shows_its_name_its_state_and_only_part_of_its_number(acme, amina):
    acme.make_referrer("amina", **linked())

    page = say(amina)

    assert "Connected" in page
    assert "Amina B." in page
    assert "+33 6 •• •• •• 42" in page
    assert PHONE not in page


def test_a_code_is_shown_with_three_steps_and_the_time_that_is_left(acme, amina):
    referrer = acme.make_referrer("amina", status="pending", link_requested_at=timezone.now())
    linking.publish_qr(referrer.account, QrCode(text="2@code", seq=1))

    page = say(amina)

    assert "data:image/png;base64," in page
    assert "Linked devices" in page
    assert 'data-until="' in page
    assert "every 2s" in page
    # Whoever has no JavaScript sees the next code all the same.
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page


def test_a_code_that_does_not_come_is_explained(acme, amina):
    asked = timezone.now() - MINUTE
    acme.make_referrer("amina", status="pending", link_requested_at=asked)

    assert "Your code takes longer than usual" in say(amina)


def test_an_attempt_that_is_over_can_be_begun_again(acme, amina):
    asked = timezone.now() - 3 * MINUTE
    acme.make_referrer("amina", status="pending", link_requested_at=asked)

    assert "Link my WhatsApp" in say(amina)


@pytest.mark.parametrize(
    ("fields", "words", "remedy"),
    [
        ({"status": "logged_out"}, "Logged out on your phone", "scan the code"),
        ({"status": "conflict", "phone": PHONE}, "Opened somewhere else", "scan the code"),
        (
            {"status": "disconnected", "status_reason": "nobody scanned the code in time"},
            "Nobody scanned the code in time",
            "scan the code",
        ),
        (
            {"status": "disconnected", "status_reason": "the connection did not come back after 5"},
            "could not be reached",
            "scan the code",
        ),
        (
            {
                "status": "disconnected",
                "status_reason": "this phone is linked to another account of Relance already",
            },
            "linked to another account",
            "Disconnect that one first",
        ),
        (linked(status="reconnecting"), "Connecting again", "your phone is on and online"),
        (linked(enabled=False), "Switched off", "Ask your company"),
        (linked(daily_limit=0), "No messages allowed", "Ask your company"),
    ],
)
def test_whatever_is_wrong_it_says_what_to_do(acme, amina, fields, words, remedy):
    acme.make_referrer("amina", **fields)

    page = say(amina)

    assert words in page
    assert remedy in page


def test_a_reason_that_no_page_knows_is_not_shown_raw(acme, amina):
    acme.make_referrer("amina", status="disconnected", status_reason="KeyError: 'x' <script>")

    assert "KeyError" not in say(amina)


def test_disconnecting_that_takes_long_says_how_to_do_it_on_the_phone(acme, amina):
    asked = timezone.now() - 5 * MINUTE
    acme.make_referrer("amina", status="disconnected", logout_requested_at=asked)

    page = say(amina)

    assert "Disconnecting takes longer than usual" in page
    assert "Link my WhatsApp" not in page, "it would be refused until the device is logged out"


def test_today_shows_what_is_left_and_when_there_is_more(acme, amina):
    referrer = acme.make_referrer("amina", **linked(daily_limit=10))
    use_up(referrer, 4)

    page = say(amina)

    assert "<strong>6</strong> messages left" in page
    assert "4 of 10 sent" in page


def test_a_day_that_is_full_says_that_the_rest_leaves_tomorrow(acme, amina):
    referrer = acme.make_referrer("amina", **linked(daily_limit=10))
    use_up(referrer, 10)

    page = say(amina)

    assert "<strong>0</strong> messages left" in page
    assert "the rest leaves after midnight" in page


def test_messages_that_nobody_sends_are_reported_as_late(acme, amina):
    referrer = acme.make_referrer("amina", **linked())
    make_message(referrer, due_at=timezone.now() - 11 * MINUTE)

    page = say(amina)

    assert "Messages are late" in page
    assert "1 message should have left" in page


def test_messages_wait_without_alarm_while_sending_is_paused(acme, amina):
    referrer = acme.make_referrer("amina", **linked(sending_paused_at=timezone.now()))
    make_message(referrer, due_at=timezone.now() - 11 * MINUTE)

    page = say(amina)

    assert "Messages are late" not in page
    assert "Sending is paused" in page


def test_a_message_nobody_knows_about_asks_for_a_look_at_the_phone(acme, amina):
    referrer = acme.make_referrer("amina", **linked())
    make_message(referrer, state="uncertain")

    assert "may or may not have arrived" in say(amina)


def test_a_restricted_number_is_told_what_to_do(acme, amina):
    referrer = acme.make_referrer("amina", **linked())
    make_message(referrer, error_code="nack_463")

    page = say(amina)

    assert "WhatsApp restricts your number" in page
    assert "Write to nobody new" in page


def test_a_lapsed_subscription_is_said(acme, amina):
    referrer = acme.make_referrer("amina", **linked())
    type(referrer).objects.filter(pk=referrer.pk).update(subscribed=False)

    assert "Your subscription has ended" in say(amina)


# ------------------------------------------------------------------------------- its health


def test_an_account_that_rests_says_why_and_that_it_comes_back(acme, amina):
    acme.make_referrer(
        "amina", **linked(health_share=0, health_share_at=timezone.now(), health_reason="opt_outs")
    )
    page = say(amina)
    assert "Your WhatsApp rests" in page
    assert "many people say stop" in page
    assert "No messages allowed" not in page
