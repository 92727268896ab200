"""Referrals are a lawful basis of their own: whoever registered with the company may be written to.

Somebody scraped from a group who is, or becomes, a referral gets the basis ``contract`` (steps
taken at their own request before a contract) recorded by Relance, in the ledger like any other.
Not if a person has withdrawn a basis of theirs before: then only a person records another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.dispatch import receiver

from accounts import poison
from accounts.activity import SYSTEM, Actor
from campaigns import exits
from campaigns.models import Referral, Target
from whatsapp import contacts
from whatsapp.models import ConsentEntry, Contact
from whatsapp.signals import contacts_scraped, lawful_basis_changed

NOTE = "registered with the company as a referral"
REFUSED = "no_lawful_basis"
_REFERRAL = Referral.objects.filter(tenant=OuterRef("tenant"), phone=OuterRef("phone"))


def of_imported(*, tenant_id: int, phones: Iterable[str], now: datetime) -> int:
    """Record the basis of scraped contacts with `phones`, who are becoming referrals.

    In the import's transaction, before it locks a referral: contacts come first (exits.py).
    """
    return _record(_scraped().filter(tenant=tenant_id, phone__in=set(phones)), now=now)


def of_referrals(*, now: datetime) -> int:
    """The same for scraped contacts who are referrals already; returns of how many."""
    recorded = 0
    for contact in _scraped().filter(Exists(_REFERRAL)):
        with poison.apart("lawful basis not recorded", contact_id=contact.pk):
            recorded += _record([contact], now=now)
    return recorded


@receiver(contacts_scraped)
def on_contacts_scraped(*, contact_ids: list[int], now: datetime, **_: Any) -> None:
    _record(_scraped().filter(Exists(_REFERRAL), pk__in=contact_ids), now=now)


def _scraped() -> QuerySet[Contact]:
    withdrawn = ConsentEntry.objects.filter(
        contact=OuterRef("pk"), what=ConsentEntry.What.LAWFUL_BASIS_WITHDRAWN
    )
    rows = Contact.objects.filter(source=Contact.Source.GROUP, lawful_basis="")
    return rows.exclude(phone="").exclude(Exists(withdrawn)).order_by("id")


def _record(rows: Iterable[Contact], *, now: datetime) -> int:
    return sum(
        contacts.record_basis(
            contact,
            basis=Contact.LawfulBasis.CONTRACT,
            note=NOTE,
            how="referral",
            actor=SYSTEM,
            now=now,
        )
        for contact in rows
    )


@receiver(lawful_basis_changed)
def on_lawful_basis_changed(*, contact: Contact, actor: Actor, now: datetime, **_: Any) -> None:
    """Without one they leave; with one, who could not start because of it is looked at again."""
    if not contact.phone:
        return
    if contact.obstacle == REFUSED:
        exits.exit_phone(
            tenant_id=contact.tenant_id,
            phone=contact.phone,
            reason=Target.ExitReason.BY_HAND,
            actor=actor,
            now=now,
        )
    else:
        Referral.objects.filter(
            tenant_id=contact.tenant_id, phone=contact.phone, skipped_reason=REFUSED
        ).update(skipped_reason="", enrolled_at=None)
