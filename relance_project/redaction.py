"""Nothing personal in logs: phone numbers and message texts are taken out of every line."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

# Seven digits and more, with the ways people space them; ids in our logs are shorter or in `*_id`.
PHONE = re.compile(r"(?<![\w.:-])(?:\+|00)?\d(?:[\s().-]?\d){8,14}(?![\w:-])")
WHATSAPP_ID = re.compile(r"\d{6,}(?=(?::\d+)?@(?:c\.us|lid|s\.whatsapp\.net))")
PRIVATE_KEYS = {"body", "text", "caption", "phone", "name", "push_name", "password", "secret"}


def scrub(value: str) -> str:
    """`value` without phone numbers."""
    return PHONE.sub("[phone]", WHATSAPP_ID.sub("[phone]", value))


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A structlog processor: private fields go, phone numbers in the rest are masked."""
    for key, value in event.items():
        if key in PRIVATE_KEYS:
            event[key] = "[redacted]"
        elif isinstance(value, str) and key not in {"timestamp", "level", "logger"}:
            event[key] = scrub(value)
    return event
