"""Other people's systems that hang: they hold up each other, and nothing of ours."""

import os
import socket
import threading
from contextlib import contextmanager

import pytest
from celery import current_app
from django.conf import settings
from django.utils import timezone

from campaigns.models import Delivery
from demo import processes
from tests.factories import make_campaign, make_referral, make_referrer, make_target
from tests.project.test_local import await_
from whatsapp import doorbells, limits
from whatsapp.webhooks import endpoints

PLACES = 2


@contextmanager
def hanging():
    """A server that takes calls and answers none; gives its address and the calls that ended."""
    server = socket.create_server(("127.0.0.1", 0))
    held, ended = [], []

    def hold(connection):
        while connection.recv(65536):
            pass
        ended.append(connection)

    def accept():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            held.append(connection)
            threading.Thread(target=hold, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/", held, ended
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for connection in held:
            connection.close()


@pytest.mark.django_db(transaction=True)
def test_planning_goes_on_while_as_many_webhooks_hang_as_there_are_places(
    tmp_path, settings, empty_redis
):
    settings.WEBHOOK_ALLOW_LOCAL = True
    environment = {
        **os.environ,
        "DATABASE_URL": processes.this_database(),
        "RELANCE_WEBHOOK_ALLOW_LOCAL": "1",
    }
    now = timezone.now()
    campaign = make_campaign()
    with (
        hanging() as (url, held, ended),
        processes.Supervisor(logs=tmp_path / "log", environment=environment) as supervisor,
    ):
        supervisor.start(
            processes.worker("default", queues="default", pool="prefork", concurrency=PLACES),
            processes.worker("outside", queues="outside", pool="threads", concurrency=PLACES),
        )
        supervisor.wait_ready()
        for number in range(PLACES + 1):
            made, _ = endpoints.create(
                tenant=campaign.tenant, name=f"CRM {number}", url=url,
                events=["message.sent"], now=now,
            )  # fmt: skip
            endpoints.test(made, now=now)
        await_(lambda: len(held) == PLACES, 20)
        referral = make_referral(make_referrer(campaign.tenant))
        make_target(referral, campaign=campaign, next_due_at=now, slot_at=now)

        current_app.send_task("campaigns.tasks.plan")

        await_(Delivery.objects.exists, 30)
        assert (len(held), ended) == (PLACES, [])


@pytest.mark.parametrize(
    "task", [doorbells.ANSWER, doorbells.TELL_ENDED, doorbells.DELIVER, doorbells.NOTIFY]
)
def test_what_calls_other_systems_has_a_queue_of_its_own(empty_redis, task):
    doorbells.publish(task, [(1,)])
    assert waiting("outside") == 1
    assert waiting("default") == 0


def test_a_queue_that_nobody_reads_does_not_fill_redis(empty_redis, monkeypatch):
    monkeypatch.setattr(doorbells, "MOST_WAITING", 3)
    for _ in range(5):
        doorbells.publish(doorbells.ANSWER, [(1,), (2,)])
    assert waiting("outside") == 4


def waiting(queue):
    return limits.server().client.llen(settings.REDIS_PREFIX + queue)
