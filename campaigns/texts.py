"""What a campaign says as a whole: compared with what is stored, and written in one transaction.

The days given are the whole truth: a step that is not among them is switched off, a language that
a day no longer has goes. The grid of the admin and sequences as files are both written here.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from django.db import transaction
from django.db.models import Prefetch

from accounts.activity import SYSTEM, Actor, Verb, record
from campaigns import rendering
from campaigns.models import Campaign, Step, Template
from campaigns.models.content import ONE_DAY
from whatsapp.models import Media

LONGEST = 4_000  # characters, as `Template.body`
Kind = Literal["new", "changed", "removed", "file", "delay", "off", "on"]


@dataclass(slots=True)
class Day:
    """What one step shall say: texts by language, and the file that goes along with each."""

    number: int
    active: bool = True
    delay: dt.timedelta = ONE_DAY
    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, Media] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `language` is empty where the day as a whole changes."""

    day: int
    language: str
    kind: Kind
    before: str = ""
    after: str = ""


class ChangedMeanwhile(Exception):
    """Somebody else has written the campaign since it was read."""


def read(campaign: Campaign) -> list[Day]:
    """Every step of `campaign` with its texts, in order. Two queries."""
    days = []
    for step in _steps(campaign):
        day = Day(step.number, step.active, step.delay)
        for template in step.templates.all():
            day.texts[template.language] = template.body
            if template.media is not None:
                day.files[template.language] = template.media
        days.append(day)
    return days


def version(days: Sequence[Day], default_language: str) -> str:
    """Changes whenever something in `days` does: who writes says what they have read."""
    content = [
        [
            day.number,
            day.active,
            day.delay.total_seconds(),
            sorted(day.texts.items()),
            sorted((language, media.pk) for language, media in day.files.items()),
        ]
        for day in days
    ]
    return hashlib.sha256(json.dumps([default_language, content]).encode()).hexdigest()[:16]


def problem(body: str, campaign: Campaign) -> str:
    """What is wrong with one text, or an empty string."""
    if len(body) > LONGEST:
        return str(rendering.too_long(LONGEST))
    try:
        rendering.check(body, variables=rendering.names_for(campaign.tenant))
    except rendering.TemplateError as error:
        return str(error)
    return ""


def compare(before: Sequence[Day], after: Sequence[Day]) -> list[Change]:
    """What becomes different, day by day."""
    old = {day.number: day for day in before}
    changes: list[Change] = []
    for day in after:
        changes += _compare(old.pop(day.number, None), day)
    changes += [Change(day.number, "", "off") for day in old.values() if day.active]
    return sorted(changes, key=lambda change: (change.day, change.language))


def _compare(old: Day | None, new: Day) -> list[Change]:
    changes = []
    if old is not None and old.active != new.active:
        changes.append(Change(new.number, "", "on" if new.active else "off"))
    if old is not None and old.delay != new.delay:
        changes.append(Change(new.number, "", "delay", str(old.delay), str(new.delay)))
    old = old or Day(new.number)
    for language in sorted(old.texts.keys() | new.texts.keys()):
        was, now = old.texts.get(language), new.texts.get(language)
        if was is None or now is None:
            kind: Kind = "new" if was is None else "removed"
            changes.append(Change(new.number, language, kind, was or "", now or ""))
            continue
        if was != now:
            changes.append(Change(new.number, language, "changed", was, now))
        had, has = old.files.get(language), new.files.get(language)
        if (had and had.pk) != (has and has.pk) or (has is not None and has._state.adding):
            before, after = had.filename if had else "", has.filename if has else ""
            changes.append(Change(new.number, language, "file", before, after))
    return changes


def write(
    campaign: Campaign,
    days: Sequence[Day],
    *,
    default_language: str,
    read_version: str = "",
    actor: Actor = SYSTEM,
    now: dt.datetime,
) -> list[Change]:
    """Make the campaign say `days`; what that changed. Nothing is checked but the version.

    Raises `ChangedMeanwhile` when `read_version` is given and no longer the stored one. Whoever
    waits for one of the texts goes on (following.on_mended).
    """
    with transaction.atomic():
        # One writer of a campaign at a time.
        stored = Campaign.objects.select_for_update(of=("self",), no_key=True).get(pk=campaign.pk)
        before = read(stored)
        if read_version and read_version != version(before, stored.default_language):
            raise ChangedMeanwhile
        changes = compare(before, days)
        if stored.default_language != default_language:
            stored.default_language = default_language
            stored.save(update_fields=["default_language"])
        steps = {step.number: step for step in _steps(stored)}
        for day in days:
            _write(stored, steps.pop(day.number, None), day)
        for step in steps.values():
            if step.active:
                step.active = False
                step.save(update_fields=["active"])
        if changes:
            record(
                tenant_id=stored.tenant_id,
                verb=Verb.TEMPLATE_CHANGED,
                actor=actor,
                subject=stored,
                detail={"days": sorted({change.day for change in changes})},
                now=now,
            )
    campaign.refresh_from_db()
    return changes


def _write(campaign: Campaign, step: Step | None, day: Day) -> None:
    if step is None:
        step = Step.objects.create(
            campaign=campaign, number=day.number, delay=day.delay, active=day.active
        )
        there: dict[str, Template] = {}
    else:
        there = {template.language: template for template in step.templates.all()}
        if (step.delay, step.active) != (day.delay, day.active):
            step.delay, step.active = day.delay, day.active
            step.save(update_fields=["delay", "active"])
    for language, body in day.texts.items():
        template = there.pop(language, None) or Template(step=step, language=language)
        media = day.files.get(language)
        if template.pk and (template.body, template.media_id) == (body, media and media.pk):
            continue
        template.body, template.media = body, media
        template.save()
    for template in there.values():
        template.delete()


def _steps(campaign: Campaign) -> list[Step]:
    templates = Template.objects.select_related("media").order_by("language")
    steps = Step.objects.filter(campaign=campaign).order_by("number")
    return list(steps.prefetch_related(Prefetch("templates", templates)))
