"""What is said in a chat while a take-over of it ends."""

import pytest

from accounts.activity import Actor
from campaigns import conversations
from campaigns.models import Target
from tests.campaigns.test_conversations import chat_of, send_first, write
from tests.factories import DAY, NOW, make_campaign, make_referral, make_referrer, make_target
from tests.races import behind
from whatsapp import chats

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("no_doorbells", "deadlocks_are_errors"),
]
OLGA = Actor("user", "olga")
LATER = NOW + DAY  # the take-over has run out


@pytest.fixture
def target():
    """Held by a take-over that has run out."""
    campaign = make_campaign(days=3, pause_on_reply=True)
    target = make_target(make_referral(make_referrer(campaign.tenant)))
    send_first(target)
    chats.take_over(chat_of(target), actor=OLGA, now=NOW)
    return target


def take_over(target):
    return lambda: chats.take_over(chat_of(target), actor=OLGA, now=LATER)


def answer(target):
    return lambda: write(target.account, target.phone, at=LATER)


def release():
    return conversations.release(now=LATER)


def lock(target):
    return lambda: Target.objects.select_for_update().get(pk=target.pk)


def held_by(target):
    target.refresh_from_db()
    return target.paused_by if target.paused_at else None


@pytest.mark.parametrize(("what", "by"), [(take_over, "takeover"), (answer, "reply")])
def test_what_is_said_before_the_release_reaches_the_follow_up_holds_it(target, what, by):
    assert behind(lock(target), release, then=what(target)) == 0
    assert held_by(target) == by


@pytest.mark.parametrize(("what", "by"), [(take_over, "takeover"), (answer, "reply")])
def test_what_is_said_before_the_release_is_committed_holds_it_again(target, what, by):
    behind(release, what(target))
    assert held_by(target) == by
