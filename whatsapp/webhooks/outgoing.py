"""Write an event down for whoever wants it, in the transaction of what happened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection

from whatsapp import doorbells
from whatsapp.models import WebhookEndpoint

# How long an endpoint may be away before an event is a dead letter.
KEEP_TRYING = timedelta(hours=24)


def wanted(tenant_id: int, event: str) -> bool:
    """Whether anybody is to be told: asked before rows are read for many events at once."""
    return WebhookEndpoint.objects.filter(
        tenant_id=tenant_id, active=True, events__contains=[event]
    ).exists()


def emit(
    *,
    tenant_id: int,
    event: str,
    object_type: str,
    object_id: object,
    data: Mapping[str, Any],
    now: datetime,
    contact_id: int | None = None,
) -> int:
    """Queue `event` (a `WebhookEndpoint.Event`) for every active endpoint that wants it.

    Returns how many do; nothing is written for none. One statement; doorbells ring on commit.
    `data` is JSON, without what a message says. The caller holds the row that `object_id` names:
    that makes the order of events the order of changes.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH wanting AS (
                SELECT id FROM whatsapp_webhookendpoint
                WHERE tenant_id = %(tenant)s AND active AND %(event)s = ANY(events)
            ), event AS (
                INSERT INTO whatsapp_webhookevent
                    (id, tenant_id, type, object_type, object_id, contact_id, data, created_at)
                SELECT gen_random_uuid(), %(tenant)s, %(event)s, %(object_type)s, %(object_id)s,
                       %(contact)s, %(data)s, %(now)s
                WHERE EXISTS (SELECT FROM wanting)
                RETURNING id
            )
            INSERT INTO whatsapp_webhookdelivery
                (endpoint_id, event_id, object_key, state, attempts, next_at, give_up_at, error)
            SELECT wanting.id, event.id, %(object_type)s || ':' || %(object_id)s, 'pending', 0,
                   %(now)s, %(give_up_at)s, ''
            FROM wanting CROSS JOIN event
            RETURNING endpoint_id
            """,
            {
                "tenant": tenant_id,
                "event": event,
                "object_type": object_type,
                "object_id": str(object_id),
                "contact": contact_id,
                "data": json.dumps(data, cls=DjangoJSONEncoder),
                "now": now,
                "give_up_at": now + KEEP_TRYING,
            },
        )
        endpoints = [row[0] for row in cursor.fetchall()]
    doorbells.deliver_on_commit(endpoints)
    return len(endpoints)
