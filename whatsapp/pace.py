"""Why a due message waits all the same: what keeps a number from being restricted.

A limit (limits.py) says how much an account sends, this says what of it and when. Whoever drives an
account asks `hold` before it prepares a message; one that is held is due again when its hold ends
(`put_off`), and those behind it go on. What a message waits for is its `error_code`: one of
`HOLDS`. docs/explanation/safe-pace.md has the reasons and the defaults.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from accounts import activity
from accounts.activity import Verb
from whatsapp import doorbells, limits, outbox, quiet_hours, reasons
from whatsapp.models import Account, Message
from whatsapp.models.pace import ALL
from whatsapp.standing import standing

QUIET, NEW_CHATS, COLD, HEALTH = "quiet_hours", "new_chats", "cold_chats", "health"
# WhatsApp's refusal of new chats.
COLD_NACK = "nack_463"
LONGEST_COLD = dt.timedelta(days=7)
# What the `error_code` of a message says that waits for one of these.
HOLDS = (QUIET, NEW_CHATS, COLD, COLD_NACK)
# Whoever wrote so lately is awake and waits for an answer.
AWAKE = dt.timedelta(hours=1)
TYPED = frozenset({Message.Kind.TEXT, Message.Kind.LINK})
FIRST_KEY, PER_KEY = dt.timedelta(milliseconds=300), dt.timedelta(milliseconds=15)
# What somebody, or something, says at this very moment to somebody: no hour is too late for it.
ANSWERS = frozenset({Message.Origin.AGENT, Message.Origin.DIRECT, Message.Origin.SYSTEM})


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a message waits and until when. `whole_account`: so does every other of its account.

    `detail` of a message's is the time zone whose quiet hours these are, of an account's (`holds`)
    the reason in words.
    """

    code: str
    until: datetime
    detail: str = ""
    whole_account: bool = False


def hold(message: Message, account: Account, *, now: datetime) -> Hold | None:
    """Why a queued message of `account` (with its tenant) waits at `now`; None: it may go."""
    if account.is_resting:
        return Hold(HEALTH, next_step(account) or now, whole_account=True)
    if message.contact_id is not None:
        known = standing(message)
        if account.holds_cold_chats(now) and known.heard_at is None:
            assert account.cold_held_until is not None  # noqa: S101  says the line above
            return Hold(COLD, account.cold_held_until)
        if known.is_new and known.begun_today >= account.new_chats_limit:
            return Hold(NEW_CHATS, _midnight(account, now))
        if known.heard_at is not None and now - known.heard_at < AWAKE:
            return None
    return None if message.origin in ANSWERS else _quiet(message, account, now=now)


def next_step(account: Account) -> datetime | None:
    """When an account whose health took its limit down may send more; None: it sends it all."""
    if account.health_share_at is None or account.health_share == ALL:
        return None
    return account.health_share_at + dt.timedelta(hours=settings.WHATSAPP_HEALTH_STEP_HOURS)


def tone(account: Account) -> str:
    """``good``, ``fair``, ``bad``, or ``unknown`` while too little has happened to an account."""
    threshold: int = settings.WHATSAPP_HEALTH_PAUSE_BELOW
    if account.health_score is None:
        return "unknown"
    if account.is_resting or account.health_score < threshold:
        return "bad"
    return "good" if account.health_score >= 80 and account.health_share == ALL else "fair"


def _midnight(account: Account, now: datetime) -> datetime:
    return now + dt.timedelta(seconds=limits.seconds_to_midnight(account.tenant, now=now))


