"""A broadcast with several at work on it at once, each on its own connection."""

import datetime as dt
import os
import signal
import subprocess
import sys

import pytest

from accounts import deadlocks
from campaigns.broadcasts import queueing, running
from campaigns.models import Recipient
from demo import processes
from tests.campaigns.conftest import move, to_sending
from tests.factories import NOW, make_account, make_broadcast, make_contact, make_tenant
from tests.races import together
from whatsapp import contacts, outbox
from whatsapp.models import Message

pytestmark = pytest.mark.django_db(transaction=True)

KILLED = """
import django
django.setup()
from datetime import datetime
from campaigns.broadcasts import queueing
queueing.plan(now=datetime.fromisoformat({now!r}))
"""


@pytest.fixture(autouse=True)
def no_doorbells(monkeypatch):
    monkeypatch.setattr("whatsapp.doorbells.ring", lambda account_ids: None)


@pytest.fixture(autouse=True)
def deadlocks_are_errors(monkeypatch):
    monkeypatch.setattr(deadlocks, "ATTEMPTS", 1)


def make(people=20, accounts=2):
    tenant = make_tenant()
    everybody = [make_contact(tenant) for _ in range(people)]
    broadcast = make_broadcast(accounts=[make_account(tenant) for _ in range(accounts)])
    running.start(broadcast, now=NOW)
    return broadcast, everybody


def test_two_planners_write_to_each_once():
    broadcast, _people = make(people=60)
    together(*[lambda: queueing.plan(now=NOW)] * 3)
    assert Message.objects.count() == 60
    assert broadcast.recipients.filter(state="queued").count() == 60


def test_a_pause_beside_planning_leaves_nothing_that_may_be_sent():
    for _ in range(6):
        broadcast, _people = make()
        together(lambda: queueing.plan(now=NOW), lambda b=broadcast: running.pause(b, now=NOW))
        queueing.plan(now=NOW)
        mine = Message.objects.filter(broadcast_recipient__broadcast=broadcast)
        assert not mine.exclude(due_at=outbox.NEVER).exists()


def test_a_pause_beside_a_refused_send_holds_that_back_as_well():
    for _ in range(8):
        broadcast, _people = make(people=3, accounts=1)
        queueing.plan(now=NOW)
        message = to_sending(
            Message.objects.filter(broadcast_recipient__broadcast=broadcast).first()
        )
        together(
            lambda m=message: move(m, "queued", due_at=NOW),
            lambda b=broadcast: running.pause(b, now=NOW),
        )
        message.refresh_from_db()
        assert (message.state, message.due_at) == ("queued", outbox.NEVER)


def test_a_stop_beside_planning_leaves_nothing_queued():
    for _ in range(6):
        _broadcast, people = make(people=6)
        together(
            lambda who=people[3]: contacts.opt_out(who, reason="stop", now=NOW),
            lambda: queueing.plan(now=NOW),
        )
        queueing.plan(now=NOW)
        assert Recipient.objects.get(contact=people[3]).state == "opted_out"
        assert not Message.objects.filter(contact=people[3], state="queued").exists()


def test_a_cancellation_beside_planning_and_a_failure_ends_for_everybody():
    for _ in range(6):
        broadcast, people = make(people=8)
        queueing.plan(now=NOW)
        failing = Message.objects.get(contact=people[0])
        together(
            lambda b=broadcast: running.cancel(b, now=NOW),
            lambda: queueing.plan(now=NOW),
            lambda m=failing: outbox.fail_queued(m, code="x", error="x", now=NOW),
        )
        queueing.plan(now=NOW)
        assert not broadcast.recipients.filter(state__in=["waiting", "queued"]).exists()


@pytest.mark.parametrize("where", ["broadcast.claimed", "broadcast.queued", "broadcast.frozen"])
def test_a_planner_that_is_killed_skips_and_repeats_nobody(where):
    tenant = make_tenant()
    people = [make_contact(tenant) for _ in range(15)]
    broadcast = make_broadcast(accounts=[make_account(tenant)])
    running.start(broadcast, at=NOW + dt.timedelta(hours=1), now=NOW)
    now = NOW + dt.timedelta(hours=2)

    died = subprocess.run(
        [sys.executable, "-c", KILLED.format(now=now.isoformat())],
        env={
            **os.environ,
            "RELANCE_FAILPOINT": where,
            "DATABASE_URL": processes.this_database(),
        },
        check=False,
        capture_output=True,
        text=True,
    )

    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not Message.objects.exists()
    queueing.plan(now=now)
    assert Message.objects.count() == 15
    assert set(Message.objects.values_list("contact_id", flat=True)) == {p.pk for p in people}
