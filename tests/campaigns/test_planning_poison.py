"""A row that cannot be planned keeps nobody else waiting: accounts, targets and messages."""

import pytest
from django.db import OperationalError

from accounts.models import Tenant
from campaigns import content, exits, following, planning, room
from campaigns.models import AccountSchedule, Delivery, Target
from campaigns.models import Template as Text
from tests.campaigns.conftest import due, many_due
from tests.factories import HOUR, NOW, make_campaign, make_referrer, make_tenant
from tests.logged import errors
from whatsapp.models import Message

pytestmark = pytest.mark.django_db

LATER = NOW + planning.FULL_RECHECK


@pytest.fixture
def bad(db):
    """A referrer of the company whose rows are poisonous; due before everybody else."""
    return make_referrer(make_campaign(make_tenant()).tenant)


@pytest.fixture
def good(db):
    return make_referrer(make_campaign(make_tenant()).tenant)


def planned():
    return set(Delivery.objects.values_list("target_id", flat=True))


# ------------------------------------------------------------------------------- an account


def test_an_account_that_cannot_be_planned_is_left_out_alone(bad, good, caplog):
    poisonous = due(bad, next_due_at=NOW - HOUR)
    Tenant.objects.filter(pk=bad.tenant_id).update(timezone="Mars/Olympus_Mons")
    others = [due(good), due(make_referrer(good.tenant))]

    report = planning.plan(now=NOW)

    assert planned() == {target.pk for target in others}
    assert report.queued == 2
    assert [line["account_id"] for line in errors(caplog, "account not planned")] == [
        bad.account_id
    ]
    assert AccountSchedule.objects.get(account=bad.account_id).next_due_at == LATER
    poisonous.refresh_from_db()
    assert (poisonous.hold, poisonous.next_due_at) == ("", NOW - HOUR), "not the target's fault"


def test_an_account_that_was_left_out_is_tried_again_by_itself(bad, good):
    poisonous = due(bad, next_due_at=NOW - HOUR)
    due(good)
    Tenant.objects.filter(pk=bad.tenant_id).update(timezone="Mars/Olympus_Mons")
    planning.plan(now=NOW)
    assert planning.plan(now=LATER).queued == 0
    Tenant.objects.filter(pk=bad.tenant_id).update(timezone="Europe/Paris")

    assert planning.plan(now=LATER).queued == 0, "its turn is put off once more"
    assert planning.plan(now=LATER + planning.FULL_RECHECK).queued == 1
    assert poisonous.pk in planned()


def test_nobody_is_queued_twice_around_a_poisonous_account(bad, good):
    due(bad)
    Tenant.objects.filter(pk=bad.tenant_id).update(timezone="Mars/Olympus_Mons")
    targets = many_due(good, 45)

    report = planning.plan(now=NOW)

    assert (report.queued, report.per_account[good.account_id]) == (45, 45)
    assert Message.objects.count() == 45
    assert planned() == {target.pk for target in targets}


# -------------------------------------------------------------------------------- a target


def test_a_target_that_cannot_be_planned_is_held_alone(bad, caplog):
    """Its number is none: no contact can be made for it."""
    poisonous = due(bad, next_due_at=NOW - HOUR)
    Target.objects.filter(pk=poisonous.pk).update(phone="by hand")
    others = many_due(bad, 25)

    report = planning.plan(now=NOW)

    assert planned() == {target.pk for target in others}
    assert (report.queued, report.held) == (25, 1)
    assert [line["target_id"] for line in errors(caplog, "target not planned")] == [poisonous.pk]
    poisonous.refresh_from_db()
    assert (poisonous.hold, poisonous.next_due_at) == ("template", LATER)
    assert "IntegrityError" in poisonous.hold_detail


def test_a_target_that_was_held_goes_on_once_it_is_mended(bad):
    poisonous = due(bad, next_due_at=NOW - HOUR)
    phone = poisonous.phone
    Target.objects.filter(pk=poisonous.pk).update(phone="by hand")
    planning.plan(now=NOW)
    Target.objects.filter(pk=poisonous.pk).update(phone=phone)

    assert planning.plan(now=LATER).queued == 1
    poisonous.refresh_from_db()
    assert (poisonous.hold, poisonous.slot_at) == ("", LATER)


def test_of_a_company_of_which_nothing_can_be_said_only_some_are_tried_each_time(bad, good, caplog):
    """All of its targets fail: one by one they would keep everybody else waiting."""
    Text.objects.filter(step__campaign__tenant=bad.tenant).update(body="{{offer}}")
    Tenant.objects.filter(pk=bad.tenant_id).update(variables={"offer": 20})
    many_due(bad, 30, next_due_at=NOW - HOUR)
    target = due(good)

    planning.plan(now=NOW)

    assert planned() == {target.pk}
    assert len(errors(caplog, "target not planned")) == 3
    assert AccountSchedule.objects.get(account=bad.account_id).next_due_at == LATER


def test_what_was_read_half_is_read_again(good, monkeypatch):
    """The steps of a campaign could not be read once: it is not one without steps from then on."""
    target = due(good)
    real, failed = content.Step.objects.filter, []

    def fails_once(*args, **kwargs):
        if not failed:
            failed.append(True)
            raise RuntimeError
        return real(*args, **kwargs)

    monkeypatch.setattr(content.Step.objects, "filter", fails_once)
    planning.plan(now=NOW)
    assert planned() == {target.pk}


def test_a_target_that_left_before_it_could_be_held_is_left_alone(bad, monkeypatch):
    target = due(bad)
    Target.objects.filter(pk=target.pk).update(phone="by hand")
    hold = planning._hold_failed

    def pays_first(failed, error, *, now):
        exits.exit_targets([failed.id], reason="paid", now=now)
        return hold(failed, error, now=now)

    monkeypatch.setattr(planning, "_hold_failed", pays_first)

    assert planning.plan(now=NOW).held == 0
    target.refresh_from_db()
    assert (target.state, target.hold) == ("exited", "")


# ------------------------------------------------------------------------ what is no poison


def test_a_database_that_is_away_is_nobodys_fault(bad, monkeypatch):
    target = due(bad)

    def away(*_, **__):
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(planning, "room_of", away)
    with pytest.raises(OperationalError):
        planning.plan(now=NOW)
    monkeypatch.setattr(planning, "room_of", room.room_of)
    assert AccountSchedule.objects.get(account=bad.account_id).next_due_at == NOW
    assert planning.plan(now=NOW).queued == 1
    assert planned() == {target.pk}


def test_what_cannot_even_be_claimed_is_not_hidden(bad, monkeypatch):
    due(bad)

    def broken(*_, **__):
        raise RuntimeError("no such column")

    monkeypatch.setattr(planning, "claim", broken)
    with pytest.raises(RuntimeError):
        planning.plan(now=NOW)


# ------------------------------------------------------------------ a message that is lost


def test_a_message_that_cannot_be_followed_keeps_nobody_from_being_planned(
    bad, good, monkeypatch, caplog
):
    lost = due(bad)
    planning.plan(now=NOW)
    message = Message.objects.get()
    Message.objects.update(state="cancelled", ended_at=NOW)
    target = due(good)
    real = following.follow

    def follow(message, **how):
        if message.pk == poisonous:
            raise RuntimeError
        real(message, **how)

    poisonous = message.pk
    monkeypatch.setattr(following, "follow", follow)

    planning.plan(now=NOW)

    assert target.pk in planned()
    assert [line["message_id"] for line in errors(caplog, "message not followed")] == [message.pk]
    poisonous = 0
    planning.plan(now=NOW)
    lost.refresh_from_db()
    assert lost.open_message is None
