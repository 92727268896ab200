"""How a referrer's WhatsApp account is, in words: what is the matter and what to do about it.

Nothing in here asks the database or Redis: facts in, words out.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from campaigns.models import Referrer
from whatsapp import reasons
from whatsapp.limits import Allowance
from whatsapp.linking import attempt_ends
from whatsapp.models import Account

Status = Account.Status
# A code usually shows within five seconds; a restart of a worker takes half a minute.
SLOW_LINK = dt.timedelta(seconds=30)
SLOW_LOGOUT = dt.timedelta(seconds=60)
# The reconciler rings every 20 seconds: whatever waits longer than this, waits for a worker.
LATE = dt.timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the words rest on. Counts are messages of this account."""

    allowance: Allowance
    queued: int = 0
    late: int = 0  # queued, and due longer ago than LATE
    uncertain: int = 0
    refused_chats: int = 0  # of the last day: WhatsApp does not let this number begin chats
    has_code: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to know or to do. `tone`: good, wait, warn or bad."""

    tone: str
    title: str
    text: str
    todo: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """The account in one sentence, with what else is the matter, worst first."""

    notice: Notice
    others: tuple[Notice, ...]
    may_link: bool
    may_disconnect: bool
    changing: bool  # something happens within seconds: look again soon


def health_of(referrer: Referrer, account: Account, facts: Facts, *, now: datetime) -> Health:
    notice, may_link, changing = _main(account, facts, now=now)
    others = tuple(_others(referrer, account, facts))
    if others and notice.tone == "good":
        notice = replace(notice, tone="warn", text=_("Your phone is linked, but read this:"))
    return Health(
        notice=notice,
        others=others,
        may_link=may_link,
        may_disconnect=account.status not in (Status.NEW, Status.DISCONNECTED, Status.LOGGED_OUT)
        and account.logout_requested_at is None,
        changing=changing,
    )


def _main(account: Account, facts: Facts, *, now: datetime) -> tuple[Notice, bool, bool]:
    """The state itself; whether linking is offered; whether it changes within seconds."""
    if account.logout_requested_at is not None:
        return _logging_out(now - account.logout_requested_at), False, True
    match account.status:
        case Status.CONNECTED:
            return _connected(account), False, False
        case Status.PENDING:
            ends = attempt_ends(account)
            if ends is not None and ends > now:
                return _pending(account, facts, now=now), False, True
            return _linked_no_more(account), True, True
        case Status.RECONNECTING:
            return _reconnecting(), False, True
        case Status.LOGGED_OUT:
            return _logged_out(), True, False
        case Status.CONFLICT:
            return _conflict(), True, False
        case Status.DISCONNECTED:
            return _linked_no_more(account), True, False
    return _new(), True, False


def _new() -> Notice:
    return Notice(
        "wait",
        _("Not linked yet"),
        _(
            "Link your WhatsApp once. From then on Relance writes to the people you referred, "
            "in your name: one message a day for seven days, until they pay or say stop."
        ),
    )


def _pending(account: Account, facts: Facts, *, now: datetime) -> Notice:
    if facts.has_code:
        return Notice(
            "wait",
            _("Scan this code with your phone"),
            "",
            (
                _("Open WhatsApp on your phone."),
                _("Tap Settings (or ⋮), then Linked devices, then Link a device."),
                _("Point your phone at this screen until the code is read."),
            ),
        )
    asked = account.link_requested_at or now
    if now - asked < SLOW_LINK:
        return Notice("wait", _("Fetching your code …"), _("It usually takes a few seconds."))
    return Notice(
        "warn",
        _("Your code takes longer than usual"),
        _("Relance is busy or being restarted. Your wish is kept: the code appears here by itself.")
        + " "
        + reasons.in_words(account.status_reason),
        (_("If there is none in five minutes, tell the people who run Relance for you."),),
    )


def _connected(account: Account) -> Notice:
    if not account.enabled:
        return Notice(
            "bad",
            _("Switched off"),
            _("Your phone is linked, but your company has switched this account off."),
            (_("Ask your company to switch it on again. Until then nothing is sent."),),
        )
    return Notice(
        "good",
        _("Connected"),
        _("Everything is in order. Your phone need not be near, only online every few days."),
    )


def _reconnecting() -> Notice:
    return Notice(
        "warn",
        _("Connecting again …"),
        _("WhatsApp lost the connection and tries to come back by itself. Nothing is lost."),
        (
            _("Check that your phone is on and online."),
            _("If this stays for more than five minutes, look at this page again: "
              "it will then say what to do."),
        ),
    )  # fmt: skip


def _logged_out() -> Notice:
    return Notice(
        "bad",
        _("Logged out on your phone"),
        _(
            "Relance was removed from the linked devices of your phone, or your phone was "
            "offline for more than 14 days. Messages wait until you link it again; nothing is lost."
        ),
        (
            _("Have your phone at hand, online."),
            _("Press “Link my WhatsApp” and scan the code."),
        ),
    )


def _conflict() -> Notice:
    return Notice(
        "bad",
        _("Opened somewhere else"),
        _("WhatsApp says that this connection was opened in another window. Messages wait."),
        (
            _("Press “Link my WhatsApp” and scan the code: that makes a connection of its own."),
            _("If it happens again, tell the people who run Relance for you."),
        ),
    )


def _linked_no_more(account: Account) -> Notice:
    by_request = account.status_reason.startswith("disconnected by request")
    why = reasons.in_words(account.status_reason)
    waits = _("Messages wait until you link it again; nothing is lost.")
    return Notice(
        "wait" if by_request else "bad",
        _("Disconnected"),
        f"{why} {waits}".strip(),
        () if by_request else (_("Press “Link my WhatsApp” and scan the code."),),
    )


def _logging_out(since: dt.timedelta) -> Notice:
    if since < SLOW_LOGOUT:
        return Notice(
            "wait",
            _("Disconnecting …"),
            _("What is being sent is finished, then Relance leaves your linked devices."),
        )
    return Notice(
        "warn",
        _("Disconnecting takes longer than usual"),
        _("Nothing more is sent. Relance has yet to leave the linked devices of your phone."),
        (
            _(
                "You can remove it yourself: in WhatsApp, Settings, Linked devices, "
                "tap the device and Log out."
            ),
        ),
    )


def _others(referrer: Referrer, account: Account, facts: Facts) -> list[Notice]:
    found = []
    sends = account.status == Status.CONNECTED and account.enabled
    paused = account.sending_paused_at is not None
    if account.is_resting and account.is_linked:
        found.append(
            Notice(
                "bad",
                _("Your WhatsApp rests"),
                _("It has stopped sending by itself, so that WhatsApp does not restrict your "
                  "number: %(reason)s.")
                % {"reason": reasons.of_health(account.health_reason)},
                (_("There is nothing you need to do: it comes back by itself, slowly. "
                   "Use WhatsApp on your phone as usual."),),
            )
        )  # fmt: skip
    if facts.refused_chats and account.is_linked:
        found.append(
            Notice(
                "bad",
                _("WhatsApp restricts your number"),
                _(
                    "WhatsApp does not let this number begin new conversations just now. "
                    "This usually ends by itself within a day or two."
                ),
                (
                    _("Pause sending, and use WhatsApp on your phone as usual."),
                    _("Answer people who write to you. Write to nobody new for a while."),
                ),
            )
        )
    if facts.late and sends and not paused and not facts.allowance.is_limited:
        found.append(
            Notice(
                "warn",
                _("Messages are late"),
                ngettext(
                    "%(count)d message should have left more than ten minutes ago.",
                    "%(count)d messages should have left more than ten minutes ago.",
                    facts.late,
                )
                % {"count": facts.late}
                + " "
                + _("Nobody is at work for your account just now. Nothing is lost."),
                (_("There is nothing you need to do. If it lasts, tell the people who run "
                   "Relance for you."),),
            )
        )  # fmt: skip
    if not referrer.subscribed:
        found.append(
            Notice(
                "bad",
                _("Your subscription has ended"),
                _("Follow-ups are part of it: people keep their place, and nothing is sent."),
                (_("Renew your subscription. Follow-ups then go on where they stopped."),),
            )
        )
    if facts.uncertain:
        found.append(
            Notice(
                "warn",
                ngettext(
                    "One message may or may not have arrived",
                    "%(count)d messages may or may not have arrived",
                    facts.uncertain,
                )
                % {"count": facts.uncertain},
                _("The connection broke at that very moment. So that nobody gets a message twice, "
                  "it is not sent again before somebody has looked."),
                (_("Look into the chat on your phone, then say under “What happened” whether it is "
                   "there."),),
            )
        )  # fmt: skip
    if sends and not paused and account.daily_limit == 0:
        found.append(
            Notice(
                "warn",
                _("No messages allowed"),
                _("The daily limit of your account is 0."),
                (_("Ask your company to raise it."),),
            )
        )
    return found
