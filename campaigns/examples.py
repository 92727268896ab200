"""Examples in the API's pages, `/api/docs/`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample


def _body(name: str, value: Any) -> OpenApiExample:
    return OpenApiExample(name, value=value, request_only=True)


def _answer(name: str, value: Any) -> OpenApiExample:
    return OpenApiExample(name, value=value, response_only=True, status_codes=["200"])


CONNECT = [
    _answer(
        "code to scan",
        {
            "success": True,
            "message": "Scan this code with WhatsApp: Settings, Linked devices.",
            "data": {
                "status": "pending",
                "qrCode": "2@Zx…",
                "qrCodeDataUrl": "data:image/png;base64,iVBORw0…",
                "expiresAt": "2026-11-20T10:02:00Z",
            },
        },
    ),
    _answer(
        "linked already",
        {
            "success": True,
            "message": "This account is linked.",
            "data": {"status": "connected", "phoneNumber": "+33639980000"},
        },
    ),
]
DISCONNECT = [
    _answer(
        "done",
        {
            "success": True,
            "message": "This account is being logged out.",
            "data": {"status": "disconnected"},
        },
    )
]
PAUSE = [_body("hold everything", {"sendingPaused": True})]

_DAY = {
    "dayNumber": 2,
    "messageTemplate": {
        "fr": "{{name}}, une question avant de te lancer ? {{link}}",
        "en": "{{name}}, any question before you start? {{link}}",
    },
    "mediaUrls": [{"url": "https://files.example/day2.png", "type": "image", "language": "both"}],
    "active": True,
}
DAYS = [_answer("one day", {"success": True, "data": [_DAY]})]
DAY = [
    _body("day 2", _DAY),
    _answer("saved", {"success": True, "message": "Day 2 is saved.", "data": _DAY}),
]
DAY_DELETED = [
    _answer(
        "switched off",
        {
            "success": True,
            "message": "Day 2 is switched off; what it sent stays readable.",
            "data": {"dayNumber": 2, "deleted": False},
        },
    )
]
EXIT = [
    _body("payer", {"userId": "ref-0001"}),
    _answer(
        "out",
        {
            "success": True,
            "data": {"targetsExited": 1, "messagesCancelled": 1, "inFlight": 0, "known": True},
        },
    ),
]
