"""Examples of contacts in the API's pages, `/api/docs/`."""

from __future__ import annotations

from accounts.examples import a_page, answer, body

BASIS_OF = {
    "basis": "consent",
    "at": "2026-11-20T11:00:00Z",
    "by": "olga",
    "note": "Signed at the fair in Lyon",
}
CONTACT = {
    "id": 12,
    "phone": "+33639980100",
    "lid": "100000000000004@lid",
    "name": "Zoé Martin",
    "language": "fr",
    "persona": "young parent",
    "tags": ["lyon", "vip"],
    "source": "group",
    "sourceDetail": "Voisins de la rue Haute",
    "engagement": 72,
    "lawfulBasis": BASIS_OF,
    "obstacle": "",
    "optedOutAt": None,
    "optOutReason": "",
    "onWhatsApp": True,
    "createdAt": "2026-11-20T10:05:02Z",
}
CONTACTS = [a_page(CONTACT)]
ONE = [answer("from a group, with a basis", CONTACT)]
NEW = [
    body("somebody", {"phone": "06 39 98 01 00", "name": "Zoé Martin", "tags": ["vip"]}),
    answer(
        "entered",
        CONTACT
        | {
            "lid": "",
            "language": "",
            "persona": "",
            "tags": ["vip"],
            "source": "api",
            "sourceDetail": "",
            "engagement": None,
            "lawfulBasis": None,
            "onWhatsApp": None,
        },
        status=201,
    ),
]
CHANGED = [body("tags", {"tags": ["lyon", "vip"]}), answer("changed", CONTACT)]
BASIS = [
    body("consent", {"basis": "consent", "note": BASIS_OF["note"]}),
    answer("recorded", CONTACT),
]
WITHDRAWN = [
    body("a mistake", {"note": "It was somebody else’s signature"}),
    answer("withdrawn", CONTACT | {"lawfulBasis": None, "obstacle": "no_lawful_basis"}),
]
OPT_OUT = [
    body("by telephone", {"reason": "asked us by telephone"}),
    answer(
        "opted out",
        CONTACT
        | {
            "obstacle": "opted_out",
            "optedOutAt": "2026-11-20T12:00:00Z",
            "optOutReason": "asked us by telephone",
        },
    ),
]
OPT_IN = [body("by telephone", {"note": "asked us by telephone"}), answer("back", CONTACT)]
CONSENT = [
    a_page(
        {
            "id": 31,
            "at": "2026-11-20T11:00:00Z",
            "what": "lawful_basis",
            "how": "API",
            "note": "consent: Signed at the fair in Lyon",
            "by": "olga",
        }
    )
]
TIMELINE = [
    answer(
        "an answer to a message",
        {
            "events": [
                {
                    "at": "2026-11-20T12:05:00Z",
                    "kind": "incoming",
                    "what": "chat",
                    "detail": "Merci !",
                    "by": "amina",
                },
                {
                    "at": "2026-11-20T12:00:00Z",
                    "kind": "message",
                    "what": "read",
                    "detail": "Bonjour Zoé !",
                    "by": "amina",
                },
            ]
        },
    )
]
IMPORT = [
    body(
        "two people, to see what would happen",
        {
            "dryRun": True,
            "contacts": [
                {"phone": "+33639980100", "name": "Zoé Martin", "tags": ["lyon"]},
                {"phone": "12", "lawfulBasis": "consent", "basisNote": "paper form"},
            ],
        },
    ),
    answer(
        "one is no number",
        {
            "created": 1,
            "updated": 0,
            "unchanged": 0,
            "refused": 1,
            "results": [
                {"row": 0, "result": "created", "findings": []},
                {
                    "row": 1,
                    "result": "refused",
                    "findings": [
                        {
                            "field": "phone",
                            "level": "error",
                            "code": "too_short",
                            "message": "the phone number is too short",
                        }
                    ],
                },
            ],
        },
    ),
]
