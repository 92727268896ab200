"""One row that cannot be handled stops no round over all accounts, and no account's worker."""

import uuid
from datetime import timedelta

import pytest
from django.core import mail
from django.db import OperationalError
from django.utils import timezone

from accounts.models import Membership, Tenant, User
from tests.logged import errors
from tests.whatsapp.conftest import happen, intend, make_old, state_of
from whatsapp import (
    driving,
    explaining,
    groups,
    health,
    notices,
    outbox,
    pace,
    receipts,
    recovery,
    upkeep,
)
from whatsapp.models import (
    Account,
    Attempt,
    ChatAgent,
    Group,
    HealthSample,
    Message,
    WebhookDelivery,
    WebhookEndpoint,
)
from whatsapp.sessions import Session
from whatsapp.signals import message_changed
from whatsapp.webhooks import delivery

State = Message.State
ANA, BEA, CLEO = "+33639980100", "+33639980101", "+33639980102"
HOUR = timedelta(hours=1)


def raises(error):
    def raising(*_, **__):
        raise error

    return raising


@pytest.fixture
def refuses():
    """Nothing that changes with the messages of this set can be followed up."""
    poisonous: set[int] = set()

    def chokes(message, **_):
        if message.pk in poisonous:
            raise RuntimeError

    message_changed.connect(chokes)
    yield poisonous
    message_changed.disconnect(chokes)


# ----------------------------------------------------------------------------- owners


def test_an_owner_who_cannot_be_told_keeps_no_other_from_being_told(tenant, caplog):
    """A name with two lines is none for the subject of a letter."""
    for name in ("Zoé\nBcc: all", "Amina"):
        owner = User.objects.create(username=name, email=f"{name[:3]}@acme.example")
        Account.objects.create(tenant=tenant, name=name, owner=owner, notify_owner=True)

    assert notices.tell_owners(now=timezone.now()) == 1

    assert [letter.to for letter in mail.outbox] == [["Ami@acme.example"]]
    first = Account.objects.earliest("pk")
    assert [line["account_id"] for line in errors(caplog, "owner not told")] == [first.pk]
    assert not first.notify_owner, "at most once"


def test_a_failing_agent_with_a_name_no_letter_takes_hides_no_other(tenant, caplog):
    owner = User.objects.create(username="owner", email="owner@acme.example")
    Membership.objects.create(tenant=tenant, user=owner, role=Membership.Role.OWNER)
    bad, _good = (
        ChatAgent.objects.create(tenant=tenant, name=name, alert_wanted=True)
        for name in ("Zoé\nBcc: all", "Amina")
    )

    assert notices.tell_of_failing_agents(now=timezone.now()) == 1

    assert [line["agent_id"] for line in errors(caplog, "not told")] == [bad.pk]


# ----------------------------------------------------------------------------- health


def test_an_account_that_cannot_be_assessed_keeps_no_other_from_it(tenant, monkeypatch, caplog):
    bad, good = (
        Account.objects.create(
            tenant=tenant, name=name, status="connected", phone=phone, linked_at=timezone.now()
        )
        for name, phone in (("bad", "+33639980001"), ("good", "+33639980002"))
    )
    step = health._step

    def chokes(account, measured, *, now):
        if account == bad:
            raise RuntimeError
        return step(account, measured, now=now)

    monkeypatch.setattr(health, "_step", chokes)

    health.assess(now=timezone.now())

    assert [sample.account for sample in HealthSample.objects.all()] == [good]
    assert [line["account_id"] for line in errors(caplog, "health not assessed")] == [bad.pk]
    monkeypatch.setattr(health, "_step", step)
    health.assess(now=timezone.now())
    assert HealthSample.objects.filter(account=bad).exists()


# -------------------------------------------------------------------------- reconciling


def test_a_message_that_cannot_be_given_up_keeps_no_other_from_it(
    linked, held, write, refuses, caplog
):
    bad, good = write(linked, ANA), write(linked, BEA)
    for message in (bad, good):
        intend(message, held, linked)
    Account.objects.update(status=Account.Status.LOGGED_OUT)
    refuses.add(bad.pk)

    assert recovery.give_up_undriven(now=timezone.now() + HOUR) == 1

    assert (state_of(bad), state_of(good)) == (State.SENDING, State.UNCERTAIN)
    assert [line["message_id"] for line in errors(caplog, "message not given up")] == [bad.pk]
    refuses.clear()
    assert recovery.give_up_undriven(now=timezone.now() + HOUR) == 1


