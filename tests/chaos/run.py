"""A long run: rounds of random faults on one rig, and a verdict."""

from __future__ import annotations

import random
import time
from collections import Counter

from django.db.models import Sum

from tests.chaos import people, witness
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.rig import NotInTime, Rig, until
from whatsapp.models import Account, Message, Usage

ROOM = 12  # messages a day that the tight account may send in ten rounds: fewer than it is given


class Run:
    """Plays `rounds` faults that follow from `seed`, or only those whose number is in `only`."""

    def __init__(self, *, seed: int, rounds: int, no_dedup: bool, only: set[int]) -> None:
        self.seed = seed
        self.rounds = rounds
        self.no_dedup = no_dedup
        self.faults = [fault for fault in FAULTS if not only or fault.number in only]
        self.rig = Rig(with_tight_one=True)
        self.injected: Counter[int] = Counter()
        self.over_day: list[str] = []
        self.restless = 0

    def play(self, *, segment: int, rest_seconds: float) -> bool:
        """The whole run; whether nothing was lost, doubled, over a limit or left over."""
        began = time.monotonic()
        print(f"seed {self.seed}, {self.rounds} rounds, logs in {self.rig.directory}/log")
        with self.rig:
            print(f"{time.monotonic() - began:6.1f} s  accounts linked, workers ready", flush=True)
            for number in range(1, self.rounds + 1):
                if (number - 1) % segment == 0:
                    self._begin(number, dedup=not self.no_dedup and (number // segment) % 2 == 0)
                self._round(number, began)
                if number % segment == 0 or number == self.rounds:
                    self._rest(rest_seconds)
            counts = witness.count(self.rig)
        counts.orphans = len(orphans := self.rig.leftovers())
        counts.over_limit += len(self.over_day)
        counts.details += self.over_day + [f"orphan: {line}" for line in orphans]
        for line in counts.details[:40]:
            print(line)
        by_number = ", ".join(f"{n}: {c}" for n, c in sorted(self.injected.items()))
        print(f"faults by number: {by_number}")
        print(f"faults {self.injected.total()}, {counts}")
        verdict = "passed" if counts.clean else "FAILED"
        print(f"{verdict} after {time.monotonic() - began:.0f} s, seed {self.seed}", flush=True)
        return counts.clean

    def _deck(self, number: int) -> Fault:
        """Every fault comes once before any comes again, in an order of the seed's."""
        deal, place = divmod(number - 1, len(self.faults))
        deck = list(self.faults)
        random.Random(f"{self.seed}:deck:{deal}").shuffle(deck)
        return deck[place]

    def _begin(self, number: int, *, dedup: bool) -> None:
        self.rig.control.config(dedup=dedup)
        if (tight := self.rig.tight) is not None:
            # Its busiest day has a little room: the limit is met again in these rounds.
            until(lambda: self._limit(tight, ROOM), 60, "the day's limit set")
        print(f"rounds from {number}: de-duplication {'on' if dedup else 'off'}", flush=True)

    @staticmethod
    def _limit(tight: Account, room: int) -> bool:
        used = Usage.objects.filter(account=tight).order_by("-count").first()
        return bool(
            Account.objects.filter(pk=tight.pk).update(
                daily_limit=(used.count if used else 0) + room
            )
        )

    def _round(self, number: int, began: float) -> None:
        fault = self._deck(number)
        rng = random.Random(f"{self.seed}:{number}")
        try:
            said = fault.strike(self.rig, rng)
        except NotInTime as error:
            said, why = "", str(error)
        else:
            why = "nobody came to that step"
        finally:
            self.rig.failpoints.clear()
        self.injected[fault.number] += bool(said)
        sent = self.rig.control.totals()["messages"]
        print(
            f"{time.monotonic() - began:6.1f} s  {number:4d}  fault {fault.number:2d}  "
            f"{said or f'{fault.strike.__name__} not done: {why}'}; sent {sent}",
            flush=True,
        )

    def _rest(self, seconds: float) -> None:
        """Everything has to come to rest by itself; the day's limit is met before it is raised."""
        began = time.monotonic()
        tight = self.rig.tight
        if tight is not None:
            self.over_day += witness.beyond_the_day(tight)
            until(lambda: self._limit(tight, people.MANY), 60, "the day's limit raised")
        rested = self.rig.rest(seconds)
        took = time.monotonic() - began
        total = Message.objects.aggregate(n=Sum("attempts_made"))["n"]
        print(
            f"          {'at rest' if rested else 'NOT AT REST'} after {took:.1f} s, {total} tries"
        )
        if not rested:
            self.restless += 1
            print(f"          {self.rig.stuck()}", flush=True)
