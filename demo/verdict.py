"""What the simulator received against what the database says: lost, twice, too late, too many.

The simulator's record is the other side's word: whoever asks whether a message arrived once, and
when, must not ask the one who sent it.

**After payment.** An exit writes `Target.ended_at` by the database's clock after it has cancelled
what was queued; an intent reads the same clock before it claims its message. So an intent later
than `ended_at` committed after the exit did.
"""

from __future__ import annotations

import bisect
import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields

from rich.console import Console
from rich.table import Table

from accounts.models import Tenant
from campaigns.models import Delivery, Referral, Step, Target
from whatsapp.models import Account, Attempt, Message
from whatsapp.simulator.client import RecordedMessage

MINUTE = 60.0


@dataclass(slots=True)
class Tally:
    """One account's figures. All but the first two must be 0."""

    expected: int = 0
    received: int = 0
    lost: int = 0
    twice: int = 0
    after_payment: int = 0
    over_limit: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Tally)))

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.after_payment or self.over_limit)


@dataclass(slots=True)
class Verdict:
    """Figures by account name and by scene, and what is behind those that are not 0."""

    accounts: dict[str, Tally]
    scenes: dict[str, Tally] = field(default_factory=dict)
    details: list[str] = field(default_factory=list)

    @property
    def total(self) -> Tally:
        return sum([*self.accounts.values(), *self.scenes.values()], Tally())

    @property
    def passed(self) -> bool:
        """Nothing went wrong, and something happened at all."""
        return self.total.clean and self.total.expected > 0 and not self.details


def judge(
    tenant: Tenant, record: Iterable[RecordedMessage], *, apart: Collection[str] = ()
) -> Verdict:
    """Compare the simulator's `record` with the database.

    Messages with the stanza ids of `apart` belong to no sequence: they count for limits only.
    """
    accounts = Account.objects.filter(tenant=tenant).select_related("tenant").order_by("name")
    verdict = Verdict({account.name: Tally() for account in accounts})
    by_phone = {account.phone.lstrip("+"): account for account in accounts if account.phone}
    arrived: dict[int, list[RecordedMessage]] = {account.pk: [] for account in accounts}
    for message in record:
        if not message.accepted:
            continue
        if message.account not in by_phone:
            verdict.details.append(f"a message from {message.account}, which is no account")
            continue
        arrived[by_phone[message.account].pk].append(message)
    for account in accounts:
        tally = verdict.accounts[account.name]
        mine = arrived[account.pk]
        tally.received = sum(message.id not in apart for message in mine)
        in_time, late = _intents_of_leavers(account)
        _expected_and_lost(account, mine, in_time, tally, verdict.details)
        tally.twice = _twice(account, mine, verdict.details)
        tally.after_payment = len(late)
        verdict.details += [f"after payment: message {pk} of {account.name}" for pk in late]
        tally.over_limit = _over_limit(account, mine, verdict.details)
    _not_enrolled(tenant, verdict)
    return verdict


def _expected_and_lost(
    account: Account,
    arrived: Sequence[RecordedMessage],
    in_time: set[int],
    tally: Tally,
    details: list[str],
) -> None:
    """Whoever is still in the loop, or went through it, gets every step; whoever left it, what
    was begun before."""
    ids = {message.id for message in arrived}
    carried: dict[int, dict[int, Message]] = defaultdict(dict)
    for delivery in Delivery.objects.filter(target__account=account).select_related("message"):
        carried[delivery.target_id][delivery.number] = delivery.message
    for target in Target.objects.filter(account=account):
        messages = carried[target.pk]
        if target.state == Target.State.EXITED:
            numbers = [n for n, message in messages.items() if _begun(message, in_time)]
        else:
            steps = Step.objects.filter(campaign_id=target.campaign_id, active=True)
            numbers = list(steps.values_list("number", flat=True))
        tally.expected += len(numbers)
        for number in numbers:
            message = messages.get(number)
            if message is None or stanza_id(message) not in ids:
                tally.lost += 1
                state = message.state if message else "never queued"
                details.append(f"lost: step {number} of {target} of {account.name}, {state}")


def _begun(message: Message, in_time: set[int]) -> bool:
    """Whether its sending began before the target left, and was not taken back since."""
    taken_back = message.state in (Message.State.QUEUED, Message.State.CANCELLED)
    return message.pk in in_time and not taken_back


