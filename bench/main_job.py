"""The main job on the simulator: what the durable path costs, and the waits people notice.

    python -m bench.main_job [--messages 100]

* a text through the whole durable path (claim, limiter, intent, send, finish) beside the same
  send by the bare driver, in turns on the same browser;
* `GET /api/relance/status` of the real web server;
* from the page showing a QR code until the API has returned it;
* memory of one linked account: its whole process group, chromedriver included.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench import scratch  # first: sets Django up
from bench.figures import seconds, verdict
from bench.scratch import run

# isort: split
import httpx
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from accounts.models import Membership, Tenant, User
from campaigns.models import Referrer
from demo.processes import Supervisor, browser_worker, free_port, simulator, this_database, web
from whatsapp import contacts, driving, linking, outbox, tasks
from whatsapp.driver.processes import group_members
from whatsapp.models import Account, Contact, Message
from whatsapp.sessions import Session, SessionPool
from whatsapp.simulator.client import SimulatorControl

PASSWORD = "only for this run 4711"
CALLS = 400
CALLERS = 5  # each may ask a hundred times a minute
ROUND = 10
WARM_UP = 2  # rounds
MEGABYTE = 1 << 20
OTHERS_OUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=100, help="of each of the two ways")
    messages = parser.parse_args().messages
    met = []
    say_if_busy()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relance-bench-")))
        port = free_port()
        settings.WHATSAPP_SESSION_PATH = folder / "profiles"
        settings.WHATSAPP_WEB_URL = f"http://127.0.0.1:{port}/"
        stack.enter_context(scratch.database())
        # Threads of the pool in this process leave connections, in which nobody has an interest.
        stack.callback(run, OTHERS_OUT)
        control = SimulatorControl(settings.WHATSAPP_WEB_URL)
        people = make_people()
        supervisor = stack.enter_context(
            Supervisor(logs=folder / "log", environment=shared(folder))
        )
        supervisor.start(simulator(port=port, state=folder / "simulator.json"))
        supervisor.wait_ready()
        with linked_session(people[0], control) as (pool, session):
            met.append(compare_sends(pool, session, messages))
            met.append(weigh(session))
        web_port = free_port()
        supervisor.start(browser_worker(), web(port=web_port))
        supervisor.wait_ready()
        api = httpx.Client(base_url=f"http://127.0.0.1:{web_port}", timeout=130, trust_env=False)
        tokens = [log_in(api, user) for user in people]
        met.append(time_status(api, tokens))
        met.append(time_codes(api, tokens[1:], control))
    return int(not all(met))


def say_if_busy() -> None:
    if (load := os.getloadavg()[0]) > (cores := os.cpu_count() or 1):
        print(f"this machine is busy (load {load:.1f} on {cores} cores): times will be too long")


def shared(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": this_database(),
        "WHATSAPP_WEB_URL": settings.WHATSAPP_WEB_URL,
        "WHATSAPP_SESSION_PATH": str(folder / "profiles"),
        "MEDIA_ROOT": str(folder / "media"),
    }


def make_people() -> list[User]:
    """Referrers who may log in; the first one's account is the one that sends."""
    tenant = Tenant.objects.create(slug="bench", name="Bench")
    people = []
    for number in range(CALLERS):
        user = User.objects.create_user(f"referrer-{number}", password=PASSWORD)
        Membership.objects.create(tenant=tenant, user=user, role=Membership.Role.AGENT)
        account = Account.objects.create(
            tenant=tenant,
            name=user.username,
            owner=user,
            gap_ms=0,
            per_minute=1_000_000,
            daily_limit=1_000_000,
        )
        Referrer.objects.create(
            tenant=tenant, external_id=user.username, name="R", user=user, account=account
        )
        people.append(user)
    return people


# --------------------------------------------------------------------------- the durable path


@contextlib.contextmanager
def linked_session(user: User, control: SimulatorControl) -> Iterator[tuple[SessionPool, Session]]:
    """A worker in this process, without Celery: its account linked, its browser open."""
    account = Account.objects.get(owner=user)
    pool = tasks.make_pool("bench@here", tasks.make_factory())
    pool.start()
    try:
        linking.request(account, now=timezone.now())
        driving.drive(pool, account.pk)
        control.scan("+33639989001", ref=control.wait_for_ref(), name="Bench")
        control.wait_for_online("33639989001")
        until = time.monotonic() + 20
        while Account.objects.get(pk=account.pk).status != "connected":
            assert time.monotonic() < until, "the account was not linked"
            time.sleep(0.05)
        session = pool.get(account.pk)
        assert session is not None
        yield pool, session
    finally:
        pool.stop()


