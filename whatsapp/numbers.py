"""A tenant's accounts as people keep them: made under a name, given limits of their own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Min

from accounts.activity import SYSTEM, Actor, Verb, record
from accounts.models import Tenant, User
from whatsapp import limits, pace
from whatsapp.models import Account

PACE = ("gap_jitter_ms", "typing_ms", "quiet_hours", "new_chats_per_day", "warm_up_days")


class NameTaken(ValueError):
    """The tenant has an account of that name."""


def create(
    *, tenant: Tenant, name: str, owner: User | None, actor: Actor = SYSTEM, now: datetime
) -> Account:
    """A new account, not linked yet. Raises `NameTaken`."""
    with transaction.atomic():
        try:
            with transaction.atomic():
                account = Account.objects.create(tenant=tenant, name=name, owner=owner)
        except IntegrityError as error:
            raise NameTaken(f"there is an account named “{name}” already") from error
        record(
            tenant_id=tenant.pk, verb=Verb.ACCOUNT_CREATED, actor=actor, subject=account, now=now
        )
    return account


def since_when(account_id: int, phone: str, *, now: datetime) -> dict[str, Any]:
    """The first day of a number with this company: that of an account it was linked to before.

    As fields of the account that is linked to it now; the number itself is not kept for this.
    """
    account = Account.objects.select_related("tenant").get(pk=account_id)
    known = account.tenant.hash(phone, purpose="linked-phone")
    if account.first_linked_on is not None and account.first_linked_hash in ("", known):
        return {"first_linked_hash": known}
    before = Account.objects.filter(tenant=account.tenant, first_linked_hash=known)
    first = before.aggregate(day=Min("first_linked_on"))["day"]
    return {
        "first_linked_hash": known,
        "first_linked_on": first or limits.today(account.tenant, now=now),
    }


def set_limits(
    account: Account,
    *,
    daily: int | None,
    per_minute: int | None,
    gap_ms: int | None,
    actor: Actor = SYSTEM,
    now: datetime,
) -> None:
    """Limits of this account alone; None is the default of the settings. They hold from now on."""
    values = {"daily_limit": daily, "per_minute": per_minute, "gap_ms": gap_ms}
    _change(account, values, actor=actor, now=now)


def set_pace(
    account: Account, values: Mapping[str, Any], *, actor: Actor = SYSTEM, now: datetime
) -> None:
    """Change some of `PACE` of this account alone; None, or no hours, is the default.

    What waits is looked at anew: it may go now. Raises `ValidationError` with what is wrong.
    """
    proposed = Account(**values)
    proposed.clean_fields(exclude={f.name for f in Account._meta.fields} - set(values))
    with transaction.atomic():
        if _change(account, values, actor=actor, now=now):
            pace.ask_again(account, now=now)


def _change(account: Account, values: Mapping[str, Any], *, actor: Actor, now: datetime) -> bool:
    with transaction.atomic():
        current = Account.objects.select_for_update(of=("self",), no_key=True).get(pk=account.pk)
        before = {name: getattr(current, name) for name in values}
        if before == values:
            return False
        Account.objects.filter(pk=account.pk).update(**values)
        record(
            tenant_id=account.tenant_id,
            verb=Verb.LIMITS_CHANGED,
            actor=actor,
            subject=account,
            detail={"before": before, "after": dict(values)},
            now=now,
        )
    account.refresh_from_db()
    return True
