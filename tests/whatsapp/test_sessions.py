"""Browsers of a worker: one per account, as many as allowed, gone when the lease is."""

import subprocess
import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from whatsapp import leases, limits, linking, processes, tasks, upkeep
from whatsapp.driver.base import SessionLost
from whatsapp.models import Account, Lease, Message, Profile
from whatsapp.sessions import NoSlot

PHONES = ["+33639980001", "+33639980002", "+33639980003"]


@pytest.fixture
def three(tenant, world, worker):
    """Three accounts, linked one after the other."""
    made = []
    for name, phone in zip(("amina", "bruno", "chantal"), PHONES, strict=True):
        account = Account.objects.create(tenant=tenant, name=name, gap_ms=0)
        linking.request(account, now=timezone.now())
        worker.drive(account)
        world.scan(phone)
        worker.settle()
        account.refresh_from_db()
        made.append(account)
    return made


def test_the_session_used_least_recently_makes_room(three, worker, write, settings, tenant):
    settings.WHATSAPP_MAX_SESSIONS = 3
    write(three[0])
    worker.drive(three[0])
    fourth = Account.objects.create(tenant=tenant, name="david")
    linking.request(fourth, now=timezone.now())
    worker.drive(fourth)
    assert worker.pool.get(three[1].pk) is None
    assert worker.pool.get(three[0].pk) is not None
    assert worker.pool.get(fourth.pk) is not None
    assert Lease.objects.get(account=three[1]).lease_until is None


def test_without_an_idle_session_a_newcomer_waits(worker, settings, tenant):
    settings.WHATSAPP_MAX_SESSIONS = 1
    first, second = (Account.objects.create(tenant=tenant, name=n) for n in ("a", "b"))
    for account in (first, second):
        linking.request(account, now=timezone.now())
        worker.drive(account)
    assert worker.pool.get(first.pk) is not None
    assert worker.pool.get(second.pk) is None
    assert not Lease.objects.filter(account=second, lease_until__isnull=False).exists()


def test_an_account_of_another_worker_is_left_alone(linked, start_worker):
    other = start_worker("browser@two")
    Lease.objects.update(host="elsewhere")
    other.drive(linked)
    assert other.pool.get(linked.pk) is None


def test_a_worker_whose_lease_is_gone_closes_its_browser_and_sends_nothing(
    linked, world, worker, write, start_worker
):
    Lease.objects.update(
        lease_until=timezone.now() - timedelta(seconds=1), host="elsewhere", browser_group=None
    )
    leases.take(linked.pk, leases.Holder(worker="browser@two", host="there"))
    write(linked)
    worker.drive(linked)
    assert worker.pool.get(linked.pk) is None
    assert world.record == []
    assert Lease.objects.get().worker == "browser@two"


def test_a_browser_that_dies_is_opened_again(linked, world, worker, write):
    world.kill(PHONES[0])
    worker.settle()
    write(linked)
    worker.drive(linked)
    assert len(world.record) == 1


def test_a_browser_that_takes_too_much_memory_is_saved_and_opened_again(
    linked, worker, monkeypatch
):
    first = worker.pool.get(linked.pk)
    monkeypatch.setattr(type(first.driver), "process_group", 1)
    monkeypatch.setattr(processes, "memory", lambda group: 2**40)
    first.probed_at -= 61
    worker.pool._upkeep.keep_house(time.monotonic())
    assert worker.pool.woken == [linked.pk]
    worker.settle()
    second = worker.pool.get(linked.pk)
    assert second is not first
    assert Profile.objects.get().generation >= 1


def test_a_page_that_hangs_is_noticed_by_a_probe_and_its_browser_replaced(
    linked, worker, world, monkeypatch
):
    first = worker.pool.get(linked.pk)

    def hang():
        raise SessionLost("page_hung")

    monkeypatch.setattr(first.driver, "status", hang)
    first.probed_at -= 61
    worker.pool._upkeep.keep_house(time.monotonic())
    worker.settle()
    assert worker.pool.get(linked.pk) is not first
    assert worker.pool.get(linked.pk).usable


