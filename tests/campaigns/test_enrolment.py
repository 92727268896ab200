"""Who enters a sequence, when, and who does not."""

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns import enrolment, exits
from campaigns.models import AccountSchedule, Payment, Referral, Target
from tests.factories import (
    DAY,
    HOUR,
    NOW,
    make_account,
    make_campaign,
    make_referral,
    make_referrer,
    make_target,
    make_tenant,
)
from whatsapp.models import Account, Contact

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def campaign(tenant):
    return make_campaign(tenant)


@pytest.fixture
def referrer(tenant, campaign):
    return make_referrer(tenant)


def test_a_referral_is_enrolled_an_hour_after_it_registered(referrer):
    referral = make_referral(referrer, registered_at=NOW - HOUR)

    assert enrolment.enrol(now=NOW) == 1

    target = Target.objects.get()
    assert target.referral == referral
    assert target.account == referrer.account
    assert target.phone == referral.phone
    assert (target.slot_at, target.next_due_at, target.enrolled_at) == (NOW, NOW, NOW)
    referral.refresh_from_db()
    assert referral.enrolled_at == NOW
    assert referral.skipped_reason == ""


def test_not_a_second_earlier(referrer):
    make_referral(referrer, registered_at=NOW - HOUR + dt.timedelta(seconds=1))

    assert enrolment.enrol(now=NOW) == 0
    assert enrolment.enrol(now=NOW + dt.timedelta(seconds=1)) == 1


def test_the_campaign_says_how_long_to_wait(referrer, campaign):
    campaign.first_delay = 3 * DAY
    campaign.save()
    make_referral(referrer, registered_at=NOW - 2 * DAY)

    assert enrolment.enrol(now=NOW) == 0
    assert enrolment.enrol(now=NOW + DAY) == 1


def test_old_referrals_start_at_the_first_step_now_in_the_order_they_registered(referrer):
    old = [
        make_referral(referrer, registered_at=NOW - n * DAY, external_id=f"{n} days")
        for n in (30, 200, 90)
    ]

    assert enrolment.enrol(now=NOW) == len(old)

    targets = Target.objects.order_by("next_due_at", "id")
    assert [t.referral.external_id for t in targets] == ["200 days", "90 days", "30 days"]
    assert {t.slot_at for t in targets} == {NOW}
    assert {t.steps_done for t in targets} == {0}


def test_a_second_run_finds_nothing(referrer):
    make_referral(referrer)
    enrolment.enrol(now=NOW)
    assert enrolment.enrol(now=NOW + HOUR) == 0
    assert Target.objects.count() == 1


def test_the_account_is_due_when_its_first_target_is(referrer):
    make_referral(referrer)
    AccountSchedule.objects.create(account=referrer.account, next_due_at=NOW + DAY)

    enrolment.enrol(now=NOW)

    assert AccountSchedule.objects.get().next_due_at == NOW


def test_an_earlier_bound_of_the_account_is_kept(referrer):
    make_referral(referrer)
    AccountSchedule.objects.create(account=referrer.account, next_due_at=NOW - DAY)

    enrolment.enrol(now=NOW)

    assert AccountSchedule.objects.get().next_due_at == NOW - DAY


@pytest.mark.parametrize(
    "fields", [{"subscribed": False}, {"enrolment_paused": True}], ids=["lapsed", "paused"]
)
def test_a_referrer_who_may_not_enrol_waits_and_then_enrols(referrer, fields):
    make_referral(referrer)
    type(referrer).objects.update(**fields)
    assert enrolment.enrol(now=NOW) == 0
    assert Referral.objects.get().enrolled_at is None

    type(referrer).objects.update(subscribed=True, enrolment_paused=False)
    assert enrolment.enrol(now=NOW) == 1


@pytest.mark.parametrize("status", [s for s in Account.Status if s not in Account.LINKED_STATUSES])
def test_an_account_that_is_not_linked_waits(referrer, status):
    make_referral(referrer)
    Account.objects.update(status=status)
    assert enrolment.enrol(now=NOW) == 0

    Account.objects.update(status="reconnecting")
    assert enrolment.enrol(now=NOW) == 1


def test_an_account_that_is_switched_off_waits(referrer):
    make_referral(referrer)
    Account.objects.update(enabled=False)
    assert enrolment.enrol(now=NOW) == 0


def test_a_referrer_without_account_waits(referrer):
    make_referral(referrer)
    type(referrer).objects.update(account=None)
    assert enrolment.enrol(now=NOW) == 0


def test_sending_paused_enrols_all_the_same(referrer):
    make_referral(referrer)
    Account.objects.update(sending_paused_at=NOW)
    assert enrolment.enrol(now=NOW) == 1


def test_without_an_active_campaign_nobody_starts(referrer, campaign):
    make_referral(referrer)
    type(campaign).objects.update(active=False)
    assert enrolment.enrol(now=NOW) == 0


def test_a_campaign_without_steps_starts_nobody(referrer, campaign):
    make_referral(referrer)
    campaign.steps.update(active=False)
    assert enrolment.enrol(now=NOW) == 0


