"""What the page says about the people who get messages: who is next, and what happened."""

import datetime as dt

import pytest
from django.utils import timezone

from accounts.activity import SYSTEM
from campaigns import targets
from campaigns.models import Delivery, Referral, Referrer, Target, Template
from tests import factories
from tests.visitors import logged_in
from whatsapp.models import Contact, Message

HTMX = {"HX-Request": "true"}
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def referrer(acme):
    return acme.make_referrer(
        "amina", status="connected", phone="+33639980142", linked_at=timezone.now()
    )


@pytest.fixture
def campaign(acme):
    return factories.make_campaign(acme.tenant)


def page_of(acme, name="amina"):
    page = logged_in(acme.people[name]).get("/people/")
    assert page.status_code == 200
    return " ".join(page.content.decode().split())


def follow(referrer, name="Zoé Martin", *, next_due_at=None, **fields):
    referral = factories.make_referral(referrer, name=name, language="en")
    return factories.make_target(
        referral, next_due_at=next_due_at or timezone.now() + HOUR, **fields
    )


def end(target, state, reason=""):
    Target.objects.filter(pk=target.pk).update(
        state=state, exit_reason=reason, ended_at=timezone.now(), next_due_at=None
    )


def message_of(target, number, state, **fields):
    contact, _ = Contact.objects.get_or_create(tenant=target.tenant, phone=target.phone)
    message = Message.objects.create(
        tenant=target.tenant, account=target.account, contact=contact, state=state,
        idempotency_key=f"target:{target.pk}:step:{number}", content_hash="h", body="Hi Zoé",
        **{"due_at": timezone.now(), **fields},
    )  # fmt: skip
    Delivery.objects.create(target=target, number=number, language="en", message=message)
    return message


def test_nobody_followed_says_what_will_appear(acme, referrer):
    page = page_of(acme)

    assert "Nobody is being followed now" in page
    assert "Nothing yet" in page


def test_the_next_message_is_named_with_its_day_its_time_and_its_text(acme, campaign, referrer):
    at = timezone.now() + dt.timedelta(days=3)
    follow(referrer, next_due_at=at, steps_done=2)

    page = page_of(acme)

    assert "Zoé Martin" in page
    assert "day 3 of 7" in page
    assert "en 3 Zoé" in page
    assert at.astimezone(acme.tenant.zone).strftime("%H:%M") in page
    assert "Vague" not in page


def test_a_message_that_is_due_leaves_when_it_is_its_turn(acme, campaign, referrer):
    follow(referrer, next_due_at=timezone.now() - HOUR)

    assert "as soon as it is its turn" in page_of(acme)


def test_a_long_text_is_shown_by_its_beginning(acme, campaign, referrer):
    Template.objects.update(body="word " * 100 + "end")
    follow(referrer)

    page = page_of(acme)

    assert "word word" in page
    assert "end</p>" not in page


@pytest.mark.parametrize("body", ["<script>alert(1)</script>", "{% now %} <img src=x>"])
def test_what_people_wrote_is_shown_as_they_wrote_it(acme, campaign, referrer, body):
    Template.objects.update(body=body)
    follow(referrer, name="<b>Zoé</b>")

    page = page_of(acme)

    assert "<b>Zoé" not in page
    assert body not in page
    assert "&lt;" in page


def test_a_missing_text_is_the_companys_business(acme, campaign, referrer):
    Template.objects.filter(step__number=1).delete()
    follow(referrer)

    assert "your company still has to write this message" in page_of(acme)


def test_a_campaign_that_is_switched_off_is_said(acme, campaign, referrer):
    follow(referrer)
    type(campaign).objects.update(active=False)

    assert "your company has switched the messages off" in page_of(acme)


def test_somebody_whom_the_company_holds_back_is_said_to_be(acme, campaign, referrer):
    target = follow(referrer)

    targets.pause([target.pk], actor=SYSTEM, now=timezone.now())

    assert "held back by your company" in page_of(acme)


def test_a_message_on_its_way_shows_its_own_text(acme, campaign, referrer):
    target = follow(referrer)
    message = message_of(
        target, 1, "sending", wa_id="w", fence=1, not_after=timezone.now(),
        sending_at=timezone.now(),
    )  # fmt: skip
    Target.objects.filter(pk=target.pk).update(open_message=message)

    page = page_of(acme)

    assert "being sent now" in page
    assert "Hi Zoé" in page


@pytest.mark.parametrize(
    ("state", "fields", "words"),
    [
        ("sent", {}, "day 1: sent"),
        ("delivered", {}, "day 1: delivered"),
        ("read", {}, "day 1: read"),
        ("uncertain", {"sending_at": timezone.now()}, "may or may not have arrived"),
        ("failed", {"error_code": "not_on_whatsapp"}, "not sent (is not on WhatsApp)"),
        ("failed", {"error_code": "nack_400"}, "not sent (WhatsApp did not accept it)"),
    ],
)
def test_what_became_of_a_message_is_said(acme, campaign, referrer, state, fields, words):
    now = timezone.now()
    times = {"sent_at": now} if state in {"sent", "delivered", "read"} else {}
    times |= {"ended_at": now} if state == "failed" else {}
    message_of(follow(referrer), 1, state, **times, **fields)

    assert words in page_of(acme)


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ("exited", "paid", "paid! Nothing more is sent"),
        ("exited", "opted_out", "said stop"),
        ("exited", "not_on_whatsapp", "is not on WhatsApp"),
        ("exited", "by_hand", "was taken out"),
        ("completed", "", "got every message"),
    ],
)
def test_who_left_is_said_with_the_reason(acme, campaign, referrer, state, reason, words):
    end(follow(referrer), state, reason)

    assert words in page_of(acme)


