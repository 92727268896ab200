"""What happened with one contact, newest first: messages, answers, consent, groups, changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from django.db.models.functions import Coalesce

from accounts.models import Activity
from accounts.verbs import Verb
from whatsapp.models import Contact

# Recorded apart from the consent ledger, which says the same with its note.
TOLD = (Verb.CREATED, Verb.CHANGED, Verb.CONTACTS_MERGED)
SHOWN = 200  # characters of a text


@dataclass(frozen=True, slots=True)
class Event:
    """`kind` is message, incoming, consent, seen_in_group, left_group or record; `what` a word of
    its own (state, kind, `ConsentEntry.What`, verb), `detail` a text, a note or a group."""

    at: datetime
    kind: str
    what: str
    detail: str = ""
    by: str = ""  # an account, or who did it


def of_contact(contact: Contact, *, before: datetime | None = None, limit: int = 50) -> list[Event]:
    """The `limit` newest events before that time."""
    found = [
        event
        for source in (_messages, _incoming, _consent, _groups, _records)
        for event in islice(source(contact, before), limit)
    ]
    return sorted(found, key=lambda event: event.at, reverse=True)[:limit]


def _messages(contact: Contact, before: datetime | None) -> Iterator[Event]:
    rows = contact.messages.annotate(at=Coalesce("sent_at", "ended_at", "created_at"))
    if before is not None:
        rows = rows.filter(at__lt=before)
    for row in rows.select_related("account").order_by("-at").iterator(chunk_size=100):
        at = row.sent_at or row.ended_at or row.created_at
        yield Event(at, "message", row.state, row.body[:SHOWN], row.account.name)


def _incoming(contact: Contact, before: datetime | None) -> Iterator[Event]:
    rows = contact.incoming.filter(from_me=False)
    if before is not None:
        rows = rows.filter(sent_at__lt=before)
    for row in rows.select_related("account").order_by("-sent_at").iterator(chunk_size=100):
        yield Event(row.sent_at, "incoming", row.kind, row.body[:SHOWN], row.account.name)


def _consent(contact: Contact, before: datetime | None) -> Iterator[Event]:
    rows = contact.consent.all()
    if before is not None:
        rows = rows.filter(at__lt=before)
    for row in rows.order_by("-at", "-id"):
        detail = f"{row.how}: {row.note}" if row.note else row.how
        yield Event(row.at, "consent", row.what, detail, row.actor_name)


def _groups(contact: Contact, before: datetime | None) -> Iterator[Event]:
    for row in contact.memberships.select_related("group"):
        if row.left_at is not None and (before is None or row.left_at < before):
            yield Event(row.left_at, "left_group", "left", str(row.group))
        if before is None or row.seen_at < before:
            role = "admin" if row.admin else "member"
            yield Event(row.seen_at, "seen_in_group", role, str(row.group))


def _records(contact: Contact, before: datetime | None) -> Iterator[Event]:
    rows = Activity.objects.filter(
        tenant=contact.tenant_id,
        subject_type=Contact._meta.label_lower,
        subject_id=contact.pk,
        verb__in=TOLD,
    )
    if before is not None:
        rows = rows.filter(at__lt=before)
    for row in rows.order_by("-at"):
        fields = row.detail.get("fields", [])
        yield Event(row.at, "record", row.verb, ", ".join(fields), row.actor_name)
