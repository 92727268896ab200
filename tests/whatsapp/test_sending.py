"""From the outbox to WhatsApp: at most once, within limits, whatever goes wrong on the way."""

from datetime import timedelta

from django.utils import timezone

from tests.whatsapp.conftest import make_old, state_of
from whatsapp import limits, outbox
from whatsapp.driver.base import Retryable
from whatsapp.models import Account, Attempt, Contact, Message, Usage

State = Message.State
ANA = "+33639980100"


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
