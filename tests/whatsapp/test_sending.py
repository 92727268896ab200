"""From the outbox to WhatsApp: at most once, within limits, whatever goes wrong on the way."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.activity import Actor
from whatsapp import leases, limits, linking, outbox, sending
from whatsapp.driver.base import Found, Lookup, Outgoing, Retryable
from whatsapp.models import Account, Attempt, Contact, Message, Usage

State = Message.State
ANA = "+33639980100"


def state_of(message) -> str:
    message.refresh_from_db()
    return message.state


def make_old(message) -> None:
    """Let the time pass after which nothing can still be sending the message."""
    Message.objects.filter(pk=message.pk).update(
        not_after=timezone.now() - timedelta(minutes=5),
    )


def test_a_due_message_is_sent_and_the_servers_ack_recorded(linked, world, worker, write):
    message = write(linked, ANA, "Bonjour Ana")
    worker.drive(linked)
    assert state_of(message) == State.SENT
    assert [(s.phone, s.body) for s in world.record] == [(ANA, "Bonjour Ana")]
    assert message.wa_id == world.record[0].wa_id
    assert Attempt.objects.get().outcome == Attempt.Outcome.SENT
    assert Usage.objects.get().count == 1


def test_delivered_and_read_follow_each_with_its_time(linked, world, worker, write):
    world.delivered = world.read = True
    message = write(linked)
    worker.drive(linked)
    assert state_of(message) == State.READ
    assert message.sent_at <= message.delivered_at + timedelta(seconds=1)
    assert message.read_at is not None


def test_a_receipt_that_arrives_before_the_send_returns_wins(linked, world, worker, write):
    message = write(linked)
    world.hooks["accepted"] = lambda out: Message.objects.filter(wa_id=out.wa_id).update(
        state=State.DELIVERED, sent_at=timezone.now(), delivered_at=timezone.now()
    )
    worker.drive(linked)
    assert state_of(message) == State.DELIVERED
    assert len(world.record) == 1


def test_a_message_to_a_phone_that_is_not_on_whatsapp_fails_without_using_the_quota(
    linked, world, worker, write
):
    world.absent.add(ANA)
    message = write(linked, ANA)
    worker.drive(linked)
    assert state_of(message) == State.FAILED
    assert message.error_code == "not_on_whatsapp"
    assert not Usage.objects.exists()
    assert Contact.objects.get(phone=ANA).on_whatsapp is False


def test_a_refusal_for_good_fails_at_once(linked, world, worker, write):
    world.fail("nack", code=401)
    message = write(linked)
    worker.drive(linked)
    assert state_of(message) == State.FAILED
    assert message.error_code == "nack_401"
    assert message.attempts.count() == 1


def test_a_refusal_for_now_is_tried_again_three_times_with_the_same_id(
    linked, world, worker, write
):
    world.fail("nack", code=429, times=None)
    message = write(linked)
    ids = set()
    for retry in (1, 2, 3):
        worker.drive(linked)
        assert state_of(message) == State.QUEUED
        assert message.retries == retry
        assert message.due_at > timezone.now()
        ids.add(message.wa_id)
        Message.objects.filter(pk=message.pk).update(due_at=timezone.now())
    worker.drive(linked)
    assert state_of(message) == State.FAILED
    assert message.attempts.count() == 4
    assert ids == {message.wa_id}
    assert world.record == []


def test_a_refusal_that_passes_is_sent_by_a_retry(linked, world, worker, write):
    world.fail("nack", code=429, times=1)
    message = write(linked)
    worker.drive(linked)
    Message.objects.filter(pk=message.pk).update(due_at=timezone.now())
    worker.drive(linked)
    assert state_of(message) == State.SENT
    assert message.error_code == ""


# ------------------------------------------------------------------------- nobody can tell


def test_an_ack_that_never_comes_leaves_the_message_undecided(linked, world, worker, write):
    world.fail("lost")
    message = write(linked)
    worker.drive(linked)
    assert state_of(message) == State.SENDING
    assert Attempt.objects.get().outcome == Attempt.Outcome.UNKNOWN


def test_a_late_receipt_decides_an_undecided_message(linked, world, worker, write):
    world.fail("lost")
    message = write(linked)
    worker.drive(linked)
    world.receipt(message.wa_id or Message.objects.get().wa_id, 2)
    worker.settle()
    assert state_of(message) == State.DELIVERED
    assert Attempt.objects.get().outcome == Attempt.Outcome.SENT


def test_an_undecided_message_becomes_uncertain_and_is_not_sent_again(linked, world, worker, write):
    world.fail("lost")
    message = write(linked)
    worker.drive(linked)
    make_old(message)
    worker.drive(linked)
    assert state_of(message) == State.UNCERTAIN
    assert "looked up" in message.error
    assert world.record[0].attempts == 1


def test_a_message_the_session_does_not_know_is_uncertain_where_pages_may_forget(
    linked, world, worker, write, settings
):
    settings.RESEND_NOT_FOUND = False
    message = crash_before_sending(linked, world, worker, write)
    worker.drive(linked)
    assert state_of(message) == State.UNCERTAIN
    assert world.record == []


def test_a_message_the_session_does_not_know_is_sent_once_more_with_the_same_id(
    linked, world, worker, write, settings
):
    settings.RESEND_NOT_FOUND = True
    message = crash_before_sending(linked, world, worker, write)
    first_id = message.wa_id
    worker.drive(linked)
    assert state_of(message) == State.SENT
    assert [s.wa_id for s in world.record] == [first_id]


def crash_before_sending(linked, world, worker, write) -> Message:
    """A worker is lost between the intent and the send; time passes."""

    class Lost(BaseException):
        pass

    def die(out):
        raise Lost

    world.hooks["sending"] = die
    message = write(linked)
    with pytest.raises(Lost):
        worker.drive(linked)
    world.hooks.clear()
    assert state_of(message) == State.SENDING
    make_old(message)
    message.refresh_from_db()
    return message


def test_nothing_is_decided_while_the_old_holder_might_still_be_sending(
    linked, world, worker, write, settings
):
    settings.RESEND_NOT_FOUND = True
    message = crash_before_sending(linked, world, worker, write)
    Message.objects.filter(pk=message.pk).update(not_after=timezone.now())
    worker.drive(linked)
    assert state_of(message) == State.SENDING
    assert world.record == []


def test_a_lost_ack_is_found_by_the_next_worker(linked, world, worker, write, start_worker):
    message = write(linked)

    class Lost(BaseException):
        pass

    def die(out):
        raise Lost

    world.hooks["acked"] = die
    with pytest.raises(Lost):
        worker.drive(linked)
    world.hooks.clear()
    Message.objects.filter(pk=message.pk).update(state=State.SENDING)
    worker.drive(linked)
    assert state_of(message) == State.SENT
    assert world.record[0].attempts == 1


@pytest.mark.parametrize(("sent", "state"), [(True, State.SENT), (False, State.QUEUED)])
def test_a_person_settles_what_is_uncertain(linked, world, worker, write, sent, state):
    world.fail("lost")
    message = write(linked)
    worker.drive(linked)
    make_old(message)
    worker.drive(linked)
    assert outbox.settle(message.pk, sent=sent, actor=Actor("user", "alice"), now=timezone.now())
    assert state_of(message) == state
    assert "alice" in message.error
    assert not outbox.settle(message.pk, sent=sent, actor=Actor("user", "bob"), now=timezone.now())


# ----------------------------------------------------------------------------- the intent


@pytest.fixture
def held(linked, worker):
    session = worker.pool.get(linked.pk)
    assert session is not None
    return session.held


def intend(message, held, account, day=None):
    day = day or limits.today(account.tenant, now=timezone.now())
    out = Outgoing(chat_id="x@c.us", wa_id=f"true_x@c.us_{message.pk}")
    return sending.intend(message, out, held=held, day=day)


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
    decided = sending.recover(message, Lookup(Found.NOT_FOUND), held=held, same_profile=True)
    assert decided == "uncertain"


# ----------------------------------------------------------------------------------- pace


def test_the_daily_limit_stops_the_queue_and_keeps_the_rest(linked, world, worker, write):
    Account.objects.update(daily_limit=2)
    messages = [write(linked, f"+3363998010{n}") for n in range(3)]
    worker.drive(linked)
    assert len(world.record) == 2
    assert state_of(messages[2]) == State.QUEUED


def test_nothing_is_sent_while_redis_is_away(linked, world, worker, write, monkeypatch):
    message = write(linked)

    def away(account):
        raise limits.Unavailable("Redis does not answer")

    monkeypatch.setattr(limits, "reserve", away)
    worker.drive(linked)
    assert state_of(message) == State.QUEUED
    assert world.record == []


def test_a_message_cancelled_after_the_reservation_gives_the_place_back(
    linked, world, worker, write, monkeypatch
):
    Account.objects.update(daily_limit=1)
    first, second = write(linked, "+33639980101"), write(linked, "+33639980102")
    reserve = limits.reserve

    def cancel_meanwhile(account):
        place = reserve(account)
        outbox.cancel([first.pk], reason="paid", now=timezone.now())
        return place

    monkeypatch.setattr(limits, "reserve", cancel_meanwhile)
    worker.drive(linked)
    assert [s.phone for s in world.record] == ["+33639980102"]
    assert state_of(second) == State.SENT


# ------------------------------------------------------- one message does not stop the others


def test_a_recipient_who_cannot_be_looked_up_does_not_hold_up_the_others(
    linked, world, worker, write, monkeypatch
):
    bad, good = write(linked, "+33639980101"), write(linked, "+33639980102")
    driver = worker.pool.get(linked.pk).driver
    prepare = driver.prepare

    def fail_for_one(phone, *, deadline):
        if phone == "+33639980101":
            raise Retryable("query_failed")
        return prepare(phone, deadline=deadline)

    monkeypatch.setattr(driver, "prepare", fail_for_one)
    worker.drive(linked)
    assert state_of(good) == State.SENT
    for _ in range(4):
        Message.objects.filter(pk=bad.pk).update(due_at=timezone.now())
        worker.drive(linked)
    assert state_of(bad) == State.FAILED
    assert bad.error_code == "query_failed"


def test_a_message_that_cannot_be_looked_up_does_not_hold_up_the_others(
    linked, world, worker, write, monkeypatch
):
    world.fail("lost")
    stuck = write(linked, "+33639980101")
    worker.drive(linked)
    other = write(linked, "+33639980102")

    def fail(wa_id, *, deadline):
        raise Retryable("lookup_failed")

    monkeypatch.setattr(worker.pool.get(linked.pk).driver, "lookup", fail)
    worker.drive(linked)
    assert state_of(other) == State.SENT
    make_old(stuck)
    worker.drive(linked)
    assert state_of(stuck) == State.UNCERTAIN


def test_a_queued_message_to_somebody_who_opted_out_is_cancelled(linked, world, worker, write):
    message, other = write(linked, "+33639980101"), write(linked, "+33639980102")
    Contact.objects.filter(phone="+33639980101").update(opted_out_at=timezone.now())
    worker.drive(linked)
    assert state_of(message) == State.CANCELLED
    assert message.error_code == "opted_out"
    assert state_of(other) == State.SENT


def test_a_chat_that_is_stuck_uses_no_quota(linked, world, worker, write):
    world.fail("lost")
    write(linked, ANA)
    worker.drive(linked)
    second = write(linked, ANA)
    for _ in range(5):
        Message.objects.filter(pk=second.pk).update(due_at=timezone.now())
        worker.drive(linked)
    assert state_of(second) == State.QUEUED
    assert second.retries == 0
    assert Usage.objects.get().count == 1


def test_a_chat_that_stays_stuck_gets_a_new_browser(linked, world, worker, write):
    world.fail("lost")
    write(linked, ANA)
    worker.drive(linked)
    first, second = worker.pool.get(linked.pk), write(linked, ANA)
    for _ in range(9):
        Message.objects.filter(pk=second.pk).update(due_at=timezone.now())
        worker.drive(linked)
    assert worker.pool.get(linked.pk) is not first


def test_a_file_that_cannot_be_read_is_found_out_before_the_intent(
    linked, world, worker, write, tenant
):
    from whatsapp.models import Media

    media = Media.objects.create(
        tenant=tenant,
        sha256="0" * 64,
        kind="image",
        mime="image/png",
        filename="a.png",
        size=1,
        file="media/not-there.png",
    )
    message = write(linked, media=media)
    Message.objects.filter(pk=message.pk).update(kind="media")
    worker.drive(linked)
    assert state_of(message) == State.QUEUED
    assert message.error_code == "media_unreadable"
    assert not Usage.objects.exists()


# ----------------------------------------------------------------- who knows what was sent


def test_after_a_new_scan_a_message_the_page_does_not_know_is_not_sent_again(
    linked, world, worker, write, settings
):
    settings.RESEND_NOT_FOUND = True

    class Lost(BaseException):
        pass

    def die(out):
        raise Lost

    world.hooks["accepted"] = die
    message = write(linked)
    with pytest.raises(Lost):
        worker.drive(linked)
    world.hooks.clear()
    make_old(message)
    world.log_out("+33639980001")
    worker.settle()
    linked.refresh_from_db()
    linking.request(linked, now=timezone.now())
    worker.drive(linked)
    world.scan("+33639980001")
    worker.settle()
    assert state_of(message) == State.UNCERTAIN
    assert [s.attempts for s in world.record] == [1]


def test_a_look_up_from_before_does_not_touch_a_newer_attempt(linked, held, write, settings):
    message = write(linked)
    intend(message, held, linked)
    make_old(message)
    message.refresh_from_db()
    Message.objects.filter(pk=message.pk).update(fence=held.fence + 5)
    decided = sending.recover(message, Lookup(Found.PENDING, 0), held=held, same_profile=True)
    assert decided == "gone"
    assert state_of(message) == State.SENDING


def test_a_receipt_for_a_message_that_was_queued_once_more_settles_it(linked, world, worker, write):
    world.fail("lost")
    message = write(linked)
    worker.drive(linked)
    make_old(message)
    worker.drive(linked)
    outbox.settle(message.pk, sent=False, actor=Actor("user", "alice"), now=timezone.now())
    world.receipt(world.record[0].wa_id, 2)
    worker.settle()
    assert state_of(message) == State.DELIVERED
    assert world.record[0].attempts == 1


def test_what_was_begun_by_an_account_nobody_drives_any_more_becomes_uncertain(linked, held, write):
    message = write(linked)
    intend(message, held, linked)
    assert sending.give_up_undriven(now=timezone.now() + timedelta(hours=1)) == 0
    Account.objects.update(status=Account.Status.LOGGED_OUT)
    assert sending.give_up_undriven(now=timezone.now()) == 0, "it may still be on its way"
    assert sending.give_up_undriven(now=timezone.now() + timedelta(hours=1)) == 1
    assert state_of(message) == State.UNCERTAIN