# ----------------------------------------------------------------------------- webhooks


@pytest.mark.usefixtures("local_receivers")
def test_an_event_that_cannot_be_told_does_not_stop_its_endpoint(tenant, crm, receiver, caplog):
    """Texts are wanted, and it is about a message of which there is none to look for."""
    WebhookEndpoint.objects.update(include_text=True)
    happen(tenant, thing="no uuid")
    happen(tenant, thing=str(uuid.uuid4()))

    assert delivery.deliver(crm.pk) == 1

    first, second = WebhookDelivery.objects.order_by("pk")
    assert second.state == "delivered"
    assert (first.state, first.attempts, first.error) == ("pending", 1, "failed: ValidationError")
    assert first.next_at > timezone.now(), "tried again, and a dead letter in the end"
    assert first.claimed_until is None
    assert [line["delivery_id"] for line in errors(caplog, "webhook not called")] == [first.pk]


# --------------------------------------------------------------------- sending of an account


def test_a_message_that_chokes_the_sender_keeps_no_other_of_its_account(
    linked, worker, write, monkeypatch, caplog
):
    bad, good = write(linked, ANA), write(linked, BEA)
    hold = pace.hold

    def chokes(message, account, *, now):
        if message.pk == bad.pk:
            raise RuntimeError
        return hold(message, account, now=now)

    monkeypatch.setattr(pace, "hold", chokes)

    worker.drive(linked)

    assert state_of(good) == State.SENT
    bad.refresh_from_db()
    assert (bad.state, bad.error_code, bad.error) == (State.QUEUED, "internal", "RuntimeError")
    assert "nobody foresaw" in explaining.why(bad, now=timezone.now()), "people see why it waits"
    assert [line["message_id"] for line in errors(caplog, "message not sent")] == [bad.pk]


def test_a_message_that_choked_the_sender_goes_out_once_nothing_is_wrong_with_it(
    linked, worker, write, monkeypatch
):
    message = write(linked)
    with monkeypatch.context() as patch:
        patch.setattr(pace, "hold", raises(RuntimeError()))
        worker.drive(linked)
    worker.drive(linked)
    assert state_of(message) == State.QUEUED, "not before its time"
    Message.objects.update(due_at=timezone.now())
    worker.drive(linked)
    assert state_of(message) == State.SENT
    assert Attempt.objects.count() == 1


def test_where_nothing_of_an_account_can_be_sent_the_turn_ends_soon(
    linked, worker, write, monkeypatch
):
    """It is not the messages then: they are not put aside one after the other."""
    messages = [write(linked, f"+3363998011{n}") for n in range(5)]
    monkeypatch.setattr(pace, "hold", raises(RuntimeError()))

    with pytest.raises(RuntimeError):
        driving.drive(worker.pool, linked.pk)

    assert {state_of(message) for message in messages} == {State.QUEUED}
    assert Message.objects.filter(error_code="internal").count() == 2


def test_a_driver_that_chokes_on_a_message_leaves_it_undecided(
    linked, world, worker, write, monkeypatch
):
    """Nobody knows whether it left: it is looked up, as after a crash, and not sent again."""
    bad, good = write(linked, ANA), write(linked, BEA)
    session = worker.pool.get(linked.pk)
    send_text = session.driver.send_text

    def chokes(out, body, **how):
        send_text(out, body, **how)
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(session.driver, "send_text", chokes)
        with pytest.raises(RuntimeError):
            driving.drive(worker.pool, linked.pk)
    assert (state_of(bad), state_of(good)) == (State.SENDING, State.QUEUED)
    worker.drive(linked)

    assert (state_of(bad), state_of(good)) == (State.SENT, State.SENT)
    assert len(world.record) == 2


def test_a_message_that_cannot_be_recovered_keeps_no_other_of_its_account(
    linked, held, worker, write, refuses, caplog
):
    bad, stuck, good = write(linked, ANA), write(linked, BEA), write(linked, CLEO)
    for message in (bad, stuck):
        intend(message, held, linked)
        make_old(message)
    refuses.add(bad.pk)

    worker.drive(linked)

    assert state_of(good) == State.SENT
    assert state_of(stuck) != State.SENDING
    assert state_of(bad) == State.SENDING
    assert bad.pk in {line["message_id"] for line in errors(caplog, "message not recovered")}
    refuses.clear()
    worker.drive(linked)
    assert state_of(bad) != State.SENDING


