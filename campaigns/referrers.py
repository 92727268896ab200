"""A referrer's own side: the account that is theirs, and whether new people are taken in."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.text import slugify

from accounts import activity
from accounts.activity import SYSTEM, Actor, Verb
from campaigns.models import Referrer
from whatsapp.models import Account


def account_of(referrer: Referrer, *, actor: Actor = SYSTEM, now: datetime) -> Account:
    """The referrer's account; made at the first call that needs one."""
    if referrer.account is not None:
        return referrer.account
    with transaction.atomic():
        current = Referrer.objects.select_for_update(of=("self",)).get(pk=referrer.pk)
        if current.account is None:
            name = slugify(current.external_id)[:60] or "referrer"
            if Account.objects.filter(tenant=current.tenant, name=name).exists():
                name = f"{name}-{current.pk}"
            current.account = Account.objects.create(
                tenant=current.tenant, owner=current.user, name=name
            )
            current.save(update_fields=["account"])
            activity.record(
                tenant_id=current.tenant_id,
                verb=Verb.ACCOUNT_CREATED,
                actor=actor,
                subject=current.account,
                now=now,
            )
    referrer.account = current.account
    return current.account


def pause_enrolment(
    referrer: Referrer, *, paused: bool, actor: Actor = SYSTEM, now: datetime
) -> bool:
    """Take no new people in, or take them in again; False when it was so already."""
    with transaction.atomic():
        done = Referrer.objects.filter(pk=referrer.pk, enrolment_paused=not paused).update(
            enrolment_paused=paused
        )
        if done:
            activity.record(
                tenant_id=referrer.tenant_id,
                verb=Verb.ENROLMENT_PAUSED if paused else Verb.ENROLMENT_RESUMED,
                actor=actor,
                subject=referrer,
                now=now,
            )
    referrer.enrolment_paused = paused
    return bool(done)
