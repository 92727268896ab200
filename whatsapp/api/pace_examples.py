"""Examples of `/api/v1/accounts/…/pace`, `health` and `holds`."""

from __future__ import annotations

from accounts.examples import answer, body

_PACE = {
    "gapJitterMs": None,
    "typingMs": None,
    "quietHours": "20:00-09:00",
    "newChatsPerDay": 10,
    "warmUpDays": None,
    "effective": {
        "gapJitterMs": 2000,
        "typingMs": 2000,
        "quietHours": "20:00-09:00",
        "newChatsPerDay": 10,
        "warmUpDays": 14,
    },
    "warmsUp": True,
    "dailyLimit": 37,
    "newChatsToday": 4,
}
PACE = [
    body("longer nights, fewer new people", {"quietHours": "20:00-09:00", "newChatsPerDay": 10}),
    answer("set", _PACE),
]
PACE_READ = PACE[1:]
HEALTH = [
    answer(
        "resting",
        {
            "score": 52,
            "reason": "many messages do not reach a phone",
            "share": 0,
            "checkedAt": "2026-11-20T10:00:00Z",
            "newChatsHeldUntil": None,
            "nextStepAt": "2026-11-20T21:40:00Z",
            "holds": [
                {
                    "code": "health",
                    "until": "2026-11-20T21:40:00Z",
                    "reason": "many messages do not reach a phone",
                }
            ],
            "penalties": {
                "acks": 0,
                "delivery": 35,
                "replies": 10,
                "failures": 3,
                "opt_outs": 0,
                "refusals": 0,
                "disconnects": 0,
            },
            "history": [{"at": "2026-11-20T09:40:00Z", "score": 52, "share": 0}],
        },
    )
]
HOLDS = [answer("lifted", {"lifted": True})]
