"""Real browser workers, drained, recycled and looked into from a real command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.utils import timezone

from demo import processes
from relance_project.local import REPOSITORY
from tests.browser.conftest import Relance, eventually, relance, simulator, simulator_process
from whatsapp import contacts, due, outbox
from whatsapp.models import Lease, Message, Profile
from whatsapp.simulator.client import SimulatorControl

__all__ = ["relance", "simulator", "simulator_process"]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(200)]

FIRST, SECOND = "one@relance", "two@relance"


def celery(*words: str) -> Any:
    """What a sub-command prints as JSON, on the test's database."""
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "relance_project", *words, "--json"],
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, "DATABASE_URL": processes.this_database()},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def start(relance: Relance, name: str) -> None:
    relance.supervisor.start(
        processes.worker(name, queues="default,outside,browser", pool="threads", concurrency=4)
    )
    relance.supervisor.wait_ready(name)


def write(relance: Relance, count: int) -> None:
    """Queue texts to `count` people."""
    people = {f"+3363998030{n}": f"Friend {n}" for n in range(count)}
    now = timezone.now()
    ids = contacts.ensure(tenant_id=relance.tenant.pk, people=people)
    outbox.queue_batch(
        [
            outbox.Draft(
                tenant_id=relance.tenant.pk,
                account_id=relance.account.pk,
                contact_id=contact_id,
                idempotency_key=phone,
                body=f"hello {phone}",
                due_at=now,
            )
            for phone, contact_id in ids.items()
        ],
        now=now,
    )


def test_a_worker_is_drained_while_it_sends_and_another_goes_on(
    relance: Relance, simulator: SimulatorControl
) -> None:
    start(relance, "one")
    relance.link(simulator)
    account = str(relance.account)

    # What a worker says of itself, and what the database says of it.
    [seen] = celery("inspect", "sessions", "-d", FIRST)[FIRST]["sessions"]
    assert (seen["account"], seen["state"]) == (relance.account.pk, "open")
    lease = Lease.objects.get()
    assert seen["browserPid"] == lease.browser_group
    eventually(lambda: celery("sessions")[0]["memory"], what="its memory was measured")

    # Recycled: saved, and open again in another process.
    recycled = celery("recycle", account)
    assert recycled["worker"] == FIRST
    assert recycled["browserPid"] not in (None, lease.browser_group)
    saved = Profile.objects.get().generation
    assert saved > 0

    # Drained in the midst of sending, with another worker there to take over.
    start(relance, "two")
    simulator.config(ack_delay=0.5)
    write(relance, 6)
    eventually(lambda: Message.objects.filter(state="sending").exists())
    drained = celery("drain", FIRST)
    assert drained["state"] == "drained"
    assert [row["account"] for row in drained["accounts"]] == [account]
    assert Profile.objects.get().generation > saved
    assert celery("inspect", "sessions", "-d", FIRST)[FIRST] == {"state": "drained", "sessions": []}

    eventually(lambda: Lease.objects.filter(worker=SECOND).exists(), what="another took over")
    eventually(lambda: not due.waiting(relance.account.pk), seconds=40)
    assert Message.objects.filter(sent_at__isnull=False).count() == 6
    received = [message.body for message in simulator.messages()]
    assert len(received) == len(set(received)) == 6

    # The drained one leaves rings alone, until it may take accounts again.
    celery("drain", SECOND)
    celery("ring", account)
    assert celery("sessions")[0]["worker"] == ""
    celery("drain", FIRST, "--undo")
    eventually(lambda: Lease.objects.filter(worker=FIRST).exists(), what="it took it back")
    eventually(relance.is_connected)


def test_a_worker_without_browsers_says_so(relance: Relance) -> None:
    relance.supervisor.start(
        processes.worker("plain", queues="default", pool="threads", concurrency=1)
    )
    relance.supervisor.wait_ready("plain")
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "relance_project", "drain", "plain@relance"],
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, "DATABASE_URL": processes.this_database()},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "this worker has no browsers" in done.stderr
