"""The conversation of an account with a contact: what was said, and who answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce, Greatest, Least

from accounts import activity
from accounts.activity import Actor, Verb
from accounts.models import Activity
from whatsapp import outbox
from whatsapp.models import Account, Chat, Contact, Incoming, Message
from whatsapp.signals import chat_given_back, chat_taken_over

GROUP = "@g.us"  # how chat ids of groups end


def open_chat(*, account: Account, contact: Contact, now: datetime) -> Chat:
    """The chat of `account` with `contact`, begun now if there was none."""
    chat, _made = Chat.objects.get_or_create(
        account=account,
        contact=contact,
        defaults={"tenant_id": account.tenant_id, "started_at": now},
    )
    return chat


def note_incoming(incoming: Incoming) -> Chat | None:
    """Count what came in, in the transaction that stored it; None in a group or of a stranger."""
    if incoming.contact is None or incoming.chat_id.endswith(GROUP):
        return None
    at = incoming.sent_at
    chat = open_chat(account=incoming.account, contact=incoming.contact, now=at)
    name = "last_outgoing_at" if incoming.from_me else "last_incoming_at"
    changed: dict[str, Any] = {
        "started_at": Least(F("started_at"), at),
        name: Greatest(Coalesce(F(name), at), at),
        "unread": 0 if incoming.from_me else F("unread") + 1,
    }
    Chat.objects.filter(pk=chat.pk).update(**changed)
    chat.refresh_from_db()
    return chat


def note_outgoing(chat: Chat, *, now: datetime) -> None:
    """Somebody, or an agent, has written there."""
    Chat.objects.filter(pk=chat.pk).update(last_outgoing_at=now, unread=0)


def mark_read(chat: Chat) -> None:
    """Somebody has looked at it."""
    Chat.objects.filter(pk=chat.pk, unread__gt=0).update(unread=0)


# --------------------------------------------------------------------------- who writes there


def take_over(chat: Chat, *, actor: Actor, now: datetime, wrote_at: datetime | None = None) -> bool:
    """A person writes here: agent and sequence keep silent for `Tenant.takeover_minutes`.

    `wrote_at` is when they wrote, now if it is not said; False when that is too long ago. What
    an agent had queued is cancelled. Somebody who writes again moves the end on.
    """
    until = (wrote_at or now) + timedelta(minutes=chat.tenant.takeover_minutes)
    if until <= now:
        return False
    with transaction.atomic():
        chat = Chat.objects.select_for_update().get(pk=chat.pk)
        again = chat.is_taken_over(now=now)
        if again and chat.taken_over_until is not None:
            until = max(until, chat.taken_over_until)
        else:
            chat.taken_over_at = now
        chat.taken_over_until = until
        chat.taken_over_by = actor.name[:150]
        chat.save(update_fields=["taken_over_at", "taken_over_until", "taken_over_by"])
        # Under the chat's lock: an answer is queued before, and cancelled, or not any more.
        answers = Message.objects.filter(
            account=chat.account_id,
            contact=chat.contact_id,
            origin=Message.Origin.AGENT,
            state=Message.State.QUEUED,
        )
        outbox.cancel(list(answers.values_list("pk", flat=True)), reason="taken_over", now=now)
        if not again:
            activity.record(
                tenant_id=chat.tenant_id,
                verb=Verb.CHAT_TAKEN_OVER,
                actor=actor,
                subject=chat,
                detail={"account": chat.account_id},
                now=now,
            )
        chat_taken_over.send(sender=Chat, chat=chat, actor=actor, now=now)
    return True


def give_back(chat: Chat, *, actor: Actor, now: datetime) -> bool:
    """Agent and sequence may write here again; False when nobody had taken the chat over."""
    with transaction.atomic():
        if not Chat.objects.filter(pk=chat.pk).taken_over(now=now).update(taken_over_until=now):
            return False
        chat.refresh_from_db()
        activity.record(
            tenant_id=chat.tenant_id,
            verb=Verb.CHAT_GIVEN_BACK,
            actor=actor,
            subject=chat,
            detail={"account": chat.account_id},
            now=now,
        )
        chat_given_back.send(sender=Chat, chat=chat, actor=actor, now=now)
    return True


# ---------------------------------------------------------------------------- what was said


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a conversation, whoever wrote it."""

    at: datetime
    said: Message | Incoming
    writer: str
    """``contact``; ``phone`` (the owner, on their own phone); else `Message.origin`."""
    by: str = ""  # the login of whoever wrote it by hand
    quoted: str = ""  # text of the message it answers, where that is known

    @property
    def is_theirs(self) -> bool:
        return self.writer == "contact"

    @property
    def cursor(self) -> str:
        """To be given to `history` as `before`."""
        kind = "in" if isinstance(self.said, Incoming) else "out"
        return f"{self.at.isoformat()}/{kind}/{self.said.pk}"


