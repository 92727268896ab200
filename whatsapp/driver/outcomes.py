"""What the server's refusal of a message means; the same for every driver."""

from __future__ import annotations

from whatsapp.driver.base import DriverError, Permanent, Retryable, Unknown

RETRYABLE_NACKS = {"463", "429", "500", "503"}


def nacked(code: str) -> DriverError:
    """The error of a message that WhatsApp's server refused (ack -1); `code` empty if unknown.

    ======================  ==========  ====================================================
    nack                    decision    meaning
    ======================  ==========  ====================================================
    463                     Retryable   new (cold) chats are locked for this account
    429, 500, 503           Retryable   too fast, or the server is busy: the same later
    any other number        Permanent   the server looked at the message and said no
    none known              Unknown     ack -1 without a reason: look it up first
    ======================  ==========  ====================================================
    """
    if not code:
        return Unknown("failed")
    decision = Retryable if code in RETRYABLE_NACKS else Permanent
    return decision(f"nack_{code}")
