"""Contacts of a tenant: found or made in sets, and their wish to be left alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import connection, transaction

from accounts.activity import SYSTEM, Actor
from whatsapp import outbox, suppression
from whatsapp.models import Contact
from whatsapp.signals import contact_opted_in, contact_opted_out


def ensure(*, tenant_id: int, people: Mapping[str, str]) -> dict[str, int]:
    """Contact ids by phone (E.164) for `people`, phone -> name; missing ones are made.

    The name of a contact that exists is kept unless it was empty.
    """
    if not people:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO whatsapp_contact
                (tenant_id, phone, name, lid, opt_out_reason, created_at)
            SELECT %s, phone, left(name, 200), '', '', clock_timestamp()
            FROM unnest(%s::text[], %s::text[]) AS person (phone, name)
            ORDER BY phone
            ON CONFLICT (tenant_id, phone) WHERE NOT (phone = '') DO NOTHING
            """,
            [tenant_id, list(people.keys()), list(people.values())],
        )
    found = Contact.objects.filter(tenant_id=tenant_id, phone__in=people.keys())
    return dict(found.values_list("phone", "id"))


def opt_out(contact: Contact, *, reason: str, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Never write to `contact` again; False when they had opted out before.

    What follows them (campaigns) leaves first, then every message still queued is cancelled: the
    order in which exits and planning lock, too.
    """
    with transaction.atomic():
        changed = Contact.objects.filter(pk=contact.pk, opted_out_at=None).update(
            opted_out_at=now, opt_out_reason=reason
        )
        if not changed:
            return False
        contact.refresh_from_db()
        contact_opted_out.send(sender=Contact, contact=contact, actor=actor, now=now)
        queued = contact.messages.filter(state="queued").values_list("id", flat=True)
        outbox.cancel(list(queued), reason="opted_out", now=now)
    return True


def opt_in(contact: Contact, *, actor: Actor = SYSTEM, now: datetime) -> bool:
    """They want to hear from the company again; False when nothing kept them from it.

    What they left stays left: nothing that was cancelled is sent after all.
    """
    with transaction.atomic():
        allowed = bool(contact.phone) and suppression.allow(contact.tenant, contact.phone)
        changed = (
            Contact.objects.filter(pk=contact.pk)
            .exclude(opted_out_at=None)
            .update(opted_out_at=None, opt_out_reason="")
        )
        if not changed and not allowed:
            return False
        contact.refresh_from_db()
        contact_opted_in.send(sender=Contact, contact=contact, actor=actor, now=now)
    return True
