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
from pathlib import Path

from bench import scratch  # first: sets Django up
from bench.scratch import run, seconds, verdict

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
WARM_UP = 10
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
    """In turns, so that both see the same machine; each to somebody not written to before."""
    account = Account.objects.select_related("tenant").get(pk=session.account_id)
    phones = [f"+3363998{number:04d}" for number in range(2 * (messages + WARM_UP))]
    ids = contacts.ensure(tenant_id=account.tenant_id, people=dict.fromkeys(phones, "Zoé"))
    bare, durable = [], []
    for number in range(messages + WARM_UP):
        bare.append(seconds(lambda phone=phones[2 * number]: send_bare(session, phone)))
        contact = Contact.objects.get(pk=ids[phones[2 * number + 1]])
        message = queue(account, contact)
        durable.append(seconds(lambda message=message: send_durably(pool, message)))
    plain = statistics.median(bare[WARM_UP:]) * 1000
    whole = statistics.median(durable[WARM_UP:]) * 1000
    verdict("text by the bare driver, median", plain, "-", met=True, unit="ms")
    verdict("text through the durable path, median", whole, "-", met=True, unit="ms")
    added = whole - plain
    return verdict("the durable path adds", added, "<= 25 ms", met=added <= 25, unit="ms")


def send_bare(session: Session, phone: str) -> None:
    out = session.driver.prepare(phone, deadline=20)
    session.driver.send_text(out, "Bonjour", not_after=time.monotonic() + 20, deadline=20)


def send_durably(pool: SessionPool, message: Message) -> None:
    driving.drive(pool, message.account_id)
    until = time.monotonic() + 20
    # Another thread has the account now and then, for what the page says; it sends instead.
    while not Message.objects.filter(pk=message.pk, state__in=Message.ARRIVED).exists():
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
    slow = statistics.quantiles(times[WARM_UP:], n=20)[-1] * 1000
    return verdict("status by the API, p95", slow, "< 50 ms", met=slow < 50, unit="ms")


def time_codes(api: httpx.Client, tokens: list[dict[str, str]], control: SimulatorControl) -> bool:
    """The slowest of some: the page's clock and ours are one, for it is this machine's."""
    late = []
    for token in tokens:
        before = set(control.state()["refs"])
        code = api.post("/api/relance/connect", json={}, headers=token).raise_for_status().json()
        returned = time.time()
        [page] = [w for w in control.state()["waiting"] if w["ref"] not in before]
        assert code["data"]["qrCode"].startswith(page["ref"])
        late.append(returned - page["since"])
    worst = max(late)
    return verdict(
        "QR code: shown by the page to returned", worst, "< 1 s", met=worst < 1, unit="s"
    )


if __name__ == "__main__":
    sys.exit(main())
