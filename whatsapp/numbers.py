"""A tenant's accounts as people keep them: made under a name, given limits of their own."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from accounts.activity import SYSTEM, Actor, Verb, record
from accounts.models import Tenant, User
from whatsapp.models import Account


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
    with transaction.atomic():
        current = Account.objects.select_for_update(of=("self",), no_key=True).get(pk=account.pk)
        before = {name: getattr(current, name) for name in values}
        if before == values:
            return
        Account.objects.filter(pk=account.pk).update(**values)
        record(
            tenant_id=account.tenant_id,
            verb=Verb.LIMITS_CHANGED,
            actor=actor,
            subject=account,
            detail={"before": before, "after": values},
            now=now,
        )
    account.refresh_from_db()
