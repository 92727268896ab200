"""One worker per account at any time."""

import subprocess
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from whatsapp import leases, processes
from whatsapp.models import Lease

ONE = leases.Holder(worker="browser@one")


@pytest.fixture
def elsewhere():
    """A worker on another host: its process cannot be looked at from here."""
    return leases.Holder(worker="browser@two", host="elsewhere", boot_id="other", pid=1)


def end_of_lease(account):
    Lease.objects.filter(account=account).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_a_free_account_is_taken_with_a_new_fence(account):
    held = leases.take(account.pk, ONE)
    assert held is not None
    assert held.fence == 1
    assert held.alive


def test_a_held_account_is_not_taken(account, elsewhere):
    leases.take(account.pk, elsewhere)
    assert leases.take(account.pk, ONE) is None


def test_an_account_whose_lease_is_over_is_taken_and_the_fence_rises(account, elsewhere):
    old = leases.take(account.pk, elsewhere)
    end_of_lease(account)
    new = leases.take(account.pk, ONE)
    assert old is not None
    assert new is not None
    assert new.fence == old.fence + 1


def test_a_holder_that_died_on_this_machine_is_replaced_at_once(account):
    process = subprocess.Popen(["sleep", "60"])
    started = processes.stat(process.pid)
    dead = leases.Holder(worker="browser@dead", pid=process.pid, pid_started=started.started)
    leases.take(account.pk, dead)
    assert leases.take(account.pk, ONE) is None
    process.kill()
    process.wait()
    assert leases.take(account.pk, ONE) is not None


def test_a_process_number_given_to_somebody_else_is_not_the_old_holder(account):
    dead = leases.Holder(worker="browser@dead", pid=1, pid_started=123_456_789)
    leases.take(account.pk, dead)
    assert leases.take(account.pk, ONE) is not None


def test_taking_over_ends_the_last_holders_browser(account):
    browser = subprocess.Popen(["sleep", "60"], start_new_session=True)
    frozen = leases.Holder(worker="browser@frozen")
    held = leases.take(account.pk, frozen)
    assert leases.record_browser(held, browser.pid)
    end_of_lease(account)
    assert leases.take(account.pk, ONE) is not None
    assert browser.wait(timeout=5) == -9


def test_a_heartbeat_renews_and_reports_what_is_lost(account, elsewhere):
    held = leases.take(account.pk, ONE)
    assert leases.renew([held], ONE) == set()
    end_of_lease(account)
    assert leases.renew([held], ONE) == set(), "ended, but nobody took it: still ours"
    end_of_lease(account)
    leases.take(account.pk, elsewhere)
    assert leases.renew([held], ONE) == {account.pk}


def test_a_heartbeat_moves_the_end_of_the_lease_on(account):
    held = leases.take(account.pk, ONE)
    held.until = time.monotonic() - 1
    leases.renew([held], ONE)
    assert held.alive


def test_a_released_account_is_free_for_anybody(account, elsewhere):
    held = leases.take(account.pk, ONE)
    assert leases.release(held)
    assert leases.take(account.pk, elsewhere) is not None


def test_releasing_a_lost_lease_takes_it_from_nobody(account, elsewhere):
    held = leases.take(account.pk, ONE)
    end_of_lease(account)
    leases.take(account.pk, elsewhere)
    assert not leases.release(held)
    assert Lease.objects.get().worker == "browser@two"


def test_saving_an_account_does_not_touch_its_lease(account):
    held = leases.take(account.pk, ONE)
    account.save()
    assert leases.renew([held], ONE) == set()