def test_memory_of_a_process_group_is_measured():
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        assert processes.memory(child.pid) > 0
    finally:
        child.kill()
        child.wait()
    assert processes.memory(child.pid) == 0


def test_a_disabled_account_is_closed(linked, worker):
    Account.objects.update(enabled=False)
    worker.drive(linked)
    assert worker.pool.get(linked.pk) is None


def test_a_ring_during_a_turn_is_remembered(linked, worker):
    with worker.pool.turn(linked.pk) as mine, worker.pool.turn(linked.pk) as second:
        assert mine
        assert not second
    assert worker.pool.woken == [linked.pk]


@pytest.mark.django_db(transaction=True)
def test_stopping_closes_every_browser_and_gives_every_lease_back(three, worker):
    worker.pool.stop()
    assert len(worker.pool) == 0
    assert not Lease.objects.filter(lease_until__isnull=False).exists()


def test_a_worker_that_stops_takes_no_account_any_more(linked, worker, start_worker):
    worker.stop()
    after = start_worker()
    after.pool.stopping.set()
    with pytest.raises(NoSlot):
        after.pool.claim(linked.pk, evict=True)
    assert Lease.objects.get().lease_until is None


def test_leases_are_renewed_until_the_last_browser_has_ended(linked, worker, monkeypatch):
    monkeypatch.setattr(upkeep, "close_old_connections", lambda: None)  # the test's own
    session = worker.pool.get(linked.pk)
    renewed = []

    def close_slowly():
        Lease.objects.update(lease_until=timezone.now() + timedelta(seconds=1))
        worker.pool._upkeep.beat()
        renewed.append(Lease.objects.get().lease_until > timezone.now() + timedelta(seconds=10))

    monkeypatch.setattr(session.driver, "close", close_slowly)
    worker.stop()
    assert renewed == [True]
    assert Lease.objects.get().lease_until is None


def test_a_session_is_opened_again_only_after_the_one_before_has_closed(linked, worker, world):
    first = worker.pool.get(linked.pk)
    closing, closed = threading.Event(), threading.Event()
    end = first.driver.close

    def close_slowly():
        closing.set()
        closed.wait(10)
        end()

    first.driver.close = close_slowly
    closer = threading.Thread(
        target=worker.pool.close, args=[first], kwargs={"reason": "test", "keep_lease": True}
    )
    closer.start()
    closing.wait(10)
    threading.Timer(0.2, closed.set).start()
    worker.drive(linked)
    closer.join()
    assert closed.is_set()
    assert worker.pool.get(linked.pk) is not first


def test_a_session_is_not_evicted_for_one_that_has_nothing_to_do(three, worker, settings):
    settings.WHATSAPP_MAX_SESSIONS = 2
    worker.pool.close(worker.pool.get(three[0].pk), reason="test")
    worker.drive(three[0])
    assert worker.pool.get(three[0].pk) is None
    assert len(worker.pool) == 2


def test_what_a_page_says_after_its_lease_is_lost_changes_nothing(linked, worker, world):
    Lease.objects.update(lease_until=timezone.now() - timedelta(seconds=1), browser_group=None)
    leases.take(linked.pk, leases.Holder(worker="browser@two", host="there"))
    world.conflict(PHONES[0])
    worker.settle()
    linked.refresh_from_db()
    assert linked.status == Account.Status.CONNECTED


def test_a_log_out_whose_event_was_lost_is_noticed_at_the_next_look(linked, worker, world, write):
    write(linked)
    world.log_out(PHONES[0])
    while not worker.pool._upkeep._events.empty():
        worker.pool._upkeep._events.get()
    worker.drive(linked)
    linked.refresh_from_db()
    assert linked.status == Account.Status.LOGGED_OUT
    assert linked.notify_owner


