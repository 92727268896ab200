"""What people do with messages: send one directly, try a failed one again, move or cancel one."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import phones
from accounts.activity import SYSTEM, Actor, Verb, record, record_each
from whatsapp import chats, contacts, doorbells, outbox, retention, suppression
from whatsapp.contents import CannotSend, Content
from whatsapp.models import Account, Contact, Group, Incoming, Media, Message

__all__ = ["CannotSend", "Fan", "cancel", "move", "retry", "send_direct", "send_to_each"]

# Keys that Relance makes itself, of sequences for instance (campaigns/following.py): one used by
# hand would take a step's place.
RESERVED = ("target:", "broadcast:", "agent:", "stop:")
# A time that has just passed is now: clocks and people are not that exact.
JUST_NOW = dt.timedelta(minutes=5)
FURTHEST = dt.timedelta(days=366)
PRIORITIES = {Message.Origin.BROADCAST: outbox.BROADCAST, Message.Origin.AGENT: outbox.AGENT}


def send_direct(
    *,
    account: Account,
    to: str | Contact | Group,
    content: Content,
    quoted_wa_id: str = "",
    due_at: datetime | None = None,
    idempotency_key: str,
    origin: str = Message.Origin.DIRECT,
    labels: Mapping[str, str] | None = None,
    actor: Actor = SYSTEM,
    now: datetime,
) -> Message:
    """Queue one message to a phone, as a person writes it, a contact or a group of the account.

    It goes ahead of any sequence, now or at `due_at`. `quoted_wa_id` is the message of the same
    chat that it answers. The same key with the same content returns the message that exists,
    whatever became of the account or the person since. Raises `CannotSend`, and
    `outbox.IdempotencyConflict` for a key that stands for another content.
    """
    _check_key(idempotency_key)
    if isinstance(to, str):
        to = _read_phone(account, to)
    if due_at is not None:
        due_at = due_at.astimezone(dt.UTC)  # as it is compared when the call is repeated
    with transaction.atomic():
        suppression.hold(account.tenant)
        # Whoever repeats a call whose answer was lost must not hear that nothing was sent.
        repeated = Message.objects.filter(
            tenant=account.tenant, idempotency_key=idempotency_key
        ).exists()
        if not repeated:
            _check_account(account)
            _check_recipient(account, to)
            _check_time(due_at, now=now)
            if quoted_wa_id:
                _check_quote(account, to, quoted_wa_id)
        if isinstance(to, str):
            ids = contacts.ensure(tenant_id=account.tenant_id, people={to: ""})
            to = Contact.objects.get(pk=ids[to])
        message = _queue(
            tenant=account.tenant,
            account=account,
            contact=to if isinstance(to, Contact) else None,
            group=to if isinstance(to, Group) else None,
            idempotency_key=idempotency_key,
            quoted_wa_id=quoted_wa_id,
            due_at=due_at,
            scheduled_for=due_at,
            priority=PRIORITIES.get(Message.Origin(origin), outbox.DIRECT),
            origin=origin,
            labels=dict(labels or {}),
            now=now,
            **content.fields,
        )
        if message.created_at == now:  # not one that an earlier call has queued
            _take_over(message, actor=actor, now=now)
            record(
                tenant_id=message.tenant_id,
                verb=Verb.MESSAGE_QUEUED,
                actor=actor,
                subject=message,
                now=now,
            )
    return message


def _take_over(message: Message, *, actor: Actor, now: datetime) -> None:
    """A person who writes to somebody now takes that chat over; a program or a timer does not."""
    by_hand = actor.kind == "user" and message.origin == Message.Origin.DIRECT
    if by_hand and message.contact is not None and message.scheduled_for is None:
        chat = chats.open_chat(account=message.account, contact=message.contact, now=now)
        chats.note_outgoing(chat, now=now)
        chats.take_over(chat, actor=actor, now=now)


@dataclass(frozen=True, slots=True)
class Fan:
    """What became of one message to many: rows that exist now, and who is left out, with why."""

    messages: list[Message]
    left_out: dict[int, str]  # contact id -> obstacle


def send_to_each(
    *,
    account: Account,
    to: Iterable[Contact],
    content: Content,
    due_at: Callable[[Contact], datetime | None] = lambda _contact: None,
    idempotency_key: str,
    labels: Mapping[str, str] | None = None,
    actor: Actor = SYSTEM,
    now: datetime,
) -> Fan:
    """Queue one message of its own to each contact, after sequences; `due_at` says when to whom.

    All or none, in one transaction; the key of each is ``<key>:<contact id>``. The same call again
    returns what the first has made, whoever would be meant by now. Whoever may not be written to
    is left out. Raises `CannotSend` and `outbox.IdempotencyConflict` as `send_direct`.
    """
    _check_key(idempotency_key)
    people = {f"{idempotency_key}:{contact.pk}": contact for contact in to}
    with transaction.atomic():
        suppression.hold(account.tenant)
        rows = Message.objects.filter(tenant=account.tenant, idempotency_key__in=people)
        before = {message.idempotency_key: message for message in rows}
        left_out: dict[int, str] = {}
        if before:
            people = {key: people[key] for key in before}
        else:
            _check_account(account)
            left_out = _obstacles(account, people.values())
            people = {key: one for key, one in people.items() if one.pk not in left_out}
        drafts = [
            _draft(account, contact, content, due_at(contact), key, labels=labels, now=now)
            for key, contact in people.items()
        ]
        if before:
            for draft in drafts:
                outbox.check_same(before[draft.idempotency_key], draft)
        else:
            for moment in {draft.scheduled_for for draft in drafts}:
                _check_time(moment, now=now)
            made = outbox.queue_batch(drafts, now=now)
            record_each(
                tenant_id=account.tenant_id,
                verb=Verb.MESSAGE_QUEUED,
                actor=actor,
                model=Message,
                ids=list(made.values()),
                now=now,
            )
        return Fan(list(rows.all().order_by("pk")), left_out)


def _draft(
    account: Account,
    contact: Contact,
    content: Content,
    due_at: datetime | None,
    key: str,
    *,
    labels: Mapping[str, str] | None,
    now: datetime,
) -> outbox.Draft:
    said = content.fields
    media: Media | None = said.pop("media", None)
    due_at = due_at.astimezone(dt.UTC) if due_at else None
    return outbox.Draft(
        tenant_id=account.tenant_id,
        account_id=account.pk,
        contact_id=contact.pk,
        idempotency_key=key,
        due_at=due_at or now,
        scheduled_for=due_at,
        media_id=media.pk if media else None,
        priority=outbox.BROADCAST,
        origin=Message.Origin.BROADCAST,
        labels=dict(labels or {}),
        **said,
    )


def _obstacles(account: Account, people: Iterable[Contact]) -> dict[int, str]:
    """Why `account` may not write to some of these contacts, by their ids."""
    people = list(people)
    forgotten = suppression.suppressed(account.tenant, [one.phone for one in people if one.phone])
    found = {}
    for one in people:
        if (one.phone and one.phone == account.phone) or (one.lid and one.lid == account.lid):
            found[one.pk] = "own_number"
        elif one.phone in forgotten:
            found[one.pk] = "suppressed"
        elif one.obstacle:
            found[one.pk] = one.obstacle
    return found


def _queue(**fields: Any) -> Message:
    try:
        return outbox.queue(**fields)
    except Message.DoesNotExist as error:
        raise CannotSend(
            "to", "gone", _("this contact has just become one with another: send it again")
        ) from error


def _check_key(key: str) -> None:
    if key.startswith(RESERVED):
        begins = key.partition(":")[0]
        raise CannotSend(
            "idempotencyKey", "reserved", f"keys that begin with “{begins}:” are Relance's own"
        )


def _read_phone(account: Account, text: str) -> str:
    try:
        return phones.parse(text, region=account.tenant.region)
    except phones.BadPhone as error:
        raise CannotSend("to", error.code, str(error)) from error


def _check_account(account: Account) -> None:
    if not account.enabled or not account.is_linked:
        raise CannotSend("account", "not_linked", _("this account is not linked: connect it first"))


def _check_recipient(account: Account, to: str | Contact | Group) -> None:
    """Raises `CannotSend` when `account` may not write there now."""
    if isinstance(to, Group):
        _check_group(account, to)
        return
    known: Contact | None
    if isinstance(to, str):
        phone, lid = to, ""
        known = Contact.objects.filter(tenant=account.tenant, phone=to).first()
    else:
        known = Contact.objects.filter(tenant=account.tenant, pk=to.pk).first()
        if known is None:
            raise CannotSend("to", "unknown", "you have no such contact")
        phone, lid = known.phone, known.lid
    if (phone and phone == account.phone) or (lid and lid == account.lid):
        raise CannotSend(
            "to", "own_number", _("this is the account's own number: write to somebody else")
        )
    if phone and suppression.suppressed(account.tenant, [phone]):
        raise CannotSend("to", "suppressed", _("this person asked to be forgotten"))
    match known.obstacle if known else "":
        case "opted_out":
            raise CannotSend("to", "opted_out", _("this person asked for no more messages"))
        case "no_lawful_basis":
            raise CannotSend(
                "to",
                "no_lawful_basis",
                _("this person is only known from a group: record a lawful basis first"),
            )


def _check_group(account: Account, group: Group) -> None:
    known = Group.objects.filter(account=account, pk=group.pk).first()
    if known is None:
        raise CannotSend("group", "unknown", "this account is in no such group")
    if known.role == Group.Role.LEFT:
        raise CannotSend("group", "not_in_group", "this account is not in the group any more")
    if not known.can_write:
        raise CannotSend(
            "group", "group_read_only", "only administrators of this group may write there"
        )


def _check_time(due_at: datetime | None, *, now: datetime) -> None:
    if due_at is None:
        return
    if due_at < now - JUST_NOW:
        raise CannotSend("scheduledAt", "past", "this time is over: give one to come")
    if due_at > now + FURTHEST:
        raise CannotSend("scheduledAt", "too_far", "give a time within a year")


def _check_quote(account: Account, to: str | Contact | Group, wa_id: str) -> None:
    there: dict[str, Any] = {"group": to} if isinstance(to, Group) else {"contact": to}
    if isinstance(to, str):
        there = {"contact__phone": to}
    said = Message.objects.filter(account=account, wa_id=wa_id, state__in=Message.ARRIVED, **there)
    heard = Incoming.objects.filter(account=account, wa_id=wa_id, **there)
    if not said.exists() and not heard.exists():
        raise CannotSend(
            "quotedMessageId", "unknown", "no message of this chat has this id, or not any more"
        )


def retry(message: Message, *, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Send a failed message again, with the id it had. False when it is not failed any more.

    False, too, when whatever it belongs to has ended or gone on (a sequence takes its last step
    back, but not an earlier one), and when what it said is forgotten.
    """
    with transaction.atomic():
        if message.contact is not None and message.contact.obstacle:
            return False
        if retention.is_forgotten(message, now=now):
            return False
        done = outbox.move(
            message,
            to=Message.State.QUEUED,
            when=[Message.State.FAILED],
            due_at=now,
            ended_at=None,
            retries=0,
            now=now,
        )
        if not done:
            return False
        message.refresh_from_db()
        if message.state != Message.State.QUEUED:
            # A receiver has cancelled it: nobody is to get it now. It stays failed.
            transaction.set_rollback(True)
            return False
        doorbells.ring_on_commit([message.account_id])
        record(
            tenant_id=message.tenant_id, verb=Verb.RETRIED, actor=actor, subject=message, now=now
        )
    return True


