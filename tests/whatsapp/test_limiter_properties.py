"""The limiter against a model that keeps every intent: whatever Redis forgets or goes back to, no
minute, no gap and no day is ever exceeded.

Time passes by making everything that is stored older.
"""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.whatsapp import redis_state
from whatsapp import limits
from whatsapp.models import Account, Attempt, Message, Usage

PER_DAY, PER_MINUTE, GAP, JITTER = 4, 2, 5.0, 3.0  # seconds
WIDTH = 16  # digits of a time in the hash
SLACK = 0.5  # seconds that a test's own steps may take


class Limiter(RuleBasedStateMachine):
    account: Account  # set by the test
    message: Message
    real_now = staticmethod(timezone.now)

    def __init__(self) -> None:
        super().__init__()
        self.undo = transaction.atomic()
        self.undo.__enter__()
        limits.server().client.flushdb()
        self.place: limits.Reserved | None = None  # one thread: one reservation at a time
        self.times: list[float] = []  # age of each intent, in seconds before now
        self.days: dict[dt.date, int] = {}
        self.ahead = dt.timedelta(0)
        self.snapshot: dict[str, str] | None = None
        self.numbers = itertools.count(1)

    def teardown(self) -> None:
        limits.timezone.now = self.real_now
        transaction.set_rollback(True)
        self.undo.__exit__(None, None, None)

    @property
    def hash(self) -> dict[str, str]:
        return redis_state.read(self.account.pk)

    # ------------------------------------------------------------------------------ rules

    @rule()
    def reserve(self) -> None:
        if self.place is not None:
            return
        found = limits.reserve(self.account)
        if isinstance(found, limits.Reserved):
            self.place = found
            return
        assert found.seconds > 0
        # Not more cautious than the model allows, as far as places are not given back.
        if found.reason == "gap":
            assert found.seconds <= GAP + JITTER
        elif found.reason == "minute":
            assert found.seconds <= 60

    @rule()
    def intend(self) -> None:
        """What sending does: the books, then the attempt."""
        if self.place is None:
            return
        place, self.place = self.place, None
        usage, _ = Usage.objects.get_or_create(account=self.account, day=place.day)
        room = Usage.objects.filter(pk=usage.pk, count__lt=PER_DAY)
        assert room.update(count=F("count") + 1), "the limiter gave more than the day has"
        Attempt.objects.create(
            message=self.message,
            account=self.account,
            number=next(self.numbers),
            fence=1,
            worker="one",
            wa_id="x",
            usage_day=place.day,
            intent_at=self.real_now(),
        )
        self.times.append(self.real_now().timestamp())
        self.days[place.day] = self.days.get(place.day, 0) + 1

    @rule(seconds=st.sampled_from([0, 6, 61]))
    def send(self, seconds: int) -> None:
        """The usual way: chance alone rarely fills a day."""
        self.time_passes(seconds)
        self.reserve()
        self.intend()

    @rule()
    def give_back(self) -> None:
        if self.place is not None:
            limits.release(self.place)
            self.place = None

    @rule(seconds=st.sampled_from([20, 61]))
    def send_two(self, seconds: int) -> None:
        self.send(seconds)
        self.send(6)

    @rule()
    def worker_dies(self) -> None:
        """Its reservation is never used, and never given back."""
        self.place = None

    @rule()
    def another_worker_takes_over(self) -> None:
        self.place = None
        limits.forget(self.account.pk)

    @rule()
    def flush(self) -> None:
        limits.server().client.flushdb()

    @rule()
    def restart(self) -> None:
        """Empty, and another run of the server."""
        limits.server().client.flushdb()
        limits.server().run_id = f"{next(self.numbers):040d}"

    @rule()
    def save(self) -> None:
        self.snapshot = self.hash

    @rule()
    def restore(self) -> None:
        """To what was saved, however long ago, by another run of the server."""
        limits.server().client.flushdb()
        limits.server().run_id = f"{next(self.numbers):040d}"
        if self.snapshot:
            redis_state.write(self.account.pk, **self.snapshot)

    @rule(seconds=st.sampled_from([1, 4, 6, 20, 45, 61, 600]))
    def time_passes(self, seconds: int) -> None:
        if self.place is not None:
            return  # a reservation is used or given back within moments
        Attempt.objects.update(intent_at=F("intent_at") - dt.timedelta(seconds=seconds))
        self.times = [at - seconds for at in self.times]
        for stored in (self.hash, self.snapshot):
            if stored and (times := stored.get("times")):
                pieces = [times[n : n + WIDTH] for n in range(0, len(times), WIDTH)]
                stored["times"] = "".join(
                    f"{int(at) - seconds * 1_000_000:0{WIDTH}d}" for at in pieces
                )
                if stored is not self.snapshot:
                    redis_state.write(self.account.pk, times=stored["times"])

    @rule(days=st.sampled_from([-1, 1, 1, 2]))
    def day_changes(self, days: int) -> None:
        """Backwards too: a clock was put right."""
        if self.place is None:
            self.ahead += dt.timedelta(days=days)
            limits.timezone.now = lambda: self.real_now() + self.ahead

    # ------------------------------------------------------------------------- invariants

    @invariant()
    def no_day_has_more_than_its_limit(self) -> None:
        assert all(count <= PER_DAY for count in self.days.values())

    @invariant()
    def no_minute_has_more_than_its_limit(self) -> None:
        ordered = sorted(self.times)
        for first, last in zip(ordered, ordered[PER_MINUTE:], strict=False):
            assert last - first >= 60 - SLACK

    @invariant()
    def no_gap_is_shorter_than_it_must_be(self) -> None:
        ordered = sorted(self.times)
        for first, last in itertools.pairwise(ordered):
            assert last - first >= GAP - SLACK


@pytest.mark.timeout(400)  # a failure is made small before it is shown; usually 15 s
def test_whatever_redis_forgets_no_limit_is_exceeded(account, write, monkeypatch):
    monkeypatch.setattr(limits, "timezone", _Clock())
    account.daily_limit, account.per_minute, account.gap_ms = PER_DAY, PER_MINUTE, int(GAP * 1000)
    account.gap_jitter_ms = int(JITTER * 1000)
    account.save()
    run_id = limits.server().run_id
    machine = type("AnyOrder", (Limiter,), {"account": account, "message": write(account)})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=60,
                stateful_step_count=50,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        limits.server().run_id = run_id


class _Clock:
    """Stands for `django.utils.timezone` in the limiter."""

    now = staticmethod(timezone.now)
