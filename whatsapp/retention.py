"""What was said is forgotten after RELANCE_MESSAGE_DAYS; that it was said, when and whether it
arrived stays."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from whatsapp import media
from whatsapp.models import Message

# Both return a row for each message: the id of the file that came with it, or NULL.
FORGET = """
WITH old AS (
    SELECT id FROM whatsapp_message
    WHERE created_at < %(before)s AND (body <> '' OR content <> '{}')
      AND state NOT IN ('queued', 'sending', 'uncertain')
    LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
UPDATE whatsapp_message AS message SET body = '', content = '{}' FROM old WHERE message.id = old.id
RETURNING NULL::bigint
"""
# A file that the company had before it came in is the company's.
FORGET_INCOMING = """
WITH old AS (
    SELECT incoming.id, theirs.id AS media_id FROM whatsapp_incoming AS incoming
    LEFT JOIN whatsapp_media AS theirs
           ON theirs.id = incoming.media_id AND theirs.created_at >= incoming.received_at
    WHERE incoming.received_at < %(before)s
      AND (incoming.body <> '' OR incoming.content <> '{}'
           OR incoming.media_state IN ('wanted', 'stored'))
    LIMIT %(batch)s FOR UPDATE OF incoming SKIP LOCKED)
UPDATE whatsapp_incoming AS incoming
SET body = '', content = '{}', media_id = NULL,
    media_state = CASE WHEN media_state IN ('wanted', 'stored') THEN '' ELSE media_state END
FROM old WHERE incoming.id = old.id
RETURNING old.media_id
"""


def forget_texts(*, now: datetime, batch: int = 5_000) -> int:
    """Empty the texts of messages that are over and too old, and delete the files that came in
    with them; returns how many messages.

    In batches, each a transaction of its own; rows that somebody works on wait for the next run.
    """
    before = _horizon(now)
    emptied = 0
    for statement in (FORGET, FORGET_INCOMING):
        while True:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement, {"before": before, "batch": batch})
                files = [media_id for (media_id,) in cursor.fetchall()]
                media.forget(media_id for media_id in files if media_id is not None)
            emptied += len(files)
            if len(files) < batch:
                break
    return emptied


def is_forgotten(message: Message, *, now: datetime) -> bool:
    """Whether the text of a message that is over is gone, or goes with the next run."""
    return message.created_at < _horizon(now)


def _horizon(now: datetime) -> datetime:
    return now - timedelta(days=settings.MESSAGE_DAYS)
