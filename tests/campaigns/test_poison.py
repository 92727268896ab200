"""One row that cannot be handled stops no round: broadcasts, enrolment and what else goes over all
companies. Planning has a file of its own (test_planning_poison.py)."""

import datetime as dt

import pytest
from django.db import OperationalError

from accounts.models import Tenant
from campaigns import enrolment, lawful_basis, people, user_service
from campaigns.broadcasts import queueing, running, tracking
from campaigns.models import Campaign, Referral, Referrer, Segment, Target
from tests.campaigns.broadcasting import message_of, states
from tests.campaigns.broadcasting import people as make_people
from tests.factories import (
    HOUR,
    NOW,
    make_broadcast,
    make_campaign,
    make_contact,
    make_referral,
    make_referrer,
    make_tenant,
)
from tests.logged import errors
from whatsapp import contacts
from whatsapp.models import Message, Suppression

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
FOR_EVER = dt.timedelta(days=999_999_999)


# ------------------------------------------------------------------------------- broadcasts


@pytest.fixture
def bad():
    return make_broadcast(make_tenant())


@pytest.fixture
def good():
    return make_broadcast(make_tenant())


def start(broadcast, count=2):
    """Running, with so many recipients who wait."""
    someone = make_people(broadcast.tenant, count)
    running.start(broadcast, now=NOW)
    return someone


def test_a_broadcast_that_cannot_be_queued_keeps_no_other_waiting(bad, good, caplog):
    start(bad)
    start(good, 3)
    Tenant.objects.filter(pk=bad.tenant_id).update(timezone="Mars/Olympus_Mons")

    report = queueing.plan(now=NOW)

    assert report.queued == Message.objects.count() == 3
    assert states(good) == ["queued"] * 3
    assert states(bad) == ["waiting"] * 2
    said = errors(caplog, "broadcast not queued")
    assert [line["broadcast_id"] for line in said] == [bad.pk], "once in a call"
    assert said[0]["account_id"] == bad.accounts.get().pk


def test_a_broadcast_that_was_left_out_goes_on_once_it_is_mended(bad, good):
    start(bad)
    start(good)
    Tenant.objects.filter(pk=bad.tenant_id).update(timezone="Mars/Olympus_Mons")
    queueing.plan(now=NOW)
    Tenant.objects.filter(pk=bad.tenant_id).update(timezone="Europe/Paris")

    assert queueing.plan(now=NOW + MINUTE).queued == 2
    assert states(bad) == ["queued"] * 2


def test_a_recipient_to_whom_nothing_can_be_said_waits_alone(bad, monkeypatch, caplog):
    someone = start(bad, 6)
    poisonous = someone[2]
    say = queueing.Texts.say

    def chokes(texts, person):
        if person.name == poisonous.name:
            raise RuntimeError
        return say(texts, person)

    monkeypatch.setattr(queueing.Texts, "say", chokes)

    assert queueing.plan(now=NOW).queued == 5

    one = bad.recipients.get(contact=poisonous)
    assert (one.state, one.due_at) == ("waiting", NOW + queueing.RECHECK)
    assert [line["recipient_id"] for line in errors(caplog, "recipient not queued")] == [one.pk]
    monkeypatch.setattr(queueing.Texts, "say", say)
    assert queueing.plan(now=NOW + queueing.RECHECK).queued == 1
    assert message_of(poisonous).body.startswith("Bonjour")


def test_of_a_broadcast_that_says_nothing_to_anybody_only_some_are_tried(bad, good, caplog):
    bad.texts.update(body="{{offer}}")
    start(good)
    make_people(bad.tenant, 30)
    Tenant.objects.filter(pk=bad.tenant_id).update(variables={"offer": "-20 %"})
    bad.refresh_from_db()
    running.start(bad, now=NOW)
    Tenant.objects.filter(pk=bad.tenant_id).update(variables={"offer": 20})

    assert queueing.plan(now=NOW).queued == 2

    assert len(errors(caplog, "recipient not queued")) == 3
    assert bad.recipients.filter(state="waiting").count() == 30


def test_a_broadcast_that_cannot_begin_keeps_no_other_from_beginning(bad, good, caplog):
    for one in (bad, good):
        make_contact(one.tenant)
        running.start(one, at=NOW + HOUR, now=NOW)
    Segment.objects.filter(broadcasts=bad).update(rules={"engagementMin": "a lot"})

    report = queueing.plan(now=NOW + HOUR)

    assert (report.begun, report.queued) == (1, 1)
    assert states(good) == ["queued"]
    assert [line["broadcast_id"] for line in errors(caplog, "broadcast not begun")] == [bad.pk]
    bad.refresh_from_db()
    assert bad.state == "scheduled", "it is tried again"


