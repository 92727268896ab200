"""Examples of conversations in the API's pages."""

from __future__ import annotations

from typing import Any

from accounts.examples import a_page, answer, body

_CHAT = {
    "id": 31,
    "account": 7,
    "accountName": "amina",
    "contact": 12,
    "contactName": "Zoé",
    "phone": "+33639980012",
    "optedOut": False,
    "unread": 1,
    "startedAt": "2026-11-20T10:02:00Z",
    "lastIncomingAt": "2026-11-20T10:12:00Z",
    "lastOutgoingAt": "2026-11-20T10:02:01Z",
    "takenOver": False,
    "takenOverBy": "",
    "takenOverUntil": None,
}
_THEIRS: dict[str, Any] = {
    "id": "false_33639980012@c.us_3A00F3B2C1",
    "at": "2026-11-20T10:02:00Z",
    "writer": "contact",
    "by": "",
    "kind": "chat",
    "text": "C’est combien ?",
    "content": {},
    "media": None,
    "mediaState": "",
    "mediaError": "",
    "quoted": "",
    "quotedText": "",
    "state": "",
    "errorCode": "",
}
_OURS = _THEIRS | {
    "id": "9b2c1f7e-2a51-4c8e-9f57-1c8f3a1d2e4b",
    "at": "2026-11-20T10:02:01Z",
    "writer": "agent",
    "kind": "text",
    "text": "12 €",
    "state": "read",
}
_REPLY = _OURS | {"writer": "direct", "by": "olga", "text": "À demain !", "state": "queued"}
CHATS = [a_page(_CHAT)]
CHAT = [answer("a conversation", _CHAT)]
HISTORY = [answer("question and answer", {"messages": [_THEIRS, _OURS], "before": None})]
REPLY = [
    body("an answer", {"text": "À demain !", "idempotencyKey": "crm-991"}),
    answer("queued", _REPLY, status=201),
]
