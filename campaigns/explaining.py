"""Where a target stands, in words: why something was sent or was not, what was, what will be.

    why(target, now=now)        "Message 3 goes out tomorrow at 10:00: its time has not come yet."
    timeline(target)            what happened to it, in order
    forecast(target, now=now)   what will be said to it, and when
    story(target, now=now)      all three, for a page

Sentences come in the language that is active. Nothing here changes anything. Load targets with
``select_related(*explaining.RELATED)``: each function then takes at most six queries and
`story` eleven.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Activity
from accounts.verbs import Verb
from accounts.wording import when
from campaigns import forecasts, timelines
from campaigns.background import Background
from campaigns.content import Due, Held
from campaigns.forecasts import PlannedMessage, forecast
from campaigns.models import Campaign, Delivery, Referral, Target
from campaigns.timelines import Entry, timeline
from whatsapp.models import Message
from whatsapp.obstacles import obstacle

__all__ = ["RELATED", "Entry", "PlannedMessage", "Story", "forecast", "story", "timeline", "why"]

State = Message.State
RELATED = (
    "tenant",
    "campaign",
    "referral__referrer",
    "account__tenant",
    "open_message__delivery",
)


@dataclass(frozen=True, slots=True)
class Story:
    """What was, why it stands where it stands, and what will be."""

    why: str
    entries: list[Entry]
    planned: list[PlannedMessage]


def story(target: Target, *, now: datetime) -> Story:
    known = Background(target, now)
    return Story(_why(known), timelines.tell(known), forecasts.remaining(known))


def rehearsal(
    campaign: Campaign, referral: Referral, target: Target | None, *, now: datetime
) -> tuple[list[PlannedMessage], str]:
    """What `referral` would get of `campaign`, and why its `target` there is where it is."""
    if target is None:
        return forecasts.rehearse(campaign, referral, now=now), ""
    known = Background(target, now)
    planned = forecasts.rehearse(campaign, referral, now=now, contents=known.contents)
    return planned, _why(known)


def why(target: Target, *, now: datetime) -> str:
    """One sentence (a second one at most) about why the next message was not sent, or was."""
    return _why(Background(target, now))


def _why(known: Background) -> str:
    target, contact, now = known.target, known.contact, known.now
    said = functools.partial(when, now=now, zone=target.tenant.zone)
    if target.state != Target.State.ACTIVE:
        return _ended(target, at=said(target.ended_at or now))
    if contact is not None and contact.opted_out_at is not None:
        return _("They said stop %s: they leave at the next round.") % said(contact.opted_out_at)
    if target.referral.paid_at is not None:
        return _("They paid %s: they leave at the next round.") % said(target.referral.paid_at)
    sending = target.open_message is not None and target.open_message.state == State.SENDING
    if target.paused_at is not None and not sending:
        return _paused(target, since=said(target.paused_at))
    if target.open_message is not None:
        return _open(known, target.open_message)
    if target.hold == Target.Hold.UNCERTAIN:
        return _(
            "Nobody can tell whether message %(number)d arrived: look at the phone and settle it. "
            "Without an answer the sequence goes on %(when)s."
        ) % {"number": target.steps_done, "when": said(target.next_due_at or now)}
    return _next(known)


def _paused(target: Target, *, since: str) -> str:
    match target.paused_by:
        case Target.PausedBy.REPLY:
            return (
                _("Paused %s because they answered: nothing is sent until somebody resumes them.")
                % since
            )
        case Target.PausedBy.TAKEOVER:
            return (
                _("Paused %s because somebody took their chat over: they go on when that ends.")
                % since
            )
    paused = Activity.objects.filter(
        subject_type=Target._meta.label_lower, subject_id=target.pk, verb=Verb.TARGET_PAUSED
    )
    by = paused.order_by("-at").values_list("actor_name", flat=True).first()
    if by is None:
        return _("Paused %s: nothing is sent until somebody resumes them.") % since
    return _("Paused %(since)s by %(by)s: nothing is sent until somebody resumes them.") % {
        "since": since,
        "by": by,
    }


def _ended(target: Target, *, at: str) -> str:
    states = Counter(
        dict(
            Delivery.objects.filter(target=target)
            .values_list("message__state")
            .annotate(n=Count("id"))
        )
    )
    if target.state == Target.State.COMPLETED:
        arrived = sum(states[state] for state in Message.ARRIVED)
        failed = states[State.FAILED]
        sent = ngettext("%d message went out", "%d messages went out", arrived) % arrived
        if failed:
            sent += ngettext(" and %d failed", " and %d failed", failed) % failed
        return _("Through the whole sequence %(when)s: %(sent)s.") % {"when": at, "sent": sent}
    reasons = {
        Target.ExitReason.PAID: _("They paid: left %s, nothing more is sent."),
        Target.ExitReason.OPTED_OUT: _("They said stop: left %s, nothing more is sent."),
        Target.ExitReason.NOT_ON_WHATSAPP: _(
            "Their number is not on WhatsApp: left %s, nothing more is sent."
        ),
        Target.ExitReason.BY_HAND: _("Taken out by hand %s: nothing more is sent."),
    }
    sentence = reasons[Target.ExitReason(target.exit_reason)] % at
    if states[State.SENDING]:
        sentence += " " + _("A message that was being sent already may still arrive.")
    return sentence


def _open(known: Background, message: Message) -> str:
    """The next message exists: what it waits for."""
    target, now, zone = known.target, known.now, known.target.tenant.zone
    values = {"number": message.delivery.number, "error": message.error or message.error_code}
    if message.state == State.SENDING:
        return _("Message %(number)d is being sent at this moment.") % values
    if message.state != State.QUEUED:
        return _("Message %(number)d was %(state)s: the sequence goes on within a minute.") % {
            **values,
            "state": message.get_state_display(),
        }
    if reason := obstacle(target.account, now=now, allowance=known.allowance):
        return _("Message %(number)d is ready and waits: %(reason)s.") % {
            **values,
            "reason": reason,
        }
    if message.due_at > now:
        values["when"] = when(message.due_at, now=now, zone=zone)
        if values["error"]:
            return _("Message %(number)d is tried again %(when)s: %(error)s.") % values
        return _("Message %(number)d is ready and goes out %(when)s.") % values
    ahead = Message.objects.filter(
        account=message.account_id, state=State.QUEUED, due_at__lt=message.due_at
    ).count()
    if ahead:
        return ngettext(
            "Message %(number)d goes out in a moment: %(ahead)d other of this account is first.",
            "Message %(number)d goes out in a while: %(ahead)d others of this account are first.",
            ahead,
        ) % {**values, "ahead": ahead}
    return _("Message %(number)d is ready and goes out in a moment.") % values


def _next(known: Background) -> str:
    """The next message does not exist yet: when it will, and what would hold it."""
    target, now, contents = known.target, known.now, known.contents
    due_at = target.next_due_at or now
    campaign, referrer = target.campaign, target.referral.referrer
    if not campaign.active:
        return _("The campaign “%s” is switched off: activate it and they go on.") % campaign.name
    if not referrer.subscribed:
        return _("The subscription of %s has lapsed: they go on when it is renewed.") % referrer
    due = Due.of(target.referral, target, campaign_id=campaign.pk, now=now)
    match contents.next_text(due, target.tenant):
        case None:
            return _("Every message has gone out: the sequence ends %s.") % when(
                max(due_at, now), now=now, zone=target.tenant.zone
            )
        case Held(detail=detail):
            return _("Held: %s. They go on as soon as it is mended.") % detail
        case text:
            values = {
                "number": text.number,
                "when": when(due_at, now=now, zone=target.tenant.zone),
            }
    if reason := obstacle(target.account, now=now, allowance=known.allowance):
        if due_at > now:
            return _("Message %(number)d is due %(when)s, but %(reason)s.") % {
                **values,
                "reason": reason,
            }
        return _("Message %(number)d has been due since %(when)s, but %(reason)s.") % {
            **values,
            "reason": reason,
        }
    if due_at <= now:
        return _("Message %(number)d is due and is written within a minute.") % values
    if target.last_sent_at is not None and due_at > target.slot_at:
        return (
            _(
                "Message %(number)d goes out %(when)s: the one before went out late, and two keep "
                "their distance."
            )
            % values
        )
    return _("Message %(number)d goes out %(when)s: its time has not come yet.") % values
