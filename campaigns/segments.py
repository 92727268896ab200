"""Whom a segment means: rules about contacts, evaluated by the database as one condition.

    {"tagsAny": ["vip"], "tagsAll": [], "tagsNone": ["partner"], "personas": ["parent"],
     "regions": ["FR"], "languages": ["fr"], "engagementMin": 40, "engagementMax": 100,
     "groups": [7], "referral": ["followed", "paid"]}

What is left out, or empty, asks nothing; everything that is asked must be true of a contact. A
segment without rules means everybody.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import phonenumbers
from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.activity import SYSTEM, Actor, Verb, record
from accounts.models import Tenant
from campaigns.models import Referral, Segment, Target
from whatsapp.models import Contact, Group, GroupMember

MOST = 50  # entries of one list
LISTS = ("tagsAny", "tagsAll", "tagsNone", "personas", "regions", "languages", "referral")
LONGEST = {"personas": 80, "regions": 2, "languages": 8, "referral": 20}  # characters; tags: 40
BOUNDS = ("engagementMin", "engagementMax")
SAMPLE = 10

# What somebody's referral has come to; a person who was referred twice may be in several.
REFERRAL_STATES: dict[str, Any] = {
    "none": gettext_lazy("never referred"),
    "waiting": gettext_lazy("referred, not followed yet"),
    "followed": gettext_lazy("followed now"),
    "completed": gettext_lazy("through the whole sequence, unpaid"),
    "exited": gettext_lazy("left the sequence"),
    "paid": gettext_lazy("has paid"),
}


class BadRules(ValueError):
    """What is wrong with the rules; `field` is the rule, `code` a stable word."""

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class NameTaken(ValueError):
    """The tenant has a segment of that name."""


@dataclass(frozen=True, slots=True)
class Preview:
    """How many contacts a segment means, and how many of those may be written to.

    `sample` has some of the latter, newest first.
    """

    matching: int
    reachable: int
    opted_out: int
    no_lawful_basis: int
    sample: list[Contact]


def checked(raw: Any, *, tenant: Tenant) -> dict[str, Any]:
    """Rules as they are stored, without what asks nothing. Raises `BadRules`."""
    if not isinstance(raw, Mapping):
        raise BadRules("rules", "invalid", _("rules are an object: {“tagsAny”: [“vip”]}"))
    rules: dict[str, Any] = {}
    for name, value in raw.items():
        if name in LISTS:
            rules[name] = _words(name, value)
        elif name in BOUNDS:
            rules[name] = _bound(name, value)
        elif name == "groups":
            rules[name] = _groups(value, tenant)
        else:
            known = ", ".join([*LISTS, *BOUNDS, "groups"])
            raise BadRules(str(name)[:60], "unknown", _("there is no such rule: use %s") % known)
    rules = {name: value for name, value in rules.items() if value not in (None, [])}
    if rules.get("engagementMin", 0) > rules.get("engagementMax", 100):
        raise BadRules("engagementMax", "invalid", _("the most is less than the least"))
    for region in rules.get("regions", []):
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise BadRules("regions", "unknown", _("there is no country “%s”: FR, GB") % region)
    for state in rules.get("referral", []):
        if state not in REFERRAL_STATES:
            known = ", ".join(REFERRAL_STATES)
            raise BadRules("referral", "unknown", _("“%s” is none of %s") % (state, known))
    return rules


def _words(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise BadRules(name, "invalid", _("give a list of words"))
    words = list(dict.fromkeys(word.strip() for word in value if word.strip()))
    if name == "regions":
        words = [word.upper() for word in words]
    elif name.startswith("tags"):
        words = list(dict.fromkeys(word.lower() for word in words))  # as tags are stored
    if len(words) > MOST:
        raise BadRules(name, "too_many", _("give %d words at most") % MOST)
    longest = LONGEST.get(name, 40)
    if any(len(word) > longest or "\x00" in word for word in words):
        raise BadRules(name, "too_long", _("a word has %d characters at most") % longest)
    return words


def _bound(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 100:
        raise BadRules(name, "out_of_range", _("give a whole number from 0 to 100"))
    return value


def _groups(value: Any, tenant: Tenant) -> list[int]:
    numbers = isinstance(value, list) and all(
        isinstance(pk, int) and not isinstance(pk, bool) and 0 < pk < 2**63 for pk in value
    )
    if not numbers:
        raise BadRules("groups", "invalid", _("give a list of ids of groups"))
    ids = sorted(set(value))
    if len(ids) > MOST:
        raise BadRules("groups", "too_many", _("give %d groups at most") % MOST)
    if Group.objects.filter(tenant=tenant, pk__in=ids).count() != len(ids):
        raise BadRules("groups", "unknown", _("you have no such group"))
    return ids


# ------------------------------------------------------------------------------- evaluation


def matching(tenant: Tenant, rules: Mapping[str, Any]) -> QuerySet[Contact]:
    """Contacts of `tenant` that checked `rules` mean, whether anybody may write to them or not."""
    return _filtered(Contact.objects.all(), tenant, rules)


def reachable(tenant: Tenant, rules: Mapping[str, Any]) -> QuerySet[Contact]:
    """Those of them that somebody may write to."""
    return _filtered(Contact.objects.may_be_written_to(), tenant, rules)


def _filtered(
    people: QuerySet[Contact], tenant: Tenant, rules: Mapping[str, Any]
) -> QuerySet[Contact]:
    people = people.filter(tenant=tenant)
    for name, value in rules.items():
        people = people.filter(_CONDITIONS[name](value, tenant))
    return people


def preview(tenant: Tenant, rules: Mapping[str, Any], *, sample: int = SAMPLE) -> Preview:
    """Counted now. Three queries."""
    found = matching(tenant, rules)
    counts = found.aggregate(
        matching=Count("pk"), opted_out=Count("pk", filter=Q(opted_out_at__isnull=False))
    )
    may = reachable(tenant, rules)
    count = may.count()
    return Preview(
        **counts,
        reachable=count,
        no_lawful_basis=counts["matching"] - counts["opted_out"] - count,
        sample=list(may.order_by("-id")[:sample]),
    )


def _region(region: str) -> Q:
    """Numbers of a country. Where several share a calling code, by the metadata of each."""
    code = phonenumbers.country_code_for_region(region)
    here = Q(phone__startswith=f"+{code}")
    sharing = phonenumbers.region_codes_for_country_code(code)
    if len(sharing) == 1:
        return here
    # As the library decides: the first one that knows the number; the main one has the rest, too.
    before = sharing[: sharing.index(region)]
    mine = Q(phone__regex=_pattern(code, (region,)))
    if not before:
        return here & (mine | ~Q(phone__regex=_pattern(code, tuple(sharing[1:]))))
    return here & mine & ~Q(phone__regex=_pattern(code, tuple(before)))


@functools.cache
def _pattern(code: int, regions: tuple[str, ...]) -> str:
    found: list[str] = []
    for region in regions:
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
        if metadata is None:
            continue
        if metadata.leading_digits:
            found.append(f"(?:{metadata.leading_digits})[0-9]*")
            continue
        kinds = (metadata.fixed_line, metadata.mobile, metadata.voip, metadata.personal_number)
        patterns = [kind.national_number_pattern for kind in kinds if kind is not None]
        found += [pattern for pattern in patterns if pattern]
    # PostgreSQL's \d means what Python's does.
    return rf"^\+{code}(?:{'|'.join(dict.fromkeys(found))})$"


def _referral(states: Sequence[str], tenant: Tenant) -> Q:
    referrals = Referral.objects.filter(tenant=tenant)
    targets = Target.objects.filter(tenant=tenant)
    phones: dict[str, Any] = {
        "waiting": referrals.filter(enrolled_at=None, paid_at=None).values("phone"),
        "followed": targets.filter(state=Target.State.ACTIVE).values("phone"),
        "completed": targets.filter(state=Target.State.COMPLETED).values("phone"),
        "exited": targets.filter(state=Target.State.EXITED).values("phone"),
        "paid": referrals.filter(paid_at__isnull=False).values("phone"),
    }
    condition = Q()
    for state in states:
        if state == "none":
            condition |= ~Q(phone__in=referrals.values("phone"))
        else:
            condition |= Q(phone__in=phones[state])
    return condition


def _any(conditions: Sequence[Q]) -> Q:
    return functools.reduce(lambda left, right: left | right, conditions)


_CONDITIONS: dict[str, Callable[[Any, Tenant], Q]] = {
    "tagsAny": lambda tags, _tenant: Q(tags__overlap=tags),
    "tagsAll": lambda tags, _tenant: Q(tags__contains=tags),
    "tagsNone": lambda tags, _tenant: ~Q(tags__overlap=tags),
    "personas": lambda names, _tenant: Q(persona__in=names),
    "regions": lambda regions, _tenant: _any([_region(region) for region in regions]),
    "languages": lambda languages, _tenant: Q(language__in=languages),
    # Whoever has no score yet is neither above a bound nor below one.
    "engagementMin": lambda least, _tenant: Q(engagement__gte=least),
    "engagementMax": lambda most, _tenant: Q(engagement__lte=most),
    "groups": lambda groups, _tenant: Q(
        pk__in=GroupMember.objects.filter(group__in=groups, left_at=None).values("contact")
    ),
    "referral": _referral,
}


# ---------------------------------------------------------------------------------- writing


def create(
    *, tenant: Tenant, name: str, rules: Any, actor: Actor = SYSTEM, now: datetime
) -> Segment:
    """A new segment. Raises `BadRules` and `NameTaken`."""
    segment = Segment(tenant=tenant, name=name, rules=checked(rules, tenant=tenant))
    with transaction.atomic():
        _save(segment)
        _record(segment, Verb.CREATED, actor=actor, now=now)
    return segment


def change(
    segment: Segment,
    *,
    name: str | None = None,
    rules: Any = None,
    actor: Actor = SYSTEM,
    now: datetime,
) -> None:
    """Change what is not None; a broadcast that has begun keeps its recipients.

    Raises `BadRules` and `NameTaken`.
    """
    wishes = {
        "name": name,
        "rules": None if rules is None else checked(rules, tenant=segment.tenant),
    }
    with transaction.atomic():
        current = Segment.objects.select_for_update(of=("self",)).get(pk=segment.pk)
        changed = [
            field
            for field, value in wishes.items()
            if value is not None and value != getattr(current, field)
        ]
        for field in changed:
            setattr(current, field, wishes[field])
        if changed:
            _save(current, *changed)
            _record(current, Verb.CHANGED, actor=actor, now=now, fields=changed)
    segment.refresh_from_db()


def remove(segment: Segment, *, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Delete it; False while a broadcast names it."""
    with transaction.atomic():
        current = Segment.objects.select_for_update(of=("self",)).get(pk=segment.pk)
        if current.broadcasts.exists():
            return False
        _record(current, Verb.DELETED, actor=actor, now=now)
        current.delete()
    return True


def _save(segment: Segment, *fields: str) -> None:
    try:
        with transaction.atomic():
            segment.save(update_fields=fields or None)
    except IntegrityError as error:
        raise NameTaken(_("there is a segment named “%s” already") % segment.name) from error


def _record(segment: Segment, verb: Verb, *, actor: Actor, now: datetime, **detail: Any) -> None:
    record(
        tenant_id=segment.tenant_id, verb=verb, actor=actor, subject=segment, detail=detail, now=now
    )