def test_a_first_step_with_a_delay_starts_later(referrer, campaign):
    campaign.steps.filter(number=1).update(delay=2 * HOUR)
    make_referral(referrer)
    enrolment.enrol(now=NOW)
    assert Target.objects.get().slot_at == NOW + 2 * HOUR


def test_a_payer_is_never_enrolled(referrer):
    make_referral(referrer, paid_at=NOW - DAY)
    assert enrolment.enrol(now=NOW) == 0


def test_a_payer_whose_referral_does_not_say_so_is_never_enrolled(referrer):
    referral = make_referral(referrer)
    Payment.objects.create(
        tenant=referrer.tenant, external_id=referral.external_id, paid_at=NOW - DAY
    )

    assert enrolment.enrol(now=NOW) == 0

    referral.refresh_from_db()
    assert referral.paid_at == NOW - DAY
    assert referral.enrolled_at is None


def test_a_payment_with_another_tenant_says_nothing(referrer):
    referral = make_referral(referrer)
    Payment.objects.create(tenant=make_tenant(), external_id=referral.external_id, paid_at=NOW)
    assert enrolment.enrol(now=NOW) == 1


def test_somebody_who_paid_under_another_id_is_not_enrolled(referrer):
    paid = make_referral(referrer)
    same_person = make_referral(make_referrer(referrer.tenant), phone=paid.phone)
    exits.exit_referral(tenant=referrer.tenant, external_id=paid.external_id, now=NOW)

    assert enrolment.enrol(now=NOW) == 0

    same_person.refresh_from_db()
    assert same_person.skipped_reason == "phone_paid"


def test_a_contact_who_opted_out_is_not_enrolled(referrer):
    referral = make_referral(referrer)
    Contact.objects.create(tenant=referrer.tenant, phone=referral.phone, opted_out_at=NOW - DAY)

    assert enrolment.enrol(now=NOW) == 0

    referral.refresh_from_db()
    assert referral.skipped_reason == "opted_out"
    assert referral.enrolled_at is not None, "out of the worklist"


def test_of_two_referrals_with_one_phone_the_first_registered_is_followed(referrer):
    later = make_referral(referrer, registered_at=NOW - DAY)
    first = make_referral(
        make_referrer(referrer.tenant), phone=later.phone, registered_at=NOW - 2 * DAY
    )

    assert enrolment.enrol(now=NOW) == 1

    assert Target.objects.get().referral == first
    later.refresh_from_db()
    assert later.skipped_reason == "phone_followed"
    assert later.enrolled_at == NOW


def test_a_phone_that_is_followed_is_not_followed_by_another_referrer(referrer):
    target = make_target(make_referral(referrer))
    other = make_referral(make_referrer(referrer.tenant), phone=target.phone)

    assert enrolment.enrol(now=NOW) == 0

    other.refresh_from_db()
    assert other.skipped_reason == "phone_followed"


def test_two_tenants_may_follow_one_phone(referrer):
    one = make_referral(referrer)
    other = make_referrer(make_campaign().tenant)
    make_referral(other, phone=one.phone)
    assert enrolment.enrol(now=NOW) == 2


def test_a_referral_that_lost_its_mark_is_not_enrolled_twice(referrer):
    target = make_target(make_referral(referrer), state="completed", next_due_at=None)
    Referral.objects.update(enrolled_at=None)

    assert enrolment.enrol(now=NOW) == 0

    target.referral.refresh_from_db()
    assert target.referral.enrolled_at == NOW
    assert target.referral.skipped_reason == ""


def test_batches_end_and_keep_the_order(referrer, monkeypatch):
    monkeypatch.setattr(enrolment, "BATCH", 3)
    first = [make_referral(referrer, registered_at=NOW - DAY - n * HOUR) for n in range(7)]
    assert enrolment.enrol(now=NOW) == 7
    order = Target.objects.order_by("id").values_list("referral_id", flat=True)
    assert list(order) == [r.pk for r in reversed(first)]


def test_the_number_of_statements_does_not_depend_on_the_number_of_referrals(referrer):
    def statements(n):
        for _ in range(n):
            make_referral(referrer)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert enrolment.enrol(now=NOW) == n
        return len(queries)

    assert statements(2) == statements(40)


def test_a_waiting_backlog_of_a_paused_referrer_is_not_looked_at(referrer):
    """The worklist is searched by referrer: who may not enrol costs nothing."""
    paused = make_referrer(
        referrer.tenant, enrolment_paused=True, account=make_account(referrer.tenant)
    )
    for n in range(300):
        make_referral(paused, phone=f"+3363998{5000 + n}")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE campaigns_referral, campaigns_referrer")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON) " + enrolment.ENROL,
            {"now": NOW, "batch": 10, "linked": list(Account.LINKED_STATUSES)},
        )
        plan = str(cursor.fetchone()[0])
    assert "referral_worklist" in plan
    assert "'Actual Rows': 300" not in plan
