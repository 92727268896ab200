"""A person's data: handed over, or deleted; the person is whoever has a phone number, or a LID.

Deleting leaves three things: a hash of the number, so that no import follows the person again;
payments under the customer's own id, unless the number is that id; and lines of the activity log
that say what happened without saying to whom. What WhatsApp itself keeps, on the referrer's phone
and in the browser profile, is not ours to delete: docs/how-to/peoples-data.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Model, Q, QuerySet

from accounts import activity, deadlocks, poison
from accounts.activity import SYSTEM, Actor, Verb
from accounts.models import Activity, Tenant
from campaigns import exits
from campaigns.models import Delivery, Payment, Recipient, Referral, Target
from whatsapp import contacts, media, suppression
from whatsapp.models import (
    AgentTurn,
    Attempt,
    Chat,
    ConsentEntry,
    Contact,
    GroupMember,
    Incoming,
    Message,
    MessageReceipt,
    Suppression,
    WebhookEvent,
)

State = Message.State


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a deletion took away. `in_flight` messages were being sent: they follow in minutes."""

    contacts: int
    messages: int
    incoming: int
    referrals: int
    targets: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class _Rows:
    """Everything about one person, by all that WhatsApp knows them by."""

    phones: list[str]
    lids: list[str]
    contacts: QuerySet[Contact]
    referrals: QuerySet[Referral]
    targets: QuerySet[Target]
    messages: QuerySet[Message]
    incoming: QuerySet[Incoming]
    receipts: QuerySet[MessageReceipt]
    payments: QuerySet[Payment]

    @property
    def needles(self) -> list[str]:
        """How they are named inside of ids: ``33639980000`` and ``123@lid``."""
        return [*(phone.lstrip("+") for phone in self.phones), *self.lids]


def _rows(tenant: Tenant, who: str) -> _Rows:
    """`who` is a phone (E.164) or a LID."""
    people = Contact.objects.filter(Q(phone=who) | Q(lid=who), tenant=tenant)
    known_as = {who, *(text for row in people.values_list("phone", "lid") for text in row)} - {""}
    phones = sorted(text for text in known_as if "@" not in text)
    lids = sorted(known_as - set(phones))
    referrals = Referral.objects.filter(tenant=tenant, phone__in=phones)
    targets = Target.objects.filter(Q(phone__in=phones) | Q(referral__in=referrals), tenant=tenant)
    told = Delivery.objects.filter(target__in=targets).values("message_id")
    wrote = Q(phone__in=phones) | Q(contact__in=people) | Q(lid__in=lids)
    wrote |= Q(author_phone__in=phones) | Q(author_lid__in=lids)
    heard = Q(contact__in=people) | Q(participant__in=lids)
    for phone in phones:
        heard |= Q(participant__startswith=f"{phone.lstrip('+')}@")
    return _Rows(
        phones=phones,
        lids=lids,
        contacts=people,
        referrals=referrals,
        targets=targets,
        messages=Message.objects.filter(Q(contact__in=people) | Q(pk__in=told), tenant=tenant),
        incoming=Incoming.objects.filter(wrote, account__tenant=tenant),
        receipts=MessageReceipt.objects.filter(heard, message__tenant=tenant),
        payments=Payment.objects.filter(
            tenant=tenant, external_id__in=referrals.values("external_id")
        ),
    )


def export(
    tenant: Tenant, who: str, *, actor: Actor = SYSTEM, now: datetime
) -> dict[str, list[dict[str, Any]]]:
    """All that is stored about the person with the phone (E.164) or LID `who`, table by table,
    column by column.

    JSON with Django's encoder; lists are empty when nothing is known.
    """
    rows = _rows(tenant, who)
    theirs = {"contact__in": rows.contacts}
    found: dict[str, list[dict[str, Any]]] = {
        "contacts": _columns(rows.contacts),
        "consent": _columns(ConsentEntry.objects.filter(**theirs).order_by("id")),
        "groups": _columns(
            GroupMember.objects.filter(**theirs).order_by("id"),
            "group__chat_id", "group__subject", "admin", "seen_at", "left_at",
        ),
        "chats": _columns(Chat.objects.filter(**theirs).order_by("id")),
        "referrals": _columns(rows.referrals),
        "targets": _columns(rows.targets),
        "payments": _columns(rows.payments),
        "messages": _columns(rows.messages.order_by("id")),
        "receipts": _columns(rows.receipts.order_by("id")),
        "broadcasts": _columns(Recipient.objects.filter(**theirs).order_by("id")),
        "attempts": _columns(Attempt.objects.filter(message__in=rows.messages)),
        "incoming": _columns(rows.incoming.order_by("id")),
        "turns": _columns(AgentTurn.objects.filter(incoming__in=rows.incoming)),
        "webhooks": _columns(WebhookEvent.objects.filter(**theirs)),
        "activity": [
            *_columns(_lines(tenant, Contact, rows.contacts), "at", "verb", "detail"),
            *_columns(_lines(tenant, Target, rows.targets), "at", "verb", "detail"),
        ],
    }  # fmt: skip
    activity.record(
        tenant_id=tenant.pk,
        verb=Verb.PERSON_EXPORTED,
        actor=actor,
        detail={name: len(of) for name, of in found.items()},
        now=now,
    )
    return found