def test_a_browser_that_does_not_become_whole_leaves_neither_session_nor_lease(
    linked, worker, start_worker, monkeypatch
):
    worker.stop()
    after = start_worker()

    def fail(*_, **__):
        raise OperationalError("the database went away")

    monkeypatch.setattr(linking, "linked", fail)
    with pytest.raises(OperationalError):
        after.drive(linked)
    assert after.pool.get(linked.pk) is None
    assert Lease.objects.get().lease_until is None


# ------------------------------------------------------------------------------ reconciler


@pytest.fixture
def rung(monkeypatch):
    rings = []
    monkeypatch.setattr(
        tasks.doorbells, "send", lambda account_id, queue: rings.append((account_id, queue))
    )
    return rings


def test_the_reconciler_rings_the_holder_of_what_is_due(linked, write, rung):
    tasks.ring_waiting()
    assert rung == [], "held and nothing due"
    write(linked)
    tasks.ring_waiting()
    assert rung == [(linked.pk, "browser.browser@one")]


def test_the_reconciler_rings_anybody_for_a_linked_account_nobody_drives(linked, worker, rung):
    worker.stop()
    tasks.ring_waiting()
    assert rung == [(linked.pk, "browser")]


def test_the_reconciler_rings_anybody_when_the_heartbeat_is_late(linked, rung, settings):
    Lease.objects.update(lease_until=timezone.now() + timedelta(seconds=5))
    tasks.ring_waiting()
    assert rung == [(linked.pk, "browser")]


def test_the_reconciler_leaves_alone_what_waits_for_later(linked, write, rung):
    write(linked, due_at=timezone.now() + timedelta(hours=1))
    tasks.ring_waiting()
    assert rung == []


def test_the_reconciler_rings_for_people_who_want_to_link_or_unlink(account, rung):
    linking.request(account, now=timezone.now())
    tasks.ring_waiting()
    assert (account.pk, "browser") in rung


@pytest.mark.django_db(transaction=True)
def test_a_drained_worker_takes_nothing_until_it_may_again(three, worker, world, write):
    assert worker.pool.state == "taking"
    worker.pool.drain()
    assert worker.pool.state == "drained"
    assert not Lease.objects.filter(lease_until__isnull=False).exists()
    assert Profile.objects.exclude(file="").count() == 3, "saved before they were given back"
    write(three[0])
    worker.drive(three[0])
    assert world.record == []
    assert worker.pool.undrain()
    worker.drive(three[0])
    assert len(world.record) == 1


@pytest.mark.django_db(transaction=True)
def test_draining_waits_for_what_is_being_sent_and_begins_nothing_else(
    linked, worker, world, write, monkeypatch
):
    for phone in ("+33639980101", "+33639980102"):
        write(linked, phone=phone)
    began, answered = threading.Event(), threading.Event()
    driver = worker.pool.get(linked.pk).driver
    send = driver.send_text

    def send_slowly(*args, **values):
        began.set()
        assert answered.wait(20)
        return send(*args, **values)

    monkeypatch.setattr(driver, "send_text", send_slowly)
    sending = threading.Thread(target=in_thread, args=(worker.drive, linked))
    draining = threading.Thread(target=in_thread, args=(worker.pool.drain,))
    sending.start()
    assert began.wait(20)
    draining.start()
    assert worker.pool.stopping.wait(20)
    assert worker.pool.state == "draining"
    assert not worker.pool.undrain(), "not before it is done"
    assert Lease.objects.get().lease_until is not None
    answered.set()
    draining.join(20)
    sending.join(20)
    assert worker.pool.state == "drained"
    assert len(world.record) == 1
    assert sorted(Message.objects.values_list("state", flat=True))[0] == "queued"


def in_thread(work, *args):
    try:
        work(*args)
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_has_stopped_does_not_take_accounts_again(linked, worker):
    worker.pool.stop()
    assert not worker.pool.undrain()


@pytest.mark.django_db(transaction=True)
def test_an_account_given_back_is_offered_to_the_other_workers(linked, worker):
    limits.server().client.flushdb()  # rings of its linking
    worker.pool.drain()
    assert limits.server().client.llen("relance:browser") == 1
