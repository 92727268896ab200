"""What the database itself refuses, whoever writes."""

import datetime as dt

import pytest
from django.db import IntegrityError, transaction

from campaigns.models import Campaign, Delivery, Payment, Referral, Step, Target, Template
from tests.factories import (
    DAY,
    NOW,
    make_account,
    make_campaign,
    make_referral,
    make_referrer,
    make_target,
    make_tenant,
)
from whatsapp import contacts, outbox

pytestmark = pytest.mark.django_db


def refused(constraint, make):
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        make()
    assert constraint in str(caught.value)


def test_a_campaign_name_is_there_once_in_a_tenant():
    one = make_campaign(days=0, active=False)
    refused("campaign_name_per_tenant", lambda: make_campaign(one.tenant, name=one.name, days=0))
    assert make_campaign(make_tenant(), name=one.name, days=0).pk


def test_a_tenant_has_one_active_campaign():
    one = make_campaign(days=0)
    refused("campaign_one_active", lambda: make_campaign(one.tenant, days=0))


def test_a_step_number_is_there_once_in_a_campaign():
    campaign = make_campaign(days=1)
    refused("step_number_once", lambda: Step.objects.create(campaign=campaign, number=1))


def test_steps_count_from_1():
    campaign = make_campaign(days=0)
    refused("step_number_from_1", lambda: Step.objects.create(campaign=campaign, number=0))


def test_a_delay_is_not_negative():
    campaign = make_campaign(days=0)
    refused(
        "step_delay_not_negative",
        lambda: Step.objects.create(campaign=campaign, number=1, delay=-dt.timedelta(seconds=1)),
    )


def test_a_step_says_one_thing_in_a_language():
    step = make_campaign(days=1).steps.get()
    refused(
        "template_once_per_language",
        lambda: Template.objects.create(step=step, language="fr", body="x"),
    )


def test_an_external_id_is_there_once_in_a_tenant():
    one = make_referral()
    refused(
        "referral_external_id", lambda: make_referral(one.referrer, external_id=one.external_id)
    )
    refused(
        "referrer_external_id",
        lambda: make_referrer(
            one.tenant, external_id=one.referrer.external_id, account=make_account(one.tenant)
        ),
    )
    assert make_referral(external_id=one.external_id).pk


@pytest.mark.parametrize("phone", ["0639980000", "+0639980000", "+33 639980000", "", "+33639x"])
def test_a_referral_has_a_phone_in_e164(phone):
    referrer = make_referrer()
    refused("referral_phone_is_e164", lambda: make_referral(referrer, phone=phone))


def test_a_payment_is_kept_once_per_person():
    tenant = make_tenant()
    Payment.objects.create(tenant=tenant, external_id="ref-1", paid_at=NOW)
    refused(
        "payment_external_id",
        lambda: Payment.objects.create(tenant=tenant, external_id="ref-1", paid_at=NOW),
    )


def test_a_referral_has_one_target_for_ever_in_a_campaign():
    target = make_target(state="completed", next_due_at=None)
    refused("target_once_for_ever", lambda: make_target(target.referral, campaign=target.campaign))


def test_a_phone_is_followed_once_in_a_tenant():
    one = make_target()
    other = make_referral(make_referrer(one.tenant), phone=one.phone)
    refused("target_one_active_per_phone", lambda: make_target(other))
    assert make_target(make_referral(phone=one.phone)).pk, "another tenant follows its own people"
    Target.objects.filter(pk=one.pk).update(state="completed", ended_at=NOW, next_due_at=None)
    assert make_target(other).pk, "an ended target frees the phone"


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("target_state_is_legal", {"state": "lost", "ended_at": NOW, "next_due_at": None}),
        ("target_exit_has_reason", {"state": "exited", "ended_at": NOW, "next_due_at": None}),
        ("target_exit_has_reason", {"exit_reason": "paid"}),
        (
            "target_exit_reason_is_known",
            {"state": "exited", "exit_reason": "x", "ended_at": NOW, "next_due_at": None},
        ),
        ("target_end_has_time", {"ended_at": NOW}),
        ("target_end_has_time", {"state": "completed", "next_due_at": None}),
        ("target_active_has_next", {"next_due_at": None}),
        ("target_ended_has_no_next", {"state": "completed", "ended_at": NOW}),
        ("target_hold_is_known", {"hold": "whim"}),
    ],
)
def test_a_target_cannot_stand_in_a_way_that_makes_no_sense(constraint, fields):
    target = make_target()
    refused(constraint, lambda: Target.objects.filter(pk=target.pk).update(**fields))


def test_a_step_is_delivered_to_a_target_once():
    target = make_target()
    ids = contacts.ensure(tenant_id=target.tenant_id, people={target.phone: ""})

    def deliver(key):
        made = outbox.queue_batch(
            [
                outbox.Draft(
                    tenant_id=target.tenant_id,
                    account_id=target.account_id,
                    contact_id=ids[target.phone],
                    idempotency_key=key,
                    body="x",
                    due_at=NOW,
                )
            ],
            now=NOW,
        )
        Delivery.objects.create(target=target, number=1, language="fr", message_id=made[key])

    deliver("one")
    refused("delivery_once_per_step", lambda: deliver("two"))


def test_min_spacing_is_20_hours_or_less_for_shorter_delays():
    assert Step(delay=DAY).min_spacing == dt.timedelta(hours=19.2)
    assert Step(delay=2 * DAY).min_spacing == dt.timedelta(hours=20)
    assert Step(delay=dt.timedelta(seconds=10)).min_spacing == dt.timedelta(seconds=8)


def test_deleting_a_tenant_takes_everything_of_it_along():
    target = make_target()
    target.tenant.delete()
    assert not Campaign.objects.exists()
    assert not Referral.objects.exists()
