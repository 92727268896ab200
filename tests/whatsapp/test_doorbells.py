"""Doorbells: one per account, to whoever holds it, and gone by themselves when nobody listens."""

from django.db import transaction

from whatsapp import doorbells, limits, tasks
from whatsapp.models import Message


def queued(name) -> int:
    return limits.server().client.llen(f"relance:{name}")


def test_a_doorbell_goes_to_the_worker_that_holds_the_account(linked):
    doorbells.ring([linked.pk])
    assert queued("browser.browser@one") == 1
    assert queued("browser") == 0


def test_a_doorbell_for_an_account_nobody_holds_goes_to_all(account):
    doorbells.ring([account.pk])
    assert queued("browser") == 1


def test_the_queue_of_a_worker_that_never_comes_back_is_dropped(linked):
    doorbells.ring([linked.pk])
    left = limits.server().client.ttl("relance:browser.browser@one")
    assert 0 < left <= doorbells.KEEP_SECONDS


def test_many_messages_of_one_account_ring_once(account, write, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        doorbells.ring_on_commit([account.pk] * 20)
    assert queued("browser") == 1


def test_a_doorbell_that_redis_does_not_take_is_forgiven(account, monkeypatch):
    def away(*_, **__):
        raise ConnectionError("no Redis")

    monkeypatch.setattr(doorbells, "send", away)
    doorbells.ring([account.pk])
    assert queued("browser") == 0


def test_a_hundred_doorbells_send_a_message_once(linked, worker, world, write):
    message = write(linked)
    for _ in range(100):
        worker.drive(linked)
    assert len(world.record) == 1
    assert Message.objects.get(pk=message.pk).attempts.count() == 1


def test_without_any_doorbell_the_reconciler_finds_what_waits(linked, write):
    write(linked)
    limits.server().client.flushdb()
    assert tasks.ring_waiting() == 1
    assert queued("browser.browser@one") == 1
