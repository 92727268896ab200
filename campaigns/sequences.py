"""A whole sequence as a YAML file: checked as a whole, then written in one transaction.

    name: Relance 7 jours
    default_language: fr
    steps:
      - day: 1
        fr: "Bonjour {{name}} …"
        en: "Hi {{name}} …"
        media: {type: image, language: both, file: day2.png}

`day` counts from the first message; `hours` after the one before, where that is not whole days;
`media` may be a list, one for each language; `active: false`
keeps a step without sending it. The file is the whole truth: a step that is no longer in it is
switched off, a language that is no longer in it goes.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from django.db import transaction

from accounts.activity import SYSTEM, Actor
from accounts.models import Tenant
from campaigns import readiness, rendering, texts
from campaigns.models import Campaign
from campaigns.models.content import ONE_DAY
from whatsapp import media
from whatsapp.models import Media

LONGEST_FILE = 1 << 20  # bytes
LAST_DAY = 365
LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,4})?")
ALL_LANGUAGES = ("both", "all")
TOP = {"name", "default_language", "steps"}
STEP = {"day", "media", "active", "hours"}
MEDIA = {"type", "language", "file"}


class BadSequence(ValueError):
    """Everything that is wrong with the file, one sentence each in `problems`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(slots=True)
class StepText:
    """One day: texts by language, and the file that goes along, by language."""

    day: int
    active: bool = True
    hours: float | None = None
    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[str, Path]] = field(default_factory=dict)  # kind, path


@dataclass(slots=True)
class Sequence:
    name: str
    default_language: str
    steps: list[StepText]


@dataclass(slots=True)
class LoadReport:
    """What loading changed. `deactivated` is the campaign that was active before, if any."""

    campaign: Campaign
    created: bool = False
    steps: int = 0
    templates: int = 0
    changes: list[texts.Change] = field(default_factory=list)
    deactivated: str = ""

    @property
    def templates_written(self) -> int:
        written = {
            (change.day, change.language)
            for change in self.changes
            if change.kind in {"new", "changed", "file"}
        }
        return len(written)

    @property
    def templates_unchanged(self) -> int:
        return self.templates - self.templates_written

    @property
    def steps_switched_off(self) -> int:
        return sum(change.kind == "off" for change in self.changes)


def read(path: Path, *, variables: frozenset[str]) -> Sequence:
    """Check the file at `path`; templates may use `variables`. Raises `BadSequence`."""
    return _FileReader(path, variables).read()


def load(
    path: Path,
    *,
    tenant: Tenant,
    activate: bool = False,
    step_delay: dt.timedelta = ONE_DAY,
    first_delay: dt.timedelta | None = None,
    actor: Actor = SYSTEM,
    now: dt.datetime,
) -> LoadReport:
    """Write the sequence of `path` as the campaign of its name; a repetition changes nothing.

    Raises `BadSequence`, having changed nothing.
    """
    sequence = read(path, variables=rendering.names_for(tenant))
    with transaction.atomic():
        stored = _files(sequence, path, tenant, store=True)
        campaign, created = Campaign.objects.select_for_update().get_or_create(
            tenant=tenant,
            name=sequence.name,
            defaults={"default_language": sequence.default_language},
        )
        if first_delay is not None:
            campaign.first_delay = first_delay
            campaign.save(update_fields=["first_delay"])
        report = LoadReport(
            campaign=campaign,
            created=created,
            steps=len(sequence.steps),
            templates=sum(len(step.texts) for step in sequence.steps),
        )
        report.changes = texts.write(
            campaign,
            _days(sequence, stored, step_delay),
            default_language=sequence.default_language,
            actor=actor,
            now=now,
        )
        if activate and not campaign.active:
            other = Campaign.objects.filter(tenant=tenant, active=True).first()
            report.deactivated = other.name if other else ""
            try:
                readiness.activate(campaign, actor=actor, now=now)
            except readiness.NotReady as error:
                raise BadSequence([gap.text for gap in error.gaps]) from error
    return report


