"""Why a message was sent, or was not: one sentence, and everything that happened to it in order."""

from __future__ import annotations

import contextlib
import functools
import zoneinfo
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.wording import when
from whatsapp import pace, quiet_hours, reasons
from whatsapp.models import Attempt, Message
from whatsapp.obstacles import obstacle

State = Message.State

# What the drivers' codes, and the reasons of a cancellation, mean to people.
_REASONS: dict[str, Any] = reasons.OF_HOLDS | {
    "": gettext_lazy("no reason was given"),
    "bad_location": gettext_lazy("its place is none on Earth"),
    "bad_key": gettext_lazy("the file could not be encrypted for the recipient"),
    "broadcast_cancelled": gettext_lazy("the broadcast was cancelled"),
    "browser_failed": gettext_lazy("the browser did not start"),
    "browser_gone": gettext_lazy("the browser ended while it was at work"),
    "busy": gettext_lazy("the page was busy"),
    "by_hand": gettext_lazy("somebody took the person out of the sequence"),
    "cancelled": gettext_lazy("somebody cancelled it"),
    "chat_busy": gettext_lazy("the chat was busy with another message"),
    "conflict": gettext_lazy("WhatsApp was opened in another window"),
    "deleted": gettext_lazy("the person’s data was deleted"),
    "failed": gettext_lazy("WhatsApp refused it without a reason"),
    "group_read_only": gettext_lazy("only administrators of the group may write there"),
    "holder_lost": gettext_lazy("the worker was lost while sending"),
    "internal": gettext_lazy("an error that nobody foresaw; the log says which"),
    "loading": gettext_lazy("WhatsApp was still loading"),
    "manual": gettext_lazy("somebody took the person out of the sequence"),
    "media_unreadable": gettext_lazy("the file could not be read"),
    "merged": gettext_lazy("two contacts turned out to be one person"),
    "no_lawful_basis": gettext_lazy(
        "the person is only known from a group: no lawful basis is recorded"
    ),
    "not_in_group": gettext_lazy("the account is not in the group any more"),
    "own_number": gettext_lazy("it is the account’s own number"),
    "quote_gone": gettext_lazy("the message it answers is gone from the phone"),
    "no_ack": gettext_lazy("WhatsApp’s server did not answer"),
    "not_found": gettext_lazy("WhatsApp does not know it, so it is sent again"),
    "not_linked": gettext_lazy("the account was not linked"),
    "not_on_whatsapp": gettext_lazy("this number is not on WhatsApp"),
    "offline": gettext_lazy("the phone’s WhatsApp was offline"),
    "opted_out": gettext_lazy("the person said stop"),
    "page_not_ready": gettext_lazy("WhatsApp’s page was not ready"),
    "paid": gettext_lazy("the person paid"),
    "profile_in_use": gettext_lazy("another browser had the profile"),
    "settled_again": gettext_lazy("somebody decided to send it again"),
    "settled_sent": gettext_lazy("somebody decided that it arrived"),
    "timeout": gettext_lazy("WhatsApp’s page did not answer in time"),
    "too_late": gettext_lazy("the time in which it could be sent was over"),
    "unsupported": gettext_lazy("WhatsApp does not take this kind of file"),
    "unsupported_browser": gettext_lazy("WhatsApp does not accept this browser any more"),
    "nack_429": gettext_lazy("WhatsApp said: too many messages"),
    "nack_500": gettext_lazy("WhatsApp’s server had an error"),
    "nack_503": gettext_lazy("WhatsApp’s server was busy"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened. `kind`: queued, attempt, good, bad, waiting or decided."""

    at: datetime
    kind: str
    text: str
    detail: str = ""


def reason(code: str) -> str:
    """An error code or the reason of a cancellation in words; an unknown code as it is."""
    if code.startswith("nack_") and code not in _REASONS:
        return _("WhatsApp’s server refused it (%(code)s)") % {"code": code.removeprefix("nack_")}
    return str(_REASONS.get(code, code.replace("_", " ")))


def why(message: Message, *, now: datetime) -> str:
    """One sentence: why this message was sent, was not, or what it waits for.

    Load it with ``select_related("account__tenant", "account__lease")``; one query more.
    """
    account = message.account
    said = functools.partial(when, now=now, zone=account.tenant.zone)
    because = reason(message.error_code)
    match State(message.state):
        case State.QUEUED:
            return _waits(message, now=now)
        case State.SENDING:
            return _("It is being sent since %s.") % said(message.sending_at or now)
        case State.UNCERTAIN:
            return (
                _(
                    "Nobody can tell whether it arrived: %s. Look into the chat on the phone, then "
                    "settle it."
                )
                % because
            )
        case State.FAILED:
            return _("Not sent: %s.") % because
        case State.CANCELLED:
            return _("Not sent, it was cancelled: %s.") % because
    sent = said(message.sent_at or now)
    if message.state == State.READ:
        return _("Sent %s and read.") % sent
    if message.state == State.DELIVERED:
        return _("Sent %s; it is on their phone, not read yet.") % sent
    return _("Sent %s; WhatsApp’s server has it, their phone has not got it yet.") % sent


def _waits(message: Message, *, now: datetime) -> str:
    account = message.account
    if hindrance := obstacle(account, now=now):
        return _("It waits: %s.") % hindrance
    if message.due_at > now and message.error_code in pace.HOLDS:
        return _held(message, now=now)
    if message.due_at > now:
        due = when(message.due_at, now=now, zone=account.tenant.zone)
        if message.error_code:
            return _("It is tried again %(when)s: %(reason)s.") % {
                "when": due,
                "reason": reason(message.error_code),
            }
        return _("It goes out %s: its time has not come yet.") % due
    lease = getattr(account, "lease", None)
    if lease is None or lease.lease_until is None or lease.lease_until <= now:
        return _("It is due and waits for a worker to open “%s”.") % account.name
    return _("It is due and goes out when those before it have.")


def _held(message: Message, *, now: datetime) -> str:
    """What keeps a message whose time had come (pace.py), and until when."""
    zone = message.account.tenant.zone
    if message.error_code == pace.QUIET:
        with contextlib.suppress(ValueError, zoneinfo.ZoneInfoNotFoundError):
            zone = zoneinfo.ZoneInfo(message.error)
        return _("It waits: quiet hours in %(place)s until %(when)s, by the clock there.") % {
            "place": quiet_hours.place(zone),
            "when": when(message.due_at, now=now, zone=zone),
        }
    return _("It waits until %(when)s: %(reason)s.") % {
        "when": when(message.due_at, now=now, zone=zone),
        "reason": reason(message.error_code),
    }


def timeline(message: Message) -> list[Entry]:
    """What happened to a message, oldest first: queued, each attempt, each receipt, its end."""
    entries = [Entry(message.created_at, "queued", _("Queued"))]
    if message.due_at > message.created_at and message.sending_at is None:
        entries.append(Entry(message.due_at, "waiting", _("Due")))
    for attempt in message.attempts.order_by("number"):
        entries.append(
            Entry(
                attempt.intent_at,
                "attempt",
                _("Attempt %(number)d began") % {"number": attempt.number},
                _("worker %(worker)s") % {"worker": attempt.worker},
            )
        )
        if attempt.finished_at is not None:
            entries.append(_end_of(attempt, attempt.finished_at))
    for at, kind, text in (
        (message.delivered_at, "good", _("On the recipient’s phone")),
        (message.read_at, "good", _("Read")),
    ):
        if at is not None:
            entries.append(Entry(at, kind, text))
    if message.state == State.UNCERTAIN and message.sending_at is not None:
        # What the look-up said stands on the message: the evidence for whoever settles it.
        last = max(entry.at for entry in entries)
        entries.append(
            Entry(last, "waiting", _("Looked up, and still nobody can tell"), message.error)
        )
    if message.ended_at is not None:
        text = _("Failed") if message.state == State.FAILED else _("Cancelled")
        entries.append(Entry(message.ended_at, "bad", text, reason(message.error_code)))
    return sorted(entries, key=lambda entry: entry.at)


def _end_of(attempt: Attempt, at: datetime) -> Entry:
    number = {"number": attempt.number}
    outcomes: dict[str, tuple[str, str]] = {
        Attempt.Outcome.SENT: ("good", _("Attempt %(number)d: WhatsApp’s server has it")),
        Attempt.Outcome.RETRY: ("waiting", _("Attempt %(number)d did not work: tried again")),
        Attempt.Outcome.FAILED: ("bad", _("Attempt %(number)d failed")),
        Attempt.Outcome.UNKNOWN: ("waiting", _("Attempt %(number)d: nobody can tell")),
        Attempt.Outcome.NOT_SENT: ("waiting", _("Attempt %(number)d: found not sent")),
        Attempt.Outcome.OPEN: ("waiting", _("Attempt %(number)d is not finished")),
    }
    kind, text = outcomes[attempt.outcome]
    code = reason(attempt.error_code) if attempt.error_code else ""
    words = [part for part in (code, attempt.error) if part]
    return Entry(at, kind, text % number, "; ".join(dict.fromkeys(words)))
