"""A dry run: who would get a broadcast, from where, in which words, and when it would be through.

Counted as things stand now, with the limits of the accounts; nothing is written or sent.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import QuerySet

from campaigns import rendering, segments
from campaigns.broadcasts import readiness, running
from campaigns.broadcasts.readiness import Gap
from campaigns.broadcasts.texts import Person, Texts
from campaigns.models import Broadcast, Referral
from whatsapp import limits
from whatsapp.models import Account, Contact
from whatsapp.obstacles import obstacle
from whatsapp.standing import IS_NEW

SAMPLES = 5
LONGEST = 3_650  # days a forecast looks ahead


@dataclass(frozen=True, slots=True)
class Share:
    """What one account would send. `ends_at` is None while it can send nothing.

    `new_chats` of its recipients never wrote to it and it never wrote to them: it begins so many
    chats a day and no more.
    """

    account: Account
    recipients: int
    new_chats: int
    obstacle: str
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Sample:
    """What somebody would read; `problem` says why there is no text."""

    contact: Contact
    language: str
    text: str
    problem: str


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """`without_referral` of the recipients have no value for {{link}} or {{referrer}} where a text
    uses them, and would be skipped."""

    recipients: int
    opted_out: int
    no_lawful_basis: int
    languages: dict[str, int]
    without_referral: int
    shares: list[Share]
    begins_at: datetime
    ends_at: datetime | None
    samples: list[Sample]
    gaps: list[Gap]


def rehearse(broadcast: Broadcast, *, now: datetime) -> Rehearsal:
    """Ten-odd queries, whatever the number of recipients."""
    begins_at = max(broadcast.starts_at or now, now)
    gaps = readiness.gaps(broadcast, now=now)
    if broadcast.segment is None:
        return Rehearsal(0, 0, 0, {}, 0, [], begins_at, None, [], gaps)
    tenant, rules = broadcast.tenant, broadcast.segment.rules
    counted = segments.preview(tenant, rules, sample=SAMPLES)
    people = segments.reachable(tenant, rules)
    texts = Texts.of(broadcast)
    shares = _shares(broadcast, begins_at=begins_at, now=now)
    ends = [share.ends_at for share in shares]
    return Rehearsal(
        recipients=counted.reachable,
        opted_out=counted.opted_out,
        no_lawful_basis=counted.no_lawful_basis,
        languages=_languages(people, texts),
        without_referral=_without_referral(broadcast, people),
        shares=shares,
        begins_at=begins_at,
        ends_at=None if None in ends else max((end for end in ends if end), default=None),
        samples=[_sample(contact, texts) for contact in counted.sample],
        gaps=gaps,
    )


def _languages(people: QuerySet[Contact], texts: Texts) -> dict[str, int]:
    """Recipients by the language they would be written to in: theirs, or their referral's."""
    spoken: dict[str, int] = {}
    with connection.cursor() as cursor:
        sql, params = people.values("tenant_id", "phone", "language").query.sql_with_params()
        cursor.execute(
            f"""
            SELECT coalesce(nullif(person.language, ''), referral.language, ''), count(*)
            FROM ({sql}) AS person LEFT JOIN LATERAL (
                SELECT found.language FROM campaigns_referral AS found
                WHERE person.language = '' AND person.phone <> ''
                  AND found.tenant_id = person.tenant_id AND found.phone = person.phone
                ORDER BY found.id DESC LIMIT 1) AS referral ON true
            GROUP BY 1
            """,  # noqa: S608  the query is Django's
            params,
        )
        for language, count in cursor.fetchall():
            chosen = texts.language_for(language)
            spoken[chosen] = spoken.get(chosen, 0) + count
    return dict(sorted(spoken.items(), key=lambda one: -one[1]))


def _without_referral(broadcast: Broadcast, people: QuerySet[Contact]) -> int:
    used = {name for text in broadcast.texts.all() for name in rendering.names_in(text.body)}
    if not used & {"link", "referrer"}:
        return 0
    referred = Referral.objects.filter(tenant=broadcast.tenant).values("phone")
    return people.exclude(phone__in=referred).count()


def _sample(contact: Contact, texts: Texts) -> Sample:
    referral = (
        Referral.objects.filter(tenant=contact.tenant_id, phone=contact.phone)
        .exclude(phone="")
        .select_related("referrer")
        .order_by("-pk")
        .first()
    )
    person = Person(
        name=contact.name or (referral.name if referral else ""),
        language=contact.language or (referral.language if referral else ""),
        external_id=referral.external_id if referral else None,
        referrer=referral.referrer.name if referral else None,
    )
    try:
        said = texts.say(person)
    except rendering.TemplateError as error:
        return Sample(contact, texts.language_for(person.language), "", str(error))
    return Sample(contact, said.language, said.body, "")


def _shares(broadcast: Broadcast, *, begins_at: datetime, now: datetime) -> list[Share]:
    accounts = list(broadcast.accounts.select_related("tenant").order_by("pk"))
    if not accounts:
        return []
    chosen, params = running.chosen_people(broadcast)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT message.account_id, count(*), count(*) FILTER (WHERE {IS_NEW})
            FROM ({chosen}) AS message GROUP BY message.account_id
            """,  # noqa: S608  the query is Django's
            params,
        )
        counts = {account_id: (count, new) for account_id, count, new in cursor.fetchall()}
    return [
        _share(account, *counts.get(account.pk, (0, 0)), begins_at=begins_at, now=now)
        for account in accounts
    ]


def _share(
    account: Account, recipients: int, new: int, *, begins_at: datetime, now: datetime
) -> Share:
    allowance = limits.snapshot(account, now=now)
    hindrance = obstacle(account, now=now, allowance=allowance)
    ends_at: datetime | None = begins_at
    if recipients and (not account.enabled or not account.is_linked):
        ends_at = None
    elif recipients:
        same_day = limits.today(account.tenant, now=begins_at) == limits.today(
            account.tenant, now=now
        )
        ends_at = when_through(
            account,
            recipients,
            new,
            begins_at=begins_at,
            sent=allowance.sent_today if same_day else 0,
            begun=allowance.new_chats_today if same_day else 0,
        )
    return Share(account, recipients, new, hindrance, ends_at)


def when_through(
    account: Account, recipients: int, new: int, *, begins_at: datetime, sent: int, begun: int
) -> datetime | None:
    """When an account that sends nothing else has sent so many, `new` of them to new chats.

    Within its day's limit (warm-up counted in), its new chats a day and its pace, around the
    clock: quiet hours make it later. `sent` and `begun` of the first day are used up already. None
    when that takes ten years.
    """
    a_minute = dt.timedelta(minutes=1) / max(1, account.limit_per_minute)
    pace = max(a_minute, account.gap, dt.timedelta.resolution)
    known = recipients - new
    day = limits.today(account.tenant, now=begins_at)
    at = begins_at
    for _ in range(LONGEST):
        midnight = datetime.combine(
            day + dt.timedelta(days=1), dt.time(), tzinfo=account.tenant.zone
        ).astimezone(dt.UTC)
        fits = (midnight - at) // pace + 1
        room = min(max(0, account.limit_on(day) - sent), fits)
        fresh = min(new, max(0, account.new_chats_limit - begun), room)
        old = min(known, room - fresh)
        new, known = new - fresh, known - old
        if new + known == 0:
            return at + pace * max(0, fresh + old - 1)
        at, day, sent, begun = midnight, day + dt.timedelta(days=1), 0, 0
    return None
