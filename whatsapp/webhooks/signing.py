"""How calls to webhooks are signed: as in the Standard Webhooks specification.

Three headers: ``webhook-id`` (the event; the same for every repeat, so that a receiver can drop
one it has), ``webhook-timestamp`` (seconds since 1970, of this attempt), ``webhook-signature``
(``v1,<base64>``, several separated by spaces while a secret is rotated). The signature is
HMAC-SHA256 over ``<id>.<timestamp>.<body>`` with the bytes that the secret ``whsec_<base64>`` is.
Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"


def new_secret() -> bytes:
    return secrets.token_bytes(32)


def shown(secret: bytes) -> str:
    """The secret as people paste it."""
    return PREFIX + base64.b64encode(secret).decode()


def read(text: str) -> bytes:
    """The secret that somebody pasted: as `shown`, or any text of theirs."""
    if text.startswith(PREFIX):
        with contextlib.suppress(ValueError):
            return base64.b64decode(text.removeprefix(PREFIX), validate=True)
    return text.encode()


def headers(
    event_id: str, timestamp: int, body: bytes, *, with_secrets: Sequence[bytes]
) -> dict[str, str]:
    """The three headers of a call."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
            for secret in with_secrets
        ),
    }
