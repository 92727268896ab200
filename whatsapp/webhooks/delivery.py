"""Call endpoints: every event at least once, those of one object one after the other.

A call is claimed before it is made and forgotten if whoever made it died: after `CLAIM_SECONDS`
another worker makes it again, with the same ``webhook-id``. What a 2xx answers is delivered;
anything else is tried again, 5 s later at first and 4 h at last, for a day, and is then a dead
letter. Later events of the same object wait for it until then, and go on without it.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction

from accounts import activity, poison
from accounts.activity import Verb
from whatsapp import doorbells
from whatsapp.clock import database_now
from whatsapp.failpoints import failpoint
from whatsapp.fetching import CannotFetch, Fetcher, is_public
from whatsapp.models import Incoming, Message
from whatsapp.models.webhooks import WebhookDelivery, WebhookEndpoint
from whatsapp.webhooks import signing

log = structlog.get_logger(__name__)

State = WebhookDelivery.State

CALL_SECONDS = 10.0
# A call that has not ended by then was killed: another worker may make it again.
CLAIM_SECONDS = 20.0
# One run of the task; the reconciler starts the next. Less than any time limit of Celery's.
RUN_SECONDS = 60.0
BACKOFF = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 3600, 7200, 14400))
# An endpoint that took nothing for so long is switched off: somebody has to look at it.
OFF_AFTER = timedelta(days=3)
# It will not be better the next moment: the run ends, and the calls to come wait for theirs.
FAILURES_IN_A_ROW = 3
ANSWER_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one call. `status` None: there was no answer, `error` says why."""

    status: int | None
    error: str
    milliseconds: int

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def deliver(endpoint_id: int) -> int:
    """Call an endpoint with what is due, until nothing is or it fails; returns how many it took.

    One run at a time: whoever else is rung leaves it to the one that is under way, so that a slow
    endpoint takes one place of the workers and not all.
    """
    endpoint = WebhookEndpoint.objects.select_related("tenant").filter(pk=endpoint_id).first()
    if endpoint is None or _is_being_called(endpoint):
        return 0
    until, taken, failed = time.monotonic() + RUN_SECONDS, 0, 0
    patience = 1 if endpoint.failing_since else FAILURES_IN_A_ROW
    while time.monotonic() < until and failed < patience:
        delivery = claim(endpoint)
        if delivery is None:
            break
        failpoint("webhook.claimed")
        with poison.apart(
            "webhook not called", endpoint_id=endpoint.pk, delivery_id=delivery.pk
        ) as this:
            outcome = call(endpoint, delivery)
        if this.error is not None:  # as any other failure: later again, a dead letter in the end
            outcome = Outcome(None, f"failed: {type(this.error).__name__}", 0)
        failpoint("webhook.called")
        _end(endpoint, delivery, outcome)
        taken += outcome.accepted
        failed = 0 if outcome.accepted else failed + 1
    return taken


def _is_being_called(endpoint: WebhookEndpoint) -> bool:
    return endpoint.deliveries.filter(
        state=State.PENDING, claimed_until__gt=database_now()
    ).exists()


def due() -> list[int]:
    """Ids of the active endpoints that have something to hear now."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT id FROM whatsapp_webhookendpoint AS endpoint
            WHERE active AND EXISTS (
                SELECT FROM whatsapp_webhookdelivery AS delivery
                WHERE delivery.endpoint_id = endpoint.id AND delivery.state = 'pending'
                  AND delivery.next_at <= clock_timestamp())
            """
        )
        return [row[0] for row in cursor.fetchall()]


def ring_due() -> int:
    """Doorbells for every endpoint that has something to hear; returns how many."""
    ids = due()
    doorbells.publish(doorbells.DELIVER, [(endpoint_id,) for endpoint_id in ids])
    return len(ids)


def claim(endpoint: WebhookEndpoint) -> WebhookDelivery | None:
    """The next delivery of an endpoint, for us alone until its claim ends; None when none is due.

    Never one whose object has an earlier one that is still to be delivered.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE whatsapp_webhookdelivery
            SET claimed_until = clock_timestamp() + make_interval(secs => %s),
                attempts = attempts + 1
            WHERE id = (
                SELECT delivery.id FROM whatsapp_webhookdelivery AS delivery
                JOIN whatsapp_webhookendpoint AS endpoint ON endpoint.id = delivery.endpoint_id
                WHERE delivery.endpoint_id = %s AND endpoint.active
                  AND delivery.state = 'pending' AND delivery.next_at <= clock_timestamp()
                  AND (delivery.claimed_until IS NULL
                       OR delivery.claimed_until <= clock_timestamp())
                  AND NOT EXISTS (
                      SELECT FROM whatsapp_webhookdelivery AS earlier
                      WHERE earlier.endpoint_id = delivery.endpoint_id
                        AND earlier.object_key = delivery.object_key
                        AND earlier.state = 'pending' AND earlier.id < delivery.id)
                ORDER BY delivery.next_at, delivery.id LIMIT 1
                FOR UPDATE OF delivery SKIP LOCKED)
            RETURNING id
            """,
            [CLAIM_SECONDS, endpoint.pk],
        )
        row = cursor.fetchone()
    if row is None:
        return None
    return WebhookDelivery.objects.select_related("event").get(pk=row[0])


