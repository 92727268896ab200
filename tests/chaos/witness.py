"""What happened, told by the simulator's record, the database's books and the process table.

The record alone says what arrived, and how often: every try that reached the server counts, also
one that the simulator's de-duplication swallowed, because the real server's is not known.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from campaigns.models import Delivery, Referral, Target
from tests.chaos.people import STEPS
from tests.chaos.rig import Rig
from whatsapp.models import Account, Attempt, Message, Usage, WebhookEvent
from whatsapp.simulator.client import RecordedMessage

MINUTE = 60.0
State = Message.State
# Tries of which the server took a copy, be it the first or one more.
ARRIVALS = frozenset({"accepted", "ack_lost", "ack_cut", "duplicate", "delivered_again"})


@dataclass(slots=True)
class Counts:
    """One verdict. Everything below `gone_with_disk` must be 0; `details` says what is behind."""

    accepted: int = 0  # messages that Relance was given
    sent: int = 0  # messages that WhatsApp has
    uncertain: int = 0
    failed: int = 0
    gone_with_disk: int = 0  # messages of others that only the page of a lost host had
    lost: int = 0
    twice: int = 0
    over_limit: int = 0
    after_exit: int = 0
    untrue: int = 0  # said to be sent and is not, or said not to be and is
    two_browsers: int = 0  # accounts that had more than one at a moment
    unheard: int = 0  # messages of others that are not stored, or not once
    untold: int = 0  # events that a webhook was not told, or too early
    orphans: int = 0
    details: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (
            self.lost
            or self.twice
            or self.over_limit
            or self.after_exit
            or self.untrue
            or self.two_browsers
            or self.unheard
            or self.untold
            or self.orphans
        )

    def __str__(self) -> str:
        return ", ".join(
            f"{name.replace('_', ' ')} {getattr(self, name)}"
            for name in self.__dataclass_fields__
            if name != "details"
        )


def count(rig: Rig) -> Counts:
    """The verdict on everything the rig did so far; call it when the rig has come to rest."""
    counts = Counts()
    record = [m for m in rig.control.messages() if m.accepted]
    by_content = defaultdict(list)
    for recorded in record:
        by_content[recorded.to, recorded.body].append(recorded)
    messages = list(Message.objects.select_related("contact", "account"))
    counts.accepted = len(messages)
    counts.sent = len(by_content)
    for message in messages:
        arrived = by_content.pop((message.contact.phone.lstrip("+"), message.body), [])
        _judge(message, arrived, counts)
    counts.untrue += len(by_content)
    counts.details += [f"untrue: nobody wrote {body!r} to {to}" for to, body in by_content]
    _missing(rig, counts)
    _steps(rig, counts)
    for account in rig.accounts:
        _limits(account, record, counts)
    _after_exit(rig, counts)
    counts.gone_with_disk = rig.outside.gone_with_disk()
    unheard, untold = rig.outside.unheard(), rig.outside.untold()
    counts.unheard, counts.untold = len(unheard), len(untold)
    counts.details += unheard + untold
    _told_of_all(messages, counts)
    counts.two_browsers = sum(most > 1 for most in rig.watch.most.values())
    counts.details += rig.watch.seen_two
    return counts


def _told_of_all(messages: Sequence[Message], counts: Counts) -> None:
    """Whatever became of a message, there is an event that says so."""
    told = set(
        WebhookEvent.objects.filter(object_type="message").values_list("object_id", "data__state")
    )
    for message in messages:
        if (
            message.state not in Message.OPEN
            and (str(message.public_id), message.state) not in told
        ):
            counts.untold += 1
            counts.details.append(f"webhook: nobody was told that {message.pk} is {message.state}")


def _judge(message: Message, arrived: Sequence[RecordedMessage], counts: Counts) -> None:
    """One message against all that reached its recipient with its words."""
    said = f"message {message.pk} {message.state} {message.error_code} {message.wa_id}"
    tries = sum(attempt.outcome in ARRIVALS for one in arrived for attempt in one.attempts)
    copies = sum(one.deliveries for one in arrived)
    if (again := max(tries, copies) - 1) > 0:
        counts.twice += again
        outcomes = [[a.outcome for a in one.attempts] for one in arrived]
        counts.details.append(f"twice: {said} {[one.id for one in arrived]} {outcomes}")
    counts.uncertain += message.state == State.UNCERTAIN
    counts.failed += message.state == State.FAILED
    if message.state in Message.OPEN:
        counts.lost += 1
        counts.details.append(f"lost: {said} after everything came to rest")
    elif message.state in Message.ARRIVED and not arrived:
        counts.lost += 1
        counts.details.append(f"lost: {said}, but WhatsApp never got it")
    elif message.state in (State.FAILED, State.CANCELLED) and arrived:
        counts.untrue += 1
        counts.details.append(f"untrue: {said}, but it arrived")


def _missing(rig: Rig, counts: Counts) -> None:
    """What was accepted and is in no table any more."""
    there = set(Message.objects.values_list("idempotency_key", flat=True))
    people = set(Referral.objects.values_list("external_id", flat=True))
    gone = sorted(rig.keys - there) + sorted(rig.referred - people)
    counts.lost += len(gone)
    counts.details += [f"lost: {key} is in no table" for key in gone]


def _steps(rig: Rig, counts: Counts) -> None:
    """Whoever did not leave the loop has a message for each step."""
    made = Counter(Delivery.objects.values_list("target__referral__external_id", flat=True))
    left = set(
        Target.objects.filter(state=Target.State.EXITED).values_list(
            "referral__external_id", flat=True
        )
    )
    left |= set(Referral.objects.exclude(paid_at=None).values_list("external_id", flat=True))
    for person in sorted(rig.referred - left):
        if missing := STEPS - made[person]:
            counts.lost += missing
            counts.details.append(f"lost: {missing} steps of {person}")


def beyond_the_day(account: Account) -> list[str]:
    """Days of the account with more intents than its limit is now, one line each."""
    account.refresh_from_db()
    begun = Counter(Attempt.objects.filter(account=account).values_list("usage_day", flat=True))
    booked = Counter(dict(Usage.objects.filter(account=account).values_list("day", "count")))
    limit = account.limit_per_day
    return [
        f"over limit: {count} of {limit} by {account} on {day}"
        for day, count in (begun | booked).items()
        for _ in range(count - limit)
    ]


def _limits(account: Account, record: Sequence[RecordedMessage], counts: Counts) -> None:
    """The day by the books, and nothing without them; the minute by intents and by arrivals."""
    over = beyond_the_day(account)
    counts.over_limit += len(over)
    counts.details += over
    mine = [m for m in record if m.account == account.phone.lstrip("+")]
    arrivals = [a.at for m in mine for a in m.attempts if a.outcome in ARRIVALS]
    intents = [
        at.timestamp()
        for at in Attempt.objects.filter(account=account).values_list("intent_at", flat=True)
    ]
    if len(arrivals) > len(intents):
        counts.over_limit += len(arrivals) - len(intents)
        counts.details.append(f"over limit: {account} sent without an intent")
    for what, times in (("intents", intents), ("arrivals", arrivals)):
        if over := beyond_the_minute(times, account.limit_per_minute):
            counts.over_limit += over
            counts.details.append(f"over limit: {over} {what} of {account} beyond the minute")


def beyond_the_minute(times: Iterable[float], limit: int) -> int:
    """How many came when the 60 seconds before them were full already."""
    ordered = sorted(times)
    return sum(
        index - bisect.bisect_right(ordered, at - MINUTE) + 1 > limit
        for index, at in enumerate(ordered)
    )


def _after_exit(rig: Rig, counts: Counts) -> None:
    """Intents that were committed after somebody's exit had been answered."""
    for person, answered in rig.exits.items():
        late = Attempt.objects.filter(
            message__delivery__target__referral__external_id=person, intent_at__gt=answered
        ).count()
        counts.after_exit += late
        if late:
            counts.details.append(f"after exit: {late} intents for {person} after {answered}")
        waiting = Message.objects.filter(
            delivery__target__referral__external_id=person, state=State.QUEUED
        ).count()
        if waiting:
            counts.after_exit += waiting
            counts.details.append(f"after exit: {waiting} messages wait for {person}")
