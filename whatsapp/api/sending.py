"""Queueing a message on behalf of a caller, and what may be wrong with it."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from accounts.activity import Actor
from accounts.problems import FieldError, Problem
from whatsapp import messages, outbox
from whatsapp.contents import CannotSend, Content
from whatsapp.models import Account, Contact, Group, Message

MAX_KEY = 200
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description=(
        "Your own name of this message. The same key and content again: the message that exists."
    ),
)


def key_of(request: Request, *, otherwise: str) -> str:
    """The header Idempotency-Key, or `otherwise`. Raises `Problem`."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if not key:
        return otherwise
    if len(key) > MAX_KEY or not key.isascii() or not key.isprintable():
        raise Problem.of_field(
            "Idempotency-Key", "invalid", f"write {MAX_KEY} plain characters at most"
        )
    return key


def quoted_of(text: str, account: Account) -> str:
    """WhatsApp's id of the message that `quotedMessageId` names, by our id or by that one."""
    try:
        ours = Message.objects.filter(account=account, public_id=uuid.UUID(text)).first()
    except ValueError:
        return text
    if ours is None:
        raise Problem.of_field("quotedMessageId", "unknown", "this account has no such message")
    if not ours.wa_id:
        raise Problem.of_field("quotedMessageId", "not_sent", "this message was not sent yet")
    return ours.wa_id


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """What keeps a message from being queued becomes a `Problem`."""
    try:
        yield
    except CannotSend as error:
        if error.code == "not_linked":
            wrong = [FieldError(error.field, error.code, str(error))]
            raise Problem(409, error.code, f"{error.field}: {error}", errors=wrong) from error
        raise Problem.of_field(error.field, error.code, str(error)) from error
    except outbox.IdempotencyConflict as error:
        wrong = [FieldError("idempotencyKey", "used", str(error))]
        raise Problem(409, "idempotency_conflict", str(error), errors=wrong) from error


def queued_message(
    *,
    account: Account,
    to: str | Contact | Group,
    content: Content,
    key: str,
    actor: Actor,
    quoted: str = "",
    due_at: datetime | None = None,
    labels: Mapping[str, str] | None = None,
) -> Message:
    """The message, queued now or by an earlier call with the same key. Raises `Problem`."""
    with refusals():
        return messages.send_direct(
            account=account,
            to=to,
            content=content,
            quoted_wa_id=quoted,
            due_at=due_at,
            idempotency_key=key,
            labels=labels,
            actor=actor,
            now=timezone.now(),
        )
