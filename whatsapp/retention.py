"""What was said is forgotten after RELANCE_MESSAGE_DAYS; that it was said, when and whether it
arrived stays."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

from whatsapp.models import Message

FORGET = """
WITH old AS (
    SELECT id FROM whatsapp_message
    WHERE created_at < %(before)s AND (body <> '' OR content <> '{}')
      AND state NOT IN ('queued', 'sending', 'uncertain')
    LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
UPDATE whatsapp_message AS message SET body = '', content = '{}' FROM old WHERE message.id = old.id
"""
FORGET_INCOMING = """
WITH old AS (
    SELECT id FROM whatsapp_incoming WHERE received_at < %(before)s AND body <> ''
    LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
UPDATE whatsapp_incoming AS incoming SET body = '' FROM old WHERE incoming.id = old.id
"""


def forget_texts(*, now: datetime, batch: int = 5_000) -> int:
    """Empty the texts of messages that are over and too old; returns how many.

    In batches, each a transaction of its own; rows that somebody works on wait for the next run.
    """
    before = _horizon(now)
    emptied = 0
    for statement in (FORGET, FORGET_INCOMING):
        while True:
            with connection.cursor() as cursor:
                cursor.execute(statement, {"before": before, "batch": batch})
                done: int = cursor.rowcount
            emptied += done
            if done < batch:
                break
    return emptied


def is_forgotten(message: Message, *, now: datetime) -> bool:
    """Whether the text of a message that is over is gone, or goes with the next run."""
    return message.created_at < _horizon(now)


def _horizon(now: datetime) -> datetime:
    return now - timedelta(days=settings.MESSAGE_DAYS)
