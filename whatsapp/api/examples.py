"""Examples in the API's pages, `/api/docs/`, and in `docs/openapi.yaml`."""

from __future__ import annotations

from accounts.examples import a_page, answer, body

ACCOUNT = {
    "id": 7,
    "name": "amina",
    "owner": "amina",
    "enabled": True,
    "status": "connected",
    "statusReason": "",
    "statusChangedAt": "2026-11-20T10:02:00Z",
    "phoneNumber": "+33639980000",
    "platform": "android",
    "pushName": "Amina",
    "linkedAt": "2026-11-20T10:02:00Z",
    "lastCheckedAt": "2026-11-20T10:02:00Z",
    "sendingPausedAt": None,
    "createdAt": "2026-11-20T10:00:00Z",
    "health": {
        "score": 96,
        "reason": "",
        "share": 100,
        "checkedAt": "2026-11-20T12:00:00Z",
        "newChatsHeldUntil": None,
        "nextStepAt": None,
    },
    "pace": {
        "gapJitterMs": None,
        "typingMs": None,
        "quietHours": None,
        "newChatsPerDay": None,
        "warmUpDays": None,
    },
}
NEW_ACCOUNT = [
    body("for somebody's phone", {"name": "amina", "owner": "amina"}),
    answer(
        "made",
        ACCOUNT
        | {
            "status": "new",
            "statusChangedAt": None,
            "phoneNumber": "",
            "platform": "",
            "pushName": "",
            "linkedAt": None,
            "lastCheckedAt": None,
        },
        status=201,
    ),
]
ACCOUNTS = [a_page(ACCOUNT)]
ONE_ACCOUNT = [answer("connected", ACCOUNT)]
ALLOWANCE = {
    "sentToday": 4,
    "dailyLimit": 100,
    "remaining": 96,
    "resetIn": 41_000_000,
    "isLimited": False,
}
STATUS = [
    answer(
        "connected",
        {
            "status": "connected",
            "statusReason": "",
            "phoneNumber": "+33639980000",
            "sendingPaused": False,
            "lastCheckedAt": "2026-11-20T10:02:00Z",
            "allowance": ALLOWANCE,
        },
    )
]
PAUSED = [answer("paused", STATUS[0].value | {"sendingPaused": True})]
DISCONNECT = [answer("its phone is logged out", {"status": "disconnected", "logsOut": True})]
USAGE = [
    answer(
        "one busy day",
        {
            "dailyLimit": 100,
            "today": "2026-11-20",
            "days": [{"day": "2026-11-20", "count": 41}],
        },
    )
]
_QR = {
    "text": "2@Zx…",
    "dataUrl": "data:image/png;base64,iVBORw0…",
    "seq": 1,
    "publishedAt": "2026-11-20T10:00:05Z",
    "expiresAt": "2026-11-20T10:02:00Z",
}
QR = [answer("to scan", _QR)]
CONNECT = [
    body("wait for the code", {"waitSeconds": 20}),
    body("a code to type in", {"phoneNumber": "+33639980000"}),
    answer(
        "code to scan",
        {"status": "pending", "statusReason": "", "qr": _QR, "pairingCode": None},
    ),
    answer(
        "code to type in",
        {"status": "pending", "statusReason": "", "qr": _QR, "pairingCode": "H7KD-93QX"},
    ),
    answer(
        "its code comes",
        {"status": "pending", "statusReason": "", "qr": None, "pairingCode": None},
        status=202,
    ),
]
LIMITS = [
    body("careful with a new number", {"daily": 20, "perMinute": 5, "gapMs": None}),
    answer(
        "set",
        {
            "daily": 20,
            "perMinute": 5,
            "gapMs": None,
            "effective": {"daily": 20, "perMinute": 5, "gapMs": 3000},
        },
    ),
]
LIMITS_READ = LIMITS[1:]
AGENT_CONNECTED = {
    "subaccountId": "acme",
    "agentId": "amina",
    "status": "connected",
    "phoneNumber": "+33639980000",
    "platform": "android",
    "pushname": "Amina",
    "connectedAt": "2026-11-20T10:02:00Z",
    "createdBy": "amina",
}
AGENT_STATUS = [
    answer("connected", {"success": True, "message": "connected", "data": AGENT_CONNECTED})
]
AGENT_CONNECTIONS = [
    answer("one agent", {"success": True, "message": "1 of acme", "data": [AGENT_CONNECTED]})
]
AGENT_DISCONNECT = [
    answer(
        "its phone is logged out",
        {
            "success": True,
            "message": "This account is being logged out.",
            "data": {**AGENT_CONNECTED, "status": "disconnected"},
        },
    )
]
AGENT_CONNECT = [
    answer(
        "code to scan",
        {
            "success": True,
            "message": "Scan this code with WhatsApp: Settings, Linked devices.",
            "data": {
                **AGENT_CONNECTED,
                "status": "pending",
                "phoneNumber": None,
                "platform": None,
                "pushname": None,
                "connectedAt": None,
                "qrCode": "2@Zx…",
                "qrCodeDataUrl": "data:image/png;base64,iVBORw0…",
                "expiresAt": "2026-11-20T10:02:00Z",
            },
        },
    )
]
MEDIA = [
    answer(
        "stored",
        {
            "id": 41,
            "filename": "guide.pdf",
            "kind": "document",
            "mime": "application/pdf",
            "size": 48213,
        },
        status=201,
    )
]
AGENT_SEND = [
    body(
        "a place",
        {
            "to": "33639980100",
            "location": {"latitude": 16.2411, "longitude": -61.5331, "description": "Boutique"},
        },
    ),
    body("a text", {"to": "33639980100", "message": "Bonjour !"}),
    answer(
        "queued",
        {
            "success": True,
            "message": "Queued: it goes out next, within the account's limits.",
            "data": {"messageId": "6f1d1f0e-7a4b-4d0c-9f57-0d9d2a1c8f11", "status": "queued"},
        },
    ),
]
AGENT_CHATS = [
    answer(
        "one chat",
        {
            "success": True,
            "message": "1 chat",
            "data": [
                {
                    "chat_id": "33639980100@c.us",
                    "agent_id": "amina",
                    "chat_status": "open",
                    "start_timestamp": "2026-11-20T10:05:00Z",
                    "messages": [
                        {
                            "role": "assistant",
                            "content": "Bonjour !",
                            "timestamp": "2026-11-20T10:05:00Z",
                        }
                    ],
                    "metadata": {"whatsapp_phone": "+33639980100", "channel": "whatsapp"},
                }
            ],
        },
    )
]
