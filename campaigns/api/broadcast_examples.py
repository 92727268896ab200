"""Examples of segments and broadcasts in the API's pages."""

from __future__ import annotations

from typing import Any

from accounts.examples import a_page, answer, body

_SEGMENT = {
    "id": 4,
    "name": "Parents in France",
    "rules": {"tagsAny": ["parent"], "regions": ["FR"], "referral": ["none", "completed"]},
    "createdAt": "2026-11-18T09:00:00Z",
}
_PERSON = {
    "id": 812,
    "name": "Zoé Martin",
    "phone": "+33639980001",
    "language": "fr",
    "tags": ["parent"],
}
SEGMENTS = [a_page(_SEGMENT)]
ONE_SEGMENT = [answer("a segment", _SEGMENT)]
_RULES = {"name": _SEGMENT["name"], "rules": _SEGMENT["rules"]}
NEW_SEGMENT = [body("two rules", _RULES), answer("made", _SEGMENT, status=201)]
SEGMENT_CHANGE = [body("another name", {"name": "Parents"}), *ONE_SEGMENT]
SEGMENT_PREVIEW = [
    body("whoever has one of two tags", {"rules": {"tagsAny": ["parent", "coach"]}}),
    answer(
        "counted",
        {
            "matching": 1250,
            "reachable": 1190,
            "optedOut": 42,
            "noLawfulBasis": 18,
            "sample": [_PERSON],
        },
    ),
]
_LISTED = {
    "id": 9,
    "name": "Open day",
    "state": "draft",
    "stateReason": "",
    "segment": 4,
    "defaultLanguage": "fr",
    "startsAt": "2026-11-24T09:00:00Z",
    "clock": "tenant",
    "recipients": 0,
    "createdAt": "2026-11-20T10:00:00Z",
    "startedAt": None,
    "pausedAt": None,
    "endedAt": None,
}
_TEXT: dict[str, Any] = {
    "language": "fr",
    "kind": "text",
    "text": "{{name}}, venez nous voir samedi !",
    "content": {},
    "media": None,
}
_NOTHING = dict.fromkeys(
    ["recipients", "waiting", "queued", "uncertain", "sent", "delivered", "read", "replied",
     "failed", "optedOut", "skipped"],
    0,
)  # fmt: skip
_BROADCAST = _LISTED | {"accounts": [7], "texts": [_TEXT], "figures": _NOTHING, "missing": []}
BROADCASTS = [a_page(_LISTED)]
BROADCAST = [answer("a draft", _BROADCAST)]
_WISHES = {"name": "Open day", "segment": 4, "accounts": [7], "startsAt": "2026-11-24T09:00:00Z"}
_NO_TEXT = {
    "field": "texts.fr",
    "code": "missing",
    "message": "there is no text in “fr”, the default language",
}
NEW_BROADCAST = [
    body("on Tuesday at ten", _WISHES),
    answer("made", _BROADCAST | {"texts": [], "missing": [_NO_TEXT]}, status=201),
]
BROADCAST_CHANGE = [body("by everybody's own clock", {"clock": "recipient"}), *BROADCAST]
TEXT = [body("in French", {"text": _TEXT["text"]}), answer("written", _TEXT)]
STARTED = [
    body("at its time", {"startsAt": "2026-11-24T10:00:00+01:00"}),
    answer(
        "on its way",
        _BROADCAST
        | {
            "state": "running",
            "recipients": 1190,
            "startedAt": "2026-11-24T09:00:00Z",
            "figures": _NOTHING
            | {"recipients": 1190, "waiting": 1090, "queued": 100, "sent": 61, "delivered": 58},
        },
    ),
]
REHEARSAL = [
    answer(
        "a thousand in twelve days",
        {
            "recipients": 1190,
            "optedOut": 42,
            "noLawfulBasis": 18,
            "languages": {"fr": 1100, "en": 90},
            "withoutReferral": 0,
            "accounts": [
                {
                    "account": 7,
                    "recipients": 1190,
                    "newChats": 0,
                    "obstacle": "",
                    "endsAt": "2026-12-05T13:27:00Z",
                }
            ],
            "beginsAt": "2026-11-24T09:00:00Z",
            "endsAt": "2026-12-05T13:27:00Z",
            "samples": [
                {
                    "contact": _PERSON,
                    "language": "fr",
                    "text": "Zoé, venez nous voir samedi !",
                    "problem": "",
                }
            ],
            "missing": [],
        },
    )
]
RECIPIENTS = [
    a_page(
        {
            "id": 70_112,
            "contact": _PERSON,
            "account": 7,
            "message": "0b8f8a5e-2f7c-4d0e-9f4e-3a4f6a1f7c11",
            "language": "fr",
            "state": "delivered",
            "reason": "",
            "dueAt": "2026-11-24T09:00:00Z",
            "queuedAt": "2026-11-24T09:00:20Z",
            "sentAt": "2026-11-24T09:00:41Z",
            "deliveredAt": "2026-11-24T09:00:43Z",
            "readAt": None,
            "repliedAt": None,
            "endedAt": None,
        }
    )
]
