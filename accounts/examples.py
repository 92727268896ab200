"""Examples in the API's pages, `/api/docs/`: logging in, keys, the activity log."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample


def body(name: str, value: Any) -> OpenApiExample:
    return OpenApiExample(name, value=value, request_only=True)


def answer(name: str, value: Any, *, status: int = 200) -> OpenApiExample:
    return OpenApiExample(name, value=value, response_only=True, status_codes=[str(status)])


def a_page(value: Any) -> OpenApiExample:
    """A list's only page."""
    return answer("a page", {"next": None, "previous": None, "results": [value]})


_PAIR = {"refresh": "eyJ…", "access": "eyJ…"}
LOG_IN = [body("log in", {"username": "amina", "password": "…"}), answer("tokens", _PAIR)]
REFRESH = [body("go on", {"refresh": "eyJ…"}), answer("a new pair", _PAIR)]
PASSWORD = [
    body("another password", {"current": "…", "new": "correct horse battery staple"}),
    answer("a new pair", _PAIR),
]
LOG_OUT = [body("log out", {"refresh": "eyJ…"})]
_KEY = {
    "id": 5,
    "name": "CRM",
    "keyId": "rl_4f1c09ab77d2",
    "role": "manager",
    "scopes": ["referrals:write"],
    "createdBy": "olga",
    "createdAt": "2026-11-20T10:00:00Z",
    "expiresAt": None,
    "revokedAt": None,
    "lastUsedAt": None,
}
KEYS = [answer("one key", [_KEY])]
NEW_KEY = [
    body(
        "a program that imports referrals",
        {"name": "CRM", "role": "manager", "scopes": ["referrals:write"]},
    ),
    answer("its text, this once", _KEY | {"key": "rl_4f1c09ab77d2_…"}, status=201),
]
ACTIVITY = [
    a_page(
        {
            "id": 912,
            "at": "2026-11-20T10:02:00Z",
            "verb": "connected",
            "actorKind": "system",
            "actorName": "relance",
            "address": None,
            "subjectType": "whatsapp.account",
            "subjectId": 7,
            "subjectName": "acme/amina",
            "detail": {},
        }
    )
]
