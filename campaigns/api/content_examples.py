"""Examples of campaigns, steps and templates in the API's pages."""

from __future__ import annotations

from accounts.examples import a_page, answer, body

_STEP = {
    "id": 21,
    "campaign": 3,
    "number": 1,
    "delaySeconds": 0,
    "active": True,
    "templates": [
        {"language": "fr", "text": "Bonjour {{name}}, {{link}}", "media": None},
        {"language": "en", "text": "Hi {{name}}, {{link}}", "media": None},
    ],
}
_CAMPAIGN = {
    "id": 3,
    "name": "Relance",
    "active": True,
    "defaultLanguage": "fr",
    "firstDelaySeconds": 3600,
    "pauseOnReply": False,
    "createdAt": "2026-11-01T08:00:00Z",
    "steps": [_STEP],
    "missing": [],
}
CAMPAIGN = [answer("one step in two languages", _CAMPAIGN)]
NEW_CAMPAIGN = [
    body("in French", {"name": "Relance", "defaultLanguage": "fr", "firstDelaySeconds": 3600}),
    answer(
        "made",
        _CAMPAIGN
        | {
            "active": False,
            "steps": [],
            "missing": [
                {"step": 0, "language": "", "message": "no day is written yet: write day 1"}
            ],
        },
        status=201,
    ),
]
NEW_STEP = [
    body("a day after the one before", {"number": 2}),
    answer(
        "made",
        _STEP | {"id": 22, "number": 2, "delaySeconds": 86_400, "templates": []},
        status=201,
    ),
]
TEMPLATE = [
    body(
        "a text with a file",
        {
            "text": "{{name}}, le guide : {{link}}",
            "media": {"url": "https://files.example/guide.pdf", "type": "document"},
        },
    ),
    answer(
        "written",
        {
            "language": "fr",
            "text": "{{name}}, le guide : {{link}}",
            "media": {
                "id": 5,
                "filename": "guide.pdf",
                "kind": "document",
                "mime": "application/pdf",
                "size": 48_213,
            },
        },
    ),
]
PREVIEW = [
    body("for one referral", {"text": "Bonjour {{name}}", "referral": 31}),
    answer("as they read it", {"text": "Bonjour Zoé", "problem": ""}),
]

_LISTED = {name: value for name, value in _CAMPAIGN.items() if name not in {"steps", "missing"}}
CAMPAIGNS = [a_page(_LISTED)]
CAMPAIGN_CHANGE = [body("another name", {"name": "Relance 2027"}), *CAMPAIGN]
CAMPAIGN_OFF = [answer("switched off", _CAMPAIGN | {"active": False})]
STEPS = [answer("one step", [_STEP])]
ONE_STEP = [answer("in two languages", _STEP)]
STEP_CHANGE = [body("two days later", {"delaySeconds": 172_800}), *ONE_STEP]
STEP_REMOVED = [answer("switched off", {"deleted": False})]
ONE_TEMPLATE = TEMPLATE[1:]