def compare(
    path: Path, *, tenant: Tenant, step_delay: dt.timedelta = ONE_DAY
) -> tuple[Sequence, list[texts.Change]]:
    """What `load` would change, without changing anything. Raises `BadSequence`."""
    sequence = read(path, variables=rendering.names_for(tenant))
    files = _files(sequence, path, tenant, store=False)
    campaign = Campaign.objects.filter(tenant=tenant, name=sequence.name).first()
    before = texts.read(campaign) if campaign else []
    return sequence, texts.compare(before, _days(sequence, files, step_delay))


def _files(
    sequence: Sequence, path: Path, tenant: Tenant, *, store: bool
) -> dict[tuple[str, Path], Media]:
    """The row of each file; one that is not stored yet is only made up when `store` is off."""
    found: dict[tuple[str, Path], Media] = {}
    problems = []
    for step in sequence.steps:
        for language, (kind, file) in step.files.items():
            if (kind, file) in found:
                continue
            try:
                data = file.read_bytes()
                found[kind, file] = (
                    media.store(tenant=tenant, data=data, filename=file.name, kind=kind)
                    if store
                    else media.find(tenant=tenant, data=data, filename=file.name, kind=kind)
                )
            except (media.BadMedia, OSError) as error:
                problems.append(f"{path.name}: day {step.day}, {language}, media: {error}")
    if problems:
        raise BadSequence(problems)
    return found


def _days(
    sequence: Sequence, files: Mapping[tuple[str, Path], Media], step_delay: dt.timedelta
) -> list[texts.Day]:
    days = []
    day_before = 1
    for step in sequence.steps:
        days.append(
            texts.Day(
                step.day,
                active=step.active,
                delay=(step.day - day_before if step.hours is None else step.hours / 24)
                * step_delay,
                texts=step.texts,
                files={language: files[file] for language, file in step.files.items()},
            )
        )
        day_before = step.day
    return days


