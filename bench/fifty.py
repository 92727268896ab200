"""Fifty linked accounts live at once in one browser worker, all of them sending within limits.

    python -m bench.fifty [chromium] [chromium-headless-shell]

The worker is the product's (``celery worker -Q browser``) on a real PostgreSQL and Redis, started
as in the demo. Accounts are linked three at a time, for two cores start no more browsers than that
in good time; then each has some messages to send, with the limits an account has by default.
Weighed is the worker with all its browsers, while they send and after it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import scratch
from bench.figures import verdict
from bench.scratch import run as run_sql

# isort: split
from django.conf import settings
from django.db import connections
from django.utils import timezone

from accounts.models import Tenant
from bench import main_job
from bench.browsers import processes, pss
from demo.processes import Supervisor, browser_worker, free_port, simulator
from whatsapp import contacts, linking, outbox, tasks
from whatsapp.models import Account, Contact, Message
from whatsapp.simulator.client import RecordedMessage, SimulatorControl, SimulatorControlError

ACCOUNTS = 50
EACH = 4  # messages; more than one, so that the gap between two counts
AT_ONCE = 3
LIMIT_GB = 24.0
GIGABYTE = 1 << 30
LINK_SECONDS, SEND_SECONDS = 900.0, 600.0


def run(driver: str) -> bool:
    """One run with `driver`, a value of the setting WHATSAPP_DRIVER; whether all went well."""
    print(f"{ACCOUNTS} accounts in one worker, {driver}")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relance-bench-")))
        port = free_port()
        settings.WHATSAPP_SESSION_PATH = folder / "profiles"
        settings.WHATSAPP_WEB_URL = f"http://127.0.0.1:{port}/"
        stack.enter_context(scratch.database())
        stack.callback(run_sql, main_job.OTHERS_OUT)
        environment = {
            **main_job.shared(folder),
            "WHATSAPP_DRIVER": driver,
            # Handed on to browsers, so that those of this worker can be told from others.
            "XDG_RUNTIME_DIR": str(folder),
        }
        supervisor = stack.enter_context(Supervisor(logs=folder / "log", environment=environment))
        supervisor.start(simulator(port=port, state=folder / "simulator.json"))
        supervisor.wait_ready()
        control = SimulatorControl(settings.WHATSAPP_WEB_URL)
        supervisor.start(browser_worker())
        supervisor.wait_ready()
        accounts = make_accounts()
        linked_in = link_all(accounts, control)

        def weigh() -> float:
            worker = supervisor.pid("browser")
            return pss(processes(worker, f"XDG_RUNTIME_DIR={folder}")) / GIGABYTE

        sent_in, busy = send_all(accounts, weigh)
        live = sum(bool(device["listening"]) for device in control.state()["devices"])
        rest = weigh()
        return tell(control, live, linked_in, sent_in, max(busy, rest))


def tell(
    control: SimulatorControl, live: int, linked_in: float, sent_in: float, size: float
) -> bool:
    record = [message for message in control.messages() if message.accepted]
    senders = {message.account for message in record}
    twice = sum(message.deliveries > 1 for message in record)
    wanted = ACCOUNTS * EACH
    verdict("all linked, browsers started", linked_in, "-", met=True, unit="s")
    verdict(f"all sent, {EACH} each with 3 s between", sent_in, "-", met=True, unit="s")
    verdict("shortest time between two of one account", shortest(record), "-", met=True, unit="s")
    verdict("memory of each", size / ACCOUNTS * 1024, "-", met=True, unit="MB")
    met = [
        verdict("live at once", live, f"{ACCOUNTS}", met=live == ACCOUNTS, unit=""),
        verdict(
            "of them have sent", len(senders), f"{ACCOUNTS}", met=len(senders) == ACCOUNTS, unit=""
        ),
        verdict("messages received", len(record), f"{wanted}", met=len(record) == wanted, unit=""),
        verdict("delivered twice", twice, "0", met=twice == 0, unit=""),
        verdict(
            "worker and browsers", size, f"< {LIMIT_GB:.0f} GB", met=size < LIMIT_GB, unit="GB"
        ),
    ]
    return all(met)


def shortest(record: list[RecordedMessage]) -> float:
    """Seconds between two acceptances of one account's messages, the least of all."""
    record = sorted(record, key=lambda message: (message.account, message.received or 0.0))
    return min(
        (
            (later.received or 0.0) - (earlier.received or 0.0)
            for earlier, later in itertools.pairwise(record)
            if earlier.account == later.account
        ),
        default=0.0,
    )


def make_accounts() -> list[Account]:
    tenant = Tenant.objects.create(slug="fifty", name="Fifty")
    return [Account.objects.create(tenant=tenant, name=f"{n:02d}") for n in range(ACCOUNTS)]


# ---------------------------------------------------------------------------------- linking


def link_all(accounts: list[Account], control: SimulatorControl) -> float:
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as phones:
        list(phones.map(lambda account: link(account, control, began), accounts))
    print(f"     {len(accounts)} linked", flush=True)
    return time.monotonic() - began


def link(account: Account, control: SimulatorControl, began: float) -> None:
    """As a person: ask for a code, scan it, ask again where that came to nothing."""
    try:
        while time.monotonic() - began < LINK_SECONDS:
            linking.request(account, now=timezone.now())
            code = linking.wait_for_qr(account.pk, timeout=60)
            if code is not None and code != "connected":
                with contextlib.suppress(SimulatorControlError):  # shown no more
                    control.scan(phone_of(account), ref=code.text, name=account.name)
            if wait_connected(account, 30):
                return
        raise TimeoutError(f"account {account.name} was not linked")
    finally:
        connections.close_all()


def wait_connected(account: Account, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        account.refresh_from_db()
        if account.status == Account.Status.CONNECTED:
            return True
        time.sleep(0.2)
    return False


def phone_of(account: Account) -> str:
    return f"+33639985{int(account.name):03d}"


# ---------------------------------------------------------------------------------- sending


def send_all(accounts: list[Account], weigh: Callable[[], float]) -> tuple[float, float]:
    """Queue all at once, wait until all are sent; returns seconds, and GB in the midst of it."""
    tenant = accounts[0].tenant
    phones = [f"+4477009{n:05d}" for n in range(ACCOUNTS * EACH)]
    ids = contacts.ensure(tenant_id=tenant.pk, people=dict.fromkeys(phones, "Zoé"))
    people = {c.pk: c for c in Contact.objects.filter(pk__in=ids.values())}
    began = time.monotonic()
    for number, phone in enumerate(phones):
        outbox.queue(
            tenant=tenant,
            account=accounts[number % ACCOUNTS],
            contact=people[ids[phone]],
            idempotency_key=phone,
            body="Bonjour Zoé",
            now=timezone.now(),
        )
    busy, rung = weigh(), time.monotonic()
    waiting = Message.objects.exclude(state__in=Message.ARRIVED)
    while (left := waiting.count()) and time.monotonic() - began < SEND_SECONDS:
        if time.monotonic() - rung > 15:  # as beat does
            tasks.ring_waiting()
            rung = time.monotonic()
        time.sleep(0.25)
    if left:
        print(f"     {left} messages not sent, load {os.getloadavg()[0]:.1f}")
    return time.monotonic() - began, busy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("drivers", nargs="*", metavar="driver", default=["chromium"])
    results = [run(driver) for driver in parser.parse_args().drivers]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
