"""A broadcast with several at work on it at once, each on its own connection."""

import datetime as dt
import os
import signal
import subprocess
import sys

import pytest

from campaigns import people as personal
from campaigns.broadcasts import queueing, running
from campaigns.models import Recipient
from demo import processes
from tests.campaigns.conftest import move, to_sending
from tests.factories import NOW, make_account, make_broadcast, make_contact, make_tenant
from tests.races import behind, together
from whatsapp import contacts, identities, outbox
from whatsapp.models import Contact, Message

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("no_doorbells", "deadlocks_are_errors"),
]

KILLED = """
import django
django.setup()
from datetime import datetime
from campaigns.broadcasts import queueing
queueing.plan(now=datetime.fromisoformat({now!r}))
"""


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


# ------------------------------------------------- people who become one, or go, as it begins


@pytest.fixture
def draft():
    """To everybody who is not tagged ``no``."""
    return make_broadcast(accounts=[make_account(make_tenant())], rules={"tagsNone": ["no"]})


@pytest.fixture
def kept(draft):
    return make_contact(draft.tenant)


@pytest.fixture
def gone(draft):
    return make_contact(draft.tenant, phone="", lid="777@lid")


def merge(kept, gone):
    return identities.find_or_make(
        tenant_id=kept.tenant_id, phone=kept.phone, lid=gone.lid, source="inbound", now=NOW
    )


def start(draft):
    return lambda: running.start(draft, now=NOW)


def written_to():
    queueing.plan(now=NOW)
    return list(Message.objects.order_by("contact").values_list("contact", flat=True))


def test_two_who_become_one_person_while_it_begins_get_it_once(draft, kept, gone):
    behind(lambda: merge(kept, gone), start(draft))
    assert draft.recipients.count() == 1
    assert written_to() == [kept.pk]


def test_whom_only_the_merged_row_brings_in_gets_it_too(draft, kept, gone):
    """By its tags the person is in the segment once they are one, and was not before."""
    Contact.objects.filter(pk=kept.pk).update(source="group")
    contacts.record_basis(gone, basis="consent", note="asked us", how="hand", now=NOW)
    behind(lambda: merge(kept, gone), start(draft))
    draft.refresh_from_db()
    assert (draft.state, draft.total) == ("running", 1)
    assert written_to() == [kept.pk]


def test_who_becomes_one_person_after_it_began_gets_it_once(draft, kept, gone):
    behind(start(draft), lambda: merge(kept, gone))
    assert written_to() == [kept.pk]
    assert draft.recipients.get(contact=None).reason == "merged"


def test_whose_data_is_deleted_while_it_begins_gets_nothing_and_keeps_nobody_waiting(draft, kept):
    other = make_contact(draft.tenant)
    behind(lambda: personal.delete(draft.tenant, kept.phone, now=NOW), start(draft))
    assert written_to() == [other.pk]


def test_two_who_become_one_while_it_is_planned_get_it_once_and_nobody_waits_in_a_circle():
    for n in range(8):
        draft = make_broadcast(accounts=[make_account(make_tenant())])
        kept = make_contact(draft.tenant)
        gone = make_contact(draft.tenant, phone="", lid=f"{n}@lid")
        running.start(draft, now=NOW)
        together(lambda: queueing.plan(now=NOW), lambda k=kept, g=gone: merge(k, g))
        queueing.plan(now=NOW)
        theirs = Message.objects.filter(contact=kept)
        assert theirs.filter(state="queued").count() == 1