class BadCursor(ValueError):
    """No `Entry` has this cursor."""


def history(chat: Chat, *, before: str = "", limit: int = 50) -> list[Entry]:
    """The newest `limit` messages of a chat, oldest first, or those `before` an entry's cursor.

    Messages that wait stand at the time they were queued, cancelled ones are left out. Raises
    `BadCursor`.
    """
    received = Incoming.objects.filter(account=chat.account_id, contact=chat.contact_id)
    received = received.exclude(chat_id__endswith=GROUP).annotate(at=F("sent_at"))
    sent = (
        Message.objects.filter(account=chat.account_id, contact=chat.contact_id)
        .exclude(state=Message.State.CANCELLED)
        .annotate(at=Coalesce("sent_at", "created_at"))
    )
    if before:
        at, kind, pk = _read_cursor(before)
        earlier = Q(at__lt=at)
        same = earlier | Q(at=at, pk__lt=pk)
        # At the same time what came in stands before what went out.
        received = received.filter(same if kind == "in" else Q(at__lte=at))
        sent = sent.filter(same if kind == "out" else earlier)
    both: list[tuple[datetime, int, int, Message | Incoming]] = []
    for rows in (received, sent):
        newest: QuerySet[Any] = rows.select_related("media").order_by("-at", "-pk")[:limit]
        both += [(row.at, not isinstance(row, Incoming), row.pk, row) for row in newest]
    page = sorted(both, key=lambda row: row[:3])[-limit:]
    quoted = _texts_of(chat, {row.quoted_wa_id for *_, row in page if row.quoted_wa_id})
    by = _written_by([row.pk for *_, row in page if isinstance(row, Message)])
    return [
        Entry(
            at=at,
            said=row,
            writer=_writer(row),
            by="" if isinstance(row, Incoming) else by.get(row.pk, ""),
            quoted=quoted.get(row.quoted_wa_id, ""),
        )
        for at, _, _, row in page
    ]


def _read_cursor(cursor: str) -> tuple[datetime, str, int]:
    try:
        at, kind, pk = cursor.split("/")
        if kind not in {"in", "out"} or not 0 < int(pk) < 2**63:
            raise ValueError
        found = datetime.fromisoformat(at)
        if found.tzinfo is None:
            raise ValueError
        return found, kind, int(pk)
    except ValueError as error:
        raise BadCursor("before: give a cursor as the last page had it") from error


def _writer(said: Message | Incoming) -> str:
    if isinstance(said, Incoming):
        return "phone" if said.from_me else "contact"
    return said.origin or Message.Origin.DIRECT


def _texts_of(chat: Chat, wa_ids: set[str]) -> dict[str, str]:
    if not wa_ids:
        return {}
    found: dict[str, str] = {}
    for model in (Incoming, Message):
        rows = model._default_manager.filter(account=chat.account_id, wa_id__in=wa_ids)
        found.update(rows.values_list("wa_id", "body"))
    return found


def _written_by(message_ids: list[int]) -> dict[int, str]:
    lines = Activity.objects.filter(
        subject_type=Message._meta.label_lower,
        subject_id__in=message_ids,
        verb=Verb.MESSAGE_QUEUED,
    )
    return {pk: name for pk, name in lines.values_list("subject_id", "actor_name") if pk}
