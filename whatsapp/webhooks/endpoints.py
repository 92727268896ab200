"""What people do with endpoints: make them, change them, rotate secrets, try and replay."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, connection, transaction

from accounts import sealed
from accounts.activity import SYSTEM, Actor, Verb, record
from accounts.models import Tenant
from whatsapp import doorbells
from whatsapp.fetching import CannotFetch
from whatsapp.models.webhooks import PURPOSE, WebhookDelivery, WebhookEndpoint, WebhookEvent
from whatsapp.webhooks import signing
from whatsapp.webhooks.delivery import fetcher
from whatsapp.webhooks.outgoing import KEEP_TRYING

Event = WebhookEndpoint.Event
State = WebhookDelivery.State

# Both secrets sign for so long after a rotation.
ROTATION = timedelta(hours=24)


class BadEndpoint(ValueError):
    """`field` is what to change, `code` a stable word."""

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.code = code


def check(*, url: str, events: Sequence[str]) -> None:
    """Raises `BadEndpoint` for what can be seen to be wrong without calling."""
    try:
        fetcher().check(url)
    except CannotFetch as error:
        raise BadEndpoint("url", error.code, str(error)) from error
    known = set(Event.values)
    if not events:
        raise BadEndpoint("events", "required", "choose at least one event")
    for event in events:
        if event not in known:
            raise BadEndpoint("events", "unknown", f"“{event[:40]}” is no event: see the list")


def create(
    *,
    tenant: Tenant,
    name: str,
    url: str,
    events: Sequence[str],
    include_text: bool = False,
    actor: Actor = SYSTEM,
    now: datetime,
) -> tuple[WebhookEndpoint, str]:
    """Make an endpoint; returns it with its secret, shown this once. Raises `BadEndpoint`."""
    check(url=url, events=events)
    secret = signing.new_secret()
    try:
        with transaction.atomic():
            endpoint = WebhookEndpoint.objects.create(
                tenant=tenant,
                name=name,
                url=url,
                events=sorted(set(events)),
                include_text=include_text,
                sealed_secret=sealed.seal(secret, purpose=PURPOSE),
            )
            record(tenant_id=tenant.pk, verb=Verb.CREATED, actor=actor, subject=endpoint, now=now)
    except IntegrityError as error:
        raise BadEndpoint("name", "taken", "another endpoint has this name") from error
    return endpoint, signing.shown(secret)


def change(
    endpoint: WebhookEndpoint,
    *,
    url: str,
    events: Sequence[str],
    include_text: bool,
    active: bool,
    actor: Actor = SYSTEM,
    now: datetime,
) -> None:
    """Change an endpoint. Switched on again, it hears what has waited. Raises `BadEndpoint`."""
    check(url=url, events=events)
    with transaction.atomic():
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
            url=url,
            events=sorted(set(events)),
            include_text=include_text,
            active=active,
            **({"switched_off_at": None, "failing_since": None} if active else {}),
        )
        record(
            tenant_id=endpoint.tenant_id, verb=Verb.CHANGED, actor=actor, subject=endpoint, now=now
        )
        if active:
            doorbells.deliver_on_commit([endpoint.pk])
    endpoint.refresh_from_db()


def rotate(endpoint: WebhookEndpoint, *, actor: Actor = SYSTEM, now: datetime) -> str:
    """A new secret, shown this once; calls carry signatures of both for a day."""
    secret = signing.new_secret()
    with transaction.atomic():
        locked = WebhookEndpoint.objects.select_for_update().get(pk=endpoint.pk)
        locked.sealed_former_secret = locked.sealed_secret
        locked.former_secret_until = now + ROTATION
        locked.sealed_secret = sealed.seal(secret, purpose=PURPOSE)
        locked.save(update_fields=["sealed_secret", "sealed_former_secret", "former_secret_until"])
        record(
            tenant_id=endpoint.tenant_id,
            verb=Verb.WEBHOOK_SECRET_ROTATED,
            actor=actor,
            subject=endpoint,
            now=now,
        )
    return signing.shown(secret)


def delete(endpoint: WebhookEndpoint, *, actor: Actor = SYSTEM, now: datetime) -> None:
    with transaction.atomic():
        record(
            tenant_id=endpoint.tenant_id, verb=Verb.DELETED, actor=actor, subject=endpoint, now=now
        )
        endpoint.delete()


def test(endpoint: WebhookEndpoint, *, now: datetime) -> WebhookDelivery:
    """Queue a test event for this endpoint alone, whatever events it wants."""
    with transaction.atomic():
        event = WebhookEvent.objects.create(
            tenant=endpoint.tenant,
            type=WebhookEvent.TEST,
            object_type="webhook",
            object_id=str(endpoint.pk),
            data={"endpoint": endpoint.name},
            created_at=now,
        )
        delivery = WebhookDelivery.objects.create(
            endpoint=endpoint,
            event=event,
            object_key=f"webhook:{endpoint.pk}",
            next_at=now,
            give_up_at=now,  # one call: whoever tests sees at once what came of it
        )
        doorbells.deliver_on_commit([endpoint.pk])
    return delivery


def replay(
    endpoint: WebhookEndpoint,
    *,
    delivery_ids: Sequence[int] | None = None,
    actor: Actor = SYSTEM,
    now: datetime,
) -> int:
    """Deliver these again, or without ids every dead letter; returns how many.

    They keep their ``webhook-id`` and their place among the events of their object.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                """
                UPDATE whatsapp_webhookdelivery
                SET state = 'pending', attempts = 0, next_at = %(now)s, give_up_at = %(until)s,
                    claimed_until = NULL, ended_at = NULL
                WHERE endpoint_id = %(endpoint)s AND state <> 'pending'
                  AND CASE WHEN %(ids)s::bigint[] IS NULL THEN state = 'dead'
                           ELSE id = ANY(%(ids)s) END
                """,
                {
                    "now": now,
                    "until": now + KEEP_TRYING,
                    "endpoint": endpoint.pk,
                    "ids": None if delivery_ids is None else list(delivery_ids),
                },
            )
            replayed: int = cursor.rowcount
        if replayed:
            record(
                tenant_id=endpoint.tenant_id,
                verb=Verb.WEBHOOK_REPLAYED,
                actor=actor,
                subject=endpoint,
                detail={"deliveries": replayed},
                now=now,
            )
            doorbells.deliver_on_commit([endpoint.pk])
    return replayed


def forget(*, before: datetime, batch: int = 5_000) -> int:
    """Delete events older than `before` with their deliveries; returns how many events."""
    forgotten = 0
    while True:
        old = WebhookEvent.objects.filter(created_at__lt=before).values("pk")[:batch]
        done, by_model = WebhookEvent.objects.filter(pk__in=old).delete()
        forgotten += by_model.get("whatsapp.WebhookEvent", 0)
        if not done:
            return forgotten
