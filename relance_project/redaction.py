"""Nothing personal in logs: phone numbers and message texts are taken out of every line."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

# International ones wherever they stand, encoded for an address too; others only where they cannot
# be part of a time, a version or an id. With the ways people space them.
PHONE = re.compile(
    r"(?:\+|%2[Bb])\d(?:[\s().-]?\d){6,14}"
    r"|(?<![\w.:-])(?:00)?\d(?:[\s().-]?\d){8,14}(?![\w:-])"
)
WHATSAPP_ID = re.compile(r"\d{6,}(?=(?::\d+)?@(?:c\.us|lid|s\.whatsapp\.net))")
# PostgreSQL quotes the whole row that a constraint refuses.
DETAIL = re.compile(r"DETAIL:.*?(?=\n\n(?:The above|During handling)|\Z)", re.DOTALL)
PRIVATE_KEYS = {"body", "text", "caption", "phone", "name", "push_name", "password", "secret"}


def scrub(value: str) -> str:
    """`value` without phone numbers, and without rows of the database."""
    value = DETAIL.sub("DETAIL: [redacted]", value)
    return PHONE.sub("[phone]", WHATSAPP_ID.sub("[phone]", value))


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A structlog processor: private fields go, phone numbers in the rest are masked."""
    for key, value in event.items():
        if key not in {"timestamp", "level", "logger"}:
            event[key] = _redacted(key, value)
    return event


def _redacted(key: str, value: Any) -> Any:
    if key in PRIVATE_KEYS:
        return "[redacted]"
    match value:
        case str():
            return scrub(value)
        case Mapping():
            return {inner: _redacted(str(inner), of) for inner, of in value.items()}
        case list() | tuple() | set():
            return [_redacted("", of) for of in value]
        case None | bool() | int() | float():
            return value
        case _:
            return scrub(str(value))
