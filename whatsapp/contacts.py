"""Contacts of a tenant: found or made in sets, and what they agreed to.

Whatever changes what somebody agreed to stands in their consent ledger (`ConsentEntry`), written
in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from accounts import phones
from accounts.activity import SYSTEM, Actor, Verb, record
from accounts.models import Tenant
from whatsapp import outbox, suppression
from whatsapp.models import ConsentEntry, Contact
from whatsapp.signals import contact_opted_in, contact_opted_out, lawful_basis_changed

What = ConsentEntry.What
EDITABLE = frozenset({"name", "language", "persona", "tags"})
LANGUAGE = r"[a-z]{2,3}(-[a-z0-9]{2,4})?"


class Known(ValueError):
    """The number is that of `contact` already."""

    def __init__(self, contact: Contact) -> None:
        super().__init__("there is a contact with this number already")
        self.contact = contact


class Forgotten(ValueError):
    """The person asked to be forgotten: nobody enters them again."""


def ensure(*, tenant_id: int, people: Mapping[str, str], source: str = "") -> dict[str, int]:
    """Contact ids by phone (E.164) for `people`, phone -> name; missing ones are made.

    The name of a contact that exists is kept unless it was empty; so is its source
    (`Contact.Source`).
    """
    if not people:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO whatsapp_contact
                (tenant_id, phone, name, lid, source, opt_out_reason, created_at)
            SELECT %s, phone, left(name, 200), '', %s, '', clock_timestamp()
            FROM unnest(%s::text[], %s::text[]) AS person (phone, name)
            ORDER BY phone
            ON CONFLICT (tenant_id, phone) WHERE NOT (phone = '') DO NOTHING
            """,
            [tenant_id, source, list(people.keys()), list(people.values())],
        )
    found = Contact.objects.filter(tenant_id=tenant_id, phone__in=people.keys())
    return dict(found.values_list("phone", "id"))


def note_number(contact: Contact, *, known: bool, now: datetime) -> None:
    """WhatsApp said whether it knows the contact's number.

    A message waits for this and no promise hangs on it: it does not wait for the disk. Nor would
    anything else of a transaction that it is in: call it outside of one.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE whatsapp_contact SET on_whatsapp = %s, checked_at = %s WHERE id = %s
            RETURNING set_config('synchronous_commit', 'off', true)
            """,
            [known, now, contact.pk],
        )


def opt_out(
    contact: Contact,
    *,
    reason: str,
    how: str = "message",
    actor: Actor = SYSTEM,
    now: datetime,
) -> bool:
    """Never write to `contact` again; False when they had opted out before.

    What follows them (campaigns) leaves first, then every message still queued is cancelled: the
    order in which exits and planning lock, too. `how` is the way by which we know: message,
    import, API, admin.
    """
    with transaction.atomic():
        changed = Contact.objects.filter(pk=contact.pk, opted_out_at=None).update(
            opted_out_at=now, opt_out_reason=reason[:80]
        )
        if not changed:
            return False
        contact.refresh_from_db()
        enter(contact, What.OPTED_OUT, how=how, note=reason, actor=actor, now=now)
        contact_opted_out.send(sender=Contact, contact=contact, actor=actor, now=now)
        _cancel_queued(contact, reason="opted_out", now=now)
    return True


def opt_in(
    contact: Contact,
    *,
    how: str = "message",
    note: str = "",
    actor: Actor = SYSTEM,
    now: datetime,
) -> bool:
    """They want to hear from the company again; False when nothing kept them from it.

    What they left stays left: nothing that was cancelled is sent after all.
    """
    with transaction.atomic():
        # Both, not only the first.
        allowed = sum(
            suppression.allow(contact.tenant, known_as)
            for known_as in (contact.phone, contact.lid)
            if known_as
        )
        changed = (
            Contact.objects.filter(pk=contact.pk)
            .exclude(opted_out_at=None)
            .update(opted_out_at=None, opt_out_reason="")
        )
        if not changed and not allowed:
            return False
        contact.refresh_from_db()
        enter(contact, What.OPTED_IN, how=how, note=note, actor=actor, now=now)
        contact_opted_in.send(sender=Contact, contact=contact, actor=actor, now=now)
    return True


def create(
    *,
    tenant: Tenant,
    phone: str,
    source: str,
    actor: Actor = SYSTEM,
    now: datetime,
    **fields: Any,
) -> Contact:
    """Enter somebody: `phone` as a person writes it, `fields` those of `EDITABLE`.

    Raises `phones.BadPhone`, `Known` (with the contact that has the number), `Forgotten`.
    """
    number = phones.parse(phone, region=tenant.region)
    with transaction.atomic():
        suppression.hold(tenant)
        if suppression.suppressed(tenant, [number]):
            raise Forgotten("this person asked to be forgotten")
        made, created = Contact.objects.get_or_create(
            tenant=tenant, phone=number, defaults={"source": source, **fields}
        )
        if not created:
            raise Known(made)  # somebody else entered them in between
        _record(made, Verb.CREATED, actor=actor, now=now)
    return made


