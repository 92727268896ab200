"""Examples of `/api/v1/` in the API's pages, `/api/docs/`, and in `docs/openapi.yaml`."""

from __future__ import annotations

from accounts.examples import a_page, answer, body

_ID = "6f1d1f0e-7a4b-4d0c-9f57-0d9d2a1c8f11"
_MESSAGE = {
    "id": _ID,
    "account": 7,
    "to": "+33639980100",
    "contactName": "Zoé Martin",
    "groupId": None,
    "groupName": "",
    "kind": "text",
    "text": "Bonjour Zoé !",
    "media": None,
    "location": None,
    "link": None,
    "quoted": "",
    "origin": "direct",
    "target": None,
    "step": None,
    "state": "queued",
    "errorCode": "",
    "error": "",
    "attemptsMade": 0,
    "createdAt": "2026-11-20T10:05:00Z",
    "scheduledAt": None,
    "dueAt": "2026-11-20T10:05:00Z",
    "sentAt": None,
    "deliveredAt": None,
    "readAt": None,
    "endedAt": None,
    "attempts": [],
}
NEW_MESSAGE = [
    body(
        "a text",
        {
            "account": 7,
            "to": "+33639980100",
            "text": "Bonjour Zoé !",
            "idempotencyKey": "order-1042-thanks",
        },
    ),
    body(
        "a file with a caption",
        {
            "account": 7,
            "to": "06 39 98 01 00",
            "text": "Le guide",
            "media": {"url": "https://files.example/guide.pdf", "type": "document"},
            "idempotencyKey": "order-1042-guide",
        },
    ),
    body(
        "a link with our preview, as an answer",
        {
            "account": 7,
            "to": "+33639980100",
            "text": "Voici l’offre :",
            "link": {"url": "https://shop.example/offer"},
            "quotedMessageId": _ID,
            "idempotencyKey": "order-1042-offer",
        },
    ),
    body(
        "a place to a group, at ten on the company's clock",
        {
            "account": 7,
            "groupId": 3,
            "location": {
                "latitude": 16.2411,
                "longitude": -61.5331,
                "name": "Boutique",
                "address": "Pointe-à-Pitre",
            },
            "scheduledAt": "2026-11-23T10:00:00",
            "timezone": "tenant",
            "idempotencyKey": "opening-day",
        },
    ),
    answer("queued", _MESSAGE, status=201),
]
MESSAGE = [
    answer(
        "the second step of a sequence, read",
        _MESSAGE
        | {
            "target": 12,
            "step": 2,
            "state": "read",
            "attemptsMade": 1,
            "sentAt": "2026-11-20T10:05:04Z",
            "deliveredAt": "2026-11-20T10:05:05Z",
            "readAt": "2026-11-20T10:09:41Z",
            "attempts": [
                {
                    "number": 1,
                    "outcome": "sent",
                    "worker": "browser-1@relance",
                    "intentAt": "2026-11-20T10:05:03Z",
                    "finishedAt": "2026-11-20T10:05:04Z",
                    "errorCode": "",
                    "error": "",
                }
            ],
        },
    )
]
_SHORT = {name: value for name, value in _MESSAGE.items() if name != "attempts"}
MESSAGES = [a_page(_SHORT)]
MESSAGE_RETRIED = [answer("queued again", _MESSAGE)]
MESSAGE_MOVED = [
    body("to another moment", {"scheduledAt": "2026-11-23T09:00:00Z"}),
    body(
        "to ten on the recipient's clock",
        {"scheduledAt": "2026-11-23T10:00:00", "timezone": "recipient"},
    ),
    answer(
        "moved",
        _MESSAGE | {"scheduledAt": "2026-11-23T09:00:00Z", "dueAt": "2026-11-23T09:00:00Z"},
    ),
]
MESSAGE_CANCELLED = [
    answer(
        "cancelled",
        _MESSAGE
        | {"state": "cancelled", "errorCode": "cancelled", "endedAt": "2026-11-20T10:05:02Z"},
    )
]
SETTLE = [
    body("it is in the chat", {"sent": True}),
    body("it is not", {"sent": False}),
    answer(
        "it was sent",
        _MESSAGE | {"state": "sent", "sentAt": "2026-11-20T10:05:04Z", "errorCode": "settled_sent"},
    ),
]

REFERRAL = [
    answer(
        "followed",
        {
            "id": 31,
            "externalId": "ref-0001",
            "referrer": "amina",
            "name": "Zoé Martin",
            "phone": "+33639980100",
            "region": "FR",
            "language": "fr",
            "registeredAt": "2026-11-18T08:00:00Z",
            "paidAt": None,
            "enrolledAt": "2026-11-18T09:00:00Z",
            "skippedReason": "",
            "createdAt": "2026-11-18T08:30:00Z",
            "updatedAt": "2026-11-18T08:30:00Z",
        },
    )
]
REFERRALS = [a_page(REFERRAL[0].value)]
PUSH = [
    body(
        "two rows",
        {
            "referrals": [
                {
                    "externalId": "ref-0001",
                    "referrer": "amina",
                    "name": "Zoé Martin",
                    "phone": "06 39 98 01 00",
                    "language": "fr",
                    "registeredAt": "2026-11-18T08:00:00+00:00",
                },
                {
                    "externalId": "ref-0002",
                    "referrer": "nobody",
                    "phone": "+447700900123",
                    "registeredAt": "2026-11-18T09:00:00+00:00",
                },
            ]
        },
    ),
    answer(
        "one taken, one refused",
        {
            "created": 1,
            "updated": 0,
            "unchanged": 0,
            "refused": 1,
            "results": [
                {"row": 0, "externalId": "ref-0001", "result": "created", "findings": []},
                {
                    "row": 1,
                    "externalId": "ref-0002",
                    "result": "refused",
                    "findings": [
                        {
                            "field": "referrer",
                            "level": "error",
                            "code": "unknown",
                            "message": (
                                "there is no referrer “nobody”: add them first, or correct the id"
                            ),
                        }
                    ],
                },
            ],
        },
    ),
]