@deadlocks.retried
def delete(tenant: Tenant, who: str, *, actor: Actor = SYSTEM, now: datetime) -> Deleted:
    """Delete the person with the phone (E.164) or LID `who` and never write to them again.

    May be repeated. Locks: the tenant's deletions, contacts, referrals, targets, messages, as in
    exits.py.
    """
    with transaction.atomic():
        suppression.hold(tenant, alone=True)
        rows = _rows(tenant, who)
        people = list(rows.contacts.select_for_update().order_by("id"))
        list(rows.referrals.select_for_update().order_by("id").values_list("id"))
        for contact in people:
            contacts.opt_out(
                contact, reason=suppression.REASON, how="deletion", actor=actor, now=now
            )
        for phone in rows.phones:
            exits.exit_phone(
                tenant_id=tenant.pk, phone=phone, reason=Target.ExitReason.OPTED_OUT, now=now
            )
        exits.exit_targets(
            list(rows.targets.values_list("pk", flat=True)),
            reason=Target.ExitReason.OPTED_OUT,
            now=now,
        )
        # All they are known by: they do not come back as a stranger from a group either.
        kept = {text: suppression.suppress(tenant, text, now=now) for text in
                (*rows.phones, *rows.lids)}  # fmt: skip
        done = _delete(tenant, rows)
        # A worker has read what it is sending and will write down what became of it. One row stands
        # for the person, whichever they were deleted by before.
        Suppression.objects.filter(unfinished__in=people).update(unfinished=None)
        Suppression.objects.filter(pk=kept[who].pk).update(
            unfinished=people[0].pk if people and done.in_flight else None
        )
        activity.record(
            tenant_id=tenant.pk,
            verb=Verb.PERSON_DELETED,
            actor=actor,
            detail={"messages": done.messages, "referrals": done.referrals},
            now=now,
        )
    return done


def finish_deletions(*, now: datetime) -> int:
    """Delete what was being sent when its receiver was deleted; returns how many are done."""
    done = 0
    waiting = Suppression.objects.exclude(unfinished=None).select_related("tenant", "unfinished")
    for row in waiting:
        assert row.unfinished is not None  # noqa: S101  by the filter
        if row.unfinished.messages.filter(state=State.SENDING).exists():
            continue  # the next run: each deletion is a line of the activity log
        with poison.apart("deletion not finished", suppression_id=row.pk):
            done += not delete(row.tenant, row.unfinished.address, now=now).in_flight
    return done


def _delete(tenant: Tenant, rows: _Rows) -> Deleted:
    _forget_names(tenant, Contact, rows.contacts)
    _forget_names(tenant, Referral, rows.referrals)
    _forget_names(tenant, Target, rows.targets)
    _forget_names(tenant, Message, rows.messages)
    for needle in rows.needles:
        Activity.objects.filter(tenant=tenant, detail__icontains=needle).update(detail={})
        # Ids of messages in groups end with who wrote them.
        Message.objects.filter(tenant=tenant, quoted_wa_id__contains=needle).update(quoted_wa_id="")
        Incoming.objects.filter(account__tenant=tenant, quoted_wa_id__contains=needle).update(
            quoted_wa_id=""
        )
    flying = list(rows.messages.filter(state=State.SENDING).values_list("pk", flat=True))
    # Lists, not conditions: each deletion takes away what the next condition would look for.
    messages = list(rows.messages.exclude(pk__in=flying).values_list("pk", flat=True))
    people = list(rows.contacts.values_list("pk", flat=True))
    targets = list(rows.targets.values_list("pk", flat=True))
    referrals = list(rows.referrals.values_list("pk", flat=True))
    files = media.received(rows.incoming)
    incoming, _by_model = rows.incoming.delete()
    rows.receipts.delete()
    for phone in rows.phones:
        Payment.objects.filter(tenant=tenant, external_id__contains=phone.lstrip("+")).delete()
    Message.objects.filter(pk__in=messages).delete()
    Target.objects.filter(pk__in=targets).delete()
    Referral.objects.filter(pk__in=referrals).delete()
    if not flying:
        Contact.objects.filter(pk__in=people).delete()
    media.forget(files)
    return Deleted(
        contacts=0 if flying else len(people),
        messages=len(messages),
        incoming=incoming,
        referrals=len(referrals),
        targets=len(targets),
        in_flight=len(flying),
    )


def _columns(rows: QuerySet[Any], *names: str) -> list[dict[str, Any]]:
    return [dict(row) for row in rows.values(*names)]


def _lines(tenant: Tenant, model: type[Model], rows: QuerySet[Any]) -> QuerySet[Activity]:
    return Activity.objects.filter(
        tenant=tenant, subject_type=model._meta.label_lower, subject_id__in=rows.values("pk")
    )


def _forget_names(tenant: Tenant, model: type[Model], rows: QuerySet[Any]) -> None:
    _lines(tenant, model, rows).update(subject_name="")
    ids: Iterable[str] = [str(pk) for pk in rows.values_list("pk", flat=True)]
    kind = ContentType.objects.get_for_model(model)
    LogEntry.objects.filter(content_type=kind, object_id__in=ids).update(
        object_repr="(deleted)", change_message=""
    )
