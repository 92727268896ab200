"""What an agent is: begin a conversation, answer, end it. Three methods, plain values, no models.

An implementation may take its time up to `deadline` (seconds) and raises `NoAnswer` for whatever
goes wrong; it holds no state between calls, which come from different processes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

MAX_TEXT = 4096  # characters of one answer; WhatsApp cuts longer ones
MAX_TEXTS = 5  # messages that one question may bring
MAX_BYTES = 64 * 1024  # of what an agent may send us for one question


class NoAnswer(Exception):
    """An agent failed; `code` is a stable word, the message is for whoever set the agent up.

    Codes: ``too_slow``, ``unreachable``, ``refused`` (it does not know us), ``bad_status``,
    ``not_json``, ``bad_answer``, ``too_long``, ``html``, ``bad_setup``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wrote, and who they are.

    `variables` describe the contact and the account, texts by name: ``contact_name``,
    ``contact_phone``, ``contact_language``, ``account``, ``company``.
    """

    id: str  # of the turn: an agent that is asked again after a crash gets it again
    session: str  # what `begin` returned
    text: str = field(repr=False)
    kind: str = "chat"  # WhatsApp's type of the message
    language: str = ""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to write back, message by message; none: nothing is to be said. `finished` ends the
    conversation."""

    texts: tuple[str, ...] = field(default=(), repr=False)
    finished: bool = False


class Agent(Protocol):
    """One configured agent."""

    def begin(self, variables: Mapping[str, str], *, session: str, deadline: float) -> str:
        """Begin a conversation that we call `session`; returns what the agent calls it."""

    def answer(self, question: Question, *, deadline: float) -> Answer:
        """Answer one message. What it returns has passed `checked`."""

    def end(self, session: str, *, deadline: float) -> None:
        """The conversation is over."""


# A page instead of an answer: an error of a proxy, a login. A lone "<3" is none.
HTML = re.compile(r"^\s*<(!doctype|\?xml|html|head|body|script|div|p|table|span|br|h[1-6])\b", re.I)


def checked(texts: object) -> tuple[str, ...]:
    """Texts that may be sent to somebody, of whatever an agent said. Raises `NoAnswer`."""
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise NoAnswer("bad_answer", "the agent must answer with texts")
    if len(texts) > MAX_TEXTS:
        raise NoAnswer("bad_answer", f"the agent answered with more than {MAX_TEXTS} messages")
    clean = []
    for text in texts:
        # NUL and half characters fit in no database, other control characters on no screen.
        kept = "".join(c for c in text if c in "\n\t" or (c >= " " and c != "\x7f"))
        kept = kept.encode(errors="ignore").decode().strip()
        if len(kept) > MAX_TEXT:
            raise NoAnswer("too_long", f"the agent’s answer has more than {MAX_TEXT} characters")
        if HTML.match(kept):
            raise NoAnswer("html", "the agent answered with a web page instead of a text")
        if kept:
            clean.append(kept)
    return tuple(clean)
