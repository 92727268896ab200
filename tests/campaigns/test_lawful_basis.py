"""A referral is a lawful basis: scraped people who are, or become, referrals may be followed."""

import pytest

from campaigns import enrolment, lawful_basis, planning, referrals
from campaigns.models import Referral, Target
from campaigns.rows import Row
from tests.factories import (
    DAY,
    NOW,
    fiction_phone,
    make_account,
    make_campaign,
    make_referral,
    make_referrer,
    make_target,
)
from whatsapp import contacts, groups, identities
from whatsapp.driver.base import Member
from whatsapp.models import Contact, Group

pytestmark = pytest.mark.usefixtures("no_doorbells")
PHONE = fiction_phone(500)


@pytest.fixture
def campaign(db):
    return make_campaign(days=1)


@pytest.fixture
def referrer(campaign):
    return make_referrer(campaign.tenant, external_id="amina")


def scraped(tenant, **fields):
    return Contact.objects.create(tenant=tenant, phone=PHONE, source="group", **fields)


def row(**more):
    return Row(
        row=2, external_id="r1", referrer="amina", phone=PHONE, registered_at=NOW.isoformat(),
        **more,
    )  # fmt: skip


def test_importing_a_referral_who_was_scraped_before_records_the_basis(campaign, referrer):
    contact = scraped(campaign.tenant)
    assert contact.obstacle == "no_lawful_basis"

    referrals.import_rows(campaign.tenant, [row()], now=NOW)

    contact.refresh_from_db()
    assert (contact.obstacle, contact.lawful_basis, contact.lawful_basis_at) == (
        "", "contract", NOW,
    )  # fmt: skip
    entry = contact.consent.get()
    assert (entry.how, entry.note) == (
        "referral", "contract: registered with the company as a referral",
    )  # fmt: skip


@pytest.mark.parametrize("planned", [True, False], ids=["written to before", "not yet"])
def test_learning_the_phone_of_somebody_scraped_who_is_followed_records_the_basis(
    campaign, referrer, planned
):
    target = make_target(make_referral(referrer, phone=PHONE))
    Contact.objects.create(tenant=campaign.tenant, lid="500@lid", source="group")
    Contact.objects.update(created_at=NOW - DAY)
    if planned:
        contacts.ensure(tenant_id=campaign.tenant_id, people={PHONE: "Ana"})

    identities.find_or_make(
        tenant_id=campaign.tenant_id, phone=PHONE, lid="500@lid", source="inbound", now=NOW
    )

    contact = Contact.objects.get()
    assert (contact.phone, contact.source, contact.obstacle) == (PHONE, "group", "")
    target.refresh_from_db()
    assert target.state == Target.State.ACTIVE


def test_a_dry_run_records_nothing(campaign, referrer):
    contact = scraped(campaign.tenant)
    referrals.import_rows(campaign.tenant, [row()], now=NOW, dry_run=True)
    contact.refresh_from_db()
    assert contact.obstacle == "no_lawful_basis"


def test_scraping_somebody_who_is_a_referral_records_the_basis(campaign, referrer):
    make_referral(referrer, phone=PHONE)
    account = make_account(campaign.tenant)
    group = Group.objects.create(
        tenant=campaign.tenant, account=account, chat_id="1@g.us", discovered_at=NOW,
        refreshed_at=NOW,
    )  # fmt: skip
    stranger = fiction_phone(501)

    groups.store_members(
        group,
        [Member(lid="", phone=phone, name="", admin=False) for phone in (PHONE, stranger)],
        now=NOW,
    )

    assert Contact.objects.get(phone=PHONE).obstacle == ""
    assert Contact.objects.get(phone=stranger).obstacle == "no_lawful_basis"
    enrolment.enrol(now=NOW)
    assert planning.plan(now=NOW).queued == 1


def test_whoever_withdrew_a_basis_is_not_given_one_by_relance(campaign, referrer):
    contact = scraped(campaign.tenant)
    contacts.record_basis(contact, basis="consent", note="", how="admin", now=NOW)
    contacts.withdraw_basis(contact, note="a mistake", how="admin", now=NOW)

    referrals.import_rows(campaign.tenant, [row()], now=NOW)
    Referral.objects.update(registered_at=NOW.replace(hour=1))

    assert enrolment.enrol(now=NOW) == 0
    assert Referral.objects.get().skipped_reason == "no_lawful_basis"
    contact.refresh_from_db()
    contacts.record_basis(contact, basis="consent", note="signed", how="admin", now=NOW)
    assert enrolment.enrol(now=NOW) == 1


def test_withdrawing_the_basis_takes_them_out_of_the_sequence(campaign, referrer):
    contact = scraped(campaign.tenant)
    contacts.record_basis(contact, basis="consent", note="", how="admin", now=NOW)
    target = make_target(make_referral(referrer, phone=PHONE))
    planning.plan(now=NOW)

    contacts.withdraw_basis(contact, note="", how="admin", now=NOW)

    target.refresh_from_db()
    assert (target.state, target.exit_reason) == ("exited", Target.ExitReason.BY_HAND)
    assert contact.messages.get().state == "cancelled"


def test_a_phone_that_was_learnt_later_is_found_by_the_next_enrolment(campaign, referrer):
    make_referral(referrer, phone=PHONE)
    contact = scraped(campaign.tenant)

    assert lawful_basis.of_referrals(now=NOW) == 1
    assert lawful_basis.of_referrals(now=NOW) == 0

    contact.refresh_from_db()
    assert contact.obstacle == ""