def edit(contact: Contact, *, actor: Actor = SYSTEM, now: datetime, **fields: Any) -> bool:
    """Change what is known of somebody (`EDITABLE`); False when all of it stood there already."""
    with transaction.atomic():
        row = Contact.objects.select_for_update(no_key=True).get(pk=contact.pk)
        changed = {name: value for name, value in fields.items() if getattr(row, name) != value}
        if changed.keys() - EDITABLE:
            raise ValueError(f"not to be edited: {', '.join(sorted(changed.keys() - EDITABLE))}")
        if not changed:
            return False
        Contact.objects.filter(pk=contact.pk).update(**changed)
        record(
            tenant_id=contact.tenant_id,
            verb=Verb.CHANGED,
            actor=actor,
            subject=contact,
            detail={"fields": sorted(changed)},
            now=now,
        )
    contact.refresh_from_db()
    return True


def tag(rows: QuerySet[Contact], words: list[str], *, actor: Actor = SYSTEM, now: datetime) -> int:
    """Give all of `rows` these tags (tags.py) besides those they have; returns how many changed."""
    done = 0
    for contact in rows.exclude(tags__contains=words).order_by("id"):
        joined = [*contact.tags, *(word for word in words if word not in contact.tags)]
        done += edit(contact, tags=joined, actor=actor, now=now)
    return done


def record_basis(
    contact: Contact,
    *,
    basis: str,
    note: str,
    how: str,
    actor: Actor = SYSTEM,
    now: datetime,
) -> bool:
    """Record why one may write to `contact` (`Contact.LawfulBasis`), who says so and when.

    False when the same stands there already. Raises `ValueError` for a basis that is none.
    """
    basis = Contact.LawfulBasis(basis).value
    note = note[:300]
    with transaction.atomic():
        changed = (
            Contact.objects.filter(pk=contact.pk)
            .exclude(lawful_basis=basis, lawful_basis_note=note)
            .update(
                lawful_basis=basis,
                lawful_basis_at=now,
                lawful_basis_by=actor.name[:150],
                lawful_basis_note=note,
            )
        )
        if not changed:
            return False
        contact.refresh_from_db()
        said = f"{basis}: {note}" if note else basis
        enter(contact, What.LAWFUL_BASIS, how=how, note=said, actor=actor, now=now)
        _record(contact, Verb.BASIS_RECORDED, actor=actor, now=now, basis=basis)
        lawful_basis_changed.send(sender=Contact, contact=contact, actor=actor, now=now)
    return True


def withdraw_basis(
    contact: Contact, *, note: str, how: str, actor: Actor = SYSTEM, now: datetime
) -> bool:
    """The lawful basis holds no longer; False when there was none.

    Somebody known from a group only gets nothing more: what follows them leaves, what is queued
    is cancelled, as in `opt_out`.
    """
    with transaction.atomic():
        changed = (
            Contact.objects.filter(pk=contact.pk)
            .exclude(lawful_basis="")
            .update(lawful_basis="", lawful_basis_at=None, lawful_basis_by="", lawful_basis_note="")
        )
        if not changed:
            return False
        contact.refresh_from_db()
        enter(contact, What.LAWFUL_BASIS_WITHDRAWN, how=how, note=note, actor=actor, now=now)
        _record(contact, Verb.BASIS_WITHDRAWN, actor=actor, now=now)
        lawful_basis_changed.send(sender=Contact, contact=contact, actor=actor, now=now)
        if contact.obstacle:
            _cancel_queued(contact, reason=contact.obstacle, now=now)
    return True


def enter(contact: Contact, what: str, *, how: str, note: str, actor: Actor, now: datetime) -> None:
    """A line of the consent ledger, in the caller's transaction."""
    ConsentEntry.objects.create(
        contact=contact,
        at=now,
        what=what,
        how=how[:80],
        note=note[:300],
        actor_name=actor.name[:150],
    )


def _cancel_queued(contact: Contact, *, reason: str, now: datetime) -> None:
    queued = contact.messages.filter(state="queued").values_list("id", flat=True)
    outbox.cancel(list(queued), reason=reason, now=now)


def _record(contact: Contact, verb: Verb, *, actor: Actor, now: datetime, **detail: str) -> None:
    record(
        tenant_id=contact.tenant_id,
        verb=verb,
        actor=actor,
        subject=contact,
        detail=detail,
        now=now,
    )
