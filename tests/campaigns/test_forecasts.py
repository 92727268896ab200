"""What somebody will get and when, foretold by the rules that planning follows."""

import pytest

from campaigns import enrolment, exits, explaining, forecasts, planning
from campaigns.models import Campaign, Delivery, Referral, Referrer, Step, Target, Template
from tests.campaigns.conftest import load, move, to_sending
from tests.factories import DAY, HOUR, NOW, make_campaign, make_media, make_referral, make_target
from whatsapp.models import Account, Message, Usage


def test_the_forecast_of_a_newcomer_comes_true(referrer):
    """What the dry run promises is what enrolment and planning then do, to the second."""
    referral = make_referral(referrer, registered_at=NOW - 10 * DAY, name="Zoé Martin")
    promised = explaining.forecast(referral, now=NOW)

    enrolment.enrol(now=NOW)
    seen = []
    for day in range(4):
        planning.plan(now=NOW + day * DAY)
        for message in Message.objects.filter(state="queued"):
            seen.append((message.delivery.number, message.body, message.due_at))
            move(to_sending(message), "sent", now=message.due_at)

    assert [(p.step, p.text, p.due_at) for p in promised] == seen
    assert len(seen) == 3


def test_a_late_message_moves_the_forecast_as_it_moves_the_plan(target, message):
    move(to_sending(message), "sent", now=NOW + 10 * HOUR)
    second, third = explaining.forecast(load(target), now=NOW + 10 * HOUR)

    apart = Step.objects.get(number=2).min_spacing
    assert (second.step, second.due_at) == (2, NOW + 10 * HOUR + apart)
    assert (third.step, third.due_at) == (3, NOW + 10 * HOUR + 2 * apart)
    assert load(target).next_due_at == second.due_at


def test_a_message_that_is_written_is_forecast_as_it_was_written(target, message):
    Template.objects.update(body="edited since")

    first, second, _third = explaining.forecast(load(target), now=NOW)

    assert first.text == message.body
    assert second.text == "edited since"


def test_a_gap_in_a_language_is_forecast_at_its_step(target):
    Referral.objects.update(language="en")
    Template.objects.filter(step__number=2, language="en").delete()

    planned = explaining.forecast(load(target), now=NOW)

    assert [item.problem for item in planned] == ["", "step 2 has no text in “en”", ""]


def test_who_has_ended_paid_or_meets_no_campaign_is_promised_nothing(target, referrer):
    exits.exit_targets([target.pk], reason="by_hand", now=NOW)
    payer = make_referral(referrer, paid_at=NOW)
    newcomer = make_referral(referrer)

    assert explaining.forecast(load(target), now=NOW) == []
    assert explaining.forecast(target.referral, now=NOW) == []
    assert explaining.forecast(payer, now=NOW) == []
    Campaign.objects.update(active=False)
    assert explaining.forecast(newcomer, now=NOW) == []


def test_a_followed_referral_is_promised_what_is_left_to_its_target(target, message):
    move(to_sending(message), "sent", now=NOW)

    assert [p.step for p in explaining.forecast(target.referral, now=NOW)] == [2, 3]


def test_a_campaign_that_is_not_active_yet_can_be_rehearsed(referrer):
    draft = make_campaign(referrer.tenant, days=2, active=False, languages=("fr",))
    picture = make_media(referrer.tenant)
    Template.objects.filter(step__campaign=draft, step__number=2).update(media=picture)
    referral = make_referral(referrer, language="en", registered_at=NOW)

    planned = forecasts.rehearse(draft, referral, now=NOW)

    assert [(p.step, p.language, p.media_id) for p in planned] == [
        (1, "fr", None),
        (2, "fr", picture.pk),
    ]
    assert planned[0].due_at == NOW + HOUR
    assert planned[1].due_at == NOW + HOUR + DAY
    assert not Target.objects.exists()


@pytest.mark.parametrize(
    ("limit", "used", "others", "note"),
    [
        (100, 1, 0, "99 of the account's 100 a day are left today"),
        (2, 0, 5, "5 others are due first, at most 2 a day: about 2 days later"),
        (3, 3, 0, "not before this is mended: “"),
    ],
)
def test_the_limits_of_the_account_are_noted(referrer, limit, used, others, note):
    Account.objects.update(daily_limit=limit)
    Usage.objects.create(account=referrer.account, day=NOW.date(), count=used)
    for _ in range(others):
        make_target(make_referral(referrer), next_due_at=NOW - HOUR)
    target = make_target(make_referral(referrer))

    assert explaining.forecast(load(target), now=NOW)[0].limit_note.startswith(note)


def test_somebody_without_an_account_is_forecast_with_a_note(referrer, campaign):
    Referrer.objects.update(account=None)
    referral = make_referral(Referrer.objects.get())

    planned = forecasts.rehearse(campaign, referral, now=NOW)

    assert planned[0].limit_note.startswith("not before this is mended: there is no WhatsApp")
    assert Delivery.objects.count() == 0
    assert planned[0].due_at == NOW