def test_a_recipient_who_cannot_be_followed_keeps_nobody_from_being_queued(
    bad, good, monkeypatch, caplog
):
    start(bad)
    queueing.plan(now=NOW)
    Message.objects.update(state="cancelled", ended_at=NOW)
    lost = set(Message.objects.values_list("pk", flat=True))
    start(good)
    monkeypatch.setattr(tracking, "_end", _raises(RuntimeError()))

    assert queueing.plan(now=NOW + MINUTE).queued == 2

    assert {line["message_id"] for line in errors(caplog, "message not followed")} == lost


def test_a_database_that_is_away_is_no_broadcasts_fault(bad, monkeypatch):
    start(bad)
    monkeypatch.setattr(queueing, "_room", _raises(OperationalError("gone")))
    with pytest.raises(OperationalError):
        queueing.plan(now=NOW)


def _raises(error):
    def raising(*_, **__):
        raise error

    return raising


# -------------------------------------------------------------------------------- enrolment


def new_referral(**fields):
    return make_referral(make_referrer(make_campaign(make_tenant()).tenant), **fields)


def test_a_delay_without_end_keeps_no_other_company_from_enrolling(caplog):
    """As marketing may write it into a campaign: PostgreSQL knows no such time."""
    never, others = new_referral(), [new_referral() for _ in range(3)]
    Campaign.objects.filter(tenant=never.tenant).update(first_delay=FOR_EVER)

    assert enrolment.enrol(now=NOW) == 3

    assert set(Target.objects.values_list("referral", flat=True)) == {one.pk for one in others}
    said = errors(caplog, "referrals not enrolled")
    assert [line["referrer_id"] for line in said] == [never.referrer_id]
    Campaign.objects.update(first_delay=HOUR)
    assert enrolment.enrol(now=NOW) == 1
    assert Target.objects.count() == 4


def test_a_basis_that_cannot_be_recorded_keeps_nobody_from_enrolling(monkeypatch, caplog):
    referral, other = new_referral(), new_referral()
    for one in (referral, other):
        make_contact(one.tenant, phone=one.phone, source="group")
    record = contacts.record_basis

    def chokes(contact, **how):
        if contact.phone == poisonous:
            raise RuntimeError
        return record(contact, **how)

    poisonous = referral.phone
    monkeypatch.setattr(lawful_basis.contacts, "record_basis", chokes)

    assert enrolment.enrol(now=NOW) == 1

    assert Target.objects.get().referral == other
    assert len(errors(caplog, "lawful basis not recorded")) == 1
    poisonous = ""
    new_referral()
    enrolment.enrol(now=NOW)
    enrolment.enrol(now=NOW)
    assert Target.objects.filter(referral=referral).exists(), "tried again by itself"


# ------------------------------------------------------------------------ the user service


def test_a_referrer_whose_answer_chokes_us_keeps_no_other_from_being_asked(
    monkeypatch, settings, caplog
):
    settings.USER_SERVICE_URL = "http://user-service.invalid"
    settings.USER_SERVICE_SECRET, settings.LEGACY_SERVICE_TENANT = "s" * 32, ""
    tenant = make_tenant()
    bad, good = make_referrer(tenant), make_referrer(tenant)

    def has_subscription(_service, referrer):
        if referrer == bad.external_id:
            raise TypeError
        return False

    monkeypatch.setattr(user_service.UserService, "has_subscription", has_subscription)

    report = user_service.refresh(now=NOW)

    assert (report.asked, report.failed, report.lapsed) == (2, 1, 1)
    assert not Referrer.objects.get(pk=good.pk).subscribed
    assert [line["referrer_id"] for line in errors(caplog, "referrer not refreshed")] == [bad.pk]


# --------------------------------------------------------------------------- deletions


def test_a_deletion_that_cannot_be_finished_keeps_no_other_from_it(monkeypatch, caplog):
    rows = []
    for _ in range(2):
        tenant = make_tenant()
        contact = make_contact(tenant)
        rows.append(
            Suppression.objects.create(
                tenant=tenant, phone_hash=tenant.slug, since=NOW, unfinished=contact
            )
        )
    delete = people.delete

    def chokes(tenant, who, *, now):
        if tenant == rows[0].tenant:
            raise RuntimeError
        return delete(tenant, who, now=now)

    monkeypatch.setattr(people, "delete", chokes)

    assert people.finish_deletions(now=NOW) == 1

    assert [line["suppression_id"] for line in errors(caplog, "deletion not finished")] == [
        rows[0].pk
    ]
    assert list(Suppression.objects.exclude(unfinished=None)) == [rows[0]]
    assert not Referral.objects.exists()
