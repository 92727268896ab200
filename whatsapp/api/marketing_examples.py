"""Examples of `/api/whatsapp/messages` in the API's pages."""

from __future__ import annotations

from accounts.examples import a_page, answer, body

_ID = "6f1d1f0e-7a4b-4d0c-9f57-0d9d2a1c8f11"
_MESSAGE = {
    "id": _ID,
    "accountId": 7,
    "campaignId": "spring",
    "contentId": "",
    "messageType": "text",
    "messageText": "Bonjour !",
    "channelType": "individual",
    "targetGroupId": None,
    "targetPhone": "+33639980100",
    "scheduledAt": None,
    "status": "queued",
    "errorCode": "",
    "error": "",
    "attempts": 0,
    "createdAt": "2026-11-20T10:05:00Z",
    "sentAt": None,
    "deliveredAt": None,
    "readAt": None,
}
NEW_MESSAGE = [
    body(
        "a text to a person",
        {
            "accountId": 7,
            "campaignId": "spring",
            "messageType": "text",
            "messageText": "Bonjour !",
            "channelType": "individual",
            "targetPhone": "+33639980100",
        },
    ),
    body(
        "a picture to a group, tomorrow at ten",
        {
            "accountId": 7,
            "messageType": "image",
            "mediaUrl": "https://files.example/day2.png",
            "messageText": "À demain",
            "channelType": "group",
            "targetGroupId": "3",
            "scheduledAt": "2026-11-21T10:00:00",
        },
    ),
    body(
        "one message to everybody with a tag",
        {
            "accountId": 7,
            "messageText": "Bonjour !",
            "channelType": "broadcast",
            "targetTags": ["vip"],
        },
    ),
    answer("queued", _MESSAGE, status=201),
    answer(
        "a broadcast",
        {
            "queued": 1,
            "messageIds": [_ID],
            "leftOut": [{"contactId": 12, "reason": "opted_out"}],
        },
        status=201,
    ),
]
MESSAGE = [answer("one message", _MESSAGE)]
MESSAGES = [a_page(_MESSAGE)]
RETRIED = [answer("queued again", _MESSAGE)]
