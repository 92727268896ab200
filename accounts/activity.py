"""The activity log: who did what, when, on what, from where.

Whoever changes something records it in the same transaction: `record` is one INSERT, and what was
rolled back was never done. Domain functions take the `actor` and record themselves, so that API,
admin and pages cannot forget to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.conf import settings
from django.db import connection
from django.db.models import Model
from django.http import HttpRequest
from rest_framework.request import Request

from accounts.models import Activity, ApiKey, User
from accounts.signed import Service
from accounts.throttles import address_of
from accounts.verbs import Verb
from relance_project.redaction import scrub

__all__ = [
    "SYSTEM",
    "Actor",
    "Verb",
    "actor_of",
    "address",
    "forget_old",
    "record",
    "record_each",
    "record_for_user",
]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts; `name` stays readable when the user or the key is gone."""

    kind: Literal["user", "api_key", "service", "system"]
    name: str
    user_id: int | None = None
    address: str | None = None


SYSTEM = Actor("system", "relance")


def actor_of(request: HttpRequest | Request) -> Actor:
    """Who makes this request. Raises `ValueError` when nobody has logged in."""
    auth = getattr(request, "auth", None)
    if isinstance(auth, Service):
        return Actor("service", auth.name, address=address(request))
    if isinstance(auth, ApiKey):
        return Actor("api_key", str(auth), address=address(request))
    if request.user.pk is None:
        raise ValueError("nobody has logged in: this request has no actor")
    return Actor("user", request.user.get_username(), request.user.pk, address(request))


def address(request: HttpRequest | Request | None) -> str | None:
    """Where a request comes from; None when that is no address: a header may hold anything."""
    try:
        return str(ipaddress.ip_address(address_of(request))) if request is not None else None
    except ValueError:
        return None


def record(
    *,
    tenant_id: int | None,
    verb: Verb,
    actor: Actor = SYSTEM,
    subject: Model | None = None,
    detail: Mapping[str, Any] | None = None,
    now: datetime,
) -> None:
    """Write one line, in the caller's transaction.

    `tenant_id` is None for what concerns no company. `detail` holds JSON without phone numbers or
    texts of messages: the log outlives people's wish to be forgotten.
    """
    Activity.objects.create(
        subject_type=subject._meta.label_lower if subject is not None else "",
        subject_id=subject.pk if subject is not None else None,
        subject_name=scrub(str(subject))[:200] if subject is not None else "",
        **_common(tenant_id, verb, actor, detail, now),
    )


def record_each(
    *,
    tenant_id: int,
    verb: Verb,
    actor: Actor = SYSTEM,
    model: type[Model],
    ids: list[int],
    detail: Mapping[str, Any] | None = None,
    now: datetime,
) -> None:
    """One line for each row of `model` in `ids`: the same happened to all. They carry no name."""
    Activity.objects.bulk_create(
        [
            Activity(
                subject_type=model._meta.label_lower,
                subject_id=pk,
                **_common(tenant_id, verb, actor, detail, now),
            )
            for pk in ids
        ],
        batch_size=1000,
    )


def record_for_user(
    user: User,
    verb: Verb,
    *,
    actor: Actor,
    detail: Mapping[str, Any] | None = None,
    now: datetime,
) -> None:
    """What somebody did with their own login: a line in each of their companies, or one in none."""
    for tenant_id in user.memberships.values_list("tenant_id", flat=True) or [None]:
        record(tenant_id=tenant_id, verb=verb, actor=actor, detail=detail, now=now)


def _common(
    tenant_id: int | None,
    verb: Verb,
    actor: Actor,
    detail: Mapping[str, Any] | None,
    now: datetime,
) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "at": now,
        "verb": verb,
        "actor_kind": actor.kind,
        "actor_name": actor.name[:150],
        "user_id": actor.user_id,
        "address": actor.address,
        "detail": dict(detail or {}),
    }


def forget_old(*, now: datetime, batch: int = 10_000) -> int:
    """Delete what is older than RELANCE_ACTIVITY_DAYS; returns how many.

    In batches, each a transaction of its own: writers never wait.
    """
    deleted = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                DELETE FROM accounts_activity WHERE id IN (
                    SELECT id FROM accounts_activity
                    WHERE at < %s - make_interval(days => %s) LIMIT %s)
                """,
                [now, settings.ACTIVITY_DAYS, batch],
            )
            gone: int = cursor.rowcount
        deleted += gone
        if gone < batch:
            return deleted
