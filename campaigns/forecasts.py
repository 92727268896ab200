"""What will be said to somebody and when, as far as it can be known today.

Times are the plan's: slots, spacing and the account's limits as they stand now. A pause, a lost
phone or a raised limit changes them, as they change the plan itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Tenant
from campaigns import holds
from campaigns.background import Background
from campaigns.content import Contents, Due, Held, Text
from campaigns.models import Campaign, Referral, Step, Target
from whatsapp import limits, outbox
from whatsapp.limits import Allowance
from whatsapp.models import Account
from whatsapp.obstacles import obstacle


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """A message that does not exist yet, or waits to be sent.

    `problem` says why `text` is empty; `limit_note` what the account's limits do to `due_at`;
    `media_id` is the file that goes along.
    """

    step: int
    language: str
    text: str
    due_at: datetime
    limit_note: str = ""
    media_id: int | None = None
    problem: str = ""


def forecast(followed: Target | Referral, *, now: datetime) -> list[PlannedMessage]:
    """The messages still to come, the next one first; empty when there are none.

    A referral that is followed already gets its target's, one that is not what it would get if
    the active campaign took it in now.
    """
    if isinstance(followed, Target):
        return remaining(Background(followed, now))
    target = (
        Target.objects.filter(referral=followed, campaign__active=True)
        .select_related("tenant", "referral__referrer", "account__tenant", "open_message__delivery")
        .first()
    )
    if target is not None:
        return forecast(target, now=now)
    campaign = Campaign.objects.filter(tenant=followed.tenant_id, active=True).first()
    if campaign is None or followed.paid_at is not None or followed.skipped_reason:
        return []
    return rehearse(campaign, followed, now=now)


def rehearse(
    campaign: Campaign, referral: Referral, *, now: datetime, contents: Contents | None = None
) -> list[PlannedMessage]:
    """The whole of `campaign` as `referral` would get it, enrolled as soon as that may be.

    The campaign need not be active, nor the referral free to be followed. Load the referral with
    ``select_related("tenant", "referrer__account__tenant")``. `contents`: the campaign's, if read.
    """
    if contents is None:
        contents = Contents()
        contents.load([campaign.pk])
    steps = contents.steps_after(campaign.pk, 0)
    if not steps:
        return []
    slot = max(referral.registered_at + campaign.first_delay, now) + steps[0].delay
    due = Due.of(referral, campaign_id=campaign.pk, now=now)
    account = referral.referrer.account
    allowance = limits.snapshot(account, now=now) if account else None
    load = _Load.of(account, before=slot, now=now, allowance=allowance, tenant=referral.tenant)
    return [
        _planned(
            step,
            at,
            contents.text(due, step, referral.tenant),
            load.note(at, first=step == steps[0]),
        )
        for step, at in _times(steps, slot=slot, first=slot)
    ]


def remaining(known: Background) -> list[PlannedMessage]:
    """The same of a target about which something is known already."""
    target, now, contents = known.target, known.now, known.contents
    if target.state != Target.State.ACTIVE:
        return []
    due = Due.of(target.referral, target, campaign_id=target.campaign_id, now=now)
    steps = contents.steps_after(target.campaign_id, target.steps_done)
    # A target that mends goes on from then: its later messages keep their distance.
    slot = max(target.slot_at, now) if target.hold in holds.MENDABLE else target.slot_at
    first = max(due.next_due_at, now)
    load = _Load.of(
        target.account, before=first, now=now, allowance=known.allowance, tenant=target.tenant,
        without=target,
    )  # fmt: skip
    message = target.open_message
    planned = []
    for step, slot_at in _times(steps, slot=slot, first=first):
        at, text = slot_at, contents.text(due, step, target.tenant)
        if message is not None and step.number == message.delivery.number:
            # Written already: an edited template does not change it any more.
            language = message.delivery.language
            at = first if message.due_at == outbox.NEVER else max(message.due_at, now)
            text = Text(step.pk, step.number, language, message.body, message.media_id)
        planned.append(_planned(step, at, text, load.note(at, first=step == steps[0])))
    return planned


def _times(
    steps: list[Step], *, slot: datetime, first: datetime
) -> Iterator[tuple[Step, datetime]]:
    """When each step is due if every message goes out on time, as following.py counts it."""
    at = first
    for position, step in enumerate(steps):
        if position:
            slot += step.delay
            at = max(slot, at + step.min_spacing)
        yield step, at


def _planned(step: Step, at: datetime, text: Text | Held, note: str) -> PlannedMessage:
    if isinstance(text, Held):
        return PlannedMessage(step.number, "", "", at, note, problem=text.detail)
    return PlannedMessage(step.number, text.language, text.body, at, note, text.media_id)


@dataclass(frozen=True, slots=True)
class _Load:
    """What else the account has to send, and how much it may."""

    now: datetime
    tenant: Tenant
    obstacle: str
    people: int = 0  # others it follows
    ahead: int = 0  # of them due before the first message
    left_today: int = 0
    per_day: int = 0

    @classmethod
    def of(
        cls,
        account: Account | None,
        *,
        before: datetime,
        now: datetime,
        allowance: Allowance | None,
        tenant: Tenant,
        without: Target | None = None,
    ) -> _Load:
        if account is None or allowance is None:
            return cls(now, tenant, _("there is no WhatsApp account to send from yet"))
        others = Target.objects.filter(account=account, state=Target.State.ACTIVE)
        if without is not None:
            others = others.exclude(pk=without.pk)
        counts = others.aggregate(
            people=Count("id"), ahead=Count("id", filter=Q(next_due_at__lt=before))
        )
        blocked = obstacle(account, now=now, allowance=allowance)
        if without is not None and without.paused_at is not None:
            blocked = _("they are paused: resume them")
        return cls(
            now,
            tenant,
            blocked,
            people=counts["people"],
            ahead=counts["ahead"],
            left_today=max(0, allowance.daily_limit - allowance.sent_today),
            per_day=allowance.daily_limit,
        )

    def note(self, at: datetime, *, first: bool) -> str:
        values = {"limit": self.per_day, "left": self.left_today, "ahead": self.ahead}
        if first and self.obstacle:
            return _("not before this is mended: %s") % self.obstacle
        if self.per_day == 0:
            return ""
        days = (limits.today(self.tenant, now=at) - limits.today(self.tenant, now=self.now)).days
        room = self.left_today + days * self.per_day
        if first and self.ahead >= room:
            late = math.ceil((self.ahead - room + 1) / self.per_day)
            return ngettext(
                "%(ahead)d others are due first, at most %(limit)d a day: about %(late)d day later",
                "%(ahead)d others are due first, at most %(limit)d a day: about %(late)d days "
                "later",
                late,
            ) % {**values, "late": late}
        if self.people >= self.per_day:
            return _("%(people)d others share the account's %(limit)d a day: expect it later") % {
                **values,
                "people": self.people,
            }
        if first and days == 0:
            return _("%(left)d of the account's %(limit)d a day are left today") % values
        return ""