def _intents_of_leavers(account: Account) -> tuple[set[int], list[int]]:
    """Ids of messages to people who left: begun before they did, and after."""
    in_time: set[int] = set()
    late: list[int] = []
    attempts = (
        Attempt.objects.filter(
            message__delivery__target__in=Target.objects.filter(
                account=account, state=Target.State.EXITED
            )
        )
        .order_by("intent_at")
        .values_list(
            "message_id",
            "intent_at",
            "message__delivery__target__ended_at",
        )
    )
    for message_id, intent_at, ended_at in attempts:
        if ended_at is None or intent_at <= ended_at:
            in_time.add(message_id)
        else:
            late.append(message_id)
    return in_time, late


def stanza_id(message: Message) -> str:
    """The part of a message's id that the server sees: ``true_<chat>_<this>[_<author>]``."""
    parts = message.wa_id.split("_")
    return parts[2] if len(parts) > 2 else message.wa_id


def _twice(account: Account, arrived: Sequence[RecordedMessage], details: list[str]) -> int:
    """Shown more than once under one id, or the same words to the same person under two."""
    again = sum(max(0, message.deliveries - 1) for message in arrived)
    meant = Counter(
        (phone.lstrip("+"), body)
        for phone, body in Message.objects.filter(account=account)
        .exclude(wa_id="")
        .exclude(contact=None)
        .values_list("contact__phone", "body")
    )
    seen = Counter((message.to, message.body) for message in arrived if message.to)
    for (to, body), count in seen.items():
        if count > meant[to, body]:
            again += count - meant[to, body]
            details.append(f"twice: {count} times to {to} from {account.name}: {body[:40]!r}")
    return again


def _over_limit(account: Account, arrived: Sequence[RecordedMessage], details: list[str]) -> int:
    """Messages beyond the rolling minute or the tenant's day, by the times of the record."""
    times = sorted(message.received for message in arrived if message.received is not None)
    too_many = 0
    for index, at in enumerate(times):
        begin = bisect.bisect_right(times, at - MINUTE)
        if index - begin + 1 > account.limit_per_minute:
            too_many += 1
            details.append(f"over limit: {index - begin + 1} in a minute from {account.name}")
    zone = account.tenant.zone
    days = Counter(dt.datetime.fromtimestamp(at, zone).date() for at in times)
    for day, count in days.items():
        too_many += max(0, count - account.limit_per_day)
        if count > account.limit_per_day:
            details.append(f"over limit: {count} on {day} from {account.name}")
    return too_many


def _not_enrolled(tenant: Tenant, verdict: Verdict) -> None:
    """People who should be followed and are not: every step of theirs is lost."""
    followed = set(Target.objects.filter(tenant=tenant).values_list("phone", flat=True))
    waiting = (
        Referral.objects.filter(tenant=tenant, paid_at=None)
        .exclude(phone__in=followed)
        .values_list("phone", "referrer__account__name")
    )
    steps = Step.objects.filter(campaign__tenant=tenant, campaign__active=True, active=True).count()
    for phone, name in sorted(set(waiting)):
        tally = verdict.accounts.setdefault(name or "(not linked)", Tally())
        tally.expected += steps
        tally.lost += steps
        verdict.details.append(f"lost: {phone} of {name} was never enrolled")


def show(verdict: Verdict, console: Console) -> None:
    """The table, and under it what is behind every figure that is not 0."""
    table = Table(title="the simulator's record against the database", title_justify="left")
    table.add_column("account")
    for column in fields(Tally):
        table.add_column(column.name.replace("_", " "), justify="right")
    for name, tally in verdict.accounts.items():
        table.add_row(name, *_cells(tally))
    if verdict.scenes:
        table.add_section()
    for name, tally in verdict.scenes.items():
        table.add_row(name, *_cells(tally))
    table.add_section()
    table.add_row("all", *_cells(verdict.total))
    console.print(table)
    for line in verdict.details[:20]:
        console.print(line, markup=False, highlight=False)
    if len(verdict.details) > 20:
        console.print(f"… and {len(verdict.details) - 20} more")


def _cells(tally: Tally) -> list[str]:
    faults = (tally.lost, tally.twice, tally.after_payment, tally.over_limit)
    colours = [f"[bold red]{value}[/]" if value else f"[green]{value}[/]" for value in faults]
    return [str(tally.expected), str(tally.received), *colours]
