"""Whoever pays leaves at once; whoever is not known yet is remembered."""

import pytest
from django.utils import timezone

from campaigns import exits, planning
from campaigns.exits import ExitResult
from campaigns.models import Payment, Referral, Target
from tests.campaigns.conftest import move, to_sending
from tests.factories import DAY, HOUR, NOW, make_referral, make_referrer, make_target, make_tenant
from whatsapp.models import Message, WebhookEvent
from whatsapp.webhooks import endpoints

pytestmark = pytest.mark.django_db


def leave(target, **fields):
    return exits.exit_referral(
        tenant=target.tenant, external_id=target.referral.external_id, **({"now": NOW} | fields)
    )


def test_a_payer_leaves_and_what_is_queued_is_cancelled(target, message):
    before = timezone.now()

    result = leave(target, paid_at=NOW - HOUR)

    assert result == ExitResult(targets_exited=1, messages_cancelled=1, in_flight=0, known=True)
    target.refresh_from_db()
    message.refresh_from_db()
    assert (target.state, target.exit_reason) == ("exited", "paid")
    assert target.ended_at > before, "by the database's clock"
    assert (target.next_due_at, target.open_message) == (None, None)
    assert (message.state, message.error_code) == ("cancelled", "paid")
    assert Referral.objects.get().paid_at == Payment.objects.get().paid_at == NOW - HOUR
    assert planning.plan(now=NOW + 9 * DAY).queued == 0


def test_leaving_twice_is_leaving_once(target, message):
    leave(target)
    before = Target.objects.values().get()
    assert leave(target, now=NOW + DAY) == ExitResult(0, 0, 0, known=True)
    assert Target.objects.values().get() == before
    assert Payment.objects.get().paid_at == NOW


def test_a_message_under_way_is_counted_and_still_is_on_repetition(target, message):
    to_sending(message)
    assert leave(target) == ExitResult(1, 0, in_flight=1, known=True)
    assert leave(target) == ExitResult(0, 0, in_flight=1, known=True)
    move(message, "sent")
    assert leave(target) == ExitResult(0, 0, in_flight=0, known=True)


def test_an_unknown_payer_is_remembered(target):
    result = exits.exit_referral(
        tenant=target.tenant, external_id="nobody", now=NOW, source="billing"
    )
    assert result == ExitResult(0, 0, 0, known=False)
    payment = Payment.objects.get()
    assert (payment.external_id, payment.paid_at, payment.source) == ("nobody", NOW, "billing")
    target.refresh_from_db()
    assert target.state == "active"


def test_a_payer_of_another_tenant_is_somebody_else(target):
    result = exits.exit_referral(tenant=make_tenant(), external_id="ref-1", now=NOW)
    assert not result.known
    target.refresh_from_db()
    assert target.state == "active"


def test_the_same_person_under_another_id_leaves_too(target):
    second = make_referral(make_referrer(target.tenant), phone=target.phone)
    result = exits.exit_referral(tenant=target.tenant, external_id=second.external_id, now=NOW)
    assert result.targets_exited == 1
    target.refresh_from_db()
    assert target.exit_reason == "paid"


def test_another_reason_is_no_payment(target):
    leave(target, reason=Target.ExitReason.BY_HAND)
    assert not Payment.objects.exists()
    assert Referral.objects.get().paid_at is None


def test_targets_are_taken_out_by_hand(target, message, referrer):
    other = make_target(make_referral(referrer))
    ended = make_target(make_referral(referrer), state="completed", next_due_at=None)

    result = exits.exit_targets([target.pk, ended.pk], reason="by_hand", now=NOW)

    assert (result.targets_exited, result.messages_cancelled) == (1, 1)
    states = dict(Target.objects.values_list("id", "state"))
    assert states == {target.pk: "exited", other.pk: "active", ended.pk: "completed"}


def test_a_completed_target_stays_completed(referrer):
    done = make_target(make_referral(referrer), state="completed", next_due_at=None)
    assert leave(done).targets_exited == 0
    done.refresh_from_db()
    assert done.state == "completed"
    assert done.referral.paid_at is None or Referral.objects.get().paid_at == NOW


def test_no_queued_message_of_an_ended_target_exists(target, message):
    leave(target)
    left = Message.objects.filter(state="queued", delivery__target__state="exited")
    assert not left.exists()


def test_the_companys_own_systems_hear_who_left_and_why(db):
    target = make_target()
    endpoints.create(
        tenant=target.tenant, name="CRM", url="https://crm.example/", events=["target.exited"],
        now=NOW,
    )  # fmt: skip

    exits.exit_targets([target.pk], reason="by_hand", now=NOW)
    exits.exit_targets([target.pk], reason="by_hand", now=NOW)

    (event,) = WebhookEvent.objects.all()
    assert (event.type, event.object_id) == ("target.exited", str(target.pk))
    assert event.data["referral"] == target.referral.external_id
    assert event.data["reason"] == "by_hand"
