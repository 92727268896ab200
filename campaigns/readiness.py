"""Whether a campaign may be sent, and switching it on and off.

A campaign that is switched on says something to everybody: so it is refused while a text is
missing, rather than held back person by person later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.activity import SYSTEM, Actor, Verb, record
from accounts.models import Tenant
from campaigns import rendering, texts
from campaigns.models import Campaign, Target


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that must be there before the campaign may be sent.

    `day` is 0 and `language` empty where the campaign or the day as a whole is meant.
    """

    day: int
    language: str
    text: str


class NotReady(ValueError):
    """The campaign cannot be switched on; nothing was changed. `gaps` says what is missing."""

    def __init__(self, gaps: Sequence[Gap]) -> None:
        super().__init__("; ".join(gap.text for gap in gaps))
        self.gaps = list(gaps)


def gaps(campaign: Campaign) -> list[Gap]:
    """Everything that is missing, day by day; empty when the campaign may be sent. Two queries."""
    return gaps_in(texts.read(campaign), campaign)


def gaps_in(days: Sequence[texts.Day], campaign: Campaign) -> list[Gap]:
    """The same of days that need not be stored yet."""
    active = [day for day in days if day.active]
    if not active:
        return [Gap(0, "", _("no day is written yet: write day 1"))]
    spoken = {language for day in active for language in day.texts} | {campaign.default_language}
    found = []
    for day in active:
        for language in sorted(spoken):
            where = {"day": day.number, "language": language}
            body = day.texts.get(language)
            if body is None:
                reason = _("day %(day)d has no text in “%(language)s”") % where
            elif wrong := _wrong(body, campaign):
                reason = _("day %(day)d, %(language)s: %(wrong)s") % {**where, "wrong": wrong}
            else:
                continue
            found.append(Gap(day.number, language, reason))
    return found


def _wrong(body: str, campaign: Campaign) -> str:
    if wrong := texts.problem(body, campaign):
        return wrong
    if "link" in rendering.names_in(body) and not campaign.tenant.payment_link:
        return _("{{link}} needs the company's payment link: write it on the company's page")
    return ""


def activate(campaign: Campaign, *, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Switch `campaign` on, and the one off that was on before; False when it was on already.

    Raises `NotReady`.
    """
    with transaction.atomic():
        # One campaign of a company is active: two that are switched on wait for each other.
        Tenant.objects.select_for_update(no_key=True).get(pk=campaign.tenant_id)
        if missing := gaps(campaign):
            raise NotReady(missing)
        for other in Campaign.objects.filter(tenant=campaign.tenant_id, active=True).exclude(
            pk=campaign.pk
        ):
            deactivate(other, actor=actor, now=now)
        done = _switch(campaign, on=True)
        if done:
            _record(campaign, Verb.CAMPAIGN_ACTIVATED, actor=actor, now=now)
    return done


def deactivate(campaign: Campaign, *, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Switch `campaign` off: whoever is followed keeps their place and waits."""
    with transaction.atomic():
        done = _switch(campaign, on=False)
        if done:
            _record(campaign, Verb.CAMPAIGN_PAUSED, actor=actor, now=now)
    return done


def followed(campaign: Campaign) -> int:
    """People whom switching off would hold."""
    return Target.objects.filter(campaign=campaign, state=Target.State.ACTIVE).count()


def _switch(campaign: Campaign, *, on: bool) -> bool:
    current = (
        Campaign.objects.select_for_update(of=("self",), no_key=True)
        .filter(pk=campaign.pk)
        .exclude(active=on)
        .first()
    )
    if current is None:
        return False
    # By save, not update: whoever was held because it was off is looked at again at once.
    current.active = on
    current.save(update_fields=["active"])
    campaign.active = on
    return True


def _record(campaign: Campaign, verb: Verb, *, actor: Actor, now: datetime) -> None:
    record(tenant_id=campaign.tenant_id, verb=verb, actor=actor, subject=campaign, now=now)
