"""Examples of `/api/v1/webhooks` in the API's pages."""

from __future__ import annotations

from accounts.examples import a_page, answer, body

WEBHOOK = {
    "id": 3,
    "name": "CRM",
    "url": "https://crm.example/relance",
    "events": ["message.delivered", "message.read", "incoming.received"],
    "includeText": False,
    "active": True,
    "failingSince": None,
    "switchedOffAt": None,
    "createdAt": "2026-11-20T10:00:00Z",
}
_GIVEN = {name: WEBHOOK[name] for name in ("name", "url", "events")}
WEBHOOKS = [a_page(WEBHOOK)]
ONE_WEBHOOK = [answer("a webhook", WEBHOOK)]
NEW_WEBHOOK = [
    body("tell the CRM", _GIVEN),
    answer("its secret, this once", WEBHOOK | {"secret": "whsec_…"}, status=201),
]
CHANGE_WEBHOOK = [
    body("another address", {name: WEBHOOK[name] for name in ("url", "events", "active")}),
    answer("changed", WEBHOOK),
]
SECRET = [
    answer(
        "the new secret, this once",
        {"secret": "whsec_…", "formerUntil": "2026-11-21T10:00:00Z"},
    )
]
DELIVERY = {
    "id": 812,
    "event": "6f1c8f8e-3d0f-4f0c-9a57-9d5c6f0a1b2c",
    "type": "message.read",
    "object": "message:0d9c1f0e-8a3b-4b6e-9a68-7d7b4e1f2a10",
    "data": {"message": "0d9c1f0e-8a3b-4b6e-9a68-7d7b4e1f2a10", "state": "read"},
    "state": "delivered",
    "attempts": 1,
    "status": 200,
    "error": "",
    "milliseconds": 84,
    "createdAt": "2026-11-20T10:02:00Z",
    "nextAt": None,
    "endedAt": "2026-11-20T10:02:01Z",
}
DELIVERIES = [a_page(DELIVERY)]
TEST = [
    answer(
        "queued",
        DELIVERY
        | {
            "type": "webhook.test",
            "object": "webhook:3",
            "data": {"endpoint": "CRM"},
            "state": "pending",
            "attempts": 0,
            "status": None,
            "milliseconds": None,
            "nextAt": "2026-11-20T10:02:00Z",
            "endedAt": None,
        },
        status=202,
    )
]
REPLAY = [body("every dead letter", {}), answer("these go out again", {"replayed": 4})]
