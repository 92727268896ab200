"""Sessions opened again: what a page says just then decides what becomes of the account."""

import signal
import subprocess
import sys

import pytest

from whatsapp.driver.base import PageState
from whatsapp.driver.memory import MemoryDriver
from whatsapp.models import Account


@pytest.mark.parametrize("state", [PageState.LOADING, PageState.RECONNECTING, PageState.SYNCING])
def test_a_page_that_is_busy_when_it_was_opened_is_no_log_out(
    linked, start_worker, worker, monkeypatch, state
):
    worker.stop()
    says, truly = [state], MemoryDriver.status
    monkeypatch.setattr(MemoryDriver, "status", lambda self: says.pop() if says else truly(self))
    again = start_worker("browser@two")
    again.drive(linked)
    assert not says
    linked.refresh_from_db()
    assert linked.status == Account.Status.CONNECTED
    again.drive(linked)
    assert again.pool.get(linked.pk) is not None


def test_a_page_that_shows_a_code_is_a_log_out(linked, start_worker, worker, world):
    worker.stop()
    world.devices.clear()
    start_worker("browser@two").drive(linked)
    linked.refresh_from_db()
    assert linked.status == Account.Status.LOGGED_OUT


def test_a_browser_that_a_frozen_worker_was_still_opening_is_ended(linked, start_worker, worker):
    """Its process group is noted when it has opened: the lease does not know it yet."""
    worker.stop()
    again = start_worker("browser@two")
    profile = again.pool.profile(linked.pk)
    command = [sys.executable, "-c", "import time; time.sleep(60)", f"--user-data-dir={profile}"]
    with subprocess.Popen(command, start_new_session=True) as browser:
        again.drive(linked)
        assert browser.poll() == -signal.SIGKILL
    assert again.pool.get(linked.pk) is not None
