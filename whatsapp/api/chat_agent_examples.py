"""Examples of `/api/v1/agents` in the API's pages."""

from __future__ import annotations

from accounts.examples import a_page, answer, body

_RULES = [{"keywords": ["prix", "combien"], "language": "fr", "answer": "12 €, {{name}}."}]
_AGENT = {
    "id": 4,
    "name": "reception",
    "kind": "rules",
    "enabled": True,
    "rules": _RULES,
    "fallback": {"fr": "Je transmets votre question."},
    "url": "",
    "agentId": "",
    "apology": {},
    "timeoutSeconds": 15,
    "answersPerHour": 20,
    "idleMinutes": 60,
    "accounts": [7],
    "failingSince": None,
    "createdAt": "2026-11-20T10:00:00Z",
}
_WEBHOOK = _AGENT | {
    "name": "assistant",
    "kind": "webhook",
    "rules": [],
    "fallback": {},
    "url": "https://crm.example/answer",
    "secret": "whsec_…",
}
AGENTS = [a_page(_AGENT)]
ONE_AGENT = [answer("keyword rules", _AGENT)]
NEW_AGENT = [
    body(
        "keyword rules",
        {name: _AGENT[name] for name in ("name", "kind", "rules", "fallback", "accounts")},
    ),
    body("your own program", {name: _WEBHOOK[name] for name in ("name", "kind", "url")}),
    body(
        "Retell",
        {"name": "assistant", "kind": "retell", "agentId": "agent_1", "apiKey": "key_…"},
    ),
    answer("a webhook's secret, this once", _WEBHOOK, status=201),
]
CHANGE_AGENT = [
    body("another answer", {"rules": _RULES}),
    answer("changed", _AGENT | {"secret": ""}),
]
SECRET = [answer("the new secret, this once", {"secret": "whsec_…"})]
