"""Keyword rules: the agent that needs nobody else, and the one that is there by default."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from whatsapp.agents.protocol import Answer, Question, checked
from whatsapp.stopping import plain

# Scripts that put no spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese.
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
NAME = re.compile(r"(,?\s*)\{\{\s*name\s*\}\}")


@dataclass(frozen=True, slots=True)
class Rule:
    """`answer` to whoever writes one of `keywords`; of contacts of `language` where it is set."""

    keywords: Sequence[str]
    answer: str
    language: str = ""

    def fits(self, question: Question) -> bool:
        if self.language and not question.language.startswith(self.language):
            return False
        said = plain(question.text)
        return any(_says(said, plain(keyword)) for keyword in self.keywords)


def _says(said: str, keyword: str) -> bool:
    """Whether a keyword stands in a text as whole words; both in `plain` form.

    By comparing text, not by a pattern: nothing that anybody types is evaluated.
    """
    if not keyword:
        return False
    if UNSPACED.search(keyword):
        return keyword.replace(" ", "") in said.replace(" ", "")
    return f" {keyword} " in f" {said} "


@dataclass(frozen=True, slots=True)
class Rules:
    """The first rule that fits answers; else `fallback` (by language) does, or nobody."""

    rules: Sequence[Rule]
    fallback: Mapping[str, str]
    default_language: str

    def begin(self, variables: Mapping[str, str], *, session: str, deadline: float) -> str:  # noqa: ARG002
        return session

    def answer(self, question: Question, *, deadline: float) -> Answer:  # noqa: ARG002
        for rule in self.rules:
            if rule.fits(question):
                return Answer(checked([_filled(rule.answer, question)]))
        text = self.fallback.get(question.language) or self.fallback.get(self.default_language, "")
        return Answer(checked([_filled(text, question)]))

    def end(self, session: str, *, deadline: float) -> None:
        """Rules remember nothing."""


def _filled(text: str, question: Question) -> str:
    name = question.variables.get("contact_name", "")
    # "Bonjour, {{name}} !" for somebody without a name is "Bonjour !".
    return NAME.sub(lambda found: found[1] + name if name else "", text).strip()
