"""A broadcast in every order: whatever is planned, killed, paused, let go, sent, refused, tried
again and heard of, each recipient gets it once, nobody is passed over, and no figure falls.

The server here delivers what it gets as often as it gets it.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import asdict
from unittest import mock

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from campaigns.broadcasts import figures, queueing, running
from campaigns.models import Broadcast, Recipient
from tests.factories import NOW, make_account, make_broadcast, make_contact, make_tenant
from whatsapp import contacts, messages, outbox
from whatsapp.models import Account, Contact, Message

PEOPLE = 12
NEVER_FALL = ("recipients", "queued", "sent", "delivered", "read", "replied")
FAILPOINTS = ("broadcast.claimed", "broadcast.queued", "broadcast.before-commit")
WHO = st.integers(0, PEOPLE - 1)


class Killed(BaseException):
    """The process ended here; PostgreSQL takes back what was not committed."""


class AnyOrder(RuleBasedStateMachine):
    accounts: list[Account]
    broadcast: Broadcast

    def __init__(self) -> None:
        super().__init__()
        self.undo = transaction.atomic()
        self.undo.__enter__()
        self.now = NOW
        tenant = make_tenant()
        # Room for three at a time: there is always somebody who waits.
        self.accounts = [make_account(tenant, per_minute=1) for _ in range(2)]
        self.people = [make_contact(tenant) for _ in range(PEOPLE)]
        self.broadcast = make_broadcast(accounts=self.accounts)
        self.server: Counter[int] = Counter()  # contact -> copies
        self.stopped: dict[int, int] = {}  # contact -> copies when they said stop
        self.failed: set[int] = set()
        self.by_hand: set[int] = set()
        self.before: dict[str, int] = {}
        with mock.patch.object(queueing, "LEAST_AHEAD", 3):
            running.start(self.broadcast, now=self.now)

    def teardown(self) -> None:
        try:
            self.goes_through_in_the_end()
        finally:
            transaction.set_rollback(True)
            self.undo.__exit__(None, None, None)

    # ------------------------------------------------------------------------------ rules

    def plan(self) -> None:
        with mock.patch.object(queueing, "LEAST_AHEAD", 3):
            queueing.plan(now=self.now)

    @rule()
    def plan_and_let_time_pass(self) -> None:
        self.plan()
        self.now += dt.timedelta(minutes=1)

    @rule(where=st.sampled_from(FAILPOINTS))
    def kill_the_planner(self, where: str) -> None:
        def end(name: str) -> None:
            if name == where:
                raise Killed

        for module in (queueing, outbox):
            with mock.patch.object(module, "failpoint", end):
                try:
                    with transaction.atomic():
                        self.plan()
                except Killed:
                    pass

    @rule()
    def pause(self) -> None:
        try:
            running.pause(self.broadcast, now=self.now)
        except running.NotPossible:
            assert self.broadcast_state() in {"paused", "done"}

    @rule()
    def resume(self) -> None:
        try:
            running.resume(self.broadcast, now=self.now)
        except running.NotPossible:
            assert self.broadcast_state() in {"running", "done"}

    @rule(to=st.sampled_from(["sent", "sent", "sent", "queued", "uncertain", "failed"]))
    def send_the_next(self, to: str) -> None:
        """What a worker does, as far as the outbox lets it."""
        due = Message.objects.filter(state="queued", due_at__lte=self.now).order_by("due_at", "id")
        message = due.first()
        if message is None:
            return
        assert self.broadcast_state() != "paused"
        message.state, message.wa_id = Message.State.SENDING, f"wa-{message.pk}"
        message.fence, message.not_after, message.sending_at = 1, self.now, self.now
        message.save()
        self.finish(message, to)

    def finish(self, message: Message, to: str) -> None:
        assert message.contact_id is not None
        fields = {}
        if to in {"sent", "uncertain"}:
            self.server[message.contact_id] += 1
        if to == "sent":
            fields = {"sent_at": self.now}
        if to == "queued":
            fields = {"due_at": self.now}
        if to == "failed":
            self.failed.add(message.contact_id)
        assert outbox.move(message, to=to, when=["sending"], now=self.now, **fields)

    @rule(to=st.sampled_from(["queued", "sent"]))
    def pause_while_one_is_being_sent(self, to: str) -> None:
        message = Message.objects.filter(state="queued", due_at__lte=self.now).first()
        if message is None or self.broadcast_state() != "running":
            return
        message.state, message.wa_id = Message.State.SENDING, f"wa-{message.pk}"
        message.fence, message.not_after, message.sending_at = 1, self.now, self.now
        message.save()
        running.pause(self.broadcast, now=self.now)
        self.finish(message, to)

    @rule(who=WHO)
    def receipt(self, who: int) -> None:
        message = self.message_of(who)
        ways = {"sent": "delivered", "delivered": "read"}
        if message and message.state in ways:
            to = ways[message.state]
            outbox.move(
                message, to=to, when=[message.state], now=self.now, **{f"{to}_at": self.now}
            )

    @rule(who=WHO, really=st.integers(0, 4))
    def say_stop(self, who: int, really: int) -> None:
        contact = self.people[who]
        if really == 4 and contacts.opt_out(contact, reason="stop", now=self.now):
            self.stopped[contact.pk] = self.server[contact.pk]

    @rule(who=WHO)
    def try_a_failed_one_again(self, who: int) -> None:
        message = self.message_of(who)
        if message and messages.retry(message, now=self.now):
            self.failed.discard(self.people[who].pk)

    @rule(who=WHO, really=st.integers(0, 4))
    def cancel_a_message_by_hand(self, who: int, really: int) -> None:
        message = self.message_of(who)
        if really == 4 and message and messages.cancel([message.pk], now=self.now):
            self.by_hand.add(self.people[who].pk)

    def message_of(self, who: int) -> Message | None:
        return Message.objects.filter(contact=self.people[who]).select_related("contact").first()

    def broadcast_state(self) -> str:
        self.broadcast.refresh_from_db()
        return self.broadcast.state

    # ------------------------------------------------------------------------- invariants

    @invariant()
    def nobody_gets_it_twice(self) -> None:
        assert all(copies == 1 for copies in self.server.values()), self.server
        assert Message.objects.count() == len(
            set(Message.objects.values_list("contact_id", flat=True))
        )

    @invariant()
    def everybody_has_one_line_in_the_ledger(self) -> None:
        assert Recipient.objects.count() == PEOPLE == self.broadcast.total

    @invariant()
    def figures_never_fall(self) -> None:
        now = asdict(figures.of(self.broadcast))
        for name in NEVER_FALL:
            assert now[name] >= self.before.get(name, 0), (name, self.before, now)
        self.before = now

    @invariant()
    def nobody_gets_it_after_they_said_stop(self) -> None:
        for contact, copies in self.stopped.items():
            assert self.server[contact] == copies

    @precondition(lambda self: self.broadcast_state() == "paused")
    @invariant()
    def nothing_may_be_sent_during_a_pause(self) -> None:
        assert not Message.objects.filter(state="queued", due_at__lte=self.now).exists()

    def goes_through_in_the_end(self) -> None:
        if self.broadcast_state() == "paused":
            running.resume(self.broadcast, now=self.now)
        for _ in range(PEOPLE):
            self.plan()
            for _ in range(6):
                self.send_the_next("sent")
            self.now += dt.timedelta(minutes=1)
        assert self.broadcast_state() == "done"
        left_out = self.stopped.keys() | self.failed | self.by_hand
        missed = {contact.pk for contact in self.people} - self.server.keys() - left_out
        assert not missed, Contact.objects.filter(pk__in=missed)
        assert not Recipient.objects.filter(state__in=["waiting", "queued"]).exists()


@pytest.mark.django_db
@pytest.mark.timeout(400)  # a failure is made small before it is shown
def test_in_any_order_everybody_gets_it_once_and_no_figure_falls():
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
