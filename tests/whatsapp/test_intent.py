"""The intent, the last look before a message is sent: what it refuses, and under whose fence."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.whatsapp.conftest import intend, make_old, state_of
from whatsapp import leases, limits, linking, outbox, recovery, sending
from whatsapp.driver.base import Found, Lookup
from whatsapp.models import Attempt, Contact, Message, Usage

State = Message.State


def expect_refusal(reason, message, held, account, **values):
    with pytest.raises(sending.Refused, match=reason):
        intend(message, held, account, **values)
    assert state_of(message) in (State.QUEUED, State.CANCELLED)
    assert not Attempt.objects.exists()
    assert not Usage.objects.filter(count__gt=0).exists()


def test_the_intent_is_refused_when_somebody_else_took_the_account(linked, held, write):
    message = write(linked)
    other = leases.Holder(worker="browser@two", host="elsewhere")
    leases.Lease.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert leases.take(linked.pk, other) is not None
    expect_refusal("lease_lost", message, held, linked)


def test_the_intent_is_refused_when_the_lease_is_nearly_over(linked, held, write):
    message = write(linked)
    leases.Lease.objects.update(lease_until=timezone.now() + timedelta(seconds=1))
    expect_refusal("lease_lost", message, held, linked)


def test_the_intent_is_refused_while_sending_is_paused(linked, held, write):
    message = write(linked)
    linking.pause_sending(linked, now=timezone.now())
    expect_refusal("account_stopped", message, held, linked)


def test_the_intent_is_refused_after_the_message_was_cancelled(linked, held, write):
    message = write(linked)
    outbox.cancel([message.pk], reason="paid", now=timezone.now())
    expect_refusal("message_gone", message, held, linked)


def test_the_intent_is_refused_after_the_contact_opted_out(linked, held, write):
    message = write(linked)
    Contact.objects.update(opted_out_at=timezone.now())
    expect_refusal("message_gone", message, held, linked)


def test_the_intent_is_refused_when_the_day_has_changed_since_the_reservation(linked, held, write):
    message = write(linked)
    yesterday = limits.today(linked.tenant, now=timezone.now()) - timedelta(days=1)
    expect_refusal("day_changed", message, held, linked, day=yesterday)


def test_the_intent_is_refused_at_the_daily_limit_whatever_redis_says(linked, held, write):
    linked.daily_limit = 1
    linked.save()
    first, second = write(linked), write(linked)
    intend(first, held, linked)
    with pytest.raises(sending.Refused, match="daily_limit"):
        intend(second, held, linked)
    assert Usage.objects.get().count == 1


def test_a_limit_of_zero_sends_nothing(linked, held, write):
    linked.daily_limit = 0
    linked.save()
    expect_refusal("daily_limit", write(linked), held, linked)


def test_a_finish_under_an_older_fence_changes_nothing(linked, held, write):
    message = write(linked)
    intent = intend(message, held, linked)
    Message.objects.filter(pk=message.pk).update(fence=held.fence + 1)
    from whatsapp.driver.base import SendResult

    done = sending.finish_sent(intent, SendResult("x", 1), now=timezone.now())
    assert not done
    assert state_of(message) == State.SENDING


def test_recovery_by_somebody_who_lost_the_account_does_not_send_again(
    linked, held, write, settings
):
    settings.RESEND_NOT_FOUND = True
    message = write(linked)
    intend(message, held, linked)
    make_old(message)
    message.refresh_from_db()
    leases.Lease.objects.update(fence=held.fence + 1)
    decided = recovery.recover(message, Lookup(Found.NOT_FOUND), held=held, same_profile=True)
    assert decided == "uncertain"