def test_receipts_that_cannot_be_stored_keep_the_account_from_nothing(
    linked, start_worker, worker, write, monkeypatch, caplog
):
    sent = write(linked, ANA)
    worker.drive(linked)
    worker.stop()
    waiting = write(linked, BEA)
    monkeypatch.setattr(receipts, "store_found", raises(RuntimeError()))

    start_worker().drive(linked)

    assert state_of(waiting) == State.SENT
    assert sent.pk in {line["message_id"] for line in errors(caplog, "receipts not stored")}


def test_a_group_that_cannot_be_stored_keeps_the_account_from_nothing(
    linked, world, worker, write, monkeypatch, caplog
):
    group = Group.objects.create(
        tenant=linked.tenant, account=linked, chat_id="1@g.us", discovered_at=timezone.now(),
        refreshed_at=timezone.now(), members_requested_at=timezone.now(),
    )  # fmt: skip
    monkeypatch.setattr(worker.pool.get(linked.pk).driver, "group_members", lambda *_, **__: [])
    monkeypatch.setattr(groups, "store_members", raises(RuntimeError()))
    message = write(linked)

    worker.drive(linked)

    assert state_of(message) == State.SENT
    group.refresh_from_db()
    assert group.members_requested_at > timezone.now(), "asked again, later"
    assert [line["group_id"] for line in errors(caplog, "members not stored")] == [group.pk]


def test_a_session_that_chokes_the_housekeeping_keeps_it_from_no_other(
    linked, tenant, worker, monkeypatch, caplog
):
    first = worker.pool.get(linked.pk)
    second = Session(account_id=0, held=first.held, driver=first.driver, profile=first.profile)
    worker.pool._sessions[0] = second
    monkeypatch.setattr(upkeep, "_memory", _chokes_on(first, upkeep._memory))
    for session in (first, second):
        session.probed_at = -1000.0

    worker.pool._upkeep.keep_house(0.0)

    assert worker.pool.woken == [0]
    said = errors(caplog, "housekeeping failed")
    assert [line["account_id"] for line in said] == [linked.pk]


def test_a_browser_that_cannot_be_noted_keeps_no_other_lease_from_its_heartbeat(
    linked, worker, monkeypatch, caplog
):
    first = worker.pool.get(linked.pk)
    second = Session(account_id=0, held=first.held, driver=first.driver, profile=first.profile)
    worker.pool._sessions[0] = second
    noted = []
    monkeypatch.setattr(
        upkeep, "_note_browser", _chokes_on(first, lambda session: noted.append(session.account_id))
    )
    monkeypatch.setattr(upkeep, "close_old_connections", lambda: None)  # the test's transaction
    worker.pool._upkeep.beaten_at = 0.0

    worker.pool._upkeep.beat()

    assert noted == [0]
    assert worker.pool._upkeep.beaten_at > 0
    said = errors(caplog, "browser not noted")
    assert [line["account_id"] for line in said] == [linked.pk]


def test_a_session_that_cannot_be_closed_keeps_no_other_from_being_closed(
    linked, worker, monkeypatch, caplog
):
    monkeypatch.setattr(worker.pool, "close", raises(OSError("no space left on device")))
    worker.pool._close_on_stop(worker.pool.get(linked.pk))
    said = errors(caplog, "session not closed")
    assert [line["account_id"] for line in said] == [linked.pk]


def _chokes_on(session, real):
    def run(other):
        if other is session:
            raise RuntimeError
        return real(other)

    return run


def test_a_database_that_is_away_is_no_messages_fault(linked, worker, write, monkeypatch):
    message = write(linked)
    monkeypatch.setattr(pace, "hold", raises(OperationalError("gone")))
    with pytest.raises(OperationalError):
        driving.drive(worker.pool, linked.pk)
    assert (state_of(message), message.retries) == (State.QUEUED, 0)
    assert outbox.cancel([message.pk], reason="by_hand", now=timezone.now())
    assert Tenant.objects.exists()
