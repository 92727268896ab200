"""How much somebody takes part: a score from 0 to 100 (docs/explanation/engagement.md).

From the messages of the last 90 days that reached WhatsApp and from what came back::

    20 * delivered share + 40 * read share + 40 * replies per three messages (1 at most)

Whatever was sent before their last reply counts as read: many switch read receipts off. Whom
nothing was sent to has no score.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from datetime import datetime

from django.db import connection

WINDOW = dt.timedelta(days=90)
BATCH = 1_000

SCORE = """
WITH chosen AS (
    SELECT id FROM whatsapp_contact WHERE id = ANY(%(ids)s)
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
), heard AS (
    SELECT contact_id, count(*) AS replies, max(sent_at) AS last
    FROM whatsapp_incoming
    WHERE contact_id = ANY(%(ids)s) AND sent_at > %(since)s AND NOT from_me
      AND chat_id NOT LIKE '%%@g.us'
    GROUP BY contact_id
), said AS (
    SELECT message.contact_id, count(*)::float AS sent,
           count(*) FILTER (WHERE delivered_at IS NOT NULL OR message.sent_at <= heard.last)
               AS delivered,
           count(*) FILTER (WHERE read_at IS NOT NULL OR message.sent_at <= heard.last) AS read,
           coalesce(max(heard.replies), 0) AS replies
    FROM whatsapp_message AS message LEFT JOIN heard ON heard.contact_id = message.contact_id
    WHERE message.contact_id = ANY(%(ids)s) AND message.sent_at > %(since)s
      AND message.state IN ('sent', 'delivered', 'read')
    GROUP BY message.contact_id
), scored AS (
    SELECT chosen.id,
           round(20 * delivered / sent + 40 * read / sent + 40 * least(1, 3 * replies / sent))
               AS score
    FROM chosen LEFT JOIN said ON said.contact_id = chosen.id
)
UPDATE whatsapp_contact AS contact SET engagement = scored.score, engagement_at = %(now)s
FROM scored
WHERE contact.id = scored.id
  AND (scored.score IS NOT NULL OR contact.engagement IS NOT NULL)
"""

CHANGED = """
SELECT contact_id FROM whatsapp_message
WHERE contact_id IS NOT NULL AND sent_at > %(window)s
  AND (sent_at > %(since)s OR delivered_at > %(since)s OR read_at > %(since)s)
UNION
SELECT contact_id FROM whatsapp_incoming
WHERE contact_id IS NOT NULL AND received_at > %(since)s
ORDER BY 1
"""

ALL = """
SELECT contact_id FROM whatsapp_message WHERE contact_id IS NOT NULL AND sent_at > %(window)s
UNION
SELECT id FROM whatsapp_contact WHERE engagement IS NOT NULL
ORDER BY 1
"""


def score(contact_ids: Sequence[int], *, now: datetime) -> int:
    """Score these contacts anew; returns how many. Rows that somebody holds wait for the next."""
    done = 0
    with connection.cursor() as cursor:
        for start in range(0, len(contact_ids), BATCH):
            cursor.execute(
                SCORE,
                {
                    "ids": list(contact_ids[start : start + BATCH]),
                    "since": now - WINDOW,
                    "now": now,
                },
            )
            done += cursor.rowcount
    return done


def score_changed(*, since: datetime, now: datetime) -> int:
    """Those to whom, or from whom, something came since then."""
    return score(_ids(CHANGED, since=since, window=now - WINDOW), now=now)


def score_all(*, now: datetime) -> int:
    """Everybody with a score, or who should have one: the window has moved on."""
    return score(_ids(ALL, since=now, window=now - WINDOW), now=now)


def _ids(statement: str, **values: datetime) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [row[0] for row in cursor.fetchall()]
