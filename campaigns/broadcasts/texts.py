"""What a broadcast says to one person: the text in their language, with its variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from accounts.models import Tenant
from campaigns import content, rendering
from campaigns.models import Broadcast, BroadcastText
from whatsapp.models import Message

Kind = Message.Kind
LONGEST = 4_000  # characters, as `BroadcastText.body`


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a text is for; `external_id` and `referrer` are of their newest referral, or None."""

    name: str
    language: str
    external_id: str | None = None
    referrer: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A rendered text, as `outbox.Draft` takes it."""

    language: str
    kind: str
    body: str
    content: Mapping[str, Any]
    media_id: int | None


class Texts:
    """The texts of one broadcast, read once."""

    def __init__(self, broadcast: Broadcast, texts: Iterable[BroadcastText]) -> None:
        self._tenant = broadcast.tenant
        self._default = broadcast.default_language
        self._texts = {text.language: text for text in texts}

    @classmethod
    def of(cls, broadcast: Broadcast) -> Texts:
        return cls(broadcast, broadcast.texts.all())

    def language_for(self, language: str) -> str:
        """The language spoken to somebody: theirs, without its country (pt-br: pt), the default."""
        for candidate in (language, language.partition("-")[0]):
            if candidate in self._texts:
                return candidate
        return self._default

    def say(self, person: Person) -> Said:
        """Raises `rendering.TemplateError` when there is no text, or no value for a variable."""
        language = self.language_for(person.language)
        text = self._texts.get(language)
        if text is None:
            raise rendering.TemplateError(f"no text in {language}")
        body = rendering.render(text.body, values(person, self._tenant))
        return Said(language, text.kind, body, text.content, text.media_id)


def values(person: Person, tenant: Tenant) -> dict[str, str]:
    """Variables for one person. {{link}} and {{referrer}} have a value for referrals only."""
    found = {**tenant.variables, "name": content.first_name(person.name)}
    if person.referrer is not None:
        found["referrer"] = person.referrer
    if person.external_id is not None and tenant.payment_link:
        found["link"] = content.link(tenant.payment_link, person.external_id)
    return found


def problem(kind: str, body: str, tenant: Tenant) -> str:
    """What is wrong with a text as it is written, or empty. Only a text needs words."""
    if not body.strip() and kind != Kind.TEXT:
        return ""
    if len(body) > LONGEST:
        return str(rendering.too_long(LONGEST))
    try:
        rendering.check(body, variables=rendering.names_for(tenant))
    except rendering.TemplateError as error:
        return str(error)
    return ""