def move(message: Message, *, due_at: datetime, actor: Actor = SYSTEM, now: datetime) -> bool:
    """Have a queued message sent at another time; False when it is not waiting any more.

    False, too, while it is held back by a pause. Raises `CannotSend` for a time that cannot be.
    """
    _check_time(due_at, now=now)
    with transaction.atomic():
        if not outbox.reschedule(message.pk, due_at=due_at):
            return False
        record(
            tenant_id=message.tenant_id,
            verb=Verb.MESSAGE_MOVED,
            actor=actor,
            subject=message,
            detail={"from": message.due_at.isoformat(), "to": due_at.isoformat()},
            now=now,
        )
    return True


def cancel(message_ids: Iterable[int], *, actor: Actor = SYSTEM, now: datetime) -> list[int]:
    """Cancel those that are still queued; their ids. A sequence goes on with its next step."""
    with transaction.atomic():
        cancelled = outbox.cancel(message_ids, reason="cancelled", now=now)
        by_tenant: dict[int, list[int]] = defaultdict(list)
        for pk, tenant_id in Message.objects.filter(pk__in=cancelled).values_list(
            "id", "tenant_id"
        ):
            by_tenant[tenant_id].append(pk)
        for tenant_id, ids in by_tenant.items():
            record_each(
                tenant_id=tenant_id,
                verb=Verb.CANCELLED,
                actor=actor,
                model=Message,
                ids=ids,
                now=now,
            )
    return cancelled