class _FileReader:
    """Collects every problem instead of stopping at the first: one round of mending is enough."""

    def __init__(self, path: Path, variables: frozenset[str]) -> None:
        self.path = path
        self.variables = variables
        self.problems: list[str] = []

    def wrong(self, sentence: str, *where: object) -> None:
        self.problems.append(
            ": ".join([self.path.name, ", ".join(map(str, where)), sentence])
            if where
            else f"{self.path.name}: {sentence}"
        )

    def read(self) -> Sequence:
        document = self._document()
        name = self._line(document, "name", 120)
        default = self._line(document, "default_language", 8).lower()
        for key in document.keys() - TOP:
            self.wrong(f"unknown field “{key}”: use {', '.join(sorted(TOP))}")
        steps = self._steps(document.get("steps"))
        self._check_languages(steps, default)
        if self.problems:
            raise BadSequence(self.problems)
        return Sequence(name, default, steps)

    def _document(self) -> dict[str, Any]:
        try:
            too_large = self.path.stat().st_size > LONGEST_FILE
            text = "" if too_large else self.path.read_text(encoding="utf-8-sig")
            document = yaml.safe_load(text)
        except OSError as error:
            raise BadSequence([f"{self.path}: {error.strerror}"]) from error
        except UnicodeDecodeError as error:
            raise BadSequence([f"{self.path.name}: not UTF-8 text"]) from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f" (line {mark.line + 1})" if mark else ""
            what = getattr(error, "problem", None) or "cannot be read"
            raise BadSequence([f"{self.path.name}: not YAML{line}: {what}"]) from error
        if too_large:
            raise BadSequence([f"{self.path.name}: larger than a megabyte"])
        if not isinstance(document, dict):
            raise BadSequence([f"{self.path.name}: must hold name, default_language and steps"])
        return document

    def _line(self, document: dict[str, Any], key: str, longest: int) -> str:
        value = document.get(key)
        if not isinstance(value, str) or not value.strip():
            self.wrong(f"{key} is missing, or no text")
            return ""
        if len(value) > longest:
            self.wrong(f"{key} is longer than {longest} characters")
        return value.strip()

    def _steps(self, listed: Any) -> list[StepText]:
        if not isinstance(listed, list) or not listed:
            self.wrong("steps is missing, or no list")
            return []
        steps: dict[int, StepText] = {}
        for position, item in enumerate(listed, start=1):
            day = item.get("day") if isinstance(item, dict) else None
            if not isinstance(day, int) or isinstance(day, bool) or not 1 <= day <= LAST_DAY:
                self.wrong(f"day must be a whole number from 1 to {LAST_DAY}", f"step {position}")
            elif day in steps:
                self.wrong("the day is there twice", f"day {day}")
            else:
                steps[day] = self._step(day, item)
        if steps and 1 not in steps:
            self.wrong("day 1 is missing: days count from the first message")
        return [steps[day] for day in sorted(steps)]

    def _step(self, day: int, item: dict[Any, Any]) -> StepText:
        step = StepText(day)
        active = item.get("active", True)
        if not isinstance(active, bool):
            self.wrong("active must be true or false", f"day {day}")
        step.active = active is True
        hours = item.get("hours")
        if hours is not None:
            number = isinstance(hours, int | float) and not isinstance(hours, bool)
            if not number or not 0 <= hours <= 24 * LAST_DAY:
                self.wrong(f"hours must be a number from 0 to {24 * LAST_DAY}", f"day {day}")
            else:
                step.hours = float(hours)
        for key, value in item.items():
            if key in STEP:
                continue
            language = str(key).lower()
            if not LANGUAGE.fullmatch(language):
                # YAML reads a bare `no:` as false: Norwegian must be quoted.
                self.wrong(f"“{key}” is neither a field nor a language", f"day {day}")
            elif not isinstance(value, str):
                self.wrong("the text must be a text: quote it", f"day {day}", language)
            else:
                step.texts[language] = value
                try:
                    rendering.check(value, variables=self.variables)
                    if len(value) > 4000:
                        self.wrong(
                            "the text is longer than 4000 characters", f"day {day}", language
                        )
                except rendering.TemplateError as error:
                    self.wrong(str(error), f"day {day}", language)
        if not step.texts:
            self.wrong("there is no text in any language", f"day {day}")
        media_items = item.get("media", [])
        for entry in media_items if isinstance(media_items, list) else [media_items]:
            self._media(step, entry)
        return step

    def _media(self, step: StepText, entry: Any) -> None:
        where = (f"day {step.day}", "media")
        if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
            self.wrong("write {type: image, language: fr, file: picture.png}", *where)
            return
        for key in entry.keys() - MEDIA:
            self.wrong(f"unknown field “{key}”: use {', '.join(sorted(MEDIA))}", *where)
        kind = entry.get("type")
        if kind not in Media.Kind.values:
            self.wrong(f"type must be one of {', '.join(Media.Kind.values)}", *where)
            return
        language = str(entry.get("language", "both")).lower()
        languages = list(step.texts) if language in ALL_LANGUAGES else [language]
        folder = self.path.resolve().parent
        file = (folder / entry["file"]).resolve()
        # A file from elsewhere on the machine must not end up in somebody's chat.
        if not file.is_relative_to(folder):
            self.wrong(f"{entry['file']} lies outside the folder of the sequence", *where)
        elif not file.is_file():
            self.wrong(f"there is no file {entry['file']} beside the sequence", *where)
        elif file.stat().st_size > max(media.MAX_BYTES.values()):
            self.wrong(f"{entry['file']} is too large for WhatsApp", *where)
        else:
            for one in languages:
                if one not in step.texts:
                    self.wrong(f"there is no text in “{one}” for this file", *where)
                elif one in step.files:
                    self.wrong(f"two files for “{one}”: a message carries one", *where)
                else:
                    step.files[one] = (kind, file)

    def _check_languages(self, steps: list[StepText], default: str) -> None:
        languages = sorted({language for step in steps for language in step.texts} | {default})
        for step in steps:
            for language in languages:
                if language and step.texts and language not in step.texts:
                    note = " (the default)" if language == default else ""
                    self.wrong(f"the text is missing{note}", f"day {step.day}", language)
