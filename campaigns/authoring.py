"""A campaign written piece by piece: itself, a step, a text (texts.py writes it as a whole)."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf.locale import LANG_INFO
from django.db import IntegrityError, transaction

from accounts.activity import SYSTEM, Actor, Verb, record
from accounts.models import Tenant
from campaigns import texts
from campaigns.models import Campaign, Step, Target, Template
from campaigns.models.content import ONE_DAY
from whatsapp.models import Media

LONGEST_LANGUAGE = 8  # characters, as `Template.language`


class Refused(ValueError):
    """Why something cannot be written; `field` is what to change, `code` a stable word."""

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.code = code


def create(
    *,
    tenant: Tenant,
    name: str,
    default_language: str,
    first_delay: timedelta,
    pause_on_reply: bool = False,
    actor: Actor = SYSTEM,
    now: datetime,
) -> Campaign:
    """A new campaign, switched off and without a step. Raises `Refused`."""
    check_language("defaultLanguage", default_language)
    with transaction.atomic():
        campaign = Campaign(
            tenant=tenant,
            name=name,
            default_language=default_language,
            first_delay=first_delay,
            pause_on_reply=pause_on_reply,
        )
        _save(campaign)
        _record(campaign, Verb.CAMPAIGN_CREATED, actor=actor, now=now)
    return campaign


def change(
    campaign: Campaign,
    *,
    name: str | None = None,
    default_language: str | None = None,
    first_delay: timedelta | None = None,
    pause_on_reply: bool | None = None,
    actor: Actor = SYSTEM,
    now: datetime,
) -> None:
    """Change what is not None. The delay holds for those who are enrolled from now on.

    Raises `Refused`.
    """
    if default_language is not None:
        check_language("defaultLanguage", default_language)
    wishes = {
        "name": name,
        "default_language": default_language,
        "first_delay": first_delay,
        "pause_on_reply": pause_on_reply,
    }
    with transaction.atomic():
        current = _locked(campaign)
        changed = {
            field: value
            for field, value in wishes.items()
            if value is not None and value != getattr(current, field)
        }
        if changed:
            for field, value in changed.items():
                setattr(current, field, value)
            # These alone: somebody may switch it on or off at this moment.
            _save(current, *changed)
            _record(current, Verb.CHANGED, actor=actor, now=now, fields=list(changed))
    campaign.refresh_from_db()


def remove(campaign: Campaign, *, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Delete a campaign that is switched off and never followed anybody; False otherwise."""
    with transaction.atomic():
        current = Campaign.objects.select_for_update(of=("self",)).get(pk=campaign.pk)
        if current.active or Target.objects.filter(campaign=current).exists():
            return False
        _record(current, Verb.DELETED, actor=actor, now=now)
        current.delete()
    return True


def add_step(
    campaign: Campaign,
    *,
    number: int,
    delay: timedelta | None,
    active: bool,
    actor: Actor = SYSTEM,
    now: datetime,
) -> Step:
    """A new step; without a `delay` a day after the one before, the first at once."""
    usual = timedelta(0) if number == 1 else ONE_DAY
    with transaction.atomic():
        step = Step(
            campaign=_locked(campaign),
            number=number,
            delay=usual if delay is None else delay,
            active=active,
        )
        try:
            with transaction.atomic():
                step.save()
        except IntegrityError as error:
            raise Refused("number", "taken", f"there is a step {number} already") from error
        _record(step.campaign, Verb.STEP_CHANGED, actor=actor, now=now, day=step.number)
    return step


def change_step(
    step: Step,
    *,
    delay: timedelta | None = None,
    active: bool | None = None,
    actor: Actor = SYSTEM,
    now: datetime,
) -> None:
    """Change what is not None. Slots that are planned already stay."""
    with transaction.atomic():
        _locked(step.campaign)
        step.refresh_from_db()
        before = (step.delay, step.active)
        step.delay = step.delay if delay is None else delay
        step.active = step.active if active is None else active
        if (step.delay, step.active) == before:
            return
        step.save(update_fields=["delay", "active"])
        _record(step.campaign, Verb.STEP_CHANGED, actor=actor, now=now, day=step.number)


def remove_step(step: Step, *, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Delete a step; False when it is switched off instead, as part of somebody's history."""
    with transaction.atomic():
        campaign = _locked(step.campaign)
        _record(step.campaign, Verb.STEP_CHANGED, actor=actor, now=now, day=step.number)
        if Target.objects.filter(campaign=campaign).exists():
            Step.objects.filter(pk=step.pk).update(active=False)
            return False
        step.delete()
    return True


def write_template(
    step: Step,
    *,
    language: str,
    body: str,
    media: Media | None,
    actor: Actor = SYSTEM,
    now: datetime,
) -> Template:
    """What a step says in one language, and the file that goes along. Raises `Refused`."""
    check_language("language", language)
    if wrong := texts.problem(body, step.campaign):
        raise Refused("text", "template", wrong)
    with transaction.atomic():
        _locked(step.campaign)
        template = Template.objects.filter(step=step, language=language).first() or Template(
            step=step, language=language
        )
        if template.pk and (template.body, template.media) == (body, media):
            return template
        template.body, template.media = body, media
        # By save: whoever waits for this text is looked at again at once (following.on_mended).
        template.save()
        _changed(template, actor=actor, now=now)
    return template


def remove_template(template: Template, *, actor: Actor = SYSTEM, now: datetime) -> None:
    """Whoever would get it waits from now on, unless the campaign no longer speaks its language."""
    with transaction.atomic():
        _locked(template.step.campaign)
        _changed(template, actor=actor, now=now)
        template.delete()


def check_language(field: str, language: str) -> None:
    """Raises `Refused` for what is no language that a text can be in."""
    if language not in LANG_INFO or len(language) > LONGEST_LANGUAGE:
        raise Refused(field, "language", "write the code of a language: fr, en, pt-br")


def _locked(campaign: Campaign) -> Campaign:
    """One writer of a campaign at a time."""
    return (
        Campaign.objects.select_for_update(of=("self",), no_key=True)
        .select_related("tenant")
        .get(pk=campaign.pk)
    )


def _save(campaign: Campaign, *fields: str) -> None:
    try:
        with transaction.atomic():
            campaign.save(update_fields=fields or None)
    except IntegrityError as error:
        raise Refused(
            "name", "taken", f"there is a campaign named “{campaign.name}” already"
        ) from error


def _changed(template: Template, *, actor: Actor, now: datetime) -> None:
    _record(
        template.step.campaign,
        Verb.TEMPLATE_CHANGED,
        actor=actor,
        now=now,
        day=template.step.number,
        language=template.language,
    )


def _record(
    campaign: Campaign, verb: Verb, *, actor: Actor, now: datetime, **detail: str | int | list[str]
) -> None:
    record(
        tenant_id=campaign.tenant_id,
        verb=verb,
        actor=actor,
        subject=campaign,
        detail=detail,
        now=now,
    )
