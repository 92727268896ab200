"""Examples in the API's pages, `/api/docs/`."""

from __future__ import annotations

from accounts.examples import answer, body

CONNECT = [
    body("a code to type in", {"phoneNumber": "+33639980000"}),
    answer(
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
    answer(
        "code to type in",
        {
            "success": True,
            "message": "Type this code in on your phone: Settings, Linked devices, Link with "
            "phone number instead.",
            "data": {
                "status": "pending",
                "pairingCode": "H7KD-93QX",
                "qrCode": "2@Zx…",
                "qrCodeDataUrl": "data:image/png;base64,iVBORw0…",
                "expiresAt": "2026-11-20T10:02:00Z",
            },
        },
    ),
    answer(
        "linked already",
        {
            "success": True,
            "message": "This account is linked.",
            "data": {"status": "connected", "phoneNumber": "+33639980000"},
        },
    ),
]
DISCONNECT = [
    answer(
        "done",
        {
            "success": True,
            "message": "This account is being logged out.",
            "data": {"status": "disconnected"},
        },
    )
]
PAUSE = [
    body("hold everything", {"sendingPaused": True}),
    answer(
        "held",
        {
            "success": True,
            "message": "Saved.",
            "data": {"enrollmentPaused": False, "sendingPaused": True},
        },
    ),
]
STATUS = [
    answer(
        "connected",
        {
            "status": "connected",
            "phoneNumber": "+33639980000",
            "platform": "android",
            "pushname": "Amina",
            "lastQrScanDate": "2026-11-20T10:02:00Z",
            "lastConnectionCheck": "2026-11-20T10:02:00Z",
            "enrollmentPaused": False,
            "sendingPaused": False,
            "messagesSentToday": 4,
            "dailyLimit": 100,
            "remaining": 96,
            "resetIn": 41_000_000,
            "isLimited": False,
        },
    )
]

_DAY = {
    "dayNumber": 2,
    "messageTemplate": {
        "fr": "{{name}}, une question avant de te lancer ? {{link}}",
        "en": "{{name}}, any question before you start? {{link}}",
    },
    "mediaUrls": [{"url": "https://files.example/day2.png", "type": "image", "language": "both"}],
    "active": True,
}
DAYS = [answer("one day", {"success": True, "data": [_DAY]})]
DAY = [
    body("day 2", _DAY),
    answer("saved", {"success": True, "message": "Day 2 is saved.", "data": _DAY}),
]
DAY_DELETED = [
    answer(
        "switched off",
        {
            "success": True,
            "message": "Day 2 is switched off; what it sent stays readable.",
            "data": {"dayNumber": 2, "deleted": False},
        },
    )
]
EXIT = [
    body("payer", {"userId": "ref-0001"}),
    answer(
        "out",
        {
            "success": True,
            "data": {"targetsExited": 1, "messagesCancelled": 1, "inFlight": 0, "known": True},
        },
    ),
]
