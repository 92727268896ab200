"""One tenant, one linked account, and WhatsApp in memory, driven without threads or browsers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone

from accounts.models import Tenant
from tests.whatsapp.receiver import listening
from whatsapp import contacts, driving, events, leases, limits, linking, messages, outbox, sending
from whatsapp.driver.base import Event, Outgoing
from whatsapp.driver.memory import MemoryFactory, MemoryWhatsApp
from whatsapp.models import Account, Contact, Incoming, Message, WebhookEndpoint
from whatsapp.sessions import Session, SessionPool
from whatsapp.webhooks import endpoints
from whatsapp.webhooks.outgoing import emit


@pytest.fixture(autouse=True)
def empty_redis():
    limits.server().client.flushdb()


@pytest.fixture
def tenant(db):
    return Tenant.objects.create(slug="acme", name="Acme", timezone="Europe/Paris")


@pytest.fixture
def account(tenant):
    return Account.objects.create(tenant=tenant, name="amina", gap_ms=0)


class QuietPool(SessionPool):
    """A worker without threads: events and wake-ups wait until the test lets them happen."""

    def __init__(self, **values):
        super().__init__(**values)
        self.said: list[tuple[Session, Event]] = []
        self.woken: list[int] = []

    def hear(self, session, event):
        self.said.append((session, event))

    def wake(self, account_id):
        self.woken.append(account_id)


@dataclass
class Worker:
    """A browser worker under the test's hand."""

    pool: QuietPool
    seen: list[Event] = field(default_factory=list)

    def drive(self, account) -> None:
        driving.drive(self.pool, account.pk)
        self.settle()

    def stop(self) -> None:
        """As `SessionPool.stop`, on this thread: other threads do not see the test's rows."""
        for session in list(self.pool._sessions.values()):
            self.pool.close(session, reason="worker stops")

    def settle(self) -> None:
        """Store every event and follow every wake-up, until nothing is left."""
        for _ in range(50):
            while not self.pool._upkeep._events.empty():
                session, event = self.pool._upkeep._events.get()
                self.seen.append(event)
                events.handle(self.pool, session, event)
            woken, self.pool.woken = self.pool.woken, []
            if not woken and self.pool._upkeep._events.empty():
                return
            for account_id in dict.fromkeys(woken):
                driving.drive(self.pool, account_id)
        raise AssertionError("the worker does not come to rest")


@pytest.fixture
def world():
    return MemoryWhatsApp()


@pytest.fixture
def start_worker(world, tmp_path):
    """Start a worker by name; all of them share one disk of profiles."""

    def start(name: str = "browser@one") -> Worker:
        pool = QuietPool(
            holder=leases.Holder(worker=name),
            make_driver=MemoryFactory(world),
            profiles_root=tmp_path / "profiles",
            on_event=lambda *_: None,
            drive=driving.drive,
        )
        return Worker(pool)

    return start


@pytest.fixture
def worker(start_worker):
    return start_worker()


@pytest.fixture
def linked(account, world, worker):
    """The account, linked to +33 6 39 98 00 01 by a scan."""
    linking.request(account, now=timezone.now())
    worker.drive(account)
    world.scan("+33639980001", name="Amina")
    worker.settle()
    account.refresh_from_db()
    assert account.status == Account.Status.CONNECTED
    return account


_keys = itertools.count(1)


@pytest.fixture
def write(tenant):
    """Queue a text from an account to a phone."""

    def queue(account, phone="+33639980100", body="Bonjour", **values) -> Message:
        ids = contacts.ensure(tenant_id=tenant.pk, people={phone: "Zoé"})
        return outbox.queue(
            tenant=tenant,
            account=account,
            contact=Contact.objects.get(pk=ids[phone]),
            idempotency_key=values.pop("key", f"key-{next(_keys)}"),
            body=body,
            now=timezone.now(),
            **values,
        )

    return queue


def refused(match):
    """The database refuses what is done within, by a constraint of this name."""
    return pytest.raises(IntegrityError, match=match)


def state_of(message) -> str:
    message.refresh_from_db()
    return message.state


def wrote(account, phone, *, ago=timedelta(minutes=1), **fields) -> None:
    """Somebody has written to the account."""
    contact = Contact.objects.get(tenant=account.tenant, phone=phone)
    Incoming.objects.create(
        account=account,
        contact=contact,
        wa_id=f"false_{phone}_{Incoming.objects.count()}",
        chat_id=fields.pop("chat_id", f"{phone[1:]}@c.us"),
        phone=phone,
        kind="chat",
        sent_at=timezone.now() - ago,
        received_at=timezone.now() - ago,
        **fields,
    )


def make_old(message) -> None:
    """Let the time pass after which nothing can still be sending the message."""
    Message.objects.filter(pk=message.pk).update(
        not_after=timezone.now() - timedelta(minutes=5),
    )


@pytest.fixture
def held(linked, worker):
    session = worker.pool.get(linked.pk)
    assert session is not None
    return session.held


def intend(message, held, account, day=None):
    day = day or limits.today(account.tenant, now=timezone.now())
    out = Outgoing(chat_id="x@c.us", wa_id=f"true_x@c.us_{message.pk}")
    return sending.intend(message, out, held=held, day=day)


def outcome_of(message) -> tuple[str, str]:
    message.refresh_from_db()
    return message.state, message.error_code


@pytest.fixture
def send(linked):
    """Queue something to Ana, or to whom the test names."""

    def send_(content, *, to="+33639980100", key="k", **fields):
        return messages.send_direct(
            account=linked, to=to, content=content, idempotency_key=key, now=timezone.now(),
            **fields,
        )  # fmt: skip

    return send_


EVERYTHING = WebhookEndpoint.Event.values


@pytest.fixture
def local_receivers(settings):
    """Webhooks and agents may be called on this machine."""
    settings.WEBHOOK_ALLOW_LOCAL = True


@pytest.fixture
def receiver():
    with listening() as found:
        yield found


@pytest.fixture
def crm(tenant, receiver):
    """An endpoint that wants everything; `crm.secret` is what its system was given."""
    endpoint, secret = endpoints.create(
        tenant=tenant, name="CRM", url=receiver.url, events=EVERYTHING, now=timezone.now()
    )
    endpoint.secret = secret
    return endpoint


def happen(tenant, *, thing="1", event="message.sent", **data):
    return emit(
        tenant_id=tenant.pk, event=event, object_type="message", object_id=thing, data=data,
        now=timezone.now(),
    )  # fmt: skip
