"""The seven days of a company's sequence, as the API reads and writes them.

A day is a step of the active campaign with its texts and files. One write is one transaction: a
day is written as a whole or not at all. Files are fetched before it begins.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Prefetch

from accounts.activity import SYSTEM, Actor, Verb, record
from accounts.models import Tenant
from campaigns import holds, rendering
from campaigns.models import Campaign, Step, Target, Template
from campaigns.models.content import ONE_DAY
from whatsapp import attachments
from whatsapp import media as files
from whatsapp.fetching import CannotFetch, fetch
from whatsapp.models import Media

DAYS = range(1, 8)
LANGUAGES = ("fr", "en")
BOTH = "both"
CAMPAIGN_NAME = "Relance"


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with one field of a day; `field` is its path: ``messageTemplate.fr``."""

    field: str
    code: str
    message: str


class BadDay(ValueError):
    """A day that cannot be written as it is; nothing was changed."""

    def __init__(self, wrong: Sequence[Wrong]) -> None:
        super().__init__("; ".join(f"{w.field}: {w.message}" for w in wrong))
        self.wrong = list(wrong)


@dataclass(frozen=True, slots=True)
class FileWish:
    """A file that shall go along: `kind` image, video, document or audio; `language` or both."""

    url: str
    kind: str
    language: str


@dataclass(frozen=True, slots=True)
class NewFile:
    """A fetched and checked file that is not stored yet."""

    data: bytes
    filename: str
    kind: str
    source_url: str


def read(tenant: Tenant) -> list[Step]:
    """Steps 1 to 7 of the active campaign with their templates and files, in order."""
    steps = Step.objects.filter(
        campaign__tenant=tenant, campaign__active=True, number__in=DAYS
    ).order_by("number")
    return list(
        steps.prefetch_related(
            Prefetch("templates", Template.objects.select_related("media").order_by("language"))
        )
    )


def write(
    *,
    tenant: Tenant,
    number: int,
    texts: Mapping[str, str | None] | None = None,
    wishes: Sequence[FileWish] | None = None,
    active: bool | None = None,
    actor: Actor = SYSTEM,
    now: dt.datetime,
) -> Step:
    """Create or change one day. What is None stays as it is; a text that is None is removed.

    The company's first day makes the campaign, active at once: that is what callers of the old
    system expect. Raises `BadDay`.
    """
    current = next((step for step in read(tenant) if step.number == number), None)
    before = {t.language: t for t in current.templates.all()} if current else {}
    wrong = list(_wrong_texts(tenant, texts or {}, known={*LANGUAGES, *before}))
    after = {t.language for t in before.values()} | {k for k, v in (texts or {}).items() if v}
    after -= {language for language, text in (texts or {}).items() if text is None}
    if not wrong and not after:
        wrong.append(
            Wrong("messageTemplate", "required", "write the text in one language at least")
        )
    wrong += _wrong_wishes(wishes or (), after)
    if wrong:
        raise BadDay(wrong)
    chosen = _get_files(tenant, wishes, before.values(), after)
    with transaction.atomic():
        step = _save(tenant, number, texts or {}, chosen, active)
        _record(step, Verb.TEMPLATE_CHANGED, actor=actor, now=now)
        # Whoever waited for a text of this campaign goes on.
        holds.release_campaigns(Campaign.objects.filter(pk=step.campaign_id), now=now)
    return step


def remove(*, tenant: Tenant, number: int, actor: Actor = SYSTEM, now: dt.datetime) -> str:
    """Take a day away: "deleted", "deactivated" when somebody is followed, or "" without one."""
    with transaction.atomic():
        step = (
            Step.objects.select_for_update(of=("self",))
            .filter(campaign__tenant=tenant, campaign__active=True, number=number)
            .first()
        )
        if step is None or number not in DAYS:
            return ""
        _record(step, Verb.STEP_CHANGED, actor=actor, now=now)
        if Target.objects.filter(campaign_id=step.campaign_id).exists():
            step.active = False
            step.save(update_fields=["active"])
            return "deactivated"
        step.delete()
        return "deleted"


def _record(step: Step, verb: Verb, *, actor: Actor, now: dt.datetime) -> None:
    record(
        tenant_id=step.campaign.tenant_id,
        verb=verb,
        actor=actor,
        subject=step.campaign,
        detail={"day": step.number},
        now=now,
    )


# ---------------------------------------------------------------------------------- checking


