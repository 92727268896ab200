"""The outbox: from "queue this" to "the server has it", at most once.

`Message.state` is written here and in `receipts.py` only. Every change filters on the old state
and counts rows; a change that somebody else made first is no error. The rules are those of
docs/explanation/effectively-once.md; their numbers stand in the comments.

Locks: a transaction here takes Lease and Account (shared), then Usage, then the Message. Receivers
of `message_changed` run inside it and may go on to lock what follows the message (a target).
Whoever locks those first (exits, planning) touches messages only by `cancel` and `queue_batch`,
whose conditional statements pass over a message that is being finished.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from accounts import activity
from accounts.activity import Actor, Verb
from accounts.models import Tenant
from whatsapp import doorbells
from whatsapp.failpoints import failpoint
from whatsapp.models import Account, Contact, Group, Media, Message
from whatsapp.signals import message_changed, messages_cancelled

# Priorities: lower goes first. Answers, then what people write, then sequences, then broadcasts.
AGENT, DIRECT, SEQUENCE, BROADCAST = -2, -1, 0, 1
# Due time of a queued message that somebody holds back.
NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class IdempotencyConflict(Exception):
    """The key was used before for another content."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to be queued to a contact or a group; the fields are those of `Message`.

    `due_at` is the earliest time, lower `priority` goes first. Without a `kind` it is a text, or
    media when there is a file.
    """

    tenant_id: int
    account_id: int
    contact_id: int | None
    idempotency_key: str
    body: str
    due_at: datetime
    media_id: int | None = None
    priority: int = SEQUENCE
    group_id: int | None = None
    kind: str = ""
    content: dict[str, Any] = field(default_factory=dict)
    quoted_wa_id: str = ""
    origin: str = ""
    scheduled_for: datetime | None = None
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """Its kind, as it is stored."""
        return self.kind or (Message.Kind.TEXT if self.media_id is None else Message.Kind.MEDIA)

    @property
    def content_hash(self) -> str:
        """Of what its writer asked for: the same call again is the same message."""
        media_id, content = self.media_id or "", self.content
        if self.kind == Message.Kind.LINK:
            # Its preview is ours, and a page may say something else a moment later.
            media_id, content = "", {"url": content.get("url", "")}
        said = f"{self.account_id}\n{self.contact_id}\n{media_id}\n{self.body}"
        more = [self.group_id, content, self.quoted_wa_id, self.scheduled_for]
        if any(more):
            said = json.dumps([said, self.kind, *more], sort_keys=True, default=str)
        return hashlib.sha256(said.encode()).hexdigest()


def queue_batch(drafts: Sequence[Draft], *, now: datetime) -> dict[str, int]:
    """Queue what is not there yet; returns idempotency key -> message id of the rows made.

    A key that exists is passed over whatever its content: a template may have been edited since.
    So is a contact that is gone, merged with another one (identities.py).
    Doorbells ring on commit, once per account.
    """
    if not drafts:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO whatsapp_message
                (public_id, tenant_id, account_id, contact_id, group_id, origin, idempotency_key,
                 content_hash, kind, body, content, media_id, quoted_wa_id, priority, due_at,
                 scheduled_for, state, error_code, error, attempts_made, retries, ack, wa_id,
                 chat_id, labels, created_at)
            SELECT gen_random_uuid(), d.tenant_id, d.account_id, d.contact_id, d.group_id,
                 d.origin, d.key, d.hash, d.kind, d.body, d.content, d.media_id, d.quoted,
                 d.priority, d.due_at, d.scheduled_for, 'queued', '', '', 0, 0, 0, '', '',
                 d.labels, %s
            FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[],
                        %s::text[], %s::text[], %s::text[], %s::text[], %s::jsonb[], %s::bigint[],
                        %s::text[], %s::int[], %s::timestamptz[], %s::timestamptz[],
                        %s::jsonb[])
                AS d (tenant_id, account_id, contact_id, group_id, origin, key, hash, kind, body,
                      content, media_id, quoted, priority, due_at, scheduled_for, labels)
            -- A contact that is being merged into another one waits here, and may be gone then:
            -- its foreign key is checked at commit only.
            WHERE d.contact_id IS NULL OR EXISTS (
                SELECT FROM whatsapp_contact AS contact
                WHERE contact.id = d.contact_id FOR KEY SHARE)
            ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
            RETURNING idempotency_key, id, account_id
            """,
            [
                now,
                [d.tenant_id for d in drafts],
                [d.account_id for d in drafts],
                [d.contact_id for d in drafts],
                [d.group_id for d in drafts],
                [d.origin for d in drafts],
                [d.idempotency_key for d in drafts],
                [d.content_hash for d in drafts],
                [d.what for d in drafts],
                [d.body for d in drafts],
                [json.dumps(d.content) for d in drafts],
                [d.media_id for d in drafts],
                [d.quoted_wa_id for d in drafts],
                [d.priority for d in drafts],
                [d.due_at for d in drafts],
                [d.scheduled_for for d in drafts],
                [json.dumps(d.labels) for d in drafts],
            ],
        )
        rows = cursor.fetchall()
    failpoint("queue.before-commit")
    doorbells.ring_on_commit(account_id for _, _, account_id in rows)
    return {key: message_id for key, message_id, _ in rows}