def holds(account: Account, *, now: datetime) -> list[Hold]:
    """What holds all, or all new chats, of an account now, for people. One query."""
    found = []
    step = next_step(account)
    if step is not None and account.is_resting:
        found.append(Hold(HEALTH, step, reasons.of_health(account.health_reason), True))
    if account.cold_held_until is not None and account.holds_cold_chats(now):
        found.append(Hold(COLD, account.cold_held_until, reasons.of_hold(COLD)))
    elif account.new_chats_limit < account.limit_per_day:
        allowance = limits.snapshot(account, now=now)
        if allowance.new_chats_today >= allowance.new_chats_limit:
            midnight = _midnight(account, now)
            found.append(Hold(NEW_CHATS, midnight, reasons.of_hold(NEW_CHATS)))
    return found


def _quiet(message: Message, account: Account, *, now: datetime) -> Hold | None:
    hours = account.quiet
    if hours is None:
        return None
    phone = message.contact.phone if message.contact is not None else ""
    ours = (account.tenant.zone,)
    zones = quiet_hours.zones_of(phone) or ours
    until = hours.until(now, zones)
    if until is None:  # their region goes around the world: ours it is
        zones, until = ours, hours.until(now, ours)
    if until is None or until <= now:
        return None
    return Hold(QUIET, until, detail=str(zones[0]))


def typing_time(message: Message, account: Account) -> float:
    """Seconds for which “typing…” is shown before a message to a person; 0: it is not.

    Shorter before a short text. It is part of the gap: only the first of many is later for it.
    """
    if message.contact_id is None or message.kind not in TYPED or not message.body:
        return 0.0
    return min(account.longest_typing, FIRST_KEY + PER_KEY * len(message.body)).total_seconds()


def known_absent(message: Message, *, now: datetime) -> bool:
    """WhatsApp said not long ago that it does not know this number.

    Asking for many such numbers is what gets an account restricted. (Of those it knows, a page has
    the chat and does not ask.) Whoever tries a failed message again wants it asked anew.
    """
    contact = message.contact
    return (
        contact is not None
        and contact.on_whatsapp is False
        and contact.checked_at is not None
        and now - contact.checked_at < dt.timedelta(days=settings.WHATSAPP_NUMBER_CHECK_DAYS)
        and message.error_code != "not_on_whatsapp"
    )


def put_off(message: Message, held: Hold) -> bool:
    """Have a queued message wait until its hold ends. False when somebody was first."""
    done = Message.objects.filter(
        pk=message.pk, state=Message.State.QUEUED, due_at=message.due_at
    ).update(due_at=held.until, error_code=held.code, error=held.detail)
    return bool(done)


def note_cold_nack(account_id: int, *, now: datetime) -> datetime:
    """WhatsApp refused a new chat: begin none until the time that this returns.

    A day, twice as long with each refusal within a week of the last hold, a week at most. In the
    caller's transaction, before it locks a message.
    """
    account = Account.objects.select_for_update(of=("self",), no_key=True).get(pk=account_id)
    before = account.cold_held_until
    if before is not None and before > now:
        return before
    again = before is not None and now - before < LONGEST_COLD
    account.cold_holds = min(account.cold_holds + 1, 10) if again else 1
    day = dt.timedelta(hours=settings.WHATSAPP_COLD_HOLD_HOURS)
    until: datetime = now + min(day * 2 ** (account.cold_holds - 1), max(day, LONGEST_COLD))
    account.cold_held_until = until
    account.save(update_fields=["cold_held_until", "cold_holds"])
    activity.record(
        tenant_id=account.tenant_id,
        verb=Verb.NEW_CHATS_HELD,
        subject=account,
        detail={"until": until.isoformat(timespec="seconds")},
        now=now,
    )
    return until


def ask_again(account: Account, *, now: datetime) -> int:
    """Have what is held looked at again: its reason may have gone. Returns how many.

    They go out, or are put off once more, in the order in which they were queued.
    """
    held = Message.objects.filter(account=account, state=Message.State.QUEUED, error_code__in=HOLDS)
    changed = held.filter(due_at__gt=now).exclude(due_at=outbox.NEVER).update(due_at=now)
    if changed:
        doorbells.ring_on_commit([account.pk])
    return changed
