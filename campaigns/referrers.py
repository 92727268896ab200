"""A referrer's own side: the account that is theirs, and whether new people are taken in."""

from __future__ import annotations

from django.db import transaction
from django.utils.text import slugify

from campaigns.models import Referrer
from whatsapp.models import Account


def account_of(referrer: Referrer) -> Account:
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
    referrer.account = current.account
    return current.account


def pause_enrolment(referrer: Referrer, *, paused: bool) -> bool:
    """Take no new people in, or take them in again; False when it was so already."""
    done = Referrer.objects.filter(pk=referrer.pk, enrolment_paused=not paused).update(
        enrolment_paused=paused
    )
    referrer.enrolment_paused = paused
    return bool(done)
