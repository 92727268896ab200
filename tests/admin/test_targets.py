"""Who is followed: questions, what may be done, a confirmation that counts, and the whole story."""

import datetime as dt
import re

import pytest
from django.utils import timezone

from accounts.models import Activity
from campaigns import planning, schedule
from campaigns.models import Delivery, Target
from tests import factories
from tests.admin.test_actions import act
from whatsapp import outbox
from whatsapp.models import Message

LIST = "/admin/campaigns/target/"
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def referrer(acme):
    factories.make_campaign(acme, days=3)
    return factories.make_referrer(acme)


def followed(referrer, **fields):
    fields.setdefault("next_due_at", timezone.now() + HOUR)
    return factories.make_target(factories.make_referral(referrer), **fields)


def with_message(target, state, **fields):
    """Its message of step 1, in some state."""
    Target.objects.filter(pk=target.pk).update(next_due_at=timezone.now())
    schedule.lower({target.account_id: timezone.now()})
    planning.plan(now=timezone.now())
    message = Message.objects.get(delivery__target=target)
    if state == "failed":
        now = timezone.now()
        outbox.move(
            message, to="failed", when=["queued"], error_code="x", error="boom", ended_at=now,
            now=now,
        )  # fmt: skip
    else:
        Message.objects.filter(pk=message.pk).update(state=state, **fields)
    target.refresh_from_db()
    return message


def test_what_cannot_be_tried_again_has_no_button_for_it(operator, acme):
    """The last message of all has failed: the sequence is over, and nothing takes it back."""
    factories.make_campaign(acme, days=1)
    target = followed(factories.make_referrer(acme))
    message = with_message(target, "failed")
    assert target.state == "completed"

    page = operator.get(f"{LIST}{target.pk}/change/").content.decode()
    asked = act(operator, LIST, "retry", [target])

    assert f"{LIST}{target.pk}/retry" not in page
    assert "0 messages are sent again" in asked.content.decode()
    message.refresh_from_db()
    assert message.state == "failed"


def shown(client, question):
    return set(client.get(LIST, {"show": question}).context["cl"].queryset)


# ------------------------------------------------------------------------------ questions


def test_each_question_finds_whom_it_asks_for_and_nobody_else(operator, referrer):
    now = timezone.now()
    found = {
        "due": followed(referrer, next_due_at=now - HOUR / 2),
        "stuck": followed(referrer, next_due_at=now - 3 * HOUR),
        "uncertain": followed(referrer, hold="uncertain"),
        "held": followed(referrer, hold="template"),
        "paused": followed(referrer, paused_at=now, next_due_at=now - 5 * HOUR),
        "ended": followed(referrer, state="completed", next_due_at=None),
    }
    waiting = followed(referrer)

    assert shown(operator, "due") == {found["due"], found["stuck"]}
    assert shown(operator, "stuck") == {found["stuck"]}
    assert shown(operator, "uncertain") == {found["uncertain"]}
    assert shown(operator, "held") == {found["uncertain"], found["held"]}
    assert shown(operator, "paused") == {found["paused"]}
    assert shown(operator, "ended") == {found["ended"]}
    assert shown(operator, "sending") == set()
    assert waiting in shown(operator, "nonsense")


def test_a_message_that_failed_or_got_stuck_finds_its_person(operator, referrer):
    failed, stuck = followed(referrer), followed(referrer)
    with_message(failed, "failed")
    with_message(stuck, "queued", due_at=timezone.now() - 5 * HOUR)

    assert shown(operator, "failed") == {failed}
    assert shown(operator, "stuck") == {stuck}
    assert shown(operator, "sending") == {stuck}


# -------------------------------------------------------------------------------- actions


def test_people_are_paused_and_resumed_after_a_question_that_counts(operator, referrer):
    one, two = followed(referrer), followed(referrer)
    gone = followed(referrer, state="completed", next_due_at=None)

    asked = act(operator, LIST, "pause", [one, two, gone], sure=False).content.decode()
    assert "This is about 2 rows." in asked
    assert "1 other you chose is left out" in asked
    assert not Target.objects.exclude(paused_at=None).exists()

    act(operator, LIST, "pause", [one, two, gone])
    assert set(Target.objects.exclude(paused_at=None)) == {one, two}
    act(operator, LIST, "resume", [one, gone])
    assert set(Target.objects.exclude(paused_at=None)) == {two}
    done = Activity.objects.filter(actor_name="operator", subject_type="campaigns.target")
    assert set(done.values_list("verb", "subject_id")) == {
        ("target_paused", one.pk), ("target_paused", two.pk), ("target_resumed", one.pk),
    }  # fmt: skip


