"""The outbox in every order: whatever is queued, sent, crashed, recovered, heard and cancelled,
WhatsApp gets each message once at most, states never go down, and no day exceeds its limit.

The server here delivers what it gets as often as it gets it.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from dataclasses import dataclass
from unittest import mock

import pytest
from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from accounts.activity import Actor
from whatsapp import contacts, leases, limits, outbox, receipts, recovery, sending
from whatsapp.driver.base import (
    Ack,
    Found,
    Lookup,
    Outgoing,
    Permanent,
    Receipt,
    Retryable,
    SendResult,
    Unknown,
)
from whatsapp.models import Account, Attempt, Contact, Lease, Message, Usage

State = Message.State
LIMIT, NEW_CHATS = 8, 5
SELDOM = st.integers(0, 4).map(lambda n: n == 4)
RANK = {State.SENT: 1, State.DELIVERED: 2, State.READ: 3}
# From where to where, besides upwards in rank. Uncertain ends by a receipt or by a person.
MOVES = {
    (State.QUEUED, State.SENDING),
    (State.QUEUED, State.CANCELLED),
    (State.SENDING, State.QUEUED),
    (State.SENDING, State.FAILED),
    (State.SENDING, State.UNCERTAIN),
    (State.UNCERTAIN, State.QUEUED),
}


@dataclass
class Sending:
    """An intent in the hands of a worker. `open`: its window has not passed."""

    intent: sending.Intent
    message_id: int
    sent: bool = False
    open: bool = True


class Worker:
    def __init__(self, name: str) -> None:
        # Not of this machine: nobody looks whether its process lives.
        self.holder = leases.Holder(worker=name, host=f"host-of-{name}", pid=1, pid_started=1)
        self.held: leases.Held | None = None
        self.now: Sending | None = None


class Outbox(RuleBasedStateMachine):
    messages = Bundle("messages")
    account: Account  # set by the test

    def __init__(self) -> None:
        super().__init__()
        self.undo = transaction.atomic()
        self.undo.__enter__()
        self.workers = [Worker("one"), Worker("two")]
        self.server: Counter[str] = Counter()  # wa_id -> copies delivered
        self.ids: dict[int, set[str]] = {}  # message -> wa_ids it was sent under
        self.state: dict[int, str] = {}
        self.cancelled: dict[int, int] = {}  # message -> copies on the server when cancelled
        self.intents = self.begun = 0
        self.numbers = itertools.count(1)

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.undo.__exit__(None, None, None)

    # ------------------------------------------------------------------------------ rules

    @initialize(target=messages)
    def begin(self) -> MultipleResults[int]:
        self.take(0)
        return multiple(*(self.make() for _ in range(3)))

    @rule(target=messages)
    def queue(self) -> int:
        return self.make()

    def make(self) -> int:
        number = next(self.numbers)
        phone = f"+3363998{number % 4:04d}"  # some get several
        ids = contacts.ensure(tenant_id=self.account.tenant_id, people={phone: "Zoé"})
        message = outbox.queue(
            tenant=self.account.tenant,
            account=self.account,
            contact=Contact.objects.get(pk=ids[phone]),
            idempotency_key=f"key-{number}",
            body=f"Bonjour {number}",
            now=timezone.now(),
        )
        return message.pk

    @rule(message=messages)
    def queue_again(self, message: int) -> None:
        known = Message.objects.select_related("contact").get(pk=message)
        again = outbox.queue(
            tenant=self.account.tenant,
            account=self.account,
            contact=known.contact,
            idempotency_key=known.idempotency_key,
            body=known.body,
            now=timezone.now(),
        )
        assert again.pk == message

    @rule(which=st.integers(0, 1))
    def take(self, which: int) -> None:
        worker = self.workers[which]
        if worker.now is None:
            worker.held = leases.take(self.account.pk, worker.holder) or worker.held

    @rule()
    def lease_runs_out(self) -> None:
        """Its holder is frozen: it knows nothing of it, and what it had begun it cannot send."""
        Lease.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
        for worker in self.workers:
            if worker.now is not None:
                worker.now.open = False

    @rule(which=st.integers(0, 1))
    def crash(self, which: int) -> None:
        self.workers[which].held = self.workers[which].now = None
        Lease.objects.filter(instance=self.workers[which].holder.instance).update(
            lease_until=timezone.now() - dt.timedelta(seconds=1)
        )

    @rule(which=st.integers(0, 1), message=messages)
    def intend(self, which: int, message: int) -> None:
        worker = self.workers[which]
        if worker.held is None or worker.now is not None:
            return
        row = Message.objects.get(pk=message)
        chat = f"{3363998_0000 + message}@c.us"
        out = Outgoing(row.chat_id or chat, row.wa_id or f"true_{chat}_3EB0{message:016X}")
        day = limits.today(self.account.tenant, now=timezone.now())
        arrived = Message.objects.filter(contact=row.contact, state__in=Message.ARRIVED)
        is_new = not arrived.exists()
        try:
            intent = sending.intend(row, out, held=worker.held, day=day)
        except sending.Refused as refused:
            if refused.reason == "daily_limit":
                assert self.intents >= LIMIT
            if refused.reason == "new_chats":
                assert is_new
                assert self.begun >= NEW_CHATS
            return
        self.intents += 1
        self.begun += is_new
        worker.now = Sending(intent, message)
        # Nobody but the holder commits to a send.
        lease = Lease.objects.get()
        assert (lease.fence, lease.instance) == (worker.held.fence, worker.holder.instance)

    @rule(which=st.integers(0, 1), message=messages, far=st.integers(1, 3))
    def go_on(self, which: int, message: int, far: int) -> None:
        """The usual way, as far as intent, send or finish: chance alone rarely takes it."""
        self.take(which)
        self.intend(which, message)
        if far > 1:
            self.send(which)
        if far > 2:
            self.finish(which, None)

    @rule(which=st.integers(0, 1), late=st.booleans(), same_profile=st.booleans())
    def take_over_and_recover(self, which: int, late: bool, same_profile: bool) -> None:
        """The holder freezes, or dies, and the other one goes on."""
        self.lease_runs_out()
        self.workers[which].now = None
        self.take(which)
        self.recover(which, late, same_profile)

    @rule(which=st.integers(0, 1))
    def send(self, which: int) -> None:
        begun = self.workers[which].now
        if begun is not None and begun.open and not begun.sent:
            begun.sent = True
            self.server[begun.intent.out.wa_id] += 1
            self.ids.setdefault(begun.message_id, set()).add(begun.intent.out.wa_id)

    @rule(
        which=st.integers(0, 1),
        error=st.sampled_from(
            [None, Unknown("timeout"), Retryable("offline"), Retryable("nack"), Permanent("nack")]
        ),
    )
    def finish(self, which: int, error: Exception | None) -> None:
        worker = self.workers[which]
        if worker.now is None:
            return
        intent, sent = worker.now.intent, worker.now.sent
        worker.now = None
        now = timezone.now()
        if sent and not isinstance(error, Unknown):
            result = SendResult(intent.out.wa_id, Ack.SERVER, now)
            sending.finish_sent(intent, result, now=now)
        elif error is not None:
            sending.finish_error(intent, error, now=now)
            Message.objects.filter(pk=intent.message_id).update(due_at=now)

    @rule(which=st.integers(0, 1), late=st.booleans(), same_profile=st.booleans())
    def recover(self, which: int, late: bool, same_profile: bool) -> None:
        """By the holder, which has nothing in hand itself: one thread drives an account."""
        worker = self.workers[which]
        holds = worker.held is not None and Lease.objects.filter(
            fence=worker.held.fence, instance=worker.holder.instance, lease_until__gt=timezone.now()
        )
        if not holds or worker.now is not None:
            return
        passed = dt.timedelta(minutes=5 if late else 0)
        if late:
            for other in self.workers:
                if other.now is not None:
                    other.now.open = False
        now = timezone.now() + passed
        with mock.patch.object(recovery, "database_now", return_value=now):
            for message in recovery.undecided(self.account.pk):
                there = self.server[message.wa_id] > 0
                found = Lookup(Found.ON_SERVER, Ack.SERVER) if there else Lookup(Found.NOT_FOUND)
                decided = recovery.recover(
                    message, found, held=worker.held, same_profile=same_profile
                )
                if there:
                    assert decided in ("sent", "gone")
                elif not late:
                    assert decided == "wait"
                else:
                    assert decided == ("again" if same_profile else "uncertain")

    @rule(message=messages, ack=st.sampled_from([Ack.SERVER, Ack.DELIVERED, Ack.READ]))
    def hear(self, message: int, ack: Ack) -> None:
        row = Message.objects.get(pk=message)
        if row.wa_id and self.server[row.wa_id]:
            receipt = Receipt(seq=1, at=timezone.now(), wa_ids=(row.wa_id,), ack=ack)
            receipts.store_receipt(self.account.pk, receipt)

    @rule(message=messages, really=SELDOM)
    def cancel(self, message: int, really: bool) -> None:
        """What an exit does to the messages of a target."""
        if not really:
            return
        if outbox.cancel([message], reason="paid", now=timezone.now()):
            row = Message.objects.get(pk=message)
            self.cancelled[message] = self.server[row.wa_id] if row.wa_id else 0

    @rule(message=messages, really=SELDOM)
    def opt_out(self, message: int, really: bool) -> None:
        if not really:
            return
        row = Message.objects.select_related("contact").get(pk=message)
        contacts.opt_out(row.contact, reason="said stop", now=timezone.now())

    @rule(message=messages)
    def settle_what_arrived(self, message: int) -> None:
        row = Message.objects.get(pk=message)
        if row.state == State.UNCERTAIN and self.server[row.wa_id]:
            assert outbox.settle(
                message, sent=True, actor=Actor("user", "a person"), now=timezone.now()
            )

    # ------------------------------------------------------------------------- invariants

    @invariant()
    def each_message_arrives_once_at_most(self) -> None:
        assert all(copies <= 1 for copies in self.server.values()), self.server
        assert all(len(ids) == 1 for ids in self.ids.values()), self.ids

    @invariant()
    def states_never_go_down(self) -> None:
        for pk, state in Message.objects.values_list("pk", "state"):
            before = self.state.get(pk, State.QUEUED)
            if state != before:
                upwards = RANK.get(state, 0) > RANK.get(before, 0) and (
                    before not in (State.CANCELLED, State.FAILED) and pk in self.ids
                )
                assert upwards or (before, state) in MOVES, (pk, before, state)
            self.state[pk] = state

    @invariant()
    def what_is_said_to_be_sent_is(self) -> None:
        for wa_id in Message.objects.filter(state__in=Message.ARRIVED).values_list(
            "wa_id", flat=True
        ):
            assert self.server[wa_id] == 1

    @invariant()
    def usage_counts_the_intents_and_stays_below_the_limit(self) -> None:
        used = sum(Usage.objects.values_list("count", flat=True))
        assert used == self.intents == Attempt.objects.count()
        assert used <= LIMIT
        begun = sum(Usage.objects.values_list("new_chats", flat=True))
        assert begun == self.begun <= NEW_CHATS

    @invariant()
    def nothing_is_sent_after_it_was_cancelled(self) -> None:
        for message, copies in self.cancelled.items():
            row = Message.objects.get(pk=message)
            assert row.state == State.CANCELLED
            assert (self.server[row.wa_id] if row.wa_id else 0) == copies


@pytest.mark.timeout(400)  # a failure is made small before it is shown; usually 15 s
@override_settings(RESEND_NOT_FOUND=True)
def test_in_any_order_nothing_is_doubled_and_no_state_goes_down(account):
    Account.objects.filter(pk=account.pk).update(
        status="connected",
        phone="+33639989999",
        linked_at=timezone.now(),
        daily_limit=LIMIT,
        new_chats_per_day=NEW_CHATS,
    )
    account.refresh_from_db()
    machine = type("AnyOrder", (Outbox,), {"account": account})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=50,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
