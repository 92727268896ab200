"""Celery's side of WhatsApp: a doorbell per account, and a reconciler that rings what was lost.

Browser workers (``-Q browser``) keep one `SessionPool`; it is made when the worker starts and
closed when it stops. They also read a queue of their own, so that a doorbell for an account that
one of them holds goes straight there.
"""

from __future__ import annotations

import datetime as dt
import shutil
import threading
from datetime import timedelta
from typing import Any

import structlog
from celery import shared_task
from celery.signals import celeryd_after_setup, worker_ready, worker_shutting_down
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models import Q
from django.utils import timezone

from whatsapp import (
    doorbells,
    driving,
    engagement,
    events,
    health,
    leases,
    notices,
    presence,
    recovery,
    remote,
    retention,
)
from whatsapp.agents import sessions as agent_sessions
from whatsapp.agents import turns
from whatsapp.driver.base import DriverFactory, Event
from whatsapp.driver.chromium import ChromiumFactory
from whatsapp.driver.launch import ChromiumConfig
from whatsapp.models import Account
from whatsapp.sessions import Session, SessionPool
from whatsapp.webhooks import delivery, endpoints

log = structlog.get_logger(__name__)


@shared_task(name=doorbells.DRIVE)
def drive(account_id: int) -> None:
    """Do what the account needs now: link, restore, send. Runs on browser workers only."""
    driving.drive(the_pool(), account_id)


@shared_task(name="whatsapp.tasks.reconcile")
def reconcile() -> int:
    """Ring for every account that has something to do; returns how many were rung."""
    rung = ring_waiting()
    recovery.give_up_undriven(now=timezone.now())
    delivery.ring_due()
    ring_agents()
    doorbells.notify_on_commit()  # a mail server that hangs must hold up nothing here
    return rung


@shared_task(name=doorbells.NOTIFY)
def notify_owners() -> int:
    """Tell owners whose accounts need them, and who looks after agents that fail; how many."""
    now = timezone.now()
    return notices.tell_owners(now=now) + notices.tell_of_failing_agents(now=now)


@shared_task(name=doorbells.ANSWER)
def answer(incoming_id: int) -> None:
    """Ask the account's agent about a message that came in, and queue what it says."""
    turns.answer(incoming_id)


@shared_task(name=doorbells.TELL_ENDED)
def tell_ended(session_id: int) -> None:
    """Tell an agent that a conversation is over."""
    agent_sessions.tell(session_id, now=timezone.now())


@shared_task(name=doorbells.SHOW_TYPING)
def show_typing(incoming_id: int) -> None:
    """Show whoever waits for an agent's answer that somebody types. On browser workers only."""
    presence.show_typing(the_pool(), incoming_id)


@shared_task(name=doorbells.DELIVER)
def deliver_webhooks(endpoint_id: int) -> int:
    """Tell an endpoint what it has to hear; returns how many events it took."""
    return delivery.deliver(endpoint_id)


@shared_task(name=doorbells.ASSESS)
def assess_health(account_id: int | None = None) -> int:
    """Measure one account, or all; returns how many."""
    ids = None if account_id is None else [account_id]
    return health.assess(account_ids=ids, now=timezone.now())


@shared_task(name="whatsapp.tasks.forget_health")
def forget_health() -> int:
    """Delete samples that nobody plots any more; returns how many."""
    return health.forget_samples(now=timezone.now())


@shared_task(name="whatsapp.tasks.forget_texts")
def forget_texts() -> int:
    """Empty texts older than RELANCE_MESSAGE_DAYS, and drop webhook events; returns how many."""
    now = timezone.now()
    kept = timedelta(days=settings.WEBHOOK_DAYS)
    return retention.forget_texts(now=now) + endpoints.forget(before=now - kept)


def ring_agents() -> int:
    """Doorbells for turns and ends of conversations that nobody works on; returns how many."""
    now = timezone.now()
    agent_sessions.end_idle(now=now)
    waiting = turns.waiting(now=now)
    untold = agent_sessions.untold()
    doorbells.publish(doorbells.ANSWER, [(pk,) for pk in waiting])
    doorbells.publish(doorbells.TELL_ENDED, [(pk,) for pk in untold])
    return len(waiting) + len(untold)


@shared_task(name="whatsapp.tasks.score_engagement")
def score_engagement() -> int:
    """Score contacts with whom something happened since the last two rounds; returns how many."""
    now = timezone.now()
    since = now - 2 * dt.timedelta(seconds=settings.SCORE_EVERY)
    return engagement.score_changed(since=since, now=now)


@shared_task(name="whatsapp.tasks.score_everybody")
def score_everybody() -> int:
    """Score all contacts anew: old messages leave the window; returns how many."""
    return engagement.score_all(now=timezone.now())