def test_people_are_taken_out_by_hand_after_a_question(operator, referrer):
    target = followed(referrer)

    asked = act(operator, LIST, "take_out", [target], sure=False)
    target.refresh_from_db()
    assert target.state == "active"
    assert "for ever" in asked.content.decode()

    act(operator, LIST, "take_out", [target])
    target.refresh_from_db()
    assert (target.state, target.exit_reason) == ("exited", "by_hand")


def test_a_failed_message_is_tried_again(operator, referrer):
    failed, fine = followed(referrer), followed(referrer)
    message = with_message(failed, "failed")

    asked = act(operator, LIST, "retry", [failed, fine], sure=False).content.decode()
    assert "This is about 1 row." in asked
    act(operator, LIST, "retry", [failed, fine])

    message.refresh_from_db()
    assert message.state == "queued"
    assert Delivery.objects.count() == 1


def test_an_action_that_is_legal_for_none_says_so(operator, referrer):
    gone = followed(referrer, state="completed", next_due_at=None)

    asked = act(operator, LIST, "pause", [gone], sure=False).content.decode()

    assert "This can be done to none of those you chose." in asked


def test_all_of_a_list_are_chosen_without_naming_each(operator, referrer):
    everybody = [followed(referrer) for _ in range(3)]
    other = followed(referrer, hold="template")
    chosen = {"action": "take_out", "_selected_action": everybody[0].pk, "select_across": "1"}
    address = LIST + "?hold__exact="

    asked = operator.post(address, chosen).content.decode()
    assert "This is about 3 rows." in asked

    factories.make_target(factories.make_referral(referrer))
    again = operator.post(address, chosen | {"confirmed": "yes", "count": "3"})
    assert "Meanwhile there are others" in again.content.decode()
    assert not Target.objects.filter(state="exited").exists()

    operator.post(address, chosen | {"confirmed": "yes", "count": "4"})
    assert Target.objects.filter(state="exited").count() == 4
    other.refresh_from_db()
    assert other.state == "active"


def test_staff_act_on_their_own_companys_people_only(manager, rival):
    theirs = factories.make_target(factories.make_referral(factories.make_referrer(rival)))

    for action in ("pause", "take_out", "retry"):
        act(manager, LIST, action, [theirs])
        assert manager.post(f"{LIST}{theirs.pk}/{action.replace('_', '-')}/").status_code == 403

    theirs.refresh_from_db()
    assert (theirs.state, theirs.paused_at) == ("active", None)


# ---------------------------------------------------------------------------- the story


def test_a_page_tells_why_what_was_and_what_will_be(
    operator, referrer, django_assert_max_num_queries
):
    target = followed(referrer)
    with_message(target, "failed")

    with django_assert_max_num_queries(15):
        page = operator.get(f"{LIST}{target.pk}/change/").content.decode()

    assert "Message 2 goes out" in page
    assert "Message 1 failed" in page
    assert "boom" in page
    assert "fr 2 Zoé" in page


def test_a_page_has_the_buttons_that_are_legal(operator, referrer):
    def buttons(target):
        page = operator.get(f"{LIST}{target.pk}/change/").content.decode()
        names = ("pause", "resume", "retry", "take-out")
        return {name for name in names if f"{LIST}{target.pk}/{name}" in page}

    target = followed(referrer)
    assert buttons(target) == {"pause", "take-out"}
    operator.post(f"{LIST}{target.pk}/pause/", {"confirmed": "yes"})
    assert buttons(target) == {"resume", "take-out"}
    with_message(failed := followed(referrer), "failed")
    assert buttons(failed) == {"pause", "take-out", "retry"}
    assert buttons(followed(referrer, state="completed", next_due_at=None)) == set()


@pytest.mark.parametrize("number", ["0", "9" * 30, "x", "-1", "%00"])
def test_a_number_that_is_nobodys_is_refused(operator, number):
    for page in ("change", "pause", "take-out"):
        assert operator.get(f"{LIST}{number}/{page}/").status_code in {302, 403, 404}


@pytest.mark.parametrize("name", ["target", "campaign", "referral", "referrer"])
def test_an_empty_list_says_what_is_to_be_done_next(manager, acme, name):
    page = manager.get(f"/admin/campaigns/{name}/").content.decode()
    (address,) = re.findall(r'id="if-empty">.*?href="([^"]+)"', page)

    assert manager.get(address).status_code == 200
    assert "if-empty" not in manager.get(f"/admin/campaigns/{name}/?q=x").content.decode()