def compare_sends(pool: SessionPool, session: Session, messages: int) -> bool:
    """Ten by the one way, ten by the other, in turns, so that both see the same machine; each to
    somebody not written to before. Ten, because a doorbell is rung once for what waits."""
    account = Account.objects.select_related("tenant").get(pk=session.account_id)
    rounds = max(1, messages // ROUND) + WARM_UP
    phones = [f"+3363998{number:04d}" for number in range(2 * rounds * ROUND)]
    ids = contacts.ensure(tenant_id=account.tenant_id, people=dict.fromkeys(phones, "Zoé"))
    bare, durable = [], []
    while phones:
        plain, queued = phones[:ROUND], phones[ROUND : 2 * ROUND]
        phones = phones[2 * ROUND :]
        bare.append(seconds(lambda mine=plain: send_bare(session, mine)))
        contacts_of = Contact.objects.filter(pk__in=[ids[phone] for phone in queued])
        waiting = [queue(account, contact).pk for contact in contacts_of]
        durable.append(seconds(lambda mine=waiting: send_durably(pool, account, mine)))
    plain_ms = statistics.median(bare[WARM_UP:]) / ROUND * 1000
    whole_ms = statistics.median(durable[WARM_UP:]) / ROUND * 1000
    verdict("text by the bare driver, median", plain_ms, "-", met=True, unit="ms")
    verdict("text through the durable path, median", whole_ms, "-", met=True, unit="ms")
    added = whole_ms - plain_ms
    return verdict("the durable path adds", added, "<= 25 ms", met=added <= 25, unit="ms")


def send_bare(session: Session, phones: list[str]) -> None:
    for phone in phones:
        out = session.driver.prepare(phone, deadline=20)
        session.driver.send_text(out, "Bonjour", not_after=time.monotonic() + 20, deadline=20)


def send_durably(pool: SessionPool, account: Account, message_ids: list[int]) -> None:
    driving.drive(pool, account.pk)
    until = time.monotonic() + 20
    # Another thread has the account now and then, for what the page says; it sends instead.
    missing = Message.objects.filter(pk__in=message_ids).exclude(state__in=Message.ARRIVED)
    while missing.exists():
        assert time.monotonic() < until, "not sent"
        time.sleep(0.001)


def queue(account: Account, contact: Contact) -> Message:
    """Without the doorbell's worker: nobody else of this run reads it yet."""
    return outbox.queue(
        tenant=account.tenant,
        account=account,
        contact=contact,
        idempotency_key=contact.phone,
        body="Bonjour",
        now=timezone.now(),
    )


def weigh(session: Session) -> bool:
    """Proportional set size: what is shared with others counts by its part."""
    group = session.driver.process_group
    assert group is not None
    total = 0
    for pid in group_members(group):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    size = total / MEGABYTE
    return verdict("memory of one linked account", size, "< 450 MB", met=size < 450, unit="MB")


# ------------------------------------------------------------------------------------ the API


def log_in(api: httpx.Client, user: User) -> dict[str, str]:
    answer = api.post(
        "/api/auth/token", json={"username": user.username, "password": PASSWORD}
    ).raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access']}"}


def time_status(api: httpx.Client, tokens: list[dict[str, str]]) -> bool:
    cache.clear()  # whoever logged in before does not count against anybody's limit
    times = []
    for number in range(CALLS):
        token = tokens[number % len(tokens)]
        began = time.perf_counter()
        api.get("/api/relance/status", headers=token).raise_for_status()
        times.append(time.perf_counter() - began)
    slow = statistics.quantiles(times[ROUND:], n=20)[-1] * 1000
    return verdict("status by the API, p95", slow, "< 50 ms", met=slow < 50, unit="ms")


def time_codes(api: httpx.Client, tokens: list[dict[str, str]], control: SimulatorControl) -> bool:
    """The slowest of some. The simulator hears of a code from the page that shows it."""
    late = []
    with ThreadPoolExecutor(1) as watching:
        for number, token in enumerate(tokens):
            before = set(control.state()["refs"])
            shown = watching.submit(when_shown, control, before)
            answer = api.post("/api/relance/connect", json={}, headers=token).raise_for_status()
            returned = time.time()
            at, text = shown.result()
            got = answer.json()["data"]["qrCode"]
            assert text.startswith(got)  # the page's own picture says which platform it is for
            late.append(returned - at)
            # Scanned, so that its page shows no more codes while the next one is awaited.
            control.scan(f"+3363998910{number}", ref=text)
    worst = max(late)
    return verdict(
        "QR code: shown by the page to returned", worst, "< 1 s", met=worst < 1, unit="s"
    )


def when_shown(control: SimulatorControl, before: set[str]) -> tuple[float, str]:
    """When a page has shown a code that was not there `before`, and the code; within 60 s."""

    def new(state: dict[str, Any]) -> list[dict[str, Any]]:
        return [w for w in state["waiting"] if w["text"] and w["ref"] not in before]

    state = control.wait_until(lambda state: bool(new(state)), 60)
    return state["now"], new(state)[0]["text"]


if __name__ == "__main__":
    sys.exit(main())
