"""Who gets what next, and what happened: the people a referrer's account writes to."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, UUIDField, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from accounts.wording import when
from campaigns.content import Contents, Due, Held
from campaigns.models import Delivery, Referrer, Target
from campaigns.pages.panels import Versioned
from whatsapp.models import Message

State = Message.State
UPCOMING, PAST = 6, 12  # shown
LOOK_BACK = dt.timedelta(days=14)
PEEK = 140  # characters of a message

WHY_FAILED = {
    "not_on_whatsapp": lambda: _("is not on WhatsApp"),
    "opted_out": lambda: _("asked for no more messages"),
    "nack_463": lambda: _("WhatsApp did not let this number begin the conversation"),
}


@dataclass(frozen=True)
class Next:
    """One message to come. Without `at` it leaves as soon as it can, or `waits` says why not."""

    name: str
    day: int | None  # None: all steps are behind them
    days: int
    language: str
    at: datetime | None
    when: str
    waits: str
    peek: str
    has_file: bool


@dataclass(frozen=True)
class Event:
    """Something that happened. `kind` is a state of a message, or exited or completed."""

    at: datetime
    when: str
    kind: str
    name: str
    day: int
    detail: str
    message: UUID | None


@dataclass(frozen=True)
class PeoplePanel(Versioned):
    """Everybody's place: counts, the next messages, the latest events."""

    followed: int
    paid: int
    finished: int
    upcoming: tuple[Next, ...]
    events: tuple[Event, ...]
    may_act: bool

    @property
    def more(self) -> int:
        """People followed beyond those in `upcoming`."""
        return self.followed - len(self.upcoming)


def people_panel(referrer: Referrer, *, may_act: bool, now: datetime) -> PeoplePanel:
    """Five queries. `referrer` comes from `Referrer.objects.counted()`."""
    return PeoplePanel(
        followed=referrer.followed,
        paid=referrer.paid,
        finished=referrer.finished,
        upcoming=tuple(_upcoming(referrer, now=now)) if referrer.followed else (),
        events=tuple(_events(referrer, now=now)),
        may_act=may_act,
    )


def _upcoming(referrer: Referrer, *, now: datetime) -> list[Next]:
    targets = list(
        Target.objects.filter(referral__referrer=referrer, state=Target.State.ACTIVE)
        .select_related("referral", "open_message")
        .order_by("next_due_at", "id")[:UPCOMING]
    )
    contents = Contents()
    contents.load({target.campaign_id for target in targets})
    return [_next(target, referrer, contents, now=now) for target in targets]


def _next(target: Target, referrer: Referrer, contents: Contents, *, now: datetime) -> Next:
    target.referral.referrer = referrer
    planned = Due.of(target.referral, target, campaign_id=target.campaign_id, now=now)
    text = contents.next_text(planned, referrer.tenant)
    days = len(contents.steps_after(target.campaign_id, 0))
    left = len(contents.steps_after(target.campaign_id, target.steps_done))
    message = target.open_message
    rendered = None if text is None or isinstance(text, Held) else text
    body = message.body if message else rendered.body if rendered else ""
    due = message.due_at if message else target.next_due_at
    return Next(
        name=_name(target.referral.name),
        day=days - left + 1 if left else None,
        days=days,
        language=rendered.language if rendered else "",
        at=due if due and due > now else None,
        when=when(due, now=now, zone=referrer.tenant.zone) if due and due > now else "",
        waits=_waits(target, message, text) or _account_waits(referrer, due=due, now=now),
        peek=body if len(body) <= PEEK else body[: PEEK - 1].rstrip() + "…",
        has_file=bool(message.media_id if message else rendered and rendered.media_id),
    )


def _waits(target: Target, message: Message | None, text: Any) -> str:
    """Why the next message has no time of its own; "" when it has, or is on its way."""
    if message is not None:
        return _("being sent now") if message.state == State.SENDING else ""
    if target.paused_at is not None:
        return _("held back by your company")
    if target.hold == Target.Hold.UNCERTAIN:
        return _("nobody knows whether the message before has arrived")
    hold = text.hold if isinstance(text, Held) else ""
    return {
        Target.Hold.SUBSCRIPTION.value: _("your subscription has ended"),
        Target.Hold.TEMPLATE.value: _("your company still has to write this message"),
        Target.Hold.CAMPAIGN.value: _("your company has switched the messages off"),
    }.get(str(hold), "")


def _account_waits(referrer: Referrer, *, due: datetime | None, now: datetime) -> str:
    """What the account waits for; "" when it sends, or when there is time yet."""
    account = referrer.account
    if account is None or (due is not None and due > now and not account.sending_paused_at):
        return ""
    if account.sending_paused_at:
        return _("when you resume sending")
    if not account.enabled:
        return _("when your company switches your account on")
    return "" if account.is_linked else _("when your WhatsApp is linked again")


def _events(referrer: Referrer, *, now: datetime) -> list[Event]:
    """Messages that left or failed, and people who left, in one query: latest first, after those
    that wait for an answer."""
    since = now - LOOK_BACK
    happened = Coalesce("message__sent_at", "message__ended_at", "message__sending_at")
    messages = (
        Delivery.objects.filter(
            target__referral__referrer=referrer,
            message__state__in=[*Message.ARRIVED, State.FAILED, State.UNCERTAIN],
        )
        .annotate(at=happened, asks=Q(message__state=State.UNCERTAIN))
        .filter(Q(asks=True) | Q(at__gt=since))
        .values_list(
            "asks",
            "at",
            "message__state",
            "target__referral__name",
            "number",
            "message__error_code",
            "message__public_id",
        )
    )
    ends = Target.objects.filter(
        referral__referrer=referrer, ended_at__gt=since
    ).values_list(
        Value(False), "ended_at", "state", "referral__name", "steps_done", "exit_reason",
        Value(None, UUIDField()),
    )  # fmt: skip
    rows = messages.union(ends, all=True).order_by("-asks", "-at")[:PAST]
    return [
        Event(
            at=at,
            when=when(at, now=now, zone=referrer.tenant.zone),
            kind=kind,
            name=_name(name),
            day=day,
            detail=_detail(kind, code),
            message=message,
        )
        for _asks, at, kind, name, day, code, message in rows
    ]


def _detail(kind: str, code: str) -> str:
    if kind == State.FAILED:
        return WHY_FAILED[code]() if code in WHY_FAILED else _("WhatsApp did not accept it")
    return code if kind == Target.State.EXITED else ""


def _name(name: str) -> str:
    return name.strip() or _("Somebody without a name")