def _wrong_texts(
    tenant: Tenant, texts: Mapping[str, str | None], *, known: set[str]
) -> Iterable[Wrong]:
    variables = rendering.names_for(tenant)
    for language, text in texts.items():
        field = f"messageTemplate.{language}"
        if language not in known:
            names = ", ".join(sorted(known))
            yield Wrong(field[:60], "language", f"this language is not known: use {names}")
        elif text is not None:
            try:
                rendering.check(text, variables=variables)
            except rendering.TemplateError as error:
                yield Wrong(field, "template", str(error))


def _wrong_wishes(wishes: Sequence[FileWish], languages: set[str]) -> Iterable[Wrong]:
    taken: set[str] = set()
    for index, wish in enumerate(wishes):
        field = f"mediaUrls[{index}].language"
        for language in _languages_of(wish, languages):
            if language not in languages:
                yield Wrong(field, "language", f"the day has no text in “{language}” to go with")
            elif language in taken:
                yield Wrong(field, "twice", f"there is a file for “{language}” already: send one")
            taken.add(language)


def _languages_of(wish: FileWish, languages: set[str]) -> list[str]:
    return sorted(languages) if wish.language == BOTH else [wish.language]


# ------------------------------------------------------------------------------------- files


def _get_files(
    tenant: Tenant,
    wishes: Sequence[FileWish] | None,
    before: Iterable[Template],
    languages: set[str],
) -> dict[str, Media | NewFile | None] | None:
    """The file of each language; None when the files stay as they are."""
    if wishes is None:
        return None
    known = [template.media for template in before if template.media is not None]
    chosen: dict[str, Media | NewFile | None] = dict.fromkeys(languages)
    wrong: list[Wrong] = []
    for index, wish in enumerate(wishes):
        try:
            found = _get_file(tenant, wish, known)
        except (files.BadMedia, CannotFetch) as error:
            part = "type" if error.code == "wrong_kind" else "url"
            wrong.append(Wrong(f"mediaUrls[{index}].{part}", error.code, str(error)))
            continue
        chosen.update(dict.fromkeys(_languages_of(wish, languages), found))
    if wrong:
        raise BadDay(wrong)
    return chosen


def _get_file(tenant: Tenant, wish: FileWish, known: Sequence[Media]) -> Media | NewFile:
    """A file this day has already, one of the company's own, or one fetched now."""
    for media in known:
        if (
            wish.url in {media.source_url, attachments.address_of(media)}
            and wish.kind == media.kind
        ):
            return media
    if stored := attachments.own(tenant, wish.url, kind=wish.kind):
        return stored
    fetched = fetch(wish.url, deadline=attachments.FETCH_SECONDS)
    files.check(fetched.data, kind=wish.kind)
    return NewFile(fetched.data, fetched.filename, wish.kind, wish.url)


# ------------------------------------------------------------------------------------ saving


def _save(
    tenant: Tenant,
    number: int,
    texts: Mapping[str, str | None],
    chosen: Mapping[str, Media | NewFile | None] | None,
    active: bool | None,
) -> Step:
    # One writer per company at a time; NO KEY lets rows that refer to the company be written.
    Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
    campaign = Campaign.objects.filter(tenant=tenant, active=True).first()
    if campaign is None:
        campaign = Campaign.objects.create(
            tenant=tenant,
            name=_free_name(tenant),
            default_language=tenant.default_language,
            active=True,
        )
    step, _created = Step.objects.get_or_create(
        campaign=campaign,
        number=number,
        defaults={"delay": dt.timedelta(0) if number == 1 else ONE_DAY},
    )
    if active is not None and step.active != active:
        step.active = active
        step.save(update_fields=["active"])
    for language, text in texts.items():
        if text is None:
            Template.objects.filter(step=step, language=language).delete()
        else:
            Template.objects.update_or_create(step=step, language=language, defaults={"body": text})
    for language, file in (chosen or {}).items():
        stored = _store(tenant, file) if isinstance(file, NewFile) else file
        Template.objects.filter(step=step, language=language).update(media=stored)
    return step


def _store(tenant: Tenant, file: NewFile) -> Media:
    return files.store(
        tenant=tenant,
        data=file.data,
        filename=file.filename,
        kind=file.kind,
        source_url=file.source_url,
    )


def _free_name(tenant: Tenant) -> str:
    names = set(Campaign.objects.filter(tenant=tenant).values_list("name", flat=True))
    candidates = (f"{CAMPAIGN_NAME} {n}" if n > 1 else CAMPAIGN_NAME for n in range(1, 10_000))
    return next(name for name in candidates if name not in names)
