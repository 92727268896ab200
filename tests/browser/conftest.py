"""Whole journeys: real workers in processes of their own, real Chromium, the simulator.

A worker of the test reads the test's database, so tests commit (`transactional_db`) and workers are
stopped before the tables are emptied.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from rest_framework.test import APIClient
from selenium.webdriver import Chrome

from accounts.models import ServiceKey
from accounts.signed import sign_request
from campaigns import sequences
from campaigns.models import Referral, Referrer, Target
from demo import processes, stage, verdict
from demo.scenario import Payment
from tests.factories import make_tenant, make_user
from tests.visitors import open_chromium
from whatsapp import limits
from whatsapp.models import Account, Message
from whatsapp.simulator.client import SimulatorControl
from whatsapp.simulator.process import SimulatorProcess

PHONE = "+33639989001"
PASSWORD = "only for this test 4711"
EXIT = "/api/relance/internal/exit-user"


def eventually(condition: Callable[[], Any], seconds: float = 20, *, what: str = "") -> Any:
    """Wait until `condition` gives something true, and return that."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"not within {seconds} s: {what or condition}"
        time.sleep(0.05)
    return found


def browsers_on(profiles: Path) -> list[int]:
    """Processes of any browser that runs on one of `profiles`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(profiles).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.fixture(scope="session")
def simulator_process() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as simulator:
        yield simulator


@pytest.fixture
def simulator(simulator_process: SimulatorProcess) -> Iterator[SimulatorControl]:
    simulator_process.control.reset()
    yield simulator_process.control
    simulator_process.control.reset()


class Relance:
    """One company with the referrer Amina, and the processes that work for it."""

    def __init__(self, supervisor: processes.Supervisor, profiles: Path) -> None:
        self.supervisor = supervisor
        self.profiles = profiles
        self.tenant = make_tenant("acme")
        user = make_user(self.tenant, username="amina", password=PASSWORD)
        self.referrer = Referrer.objects.create(
            tenant=self.tenant, external_id="amina", name="Amina", user=user
        )
        self.api = APIClient()
        token = self.api.post(
            "/api/auth/token", {"username": "amina", "password": PASSWORD}, format="json"
        ).json()["access"]
        self.api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        self.key, self.secret = ServiceKey.issue(tenant=self.tenant, name="payments")

    # ------------------------------------------------------------------ processes

    def start(self, *, beat: bool = False, **environment: str) -> None:
        """A worker for everything, and the clock where a test needs one; until both work."""
        self.supervisor.start(
            processes.worker(
                "worker",
                queues="default,outside,browser",
                pool="threads",
                concurrency=8,
                environment=environment,
            )
        )
        if beat:
            self.supervisor.start(
                processes.beat(PeriodicTask.objects.filter(name="reconcile").exists)
            )
        self.supervisor.wait_ready()

    # ------------------------------------------------------------------ people

    @property
    def account(self) -> Account:
        self.referrer.refresh_from_db()
        account = self.referrer.account
        assert account is not None
        account.refresh_from_db()
        return account

    def connect(self) -> Any:
        """What the API answers to Amina's wish to link her account."""
        return self.api.post("/api/relance/connect", {}, format="json")

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.api.get("/api/relance/status").json()
        return answer

    def is_connected(self) -> bool:
        return self.account.status == Account.Status.CONNECTED

    def is_disconnected(self) -> bool:
        return self.account.status == Account.Status.DISCONNECTED

    def link(self, simulator: SimulatorControl) -> None:
        """Amina's phone scans what the API gave her."""
        code = self.connect().json()["data"]["qrCode"]
        simulator.scan(PHONE, ref=code, name="Amina")
        eventually(self.is_connected)

    def follow(self, *names: str, step_delay: float) -> list[Referral]:
        """The seven days, seconds apart, for people who registered two hours ago."""
        sequences.load(
            stage.SEQUENCE,
            tenant=self.tenant,
            activate=True,
            step_delay=dt.timedelta(seconds=step_delay),
            now=timezone.now(),
        )
        return [
            Referral.objects.create(
                tenant=self.tenant,
                referrer=self.referrer,
                external_id=f"ref-{number}",
                name=name,
                phone=f"+336399801{number:02d}",
                language="en" if number % 2 else "fr",
                registered_at=timezone.now() - dt.timedelta(hours=2),
            )
            for number, name in enumerate(names)
        ]

    def pay(self, external_id: str) -> Payment:
        """The payment service makes its signed call."""
        body = f'{{"userId": "{external_id}"}}'.encode()
        signed = sign_request(
            key_id=self.key.key_id, secret=self.secret, method="POST", path=EXIT, body=body
        )
        answer = APIClient().post(
            EXIT, body, content_type="application/json", HTTP_AUTHORIZATION=signed["Authorization"]
        )
        assert answer.status_code == 200, answer.content
        data = answer.json()["data"]
        assert data["targetsExited"] == 1
        return Payment(external_id, data["messagesCancelled"], data["inFlight"])

    def evidence(self) -> str:
        """How things stand, and what the processes complained of last: for a test that fails."""
        rows = {
            "accounts": Account.objects.values_list("status", "status_reason"),
            "targets": Target.objects.values_list("state", "hold", "exit_reason"),
            "messages": Message.objects.values_list("state", "error_code"),
        }
        lines = [f"{what}: {dict(Counter(found))}" for what, found in rows.items()]
        for log in sorted(self.supervisor.logs.glob("*.log")):
            told = log.read_text(errors="replace").splitlines()
            bad = [line for line in told if "[warn" in line or "[err" in line or "Error" in line]
            lines += [f"{log.stem}: {line[:300]}" for line in bad[-8:]]
        return "\n".join(lines)

    def judge(self, simulator: SimulatorControl) -> verdict.Verdict:
        return verdict.judge(self.tenant, simulator.messages())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A journey that fails says why: its processes are gone when somebody looks."""
    report = yield
    relance = getattr(item, "funcargs", {}).get("relance")
    if report.when == "call" and report.failed and isinstance(relance, Relance):
        report.longrepr.addsection("how things stood", relance.evidence())
    return report


@pytest.fixture
def relance(
    transactional_db: None,
    simulator: SimulatorControl,
    settings: Any,
    tmp_path: Path,
) -> Iterator[Relance]:
    limits.server().client.flushdb()
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.WHATSAPP_PER_MINUTE = settings.WHATSAPP_DAILY_LIMIT = 1000  # as the workers below
    profiles = tmp_path / "profiles"
    environment = {
        **os.environ,
        "DATABASE_URL": processes.this_database(),
        "WHATSAPP_WEB_URL": simulator.base_url + "/",
        "WHATSAPP_SESSION_PATH": str(profiles),
        "MEDIA_ROOT": str(settings.MEDIA_ROOT),
        "RESEND_NOT_FOUND": "1",
        "RELANCE_ENROL_EVERY": "1",
        "RELANCE_PLAN_EVERY": "1",
        "RELANCE_RECONCILE_EVERY": "1",
        "RELANCE_MESSAGE_DELAY_MS": "0",
        "WHATSAPP_PER_MINUTE": "1000",
        "WHATSAPP_DAILY_LIMIT": "1000",
        # A message whose worker was killed is decided when its window is over: soon, here.
        "WHATSAPP_LEASE_SECONDS": "10",
        "WHATSAPP_HEARTBEAT_SECONDS": "2",
        "WHATSAPP_SEND_SECONDS": "5",
    }
    with processes.Supervisor(logs=tmp_path / "log", environment=environment) as supervisor:
        yield Relance(supervisor, profiles)
    assert browsers_on(profiles) == [], "a browser outlived its worker"
    current_app.close()  # connections of this test's Redis


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Chrome]:
    with open_chromium(tmp_path / "visitor") as driver:
        yield driver
