"""A company's own program as an agent: one signed call for each message.

We POST JSON, signed as all calls of ours are (webhooks/signing.py; `webhook-id` is the turn's and
the same when a question is repeated)::

    {"type": "chat.message", "session": "…", "text": "C'est combien ?", "kind": "chat",
     "language": "fr", "variables": {"contact_name": "Ana", …}}

It answers 200 with ``{"texts": ["12 €"]}`` (up to five; none: nothing is said; ``"finished":
true`` ends the conversation), or 204. When a conversation is over it gets ``{"type":
"chat.ended", "session": "…"}`` and need not answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whatsapp.agents.protocol import MAX_BYTES, Answer, NoAnswer, Question, checked
from whatsapp.fetching import Answer as Response
from whatsapp.fetching import CannotFetch, Fetcher
from whatsapp.webhooks import signing

CODES = {"too_slow": "too_slow", "bad_url": "bad_setup", "private_address": "bad_setup"}


@dataclass(frozen=True, slots=True)
class Webhook:
    """An agent at `url`; `fetcher` decides which addresses are allowed."""

    url: str
    secret: bytes
    fetcher: Fetcher

    def begin(self, variables: Mapping[str, str], *, session: str, deadline: float) -> str:  # noqa: ARG002
        return session

    def answer(self, question: Question, *, deadline: float) -> Answer:
        body = {
            "type": "chat.message",
            "session": question.session,
            "text": question.text,
            "kind": question.kind,
            "language": question.language,
            "variables": dict(question.variables),
        }
        said = self._call(f"turn_{question.id}", body, deadline=deadline)
        if said.status == 204:
            return Answer()
        return _read(said)

    def end(self, session: str, *, deadline: float) -> None:
        self._call(f"end_{session}", {"type": "chat.ended", "session": session}, deadline=deadline)

    def _call(self, event: str, said: Mapping[str, Any], *, deadline: float) -> Response:
        body = json.dumps(said).encode()
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            **signing.headers(event, int(time.time()), body, with_secrets=[self.secret]),
        }
        try:
            answer = self.fetcher.post(self.url, body, headers=headers, deadline=deadline)
        except CannotFetch as error:
            raise NoAnswer(CODES.get(error.code, "unreachable"), str(error)) from error
        if answer.status in {401, 403}:
            raise NoAnswer("refused", f"the agent answered {answer.status}: is its secret ours?")
        if not 200 <= answer.status < 300:
            raise NoAnswer("bad_status", f"the agent answered {answer.status}")
        return answer


def _read(answer: Response) -> Answer:
    if len(answer.data) >= MAX_BYTES:
        raise NoAnswer("too_long", f"the agent answered more than {MAX_BYTES // 1024} KiB")
    try:
        said = json.loads(answer.data)
    except (ValueError, RecursionError) as error:
        raise NoAnswer("not_json", "the agent’s answer is no JSON") from error
    if not isinstance(said, dict) or not isinstance(said.get("finished", False), bool):
        raise NoAnswer("bad_answer", 'the agent must answer {"texts": ["…"]}')
    return Answer(checked(said.get("texts", [])), finished=said.get("finished", False))
