"""The next text of a target, or why there is none: pure decisions over a few cached queries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

from django.utils.translation import gettext as _

from accounts.models import Tenant
from campaigns import rendering
from campaigns.models import Campaign, Referral, Step, Target, Template

EXTERNAL_ID = re.compile(r"\{\{\s*external_id\s*\}\}")


@dataclass(frozen=True, slots=True)
class Due:
    """A due target with what its message needs: a row of planning's claim, in its order."""

    id: int
    tenant_id: int
    campaign_id: int
    account_id: int
    phone: str
    steps_done: int
    next_due_at: datetime
    hold: str
    external_id: str
    name: str
    language: str
    paid: bool
    referrer: str
    subscribed: bool
    contact_id: int | None
    opted_out: bool | None

    @classmethod
    def of(
        cls, referral: Referral, target: Target | None = None, *, campaign_id: int, now: datetime
    ) -> Due:
        """The same of one referral loaded with its referrer, followed as `target` or not yet."""
        referrer = referral.referrer
        return cls(
            id=target.pk if target else 0,
            tenant_id=referral.tenant_id,
            campaign_id=campaign_id,
            account_id=target.account_id if target else referrer.account_id or 0,
            phone=target.phone if target else referral.phone,
            steps_done=target.steps_done if target else 0,
            next_due_at=(target and target.next_due_at) or now,
            hold=target.hold if target else "",
            external_id=referral.external_id,
            name=referral.name,
            language=referral.language,
            paid=referral.paid_at is not None,
            referrer=referrer.name,
            subscribed=referrer.subscribed,
            contact_id=None,
            opted_out=None,
        )


@dataclass(frozen=True, slots=True)
class Held:
    """Why a target cannot go on for now."""

    hold: Target.Hold
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A rendered step."""

    step_id: int
    number: int
    language: str
    body: str
    media_id: int | None


@dataclass(slots=True)
class _Content:
    """One campaign: its active steps in order, and its templates by (step number, language)."""

    active: bool
    default_language: str
    steps: list[Step] = field(default_factory=list)
    templates: dict[tuple[int, str], tuple[str, int | None]] = field(default_factory=dict)

    @property
    def languages(self) -> set[str]:
        return {language for _, language in self.templates}


class Contents:
    """What the campaigns say, read once per call of planning."""

    def __init__(self) -> None:
        self._campaigns: dict[int, _Content] = {}

    def load(self, campaign_ids: Iterable[int]) -> None:
        """Read campaigns that were not read yet: three queries, however many there are."""
        new = set(campaign_ids) - self._campaigns.keys()
        if not new:
            return
        found: dict[int, _Content] = {}
        for campaign in Campaign.objects.filter(pk__in=new):
            found[campaign.pk] = _Content(campaign.active, campaign.default_language)
        for step in Step.objects.filter(campaign_id__in=new, active=True).order_by("number"):
            found[step.campaign_id].steps.append(step)
        templates = Template.objects.filter(step__campaign_id__in=new, step__active=True)
        for campaign_id, number, language, body, media_id in templates.values_list(
            "step__campaign_id", "step__number", "language", "body", "media_id"
        ):
            found[campaign_id].templates[number, language] = (body, media_id)
        self._campaigns |= found

    def steps_after(self, campaign_id: int, number: int) -> list[Step]:
        """Active steps of a loaded campaign that come after step `number`, in order."""
        return [step for step in self._campaigns[campaign_id].steps if step.number > number]

    def next_text(self, target: Due, tenant: Tenant) -> Text | Held | None:
        """The text of the target's next step; None when no step is left."""
        content = self._campaigns[target.campaign_id]
        if not content.active:
            return Held(Target.Hold.CAMPAIGN)
        if not target.subscribed:
            return Held(Target.Hold.SUBSCRIPTION)
        if not content.steps:
            return Held(Target.Hold.TEMPLATE, _("the campaign has no active step"))
        following = self.steps_after(target.campaign_id, target.steps_done)
        return self.text(target, following[0], tenant) if following else None

    def text(self, target: Due, step: Step, tenant: Tenant) -> Text | Held:
        """What `step` says to the target, whether its turn has come or not."""
        content = self._campaigns[target.campaign_id]
        # A language the campaign does not speak at all means its default; one that it speaks
        # elsewhere but not in this step is a gap somebody should close.
        language = target.language
        if language not in content.languages:
            language = content.default_language
        template = content.templates.get((step.number, language))
        where = {"number": step.number, "language": language}
        if template is None:
            return Held(
                Target.Hold.TEMPLATE, _("step %(number)d has no text in “%(language)s”") % where
            )
        try:
            body = rendering.render(template[0], values(target, tenant))
        except rendering.TemplateError as error:
            return Held(
                Target.Hold.TEMPLATE,
                _("step %(number)d, %(language)s: %(error)s") % {**where, "error": error},
            )
        return Text(step.pk, step.number, language, body, template[1])


def values(target: Due, tenant: Tenant) -> Mapping[str, str]:
    """Variables of one target's message. No payment link: no {{link}}, and a text with it waits."""
    built_in = {"name": first_name(target.name), "referrer": target.referrer}
    if tenant.payment_link:
        built_in["link"] = link(tenant.payment_link, target.external_id)
    return {**tenant.variables, **built_in}


def first_name(name: str) -> str:
    return name.split(maxsplit=1)[0] if name.strip() else ""


def link(address: str, external_id: str) -> str:
    """The tenant's payment address for one person; the id is data, whatever characters it has."""
    return EXTERNAL_ID.sub(lambda _: quote(external_id, safe=""), address)
