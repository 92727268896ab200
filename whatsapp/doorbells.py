"""Ring a browser worker: "look at this account". A doorbell is a hint, never the truth.

It carries an id only, may be lost, doubled or late, and changes nothing by itself; the reconciler
(tasks.py) rings again for whatever is waiting in PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu import Producer
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from whatsapp import limits
from whatsapp.failpoints import failpoint
from whatsapp.models import Lease

log = structlog.get_logger(__name__)

DRIVE = "whatsapp.tasks.drive"
NOTIFY = "whatsapp.tasks.notify_owners"
ASSESS = "whatsapp.tasks.assess_health"
DELIVER = "whatsapp.tasks.deliver_webhooks"
ANSWER = "whatsapp.tasks.answer"
TELL_ENDED = "whatsapp.tasks.tell_ended"
SHOW_TYPING = "whatsapp.tasks.show_typing"
SHARED_QUEUE = "browser"
ASSESS_EVERY = 30  # seconds, of one account
KEEP_SECONDS = 300  # an older doorbell says nothing the reconciler has not said
MOST_WAITING = 5_000  # doorbells, some MB: a queue that nobody reads must not fill Redis


def own_queue(worker: str) -> str:
    """Name of the queue that only `worker` reads: straight to the holder of an account."""
    return f"{SHARED_QUEUE}.{worker}"


def ring_on_commit(account_ids: Iterable[int]) -> None:
    """Ring once per account when the current transaction commits; at once outside of one."""
    ids = sorted(set(account_ids))
    if ids:
        transaction.on_commit(lambda: ring(ids))


def ring(account_ids: Iterable[int]) -> None:
    """Ring now. Redis being away is logged and forgiven: the reconciler rings again."""
    ids = list(account_ids)
    failpoint("doorbell.before")
    holders = dict(
        Lease.objects.filter(account_id__in=ids, lease_until__isnull=False).values_list(
            "account_id", "worker"
        )
    )
    try:
        with current_app.producer_or_acquire() as producer:
            for account_id in ids:
                worker = holders.get(account_id)
                send(account_id, own_queue(worker) if worker else SHARED_QUEUE, producer)
    except (OperationalError, RedisError, OSError) as error:
        log.warning("doorbell lost", accounts=len(ids), error=type(error).__name__)


def notify_on_commit() -> None:
    """Have owners told whose accounts need them; lost or not, the reconciler asks again."""

    transaction.on_commit(lambda: publish(NOTIFY, [()]))


def deliver_on_commit(endpoint_ids: Iterable[int]) -> None:
    """Have webhooks called that have something to hear; lost or not, the reconciler asks again."""
    calls = [(endpoint_id,) for endpoint_id in sorted(set(endpoint_ids))]
    if calls:
        transaction.on_commit(lambda: publish(DELIVER, calls))


def answer_on_commit(incoming_ids: Iterable[int]) -> None:
    """Have agents asked about these messages; lost or not, the reconciler asks again."""
    calls = [(incoming_id,) for incoming_id in incoming_ids]
    if calls:
        transaction.on_commit(lambda: publish(ANSWER, calls))


def tell_ended_on_commit(session_ids: Iterable[int]) -> None:
    """Have agents told that these conversations are over; the reconciler asks again."""
    calls = [(session_id,) for session_id in session_ids]
    if calls:
        transaction.on_commit(lambda: publish(TELL_ENDED, calls))


def show_typing(account_id: int, incoming_id: int) -> None:
    """Have the worker that drives the account show that somebody types; lost, nobody does."""
    worker = (
        Lease.objects.filter(account_id=account_id, lease_until__isnull=False)
        .values_list("worker", flat=True)
        .first()
    )
    if worker:
        publish(SHOW_TYPING, [(incoming_id,)], queue=own_queue(worker))


def publish(task: str, calls: Iterable[tuple[int, ...]], *, queue: str = "") -> None:
    """Publish `task` once with each of these arguments, to its own queue unless one is named.

    Nothing is lost with what is not published: the reconciler asks again.
    """
    queue = queue or settings.CELERY_TASK_ROUTES[task]["queue"]
    try:
        if limits.server().client.llen(settings.REDIS_PREFIX + queue) >= MOST_WAITING:
            log.warning("doorbells pile up", queue=queue)
            return
        for args in calls:
            current_app.send_task(task, args=args, queue=queue, retry=False, expires=KEEP_SECONDS)
    except (OperationalError, RedisError, OSError) as error:
        log.warning("doorbell lost", error=type(error).__name__)


def assess_on_commit(account_id: int) -> None:
    """Have an account's health looked at: something bad happened. Many at once ring once.

    Lost or not, the next round looks at everybody.
    """

    def publish() -> None:
        key = f"{settings.REDIS_PREFIX}assess:{account_id}"
        try:
            if limits.server().client.set(key, 1, nx=True, ex=ASSESS_EVERY):
                current_app.send_task(
                    ASSESS, args=[account_id], queue="default", retry=False, expires=KEEP_SECONDS
                )
        except (OperationalError, RedisError, OSError) as error:
            log.warning("doorbell lost", error=type(error).__name__)

    transaction.on_commit(publish)


def send(account_id: int, queue: str, producer: Producer | None = None) -> None:
    """Publish one doorbell. Raises what kombu and redis-py raise while Redis is away."""
    current_app.send_task(
        DRIVE, args=[account_id], queue=queue, producer=producer, retry=False, expires=KEEP_SECONDS
    )
    if queue != SHARED_QUEUE:
        # Nobody empties the queue of a worker that never comes back: it goes by itself.
        limits.server().client.expire(settings.REDIS_PREFIX + queue, KEEP_SECONDS)