def queue(
    *,
    tenant: Tenant,
    account: Account,
    contact: Contact | None = None,
    group: Group | None = None,
    idempotency_key: str,
    body: str,
    now: datetime,
    media: Media | None = None,
    due_at: datetime | None = None,
    **more: Any,
) -> Message:
    """Queue one message. The same key with the same content returns the message that exists.

    `more` are further fields of `Draft`. Raises `IdempotencyConflict` when the key stands for
    another content, `Message.DoesNotExist` when the contact is gone.
    """
    draft = Draft(
        tenant_id=tenant.pk,
        account_id=account.pk,
        contact_id=contact.pk if contact else None,
        group_id=group.pk if group else None,
        idempotency_key=idempotency_key,
        body=body,
        due_at=due_at or now,
        media_id=media.pk if media else None,
        **more,
    )
    with transaction.atomic():
        queue_batch([draft], now=now)
        message = Message.objects.get(tenant=tenant, idempotency_key=idempotency_key)
    check_same(message, draft)
    return message


def check_same(message: Message, draft: Draft) -> None:
    """Raises `IdempotencyConflict` when the key of `draft` stands for another content."""
    if message.content_hash != draft.content_hash:
        raise IdempotencyConflict(
            f"idempotency key {draft.idempotency_key!r} was used for another message: use a new key"
        )


def cancel(message_ids: Iterable[int], *, reason: str, now: datetime) -> list[int]:
    """Cancel those that are still queued; returns their ids.

    Signals `messages_cancelled`, not a change of each: what callers follow, they know.
    """
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE whatsapp_message SET state = 'cancelled', error_code = %s, ended_at = %s
            WHERE id = ANY(%s) AND state = 'queued' RETURNING id
            """,
            [reason, now, list(message_ids)],
        )
        cancelled = [row[0] for row in cursor.fetchall()]
        if cancelled:
            messages_cancelled.send(sender=Message, message_ids=cancelled, now=now)
    return cancelled


def hold_back(message_ids: Iterable[int]) -> list[int]:
    """Keep those that are still queued from being sent until `let_go`; returns their ids.

    A worker that has read one of them already is refused its intent, which asks for the due time.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE whatsapp_message SET due_at = %s
            WHERE id = ANY(%s) AND state = 'queued' RETURNING id
            """,
            [NEVER, list(message_ids)],
        )
        return [row[0] for row in cursor.fetchall()]


def let_go(message_ids: Iterable[int], *, now: datetime) -> list[int]:
    """Have those that are held back sent now, or when somebody wished; returns their ids.

    Doorbells ring on commit.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE whatsapp_message SET due_at = GREATEST(%s, scheduled_for)
            WHERE id = ANY(%s) AND state = 'queued' AND due_at = %s RETURNING id, account_id
            """,
            [now, list(message_ids), NEVER],
        )
        rows = cursor.fetchall()
    doorbells.ring_on_commit(account_id for _, account_id in rows)
    return [message_id for message_id, _ in rows]


def reschedule(message_id: int, *, due_at: datetime) -> bool:
    """Have a queued message sent at another time; False when it is not queued, or held back."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE whatsapp_message
            SET due_at = %s, scheduled_for = %s, error_code = '', error = ''
            WHERE id = %s AND state = 'queued' AND due_at <> %s RETURNING account_id
            """,
            [due_at, due_at, message_id, NEVER],
        )
        row = cursor.fetchone()
    if row is None:
        return False
    doorbells.ring_on_commit([row[0]])
    return True


def move(
    message: Message,
    *,
    to: str,
    when: Sequence[str],
    now: datetime,
    fence: int | None = None,
    **fields: Any,
) -> bool:
    """The one way a state changes: only from a state in `when` (and under `fence`, if given).

    Inside a transaction; `fields` are stored with it, `now` is told to receivers of
    `message_changed`. False when somebody else was first.
    """
    # Without a savepoint: nothing in here is caught and gone on from.
    with transaction.atomic(savepoint=False):
        rows = Message.objects.select_for_update(of=("self",)).filter(pk=message.pk)
        if fence is not None:
            rows = rows.filter(fence=fence)
        current = rows.filter(state__in=when).first()
        if current is None:
            return False
        old_state = current.state
        current.state = Message.State(to)
        for name, value in fields.items():
            setattr(current, name, value)
        current.save(update_fields=["state", *fields])
        message_changed.send(sender=Message, message=current, old_state=old_state, now=now)
    return True


def fail_queued(message: Message, *, code: str, error: str, now: datetime) -> bool:
    """A message that can never be sent fails before any intent: nothing left, no quota used."""
    return move(
        message,
        to=Message.State.FAILED,
        when=[Message.State.QUEUED],
        error_code=code,
        error=error[:300],
        ended_at=now,
        now=now,
    )


def settle(message_id: int, *, sent: bool, actor: Actor, now: datetime) -> bool:
    """A person decides about an uncertain message: it arrived, or send it again.

    Sending again keeps the id, so that a server which has it all the same shows it once.
    """
    message = Message.objects.get(pk=message_id)
    fields: dict[str, Any] = (
        {"sent_at": message.sending_at or now, "error_code": "settled_sent"}
        if sent
        else {"due_at": now, "error_code": "settled_again"}
    )
    with transaction.atomic():
        done = move(
            message,
            to=Message.State.SENT if sent else Message.State.QUEUED,
            when=[Message.State.UNCERTAIN],
            error=f"settled by {actor.name}"[:300],
            now=now,
            **fields,
        )
        if done:
            activity.record(
                tenant_id=message.tenant_id,
                verb=Verb.SETTLED,
                actor=actor,
                subject=message,
                detail={"as": "sent" if sent else "send again"},
                now=now,
            )
            if not sent:
                doorbells.ring_on_commit([message.account_id])
    return done
