"""Who somebody is: a phone, a LID (WhatsApp's id without a phone), or both once the pair is learnt.

One person, one row. What is said last counts: a LID that comes with another phone is that phone's
person now. Two rows that turn out to be one person are merged into the one with the phone.

Locks: the contacts by id, the one that goes FOR UPDATE, then what refers to them. Whoever queues a
message holds its contact FOR KEY SHARE (outbox.queue_batch): a merge sees the message, or the
message finds the contact gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connection, transaction
from django.db.models import (
    Exists,
    ForeignObjectRel,
    Model,
    OneToOneField,
    OuterRef,
    Q,
    QuerySet,
    UniqueConstraint,
)

from accounts.activity import SYSTEM, Verb, record
from accounts.models import Activity
from whatsapp import contacts, engagement, suppression
from whatsapp.failpoints import failpoint
from whatsapp.models import Chat, ConsentEntry, Contact, GroupMember
from whatsapp.signals import contacts_merged, contacts_scraped

ATTEMPTS = 5


def find_or_make(
    *,
    tenant_id: int,
    phone: str = "",
    lid: str = "",
    name: str = "",
    source: str,
    source_detail: str = "",
    now: datetime,
) -> Contact:
    """The contact with this phone (E.164) and LID (``123@lid``), of which one may be empty.

    Made where nobody is known; a pair that is new is stored, and two rows become one. Inside the
    caller's transaction the row stays locked until its end. `name` fills an empty one; `source`
    (`Contact.Source`) is that of a new row.
    """
    if not phone and not lid:
        raise ValueError("a contact has a phone, a LID or both")
    made = False
    for _attempt in range(ATTEMPTS):
        try:
            with transaction.atomic():
                contact = _pair(tenant_id, phone, lid, now=now)
                if contact is not None:
                    if made:
                        _heed_deletion(contact, now=now)
                    if name and not contact.name:
                        contact.name = name[:200]
                        contact.save(update_fields=["name"])
                    return contact
                made = _insert(tenant_id, phone, lid, name, source, source_detail, now=now)
        except IntegrityError:
            continue  # somebody else has stored this phone or LID a moment ago
    raise RuntimeError("phone and LID of a contact change all the time")


def _insert(
    tenant_id: int, phone: str, lid: str, name: str, source: str, detail: str, *, now: datetime
) -> bool:
    """Waits for whoever is inserting the same, and then leaves it to them: False."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO whatsapp_contact
                (tenant_id, phone, lid, name, source, source_detail, opt_out_reason, created_at)
            VALUES (%s, %s, %s, %s, %s, %s, '', %s) ON CONFLICT DO NOTHING
            """,
            [tenant_id, phone, lid, name[:200], source, detail[:200], now],
        )
        return bool(cursor.rowcount)


def _pair(tenant_id: int, phone: str, lid: str, *, now: datetime) -> Contact | None:
    """The person of this pair, after whatever the pair tells that was not known; None: nobody."""
    known = Q(phone=phone) if phone else Q()
    known |= Q(lid=lid) if lid else Q()
    rows = list(
        Contact.objects.select_for_update(no_key=True)
        .filter(known, tenant_id=tenant_id)
        .order_by("id")
    )
    by_phone = next((row for row in rows if phone and row.phone == phone), None)
    by_lid = next((row for row in rows if lid and row.lid == lid), None)
    if by_lid is None:
        if by_phone is not None and lid:
            _store(by_phone, lid=lid)
            _heed_deletion(by_phone, now=now)
        return by_phone
    if not phone or by_lid is by_phone:
        return by_lid
    if not by_lid.phone:
        if by_phone is None:
            _store(by_lid, phone=phone)
            _heed_deletion(by_lid, now=now)
            _ask_for_basis(by_lid, now=now)
            return by_lid
        merge(kept=by_phone, gone=by_lid, now=now)
        return by_phone
    # They have another number now. Who has the old one next is somebody else.
    _store(by_lid, lid="")
    if by_phone is None:
        by_phone = Contact.objects.create(
            tenant_id=tenant_id,
            phone=phone,
            name=by_lid.name,
            source=by_lid.source,
            source_detail=by_lid.source_detail,
            language=by_lid.language,
        )
    _store(by_phone, lid=lid)
    if by_lid.opted_out_at is not None:
        contacts.opt_out(by_phone, reason=by_lid.opt_out_reason, how="their old number", now=now)
    _heed_deletion(by_phone, now=now)
    return by_phone


def _heed_deletion(contact: Contact, *, now: datetime) -> None:
    """Who was deleted by phone or by LID is not written to by the other one, learnt since."""
    known_as = {contact.phone, contact.lid} - {""}
    since = suppression.suppressed(contact.tenant, known_as)
    if since:
        for text in known_as:
            suppression.suppress(contact.tenant, text, now=min(since.values()))
        contacts.opt_out(contact, reason=suppression.REASON, how="deletion", now=now)


def _store(contact: Contact, **fields: str) -> None:
    for name, value in fields.items():
        setattr(contact, name, value)
    contact.save(update_fields=list(fields))


def merge(*, kept: Contact, gone: Contact, now: datetime) -> None:
    """Make one row of two that are one person: `kept` has the phone, `gone` only a LID.

    Messages in both directions, chats, receipts, memberships, tags and the consent ledger of
    `gone` become those of `kept`. An opt-out of either holds for both; a lawful basis that `kept`
    lacks is taken over, unless it was withdrawn there since; they came to us as the older of the
    two did, but whom one may write to is not scraped afterwards. Inside the caller's transaction,
    which holds both rows.
    """
    # From here on nothing new can refer to it.
    gone = Contact.objects.select_for_update().get(pk=gone.pk)
    refused, withdrawn = _withdrawn_at(kept), _withdrawn_at(gone)
    contacts_merged.send(sender=Contact, kept=kept, gone=gone, now=now)
    _join_chats(kept, gone)
    _join_memberships(kept, gone)
    _move_all(Contact, kept, gone)
    _move_records(kept, gone)
    failpoint("merge.moved")
    gone.delete()
    lid, fields = gone.lid, _joined(kept, gone, refused)
    Contact.objects.filter(pk=kept.pk).update(lid=lid, **fields)
    engagement.score([kept.pk], now=now)
    kept.refresh_from_db()
    _heed_deletion(kept, now=now)
    if gone.opted_out_at is not None and kept.opted_out_at is None:
        contacts.opt_out(kept, reason=gone.opt_out_reason, how="their other contact", now=now)
    if withdrawn and kept.lawful_basis_at and kept.lawful_basis_at < withdrawn:
        contacts.withdraw_basis(kept, note="", how="their other contact", now=now)
    _ask_for_basis(kept, now=now)
    record(tenant_id=kept.tenant_id, verb=Verb.CONTACTS_MERGED, actor=SYSTEM, subject=kept, now=now)


def _ask_for_basis(contact: Contact, *, now: datetime) -> None:
    """Somebody scraped has a phone now: whoever is followed by it must not lose their messages."""
    if contact.obstacle == "no_lawful_basis":
        contacts_scraped.send(
            sender=Contact, tenant_id=contact.tenant_id, contact_ids=[contact.pk], now=now
        )
        contact.refresh_from_db()


def _withdrawn_at(contact: Contact) -> datetime | None:
    """When somebody withdrew the basis that `contact` had; None where there is one, or was none."""
    if contact.lawful_basis:
        return None
    entries = contact.consent.filter(what=ConsentEntry.What.LAWFUL_BASIS_WITHDRAWN)
    return entries.values_list("at", flat=True).first()


def _joined(kept: Contact, gone: Contact, refused: datetime | None) -> dict[str, Any]:
    """`refused`: when the basis of `kept` was withdrawn."""
    oldest = kept if kept.created_at <= gone.created_at else gone
    # Who was scraped only now is known in another way already, and who was refused stays so.
    scraped_too = gone.source == Contact.Source.GROUP and kept.source
    first = kept if scraped_too or refused else oldest
    taken_over = gone.lawful_basis_at and not (refused and gone.lawful_basis_at < refused)
    basis = gone if taken_over and not kept.lawful_basis else kept
    checked = kept if kept.checked_at else gone
    return {
        "name": kept.name or gone.name,
        "persona": kept.persona or gone.persona,
        "language": kept.language or gone.language,
        "tags": [*kept.tags, *(tag for tag in gone.tags if tag not in kept.tags)],
        "source": first.source,
        "source_detail": first.source_detail,
        "created_at": oldest.created_at,
        "lawful_basis": basis.lawful_basis,
        "lawful_basis_at": basis.lawful_basis_at,
        "lawful_basis_by": basis.lawful_basis_by,
        "lawful_basis_note": basis.lawful_basis_note,
        "on_whatsapp": checked.on_whatsapp,
        "checked_at": checked.checked_at,
    }


def _join_chats(kept: Contact, gone: Contact) -> None:
    for old in Chat.objects.filter(contact=gone):
        same = Chat.objects.filter(contact=kept, account=old.account_id)
        chat = same.select_for_update().first()
        if chat is None:
            continue
        later = max((old, chat), key=lambda c: (c.taken_over_until is not None, c.taken_over_until))
        same.update(
            started_at=min(chat.started_at, old.started_at),
            last_incoming_at=_latest(chat.last_incoming_at, old.last_incoming_at),
            last_outgoing_at=_latest(chat.last_outgoing_at, old.last_outgoing_at),
            unread=chat.unread + old.unread,
            taken_over_at=later.taken_over_at,
            taken_over_until=later.taken_over_until,
            taken_over_by=later.taken_over_by,
        )
        _move_all(Chat, chat, old)


def _latest(*times: datetime | None) -> datetime | None:
    return max((time for time in times if time is not None), default=None)


def _join_memberships(kept: Contact, gone: Contact) -> None:
    for old in GroupMember.objects.filter(contact=gone):
        same = GroupMember.objects.filter(contact=kept, group=old.group_id)
        for member in same.select_for_update():
            still_there = old.left_at is None or member.left_at is None
            same.update(
                seen_at=max(old.seen_at, member.seen_at),
                admin=old.admin or member.admin,
                left_at=None if still_there else member.left_at,
            )


def _move_all(model: type[Model], kept: Model, gone: Model) -> None:
    """Everything that refers to `gone` refers to `kept` then, unless `kept` has the like."""
    for relation in model._meta.get_fields(include_hidden=True):
        if not isinstance(relation, ForeignObjectRel):
            continue
        rows = relation.related_model._base_manager
        name = relation.field.name
        moved: QuerySet[Any] = rows.filter(**{name: gone})
        for others, where in _unique_with(relation.field):
            same = {other: OuterRef(other) for other in others}
            like = rows.filter(where, **{name: kept}, **same)
            moved = moved.exclude(Q(Exists(like)) & where)
        moved.update(**{name: kept})


def _move_records(kept: Contact, gone: Contact) -> None:
    """What was recorded of it, too: whoever deletes a person's data looks under their contact."""
    Activity.objects.filter(subject_type=Contact._meta.label_lower, subject_id=gone.pk).update(
        subject_id=kept.pk
    )
    kind = ContentType.objects.get_for_model(Contact)
    LogEntry.objects.filter(content_type=kind, object_id=str(gone.pk)).update(
        object_id=str(kept.pk)
    )


def _unique_with(field: Any) -> Iterator[tuple[list[str], Q]]:
    """For each uniqueness that `field` takes part in: its other fields, and which rows it is of."""
    if isinstance(field, OneToOneField):
        yield [], Q()
    for constraint in field.model._meta.constraints:
        if isinstance(constraint, UniqueConstraint) and field.name in constraint.fields:
            others = [name for name in constraint.fields if name != field.name]
            yield others, constraint.condition or Q()