def ring_waiting() -> int:
    """Doorbells for whatever waits in PostgreSQL; a lease whose heartbeat is late counts as free.

    An account waits when messages are due or undecided, its groups are asked for, it is being
    linked or unlinked, or it is linked and nobody drives it (receipts and incoming messages are
    missed meanwhile).
    """
    late = settings.WHATSAPP_LEASE_SECONDS - 3 * settings.WHATSAPP_HEARTBEAT_SECONDS
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT account.id,
                   CASE WHEN lease.lease_until > clock_timestamp() + make_interval(secs => %(late)s)
                        THEN lease.worker ELSE '' END
            FROM whatsapp_account AS account
            LEFT JOIN whatsapp_lease AS lease ON lease.account_id = account.id
            WHERE account.logout_requested_at IS NOT NULL
               OR account.status = 'pending'
               OR (account.enabled AND account.status IN ('connected', 'reconnecting') AND (
                       lease.lease_until IS NULL
                    OR lease.lease_until <= clock_timestamp() + make_interval(secs => %(late)s)
                    OR EXISTS (SELECT FROM whatsapp_message AS message
                               WHERE message.account_id = account.id AND message.state = 'queued'
                                 AND message.due_at <= clock_timestamp())
                    OR EXISTS (SELECT FROM whatsapp_message AS message
                               WHERE message.account_id = account.id
                                 AND message.state = 'sending')
                    OR account.groups_requested_at <= clock_timestamp()
                    OR EXISTS (SELECT FROM whatsapp_group AS asked
                               WHERE asked.account_id = account.id
                                 AND asked.members_requested_at <= clock_timestamp())))
            """,
            {"late": late},
        )
        waiting = cursor.fetchall()
    for account_id, worker in waiting:
        doorbells.send(account_id, doorbells.own_queue(worker) if worker else "browser")
    return len(waiting)


# --------------------------------------------------------------------- the worker's session pool


def the_pool() -> SessionPool:
    """The pool of this worker process. Raises `RuntimeError` outside of a browser worker."""
    if not remote.pools:
        raise RuntimeError("drive runs on a browser worker only: start one with -Q browser")
    return remote.pools[0]


def make_factory() -> DriverFactory:
    """The driver that the setting ``WHATSAPP_DRIVER`` names."""
    binary = settings.CHROMIUM_BINARY
    if settings.WHATSAPP_DRIVER == "chromium-headless-shell":
        binary = binary or shutil.which("chromium-headless-shell") or ""
        if not binary:
            raise ImproperlyConfigured(
                "WHATSAPP_DRIVER is chromium-headless-shell, but there is none: install the "
                "package chromium-headless-shell, or set CHROMIUM_BINARY."
            )
    config = ChromiumConfig(
        url=settings.WHATSAPP_WEB_URL,
        wa_js=settings.WA_JS_PATH,
        binary=binary,
        chromedriver=settings.CHROMEDRIVER_BINARY,
        flags=tuple(settings.CHROMIUM_EXTRA_FLAGS),
    )
    return ChromiumFactory(config)


def make_pool(worker: str, factory: DriverFactory) -> SessionPool:
    """A pool for a worker of that name; not started."""
    pool: SessionPool

    def on_event(session: Session, event: Event) -> None:
        events.handle(pool, session, event)

    pool = SessionPool(
        holder=leases.Holder(worker=worker),
        make_driver=factory,
        profiles_root=settings.WHATSAPP_SESSION_PATH,
        on_event=on_event,
        drive=driving.drive,
    )
    return pool


@celeryd_after_setup.connect
def read_own_queue(sender: str, instance: Any, **_: object) -> None:
    """A browser worker also reads the queue that carries its name."""
    if doorbells.SHARED_QUEUE in instance.app.amqp.queues.consume_from:
        instance.app.amqp.queues.select_add(doorbells.own_queue(sender))


def end_frozen_transactions(connection: BaseDatabaseWrapper, **_: object) -> None:
    """A worker that is frozen amid a transaction must not hold the row of a lease any longer than
    the lease itself: whoever takes the account over would wait for it."""
    with connection.cursor() as cursor:
        seconds = settings.WHATSAPP_LEASE_SECONDS
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{seconds:d}s'")


@worker_ready.connect
def open_pool(sender: Any, **_: object) -> None:
    """Start the sessions of this worker, and pick up those its last run left."""
    if doorbells.SHARED_QUEUE not in sender.app.amqp.queues.consume_from:
        return
    connection_created.connect(end_frozen_transactions)
    connections.close_all()  # those that are open already are opened anew
    pool = make_pool(sender.hostname, make_factory())
    pool.start()
    remote.pools.append(pool)
    free = Q(lease=None) | Q(lease__lease_until=None) | Q(lease__worker=sender.hostname)
    linked = Account.objects.filter(free, enabled=True, status__in=Account.LINKED_STATUSES)
    for account_id in linked.values_list("pk", flat=True):
        pool.wake(account_id)


@worker_shutting_down.connect
def close_pool(**_: object) -> None:
    """Warm shutdown: finish what is being sent, close the browsers, give the leases back."""
    for pool in remote.pools:
        # Celery runs this in the main thread, in a signal handler: closing takes seconds.
        threading.Thread(target=pool.stop, name="closing").start()