def fetcher(*, largest: int = ANSWER_KEPT) -> Fetcher:
    """Public addresses only; this machine's own with WEBHOOK_ALLOW_LOCAL, for demo and tests."""
    if settings.WEBHOOK_ALLOW_LOCAL:
        return Fetcher(
            permits=lambda address: is_public(address) or address.is_loopback,
            ports=frozenset(range(1, 65536)),
            largest=largest,
        )
    return Fetcher(largest=largest)


def call(endpoint: WebhookEndpoint, delivery: WebhookDelivery) -> Outcome:
    """Make one call. Nothing is written; whatever goes wrong is in the outcome."""
    now = database_now()
    body = body_of(endpoint, delivery)
    headers = {
        "Content-Type": "application/json",
        **signing.headers(
            str(delivery.event_id),
            int(now.timestamp()),
            body,
            with_secrets=endpoint.secrets(now=now),
        ),
    }
    began = time.monotonic()
    try:
        answer = fetcher().post(endpoint.url, body, headers=headers, deadline=CALL_SECONDS)
    except CannotFetch as error:
        return Outcome(None, f"{error.code}: {error}", _since(began))
    said = "" if 200 <= answer.status < 300 else f"the server answered {answer.status}"
    return Outcome(answer.status, said, _since(began))


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def body_of(endpoint: WebhookEndpoint, delivery: WebhookDelivery) -> bytes:
    """``{"id", "type", "timestamp", "tenant", "data"}`` as JSON; ``data.text`` where wanted."""
    event = delivery.event
    data: dict[str, Any] = dict(event.data)
    if endpoint.include_text:
        data |= _text_of(event.object_type, event.object_id)
    said = {
        "id": str(event.pk),
        "type": event.type,
        "timestamp": event.created_at,
        "tenant": endpoint.tenant.slug,
        "data": data,
    }
    return json.dumps(said, cls=DjangoJSONEncoder, ensure_ascii=False).encode()


def _text_of(object_type: str, object_id: str) -> dict[str, str]:
    """Looked up now: a text that was deleted or forgotten since is not sent."""
    row: Message | Incoming | None = None
    if object_type == "message":
        row = Message.objects.filter(public_id=object_id).first()
    elif object_type == "incoming":
        row = Incoming.objects.filter(pk=object_id).first()
    return {"text": row.body} if row else {}


def _end(endpoint: WebhookEndpoint, delivery: WebhookDelivery, outcome: Outcome) -> None:
    """Write down what came of a call, unless its claim ran out and it was made again since."""
    now = database_now()
    mine = WebhookDelivery.objects.filter(
        pk=delivery.pk, state=State.PENDING, attempts=delivery.attempts
    )
    fields: dict[str, Any] = {
        "status": outcome.status,
        "error": outcome.error[:300],
        "milliseconds": outcome.milliseconds,
        "claimed_until": None,
    }
    if outcome.accepted:
        mine.update(**fields, state=State.DELIVERED, ended_at=now)
        WebhookEndpoint.objects.filter(pk=endpoint.pk).exclude(failing_since=None).update(
            failing_since=None
        )
        return
    log.info("webhook failed", endpoint_id=endpoint.pk, status=outcome.status)
    gone = outcome.status == 410
    wait = BACKOFF[min(delivery.attempts, len(BACKOFF)) - 1] * random.uniform(1.0, 1.2)
    if now + wait > delivery.give_up_at:
        mine.update(**fields, state=State.DEAD, ended_at=now)
    else:
        mine.update(**fields, next_at=now + wait)
    WebhookEndpoint.objects.filter(pk=endpoint.pk, failing_since=None).update(failing_since=now)
    if gone or (endpoint.failing_since and endpoint.failing_since < now - OFF_AFTER):
        _switch_off(endpoint, why="gone" if gone else "failing", now=now)


def _switch_off(endpoint: WebhookEndpoint, *, why: str, now: datetime) -> None:
    """What waits stays: it goes out, or is given up, once somebody switches the endpoint on."""
    with transaction.atomic():
        done = WebhookEndpoint.objects.filter(pk=endpoint.pk, active=True).update(
            active=False, switched_off_at=now
        )
        if done:
            activity.record(
                tenant_id=endpoint.tenant_id,
                verb=Verb.WEBHOOK_SWITCHED_OFF,
                subject=endpoint,
                detail={"why": why},
                now=now,
            )