def test_people_are_counted(acme, campaign, referrer):
    for _ in range(8):
        follow(referrer)
    end(follow(referrer), "exited", "paid")
    end(follow(referrer), "completed")

    page = page_of(acme)

    assert "<dt>followed now</dt><dd>8</dd>" in page
    assert "<dt>has paid</dt><dd>1</dd>" in page
    assert "<dt>finished</dt><dd>1</dd>" in page
    assert "and 2 more people" in page


def test_somebody_without_a_name_can_be_told_apart(acme, campaign, referrer):
    follow(referrer, name=" ")

    assert "Somebody without a name" in page_of(acme)


@pytest.mark.parametrize(("arrived", "state"), [("yes", "sent"), ("no", "queued")])
def test_a_referrer_says_what_became_of_an_uncertain_message(
    acme, campaign, referrer, arrived, state
):
    target = follow(referrer, hold="uncertain", steps_done=1)
    message = message_of(target, 1, "uncertain", sending_at=timezone.now())
    amina = logged_in(acme.people["amina"])

    answer = amina.post(f"/messages/{message.public_id}/settle/", {"arrived": arrived}, follow=True)
    again = amina.post(f"/messages/{message.public_id}/settle/", {"arrived": "yes"}, follow=True)

    message.refresh_from_db()
    assert message.state == state
    assert "It goes on from there" in answer.content.decode()
    assert "Somebody has answered this already" in again.content.decode()


def test_a_question_stays_on_the_page_until_it_is_answered(acme, campaign, referrer):
    long_ago = timezone.now() - dt.timedelta(days=30)
    message = message_of(follow(referrer), 1, "uncertain", sending_at=long_ago)
    for number in range(15):
        message_of(follow(referrer, f"Friend {number}"), 1, "read", sent_at=timezone.now())

    assert f"/messages/{message.public_id}/settle/" in page_of(acme)


def test_a_message_that_was_overtaken_is_not_sent_again(acme, campaign, referrer):
    message = message_of(follow(referrer, steps_done=3), 1, "uncertain", sending_at=timezone.now())

    page = logged_in(acme.people["amina"]).post(
        f"/messages/{message.public_id}/settle/", {"arrived": "no"}, follow=True
    )

    message.refresh_from_db()
    assert message.state == "cancelled"
    assert "too late to send it again" in page.content.decode()


def test_an_answer_that_is_none_decides_nothing(acme, campaign, referrer):
    message = message_of(follow(referrer), 1, "uncertain", sending_at=timezone.now())

    page = logged_in(acme.people["amina"]).post(
        f"/messages/{message.public_id}/settle/", {"arrived": "perhaps"}, headers=HTMX
    )

    message.refresh_from_db()
    assert message.state == "uncertain"
    assert 'data-announce="Nothing was changed' in page.content.decode()


def test_nobody_settles_the_message_of_somebody_else(acme, campaign, referrer):
    bruno = acme.make_referrer("bruno")
    message = message_of(follow(bruno), 1, "uncertain", sending_at=timezone.now())

    answer = logged_in(acme.people["amina"]).post(
        f"/messages/{message.public_id}/settle/", {"arrived": "yes"}
    )

    message.refresh_from_db()
    assert (answer.status_code, message.state) == (404, "uncertain")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sending_paused_at": timezone.now()}, "when you resume sending"),
        ({"status": "logged_out"}, "when your WhatsApp is linked again"),
        ({"enabled": False}, "when your company switches your account on"),
    ],
)
def test_a_message_that_is_due_says_what_it_waits_for(acme, campaign, referrer, fields, words):
    follow(referrer, next_due_at=timezone.now() - HOUR)
    type(referrer.account).objects.update(**fields)

    assert words in page_of(acme)


def test_only_the_referrers_own_people_are_shown(acme, other, campaign, referrer):
    bruno = acme.make_referrer("bruno")
    follow(bruno, name="Bruno's friend")
    eve = other.make_referrer("eve", status="connected", phone="+33639980143",
                              linked_at=timezone.now())  # fmt: skip
    factories.make_campaign(other.tenant)
    message_of(follow(eve, name="Eve's friend"), 1, "sent", sent_at=timezone.now())

    page = page_of(acme) + logged_in(acme.people["amina"]).get("/").content.decode()

    assert "friend" not in page
    assert "•• 43" not in page


def test_a_full_page_of_people_takes_eight_queries(
    acme, campaign, referrer, django_assert_max_num_queries
):
    for number in range(20):
        target = follow(referrer, steps_done=number % 7)
        message_of(target, 1, "read", sent_at=timezone.now())
    amina = logged_in(acme.people["amina"])

    with django_assert_max_num_queries(8):
        assert "read" in amina.get("/people/").content.decode()
    assert Referral.objects.count() == 20
    assert Referrer.objects.count() == 1
