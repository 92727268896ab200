"""Sequences of any length and any delay: nothing knows of seven days but the referrer's routes."""

import datetime as dt

import pytest

from campaigns import forecasts, planning, readiness, statistics
from campaigns.models import Step, Target
from tests.campaigns.conftest import move, to_sending
from tests.factories import (
    DAY,
    HOUR,
    NOW,
    make_campaign,
    make_referral,
    make_referrer,
    make_target,
)
from whatsapp.models import Message

pytestmark = pytest.mark.django_db


def follow_through(target, *, every):
    """Plan every `every`, send at once what is queued; times at which messages went out."""
    went_out, now = [], NOW
    for _ in range(1_000):
        planning.plan(now=now)
        for message in Message.objects.filter(state="queued"):
            move(to_sending(message, now=now), "sent", now=now)
            went_out.append(now)
        target.refresh_from_db()
        if target.state != "active":
            return went_out
        now += every
    raise AssertionError(f"still at step {target.steps_done}")


def make_followed(campaign):
    return make_target(make_referral(make_referrer(campaign.tenant)), campaign=campaign)


def test_thirty_steps_two_hours_apart_go_out_two_hours_apart():
    campaign = make_campaign(days=30, delay=2 * HOUR)
    target = make_followed(campaign)

    went_out = follow_through(target, every=dt.timedelta(minutes=10))

    assert went_out == [NOW + n * 2 * HOUR for n in range(30)]
    assert (target.state, target.exit_reason, target.steps_done) == ("completed", "", 30)


def test_steps_days_apart_go_on_for_months():
    campaign = make_campaign(days=12, delay=10 * DAY)
    target = make_followed(campaign)

    went_out = follow_through(target, every=DAY)

    assert went_out == [NOW + n * 10 * DAY for n in range(12)]
    assert target.ended_at == NOW + 110 * DAY


def test_delays_may_differ_from_step_to_step():
    campaign = make_campaign(days=4)
    for number, delay in {2: HOUR, 3: 3 * DAY, 4: 6 * HOUR}.items():
        Step.objects.filter(campaign=campaign, number=number).update(delay=delay)
    target = make_followed(campaign)

    went_out = follow_through(target, every=dt.timedelta(minutes=30))

    assert went_out == [NOW, NOW + HOUR, NOW + HOUR + 3 * DAY, NOW + 7 * HOUR + 3 * DAY]


def test_a_forecast_a_check_and_a_funnel_have_as_many_steps_as_the_campaign():
    campaign = make_campaign(days=30, delay=2 * HOUR)
    target = make_followed(campaign)

    assert readiness.gaps(campaign) == []
    planned = forecasts.forecast(target, now=NOW)
    assert [message.due_at for message in planned] == [NOW + n * 2 * HOUR for n in range(30)]
    Target.objects.filter(pk=target.pk).update(steps_done=29)
    funnel = statistics.funnel([campaign.tenant_id], since=NOW - DAY, until=NOW + DAY)
    assert len(funnel.reached) == 30
    assert (funnel.reached[28], funnel.reached[29]) == (1, 0)
