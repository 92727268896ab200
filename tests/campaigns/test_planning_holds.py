"""What holds a due target back, with its reason, and what lets it go on."""

import datetime as dt

import pytest
from django.utils import timezone

from campaigns import holds, planning, schedule
from campaigns.models import Campaign, Delivery, Referrer, Target
from campaigns.models import Template as Text
from tests.campaigns.conftest import due, many_due
from tests.factories import DAY, HOUR, NOW, make_account, make_referrer
from whatsapp.models import Message

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)


def test_a_lapsed_subscription_holds_everything_due_and_lets_it_go_on(referrer):
    targets = many_due(referrer, 30)
    Referrer.objects.filter(pk=referrer.pk).update(subscribed=False)

    report = planning.plan(now=NOW)

    assert (report.queued, report.held) == (0, 30)
    targets[0].refresh_from_db()
    assert targets[0].hold == "subscription"

    Referrer.objects.filter(pk=referrer.pk).update(subscribed=True)
    later = NOW + 3 * DAY
    assert planning.plan(now=later).queued == 30
    targets[0].refresh_from_db()
    assert targets[0].hold == ""
    assert targets[0].slot_at == later, "what follows keeps its distance from here"


def test_a_lapsed_subscription_is_not_in_the_way_of_others_on_the_account(referrer, tenant):
    """Who was enrolled on an account stays there; their referrer may have handed it on."""
    many_due(referrer, 50, next_due_at=NOW - DAY)
    theirs, other = referrer.account, make_account(tenant)
    Referrer.objects.filter(pk=referrer.pk).update(account=other, subscribed=False)
    target = due(make_referrer(tenant, account=theirs))

    report = planning.plan(now=NOW)

    assert (report.queued, report.held, report.rounds) == (1, 50, 2)
    target.refresh_from_db()
    assert target.open_message is not None


def test_a_referrer_who_has_another_account_now_is_held_on_the_old_one(referrer, tenant):
    target = due(referrer)
    Referrer.objects.filter(pk=referrer.pk).update(account=make_account(tenant), subscribed=False)
    assert planning.plan(now=NOW).held == 1
    target.refresh_from_db()
    assert target.hold == "subscription"


def test_subscribing_again_in_the_admin_is_seen_at_once(referrer):
    now = timezone.now()
    due(referrer, next_due_at=now)
    Referrer.objects.filter(pk=referrer.pk).update(subscribed=False)
    assert planning.plan(now=now).held == 1

    referrer.subscribed = True
    referrer.save()

    assert planning.plan(now=now + dt.timedelta(seconds=30)).queued == 1


def test_writing_the_missing_text_in_the_admin_is_seen_at_once(referrer, campaign):
    now = timezone.now()
    due(referrer, next_due_at=now)
    Text.objects.filter(step__number=1).delete()
    assert planning.plan(now=now).held == 1

    Text.objects.create(step=campaign.steps.get(number=1), language="fr", body="Bonjour")

    assert planning.plan(now=now + dt.timedelta(seconds=30)).queued == 1


def test_a_missing_text_holds_with_its_reason_and_lets_others_pass(referrer, campaign):
    held = due(referrer, language="en", next_due_at=NOW - HOUR)
    fine = due(referrer)
    Text.objects.filter(step__number=1, language="en").delete()

    report = planning.plan(now=NOW)

    assert (report.queued, report.held) == (1, 1)
    held.refresh_from_db()
    assert (held.hold, held.hold_detail) == ("template", "step 1 has no text in “en”")
    assert Message.objects.get().delivery.target == fine


def test_a_text_that_is_written_later_releases_by_itself(referrer, campaign):
    target = due(referrer, language="en")
    Text.objects.filter(step__number=1, language="en").delete()
    planning.plan(now=NOW)
    assert planning.plan(now=NOW + MINUTE).held == 0, "not looked at all the time"

    step = campaign.steps.get(number=1)
    Text.objects.bulk_create([Text(step=step, language="en", body="again")])
    assert planning.plan(now=NOW + holds.RECHECK).queued == 1
    target.refresh_from_db()
    assert (target.hold, target.hold_detail) == ("", "")


def test_a_missing_payment_link_holds_texts_with_a_link(referrer, tenant):
    tenant.payment_link = ""
    tenant.save()
    Text.objects.update(body="{{link}}")
    target = due(referrer)
    planning.plan(now=NOW)
    target.refresh_from_db()
    assert target.hold_detail == "step 1, fr: no value for {{link}}"


def test_a_campaign_that_is_switched_off_holds(referrer, campaign):
    target = due(referrer)
    Campaign.objects.update(active=False)
    assert planning.plan(now=NOW).held == 1
    target.refresh_from_db()
    assert target.hold == "campaign"
    Campaign.objects.update(active=True)
    assert planning.plan(now=NOW + holds.RECHECK).queued == 1


def test_a_campaign_without_steps_holds_instead_of_completing(referrer, campaign):
    due(referrer)
    campaign.steps.update(active=False)
    report = planning.plan(now=NOW)
    assert (report.held, report.completed) == (1, 0)


def test_a_key_that_somebody_else_used_holds_and_says_so(referrer):
    target = due(referrer)
    other = due(referrer)
    planning.plan(now=NOW)
    key = f"target:{target.pk}:step:1"
    Target.objects.filter(pk=target.pk).update(open_message=None)
    Delivery.objects.filter(target=target).delete()
    assert Message.objects.filter(idempotency_key=key).exists()
    schedule.lower({target.account_id: NOW})

    planning.plan(now=NOW)

    target.refresh_from_db()
    assert target.hold_detail == "another message uses this step's key"
    assert Message.objects.count() == 2
    assert other.pk


def test_a_step_that_was_queued_before_is_opened_again(referrer):
    target = due(referrer)
    planning.plan(now=NOW)
    Target.objects.update(open_message=None)
    schedule.lower({target.account_id: NOW})

    planning.plan(now=NOW)

    target.refresh_from_db()
    assert target.open_message == Message.objects.get()