TARGETS = [body("two people", {"ids": [12, 13]}), answer("one was so before", {"changed": 1})]
TARGETS_EXIT = [
    body("two people", {"ids": [12, 13]}),
    answer("out", {"exited": 2, "messagesCancelled": 1, "inFlight": 0}),
]
TARGET = [
    answer(
        "between two messages",
        {
            "id": 12,
            "campaign": 3,
            "account": 7,
            "referral": "ref-0001",
            "referrer": "amina",
            "name": "Zoé Martin",
            "phone": "+33639980100",
            "state": "active",
            "exitReason": "",
            "hold": "",
            "holdDetail": "",
            "pausedAt": None,
            "pausedBy": "",
            "stepsDone": 1,
            "nextDueAt": "2026-11-21T10:05:00Z",
            "lastSentAt": "2026-11-20T10:05:04Z",
            "openMessage": None,
            "enrolledAt": "2026-11-20T10:00:00Z",
            "endedAt": None,
            "why": "Message 2 goes out tomorrow at 11:05: its time has not come yet.",
            "timeline": [
                {
                    "at": "2026-11-20T10:05:04Z",
                    "kind": "sent",
                    "text": "Message 1 was sent",
                    "detail": "",
                }
            ],
            "coming": [
                {
                    "step": 2,
                    "language": "fr",
                    "text": "Zoé, une question avant de te lancer ?",
                    "dueAt": "2026-11-21T10:05:00Z",
                    "limitNote": "",
                    "problem": "",
                }
            ],
        },
    )
]
_OF_LISTS = {"why", "timeline", "coming"}
TARGET_LIST = [
    a_page({name: value for name, value in TARGET[0].value.items() if name not in _OF_LISTS})
]
TARGET_PAUSED = [
    answer(
        "held back",
        TARGET[0].value
        | {"pausedAt": "2026-11-20T12:00:00Z", "why": "Paused by max since today at 13:00."},
    )
]
TARGET_OUT = [
    answer(
        "out",
        TARGET[0].value
        | {
            "state": "exited",
            "exitReason": "by_hand",
            "nextDueAt": None,
            "endedAt": "2026-11-20T12:00:00Z",
            "why": "Taken out by hand today at 13:00: nothing more is sent.",
            "coming": [],
        },
    )
]

STATS_MESSAGES = [
    answer("one day", [{"day": "2026-11-20", "sent": 318, "delivered": 311, "read": 204}])
]
STATS_FUNNEL = [
    answer(
        "three steps",
        {
            "enrolled": 190,
            "reached": [188, 181, 170],
            "active": 17,
            "completed": 150,
            "exited": {"paid": 21, "opted_out": 2},
        },
    )
]
STATS_ACCOUNTS = [
    answer(
        "four accounts",
        {
            "byStatus": {
                "new": 0,
                "pending": 0,
                "connected": 3,
                "reconnecting": 0,
                "disconnected": 1,
                "logged_out": 0,
                "conflict": 0,
            },
            "paused": 0,
        },
    )
]
STATS_USAGE = [
    answer(
        "three accounts",
        {
            "used": 120,
            "limit": 300,
            "accounts": 3,
            "fullest": [{"account": 7, "name": "amina", "used": 81, "limit": 100}],
        },
    )
]
STATS_FAILURES = [
    answer("three of two kinds", {"total": 3, "byCode": {"not_on_whatsapp": 2, "nack_401": 1}})
]
STATS_OPEN = [
    answer(
        "one thing to settle",
        {
            "uncertain": 1,
            "stuck": 0,
            "failedToday": 3,
            "accountsToLink": 1,
            "accountsPaused": 0,
            "accountsResting": 0,
            "accountsAtLimit": 0,
            "accountsWithoutWorker": 0,
            "held": {"template": 4},
        },
    )
]

_PERSON = body("a person", {"phone": "+33639980100"})
PERSON = [
    _PERSON,
    answer(
        "somebody known",
        {
            "contacts": [{"phone": "+33639980100", "name": "Zoé Martin"}],
            "consent": [{"at": "2026-11-20T11:00:00Z", "what": "opted_in", "how": "message"}],
            "groups": [],
            "chats": [],
            "referrals": [{"external_id": "ref-0001", "phone": "+33639980100"}],
            "targets": [],
            "payments": [],
            "messages": [{"body": "Bonjour Zoé !", "state": "read"}],
            "receipts": [],
            "broadcasts": [],
            "attempts": [],
            "incoming": [],
            "turns": [],
            "webhooks": [],
            "activity": [],
        },
    ),
]
PERSON_DELETED = [
    _PERSON,
    answer(
        "deleted",
        {
            "contacts": 1,
            "messages": 3,
            "incoming": 1,
            "referrals": 1,
            "targets": 1,
            "inFlight": 0,
        },
    ),
]
