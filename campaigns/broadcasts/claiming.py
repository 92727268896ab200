"""What queueing takes in one round: whose turn it is, and who waits there, locked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from campaigns.broadcasts.texts import Person
from whatsapp.models import Account

Turn = tuple[int, int]  # a broadcast on one of its accounts

TURNS = """
SELECT broadcast.id, chosen.account_id
FROM campaigns_broadcast AS broadcast
JOIN campaigns_broadcast_accounts AS chosen ON chosen.broadcast_id = broadcast.id
JOIN whatsapp_account AS account ON account.id = chosen.account_id
    AND account.enabled AND account.status = ANY(%(linked)s)
    AND account.sending_paused_at IS NULL
WHERE broadcast.state = 'running' AND EXISTS (
    SELECT FROM campaigns_recipient AS recipient
    WHERE recipient.broadcast_id = broadcast.id AND recipient.account_id = chosen.account_id
      AND recipient.state = 'waiting' AND recipient.due_at <= %(now)s)
ORDER BY broadcast.id, chosen.account_id
FOR SHARE OF broadcast SKIP LOCKED
"""

# The newest referral of a number is whom {{link}} and {{referrer}} are about.
CLAIM = """
SELECT recipient.id, recipient.broadcast_id, recipient.account_id, recipient.due_at,
       contact.id, contact.name, contact.language, contact.opted_out_at IS NOT NULL,
       contact.source = 'group' AND contact.lawful_basis = '',
       chat.taken_over_until, referral.external_id, referral.name, referral.language,
       referral.referrer
FROM unnest(%(broadcasts)s::bigint[], %(accounts)s::bigint[], %(room)s::int[])
    AS turn (broadcast_id, account_id, room)
CROSS JOIN LATERAL (
    SELECT id, broadcast_id, account_id, contact_id, due_at
    FROM campaigns_recipient AS due
    WHERE due.broadcast_id = turn.broadcast_id AND due.account_id = turn.account_id
      AND due.state = 'waiting' AND due.due_at <= %(now)s
      -- Contacts are locked first. Who is being merged or deleted is left to the next round.
      AND (due.contact_id IS NULL OR EXISTS (
          SELECT FROM whatsapp_contact AS person
          WHERE person.id = due.contact_id FOR KEY SHARE SKIP LOCKED))
    ORDER BY due.due_at, due.id LIMIT turn.room
    FOR UPDATE SKIP LOCKED
) AS recipient
LEFT JOIN whatsapp_contact AS contact ON contact.id = recipient.contact_id
LEFT JOIN whatsapp_chat AS chat ON chat.account_id = recipient.account_id
    AND chat.contact_id = recipient.contact_id AND chat.taken_over_until > %(now)s
LEFT JOIN LATERAL (
    SELECT found.external_id, found.name, found.language, referrer.name AS referrer
    FROM campaigns_referral AS found
    JOIN campaigns_referrer AS referrer ON referrer.id = found.referrer_id
    WHERE found.tenant_id = contact.tenant_id AND found.phone = contact.phone
    ORDER BY found.id DESC LIMIT 1) AS referral ON true
ORDER BY recipient.due_at, recipient.id
"""


@dataclass(frozen=True, slots=True)
class Due:
    """A row of `CLAIM`, in its order."""

    id: int
    broadcast_id: int
    account_id: int
    due_at: datetime
    contact_id: int | None
    name: str
    language: str
    opted_out: bool
    no_basis: bool
    taken_over_until: datetime | None
    external_id: str | None
    referral_name: str | None
    referral_language: str | None
    referrer: str | None

    @property
    def person(self) -> Person:
        return Person(
            name=self.name or self.referral_name or "",
            language=self.language or self.referral_language or "",
            external_id=self.external_id,
            referrer=self.referrer,
        )


def turns(*, now: datetime) -> list[Turn]:
    """Running broadcasts, and their accounts with somebody whose time has come; locked shared."""
    with connection.cursor() as cursor:
        cursor.execute(TURNS, {"linked": list(Account.LINKED_STATUSES), "now": now})
        found: list[Turn] = cursor.fetchall()
    return found


def claim(shares: list[tuple[int, int, int]], *, now: datetime) -> list[Due]:
    if not shares:
        return []
    broadcasts, accounts, room = zip(*shares, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            CLAIM,
            {
                "broadcasts": list(broadcasts),
                "accounts": list(accounts),
                "room": list(room),
                "now": now,
            },
        )
        return [Due(*row) for row in cursor.fetchall()]
