"""PostgreSQL that takes no writes, a Redis with another password, two workers of one name."""

import contextlib
import subprocess
from collections.abc import Iterator

import pytest
import redis
from django.db import InternalError, connection

from relance_project.local import find_redis
from tests.companies import acme, client
from tests.project.test_local import await_
from tests.whatsapp.conftest import Worker
from whatsapp import events, leases, limits, tasks, upkeep
from whatsapp.models import Account, Incoming, Message


@contextlib.contextmanager
def read_only() -> Iterator[None]:
    """As a full disk or a failover makes it: every transaction of this connection."""
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        yield
        cursor.execute("SET default_transaction_read_only = off")


@pytest.mark.django_db(transaction=True)
def test_while_postgresql_takes_no_writes_nothing_is_sent_and_after_that_everything_once(
    linked: Account, world, worker: Worker, write
) -> None:
    message = write(linked)
    with read_only(), pytest.raises(InternalError, match="read-only"):
        worker.drive(linked)
    assert world.record == []
    worker.drive(linked)
    assert len(world.record) == 1
    message.refresh_from_db()
    assert message.state in Message.ARRIVED


@pytest.mark.django_db(transaction=True)
def test_what_comes_in_while_postgresql_takes_no_writes_is_kept_until_it_does(
    linked: Account, world, worker: Worker, monkeypatch
) -> None:
    monkeypatch.setattr(upkeep, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(upkeep, "close_old_connections", lambda: None)  # the test's own
    world.inbound("+33639980001", "+33639980100", "Bonjour")
    tried = 0
    with read_only():

        def store(session, event):
            nonlocal tried
            tried += 1
            if tried == 3:  # somebody mends it meanwhile
                connection.cursor().execute("SET default_transaction_read_only = off")
            events.handle(worker.pool, session, event)

        monkeypatch.setattr(worker.pool._upkeep, "_on_event", store)
        while not worker.pool._upkeep._events.empty():
            worker.pool._upkeep.store(*worker.pool._upkeep._events.get())
    assert tried >= 3
    assert Incoming.objects.get().body == "Bonjour"


@pytest.mark.django_db(transaction=True)
def test_the_api_says_try_again_while_postgresql_takes_no_writes() -> None:
    company = acme()
    referrer = company.make_referrer("amina")
    caller = client(referrer.user)
    with read_only():
        answer = caller.put("/api/relance/pause", {"sendingPaused": True}, format="json")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "The database does not answer. Try again shortly."
    assert Account.objects.get().sending_paused_at is None


@pytest.fixture
def locked_redis(tmp_path, settings):
    """A Redis that asks for a password, which the settings know."""
    socket = tmp_path / "r.sock"
    process = subprocess.Popen(
        [find_redis(), "--port", "0", "--unixsocket", str(socket), "--requirepass", "swordfish"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    own = redis.Redis(unix_socket_path=str(socket), password="swordfish")

    def answers():
        with contextlib.suppress(redis.RedisError):
            return own.ping()

    await_(answers)
    settings.REDIS_URL = f"unix://:swordfish@{socket}?db=0"
    limits.server.cache_clear()
    yield
    limits.server.cache_clear()
    own.close()
    process.kill()
    process.wait()


def test_with_another_password_for_redis_nothing_is_sent_and_with_the_right_one_once(
    locked_redis, settings, linked: Account, world, worker: Worker, write, caplog
) -> None:
    write(linked)
    right = settings.REDIS_URL
    settings.REDIS_URL = right.replace("swordfish", "marlin")
    limits.server.cache_clear()
    worker.drive(linked)
    assert world.record == []
    said = [record.msg for record in caplog.records if record.msg["event"] == "not sending"]
    assert said[0]["why"] == "Redis does not answer (AuthenticationError)"
    assert "marlin" not in caplog.text
    assert Account.objects.get().status == Account.Status.CONNECTED
    settings.REDIS_URL = right
    limits.server.cache_clear()
    worker.drive(linked)
    assert len(world.record) == 1


def test_of_two_workers_with_one_name_one_has_the_account_and_nothing_is_sent_twice(
    linked: Account, world, worker: Worker, start_worker, write
) -> None:
    twin = start_worker(worker.pool.holder.worker)
    write(linked)
    twin.drive(linked)
    assert twin.pool.get(linked.pk) is None
    assert world.record == []
    worker.drive(linked)
    twin.drive(linked)
    assert len(world.record) == 1
    # Its end takes nothing from the other.
    twin.stop()
    held = worker.pool.get(linked.pk).held
    assert leases.renew([held], worker.pool.holder) == set()
    worker.stop()
    twin.drive(linked)
    assert twin.pool.get(linked.pk) is not None


def test_a_lost_ring_between_two_workers_of_one_name_is_made_good_by_the_reconciler(
    linked: Account, worker: Worker, start_worker, write
) -> None:
    twin = start_worker(worker.pool.holder.worker)
    write(linked)
    twin.drive(linked)  # the doorbell reached the wrong one
    assert tasks.ring_waiting() == 1
    queue = f"relance:browser.{worker.pool.holder.worker}"
    assert limits.server().client.llen(queue) >= 1
