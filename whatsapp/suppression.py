"""Heeding a wish to be forgotten: imports, direct sends and what comes in ask here.

Whoever is about to store numbers takes `hold` in its transaction, a deletion takes it alone: so an
import either sees the deletion, or the deletion sees what was imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import connection

from accounts.models import Tenant
from whatsapp.models import Suppression

PURPOSE = "suppressed-phone"
# Why a contact of theirs opted out.
REASON = "asked to be forgotten"
# Key of an advisory lock, together with the tenant's id; used by nothing else in this database.
LOCK = 730_541_702


def hold(tenant: Tenant, *, alone: bool = False) -> None:
    """Until the transaction ends, nobody's data of `tenant` is deleted meanwhile."""
    function = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s, %s)", [LOCK, tenant.pk % 2**31])


def suppressed(tenant: Tenant, phones: Iterable[str]) -> dict[str, datetime]:
    """Those of `phones` (E.164, or LIDs) that nobody may write to, with the time since when."""
    if not Suppression.objects.filter(tenant=tenant).exists():
        return {}
    hash_of = tenant.hasher(purpose=PURPOSE)
    by_hash = {hash_of(phone): phone for phone in phones}
    found = Suppression.objects.filter(tenant=tenant, phone_hash__in=by_hash.keys())
    return {by_hash[row.phone_hash]: row.since for row in found}


def suppress(tenant: Tenant, phone: str, *, now: datetime) -> Suppression:
    """Keep a hash of `phone` (E.164, or a LID); the first time counts."""
    row, _created = Suppression.objects.get_or_create(
        tenant=tenant, phone_hash=tenant.hash(phone, purpose=PURPOSE), defaults={"since": now}
    )
    return row


def allow(tenant: Tenant, phone: str) -> bool:
    """The person wants to hear from the company again; False when nothing kept them from it."""
    digest = tenant.hash(phone, purpose=PURPOSE)
    rows = Suppression.objects.filter(tenant=tenant, phone_hash=digest, unfinished=None)
    return bool(rows.delete()[0])
