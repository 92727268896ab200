"""A campaign is switched on and off, and rehearsed before: what is missing is said."""

import re

import pytest

from accounts.models import Activity
from campaigns import readiness
from campaigns.models import Campaign, Step, Target, Template
from tests import factories
from tests.admin.conftest import campaign_page
from tests.factories import NOW

# ----------------------------------------------------------------------------- on and off


def test_a_campaign_with_a_gap_is_not_activated_and_says_what_is_missing(operator, written):
    Campaign.objects.update(active=False)
    Template.objects.filter(step__number=2, language="en").delete()

    for answer in (
        operator.get(campaign_page(written, "activate")),
        operator.post(campaign_page(written, "activate")),
    ):
        assert "day 2 has no text in “en”" in answer.content.decode()
        assert "/texts/#cell-2-en" in answer.content.decode()
    written.refresh_from_db()
    assert written.active is False


def test_activating_asks_counts_and_switches_the_other_one_off(operator, written):
    other = factories.make_campaign(factories.make_tenant())
    draft = factories.make_campaign(written.tenant, active=False, name="Spring")
    factories.make_referral(factories.make_referrer(written.tenant))

    asked = operator.get(campaign_page(draft, "activate")).content.decode()
    assert "1 unpaid referral waits to be followed" in asked
    assert f"“{written}” is switched off" in asked
    draft.refresh_from_db()
    assert draft.active is False

    operator.post(campaign_page(draft, "activate"))

    active = Campaign.objects.filter(active=True)
    assert set(active) == {draft, other}
    assert Activity.objects.filter(verb="campaign_activated", subject_id=str(draft.pk)).exists()
    assert Activity.objects.filter(verb="campaign_paused", subject_id=str(written.pk)).exists()


def test_switching_off_asks_and_counts_whom_it_holds(operator, written):
    factories.make_target(
        factories.make_referral(factories.make_referrer(written.tenant)), campaign=written
    )

    asked = operator.get(campaign_page(written, "deactivate"))
    assert "1 person who is followed keeps their place" in asked.content.decode()
    assert Campaign.objects.get().active

    operator.post(campaign_page(written, "deactivate"))
    assert not Campaign.objects.get().active


def test_only_the_legal_one_of_the_two_buttons_is_there(operator, written):
    def buttons():
        html = operator.get(f"/admin/campaigns/campaign/{written.pk}/change/").content.decode()
        return set(re.findall(r"/(activate|deactivate)/\"", html))

    assert buttons() == {"deactivate"}
    Campaign.objects.update(active=False)
    assert buttons() == {"activate"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.steps.all().delete(), "no day is written yet"),
        (lambda c: c.steps.update(active=False), "no day is written yet"),
        (lambda c: Campaign.objects.update(default_language="de"), "day 1 has no text in “de”"),
        (lambda c: Template.objects.update(body="{{offer}}"), "unknown variable {{offer}}"),
    ],
)
def test_what_is_missing_is_said(written, change, words):
    change(written)
    written.refresh_from_db()

    with pytest.raises(readiness.NotReady, match=re.escape(words)):
        readiness.activate(written, now=NOW)


def test_a_link_without_an_address_behind_it_is_missing(written):
    Template.objects.update(body="{{link}}")
    written.tenant.payment_link = ""

    assert "payment link" in readiness.gaps(written)[0].text


def test_a_day_that_is_switched_off_may_be_unfinished(written):
    Template.objects.filter(step__number=2, language="en").delete()
    Step.objects.filter(number=2).update(active=False)

    assert readiness.gaps(written) == []


# -------------------------------------------------------------------------------- dry run


def test_a_dry_run_shows_every_message_with_its_time_and_limit(operator, written):
    referrer = factories.make_referrer(written.tenant)
    referral = factories.make_referral(referrer, name="Zoé Martin")

    shown = operator.get(
        campaign_page(written, "rehearse"), {"referral": referral.external_id}
    ).content.decode()

    assert shown.count("<h3>") == 2
    assert "fr 2 Zoé" in shown
    assert "are left today" in shown
    assert not Target.objects.exists()


def test_a_dry_run_of_a_campaign_nobody_was_referred_to_makes_somebody_up(operator, written):
    assert "Made up" in operator.get(campaign_page(written, "rehearse")).content.decode()
