"""The world outside of a rig: people who write to its accounts, and a company's own system that
is told of everything by webhooks, and does not always listen."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator

from django.utils import timezone

from accounts.models import Tenant
from tests.chaos.people import PHONES
from tests.factories import fiction_phone
from tests.whatsapp.receiver import Call, Receiver, listening
from whatsapp.models import Account, Incoming, WebhookDelivery, WebhookEndpoint
from whatsapp.simulator.client import SimulatorControl
from whatsapp.webhooks import endpoints

# Nobody of these is written to by a rig, and none is an account.
FIRST_WRITER, WRITERS = 10_000, 900
# Every so many calls of a webhook are refused; the next try of each comes seconds later.
REFUSED_EVERY = 40

assert fiction_phone(FIRST_WRITER) not in PHONES


class Outside:
    """`said` maps what somebody wrote to the phone of the account; no two wrote the same."""

    def __init__(self, control: SimulatorControl, receiver: Receiver) -> None:
        self.control = control
        self.receiver = receiver
        self.said: dict[str, str] = {}
        # What only the page of a host knew that was lost with its disk: nobody can bring it back.
        self.at_risk: set[str] = set()
        self._numbers = itertools.count(1)
        self._calls = itertools.count(1)
        receiver.answer = self._answer

    def _answer(self, call: Call) -> int:
        return 500 if next(self._calls) % REFUSED_EVERY == 0 else 200

    def listen_for(self, tenant: Tenant) -> None:
        """Everything that happens in `tenant` is told to the receiver."""
        endpoints.create(
            tenant=tenant,
            name="outside",
            url=self.receiver.url,
            events=WebhookEndpoint.Event.values,
            now=timezone.now(),
        )

    def write_to(self, accounts: list[Account]) -> None:
        """Somebody writes to each account that is linked, words that nobody else writes."""
        for account in accounts:
            if not account.phone:
                continue
            number = next(self._numbers)
            body = f"question {number} to {account.name}"
            self.said[body] = account.phone
            sender = fiction_phone(FIRST_WRITER + number % WRITERS)
            self.control.receive(sender, body, account=account.phone)

    def lose_host(self, account: Account) -> None:
        """The page of `account` acknowledged what came, and is gone before it was stored."""
        stored = Incoming.objects.filter(account=account).values_list("body", flat=True)
        own = {body for body, phone in self.said.items() if phone == account.phone}
        self.at_risk |= own - set(stored)

    def gone_with_disk(self) -> int:
        """How many of those at risk nobody has heard of since."""
        return len(self.at_risk - set(Incoming.objects.values_list("body", flat=True)))

    def settled(self) -> bool:
        """Whether all that was written is stored, and all that happened was told."""
        stored = set(Incoming.objects.values_list("body", flat=True))
        waiting = WebhookDelivery.objects.filter(state=WebhookDelivery.State.PENDING)
        return self.said.keys() - self.at_risk <= stored and not waiting.exists()

    def unheard(self) -> list[str]:
        """What was written and is not stored for its account, or not once, one line each."""
        stored = Counter(
            Incoming.objects.filter(from_me=False).values_list("body", "account__phone")
        )
        return [
            f"incoming: {body!r} is stored {stored[body, phone]} times"
            for body, phone in self.said.items()
            if stored[body, phone] != 1 and not (body in self.at_risk and not stored[body, phone])
        ]

    def untold(self) -> list[str]:
        """Events that the receiver never took, or took before an earlier one of their object."""
        taken: dict[str, int] = {}
        for place, call in enumerate(self.receiver.calls):
            taken.setdefault(call.headers["webhook-id"], place)
        wrong: list[str] = []
        latest: dict[str, int] = defaultdict(lambda: -1)
        # A receipt may still come in after everything was at rest: it is told a moment later.
        just_now = timezone.now() - dt.timedelta(seconds=10)
        fresh = {"state": WebhookDelivery.State.PENDING, "event__created_at__gt": just_now}
        rows = (
            WebhookDelivery.objects.exclude(**fresh)
            .order_by("id")
            .values_list("object_key", "event_id", "event__type", "state")
        )
        for key, event, what, state in rows:
            place = taken.get(str(event))
            if place is None or state != WebhookDelivery.State.DELIVERED:
                wrong.append(f"webhook: {what} of {key} is {state}, the receiver has it: {place}")
            elif place < latest[key]:
                wrong.append(f"webhook: {what} of {key} came before an earlier one")
            else:
                latest[key] = place
        return wrong


@contextlib.contextmanager
def around(control: SimulatorControl) -> Iterator[Outside]:
    with listening() as receiver:
        yield Outside(control, receiver)
