"""STOP and START: whole messages by which people opt out of, and in to, a company's messages.

The words are the company's (`Tenant.stop_words`). A stop is confirmed once in a contact's life:
the one message that goes to somebody who opted out, queued under a key that exists once and of an
origin (`Message.Origin.SYSTEM`) that nothing else has.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import datetime

from django.utils.translation import gettext, override

from whatsapp import outbox
from whatsapp.models import Account, Contact, Message


def means(text: str, words: Iterable[str]) -> bool:
    """Whether a whole message is one of `words`, whatever its case, accents, dots and emoji."""
    if len(text) > 200:
        return False
    said = plain(text)
    return bool(said) and said in {plain(word) for word in words}


def plain(text: str) -> str:
    """Lower-case letters and digits with single spaces: ``« Arrêtez ! »`` is ``arretez``.

    Works for every script: marks that go on a letter are dropped, what is no letter, too.
    """
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    kept = (
        character if character.isalnum() else " "
        for character in folded
        if unicodedata.category(character) not in {"Mn", "Me", "Cf", "Lm"}
    )
    return " ".join("".join(kept).split())


def confirm(contact: Contact, *, account: Account, now: datetime) -> None:
    """Queue the one confirmation, from the account that they wrote to; a no-op ever after."""
    language = contact.language or account.tenant.default_language
    texts = account.tenant.stop_confirmation
    body = texts.get(language) or texts.get(account.tenant.default_language)
    if not body:
        with override(language):
            body = gettext("Noted: you will get no more messages from us. To go on, write START.")
    outbox.queue_batch(
        [
            outbox.Draft(
                tenant_id=account.tenant_id,
                account_id=account.pk,
                contact_id=contact.pk,
                idempotency_key=f"stop:{contact.pk}",
                body=body,
                due_at=now,
                priority=outbox.AGENT,
                origin=Message.Origin.SYSTEM,
            )
        ],
        now=now,
    )
