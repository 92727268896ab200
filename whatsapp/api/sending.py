"""Queueing a message on behalf of a caller, and what may be wrong with it."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from accounts.activity import Actor
from accounts.problems import FieldError, Problem
from whatsapp import messages, outbox
from whatsapp.models import Account, Media, Message

MAX_TEXT = 4096  # characters; WhatsApp cuts longer texts
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


def queued_message(
    *,
    account: Account,
    to: str,
    text: str,
    key: str,
    actor: Actor,
    media: Media | None = None,
) -> Message:
    """The message, queued now or by an earlier call with the same key. Raises `Problem`."""
    try:
        return messages.send_direct(
            account=account,
            contact_phone=to,
            body=text,
            media=media,
            idempotency_key=key,
            actor=actor,
            now=timezone.now(),
        )
    except messages.CannotSend as error:
        if error.code == "not_linked":
            wrong = [FieldError(error.field, error.code, str(error))]
            raise Problem(409, error.code, f"{error.field}: {error}", errors=wrong) from error
        raise Problem.of_field(error.field, error.code, str(error)) from error
    except outbox.IdempotencyConflict as error:
        wrong = [FieldError("idempotencyKey", "used", str(error))]
        raise Problem(409, "idempotency_conflict", str(error), errors=wrong) from error
