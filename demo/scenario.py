"""Who plays in the demo and what they do: over HTTP wherever a customer or a referrer would."""

from __future__ import annotations

import csv
import datetime as dt
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from django.db.models import F
from django.utils import timezone

from accounts.models import Membership, ServiceKey, Tenant, User
from accounts.signed import sign_request
from campaigns.csv_source import CsvSource
from campaigns.import_report import ReferralReport
from campaigns.models import Referral, Referrer, Target
from campaigns.referrals import import_rows
from whatsapp.simulator.client import SimulatorControl, SimulatorControlError

TENANT = "demo"
PATIENCE = 120.0  # seconds that a call is repeated while a process is being started again
# Numbers reserved for fiction, apart from those of the referrals.
PHONES = {
    "amina": "+33639989001",
    "bruno": "+33639989002",
    "chantal": "+33639989003",
    "david": "+33639989004",
}


class Refused(Exception):
    """The API answered something else than was expected; one sentence."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who logs in."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody in it, and the secret that the payment service signs with."""

    tenant: Tenant
    admin: Person
    marketing: Person
    referrers: tuple[Person, ...]
    key_id: str
    key_secret: str


def invent_people() -> Cast:
    """A company, a superuser, somebody of marketing, four referrers, and a payment service."""
    tenant = Tenant.objects.create(
        slug=TENANT, name="Demo", payment_link="https://pay.invalid/{{external_id}}"
    )
    admin = Person("admin", secrets.token_urlsafe(12))
    User.objects.create_superuser(admin.name, password=admin.password)
    marketing = Person("mona", secrets.token_urlsafe(12))
    manager = User.objects.create_user(marketing.name, password=marketing.password, is_staff=True)
    Membership.objects.create(tenant=tenant, user=manager, role=Membership.Role.MANAGER)
    referrers = tuple(Person(name, secrets.token_urlsafe(12)) for name in PHONES)
    for person in referrers:
        user = User.objects.create_user(person.name, password=person.password)
        Membership.objects.create(tenant=tenant, user=user, role=Membership.Role.AGENT)
        Referrer.objects.create(
            tenant=tenant, external_id=person.name, name=person.name.title(), user=user
        )
    key, secret = ServiceKey.issue(tenant=tenant, name="payments")
    return Cast(tenant, admin, marketing, referrers, key.key_id, secret)


def import_referrals(tenant: Tenant, path: Path, *, copy: Path) -> ReferralReport:
    """Import the file as ``manage.py import_referrals`` does; in `copy`, should dates be shifted.

    Its dates are those of one week: where that week has not come yet by this machine's clock, they
    are moved back by whole days, because nobody can have registered in the future.
    """
    now = timezone.now()
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    latest = max(dt.datetime.fromisoformat(row["registered_at"]) for row in rows)
    ahead = latest - (now - dt.timedelta(hours=2))
    if ahead > dt.timedelta(0):
        days = dt.timedelta(days=ahead.days + 1)
        for row in rows:
            moved = dt.datetime.fromisoformat(row["registered_at"]) - days
            row["registered_at"] = moved.isoformat()
        with copy.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        path = copy
    source = CsvSource.open(path)
    try:
        return import_rows(tenant, source.rows(), now=now, source=source.source)
    finally:
        source.close()


def expected_targets(tenant: Tenant) -> int:
    """How many will be followed: one for each phone that has not paid."""
    return Referral.objects.filter(tenant=tenant, paid_at=None).values("phone").distinct().count()


class Api:
    """Our API as callers outside see it. Calls are repeated while the web process starts anew."""

    def __init__(self, base_url: str) -> None:
        # trust_env=False: a proxy of the environment is not for this machine.
        self._http = httpx.Client(base_url=base_url, timeout=130, trust_env=False)

    def post(self, path: str, body: Any, sign: Callable[[bytes], dict[str, str]]) -> Any:
        """POST `body`; `sign` gives the headers for its bytes. Raises `Refused`."""
        content = json.dumps(body).encode()
        until = time.monotonic() + PATIENCE
        while True:
            why = ""
            try:
                answer = self._http.post(
                    path,
                    content=content,
                    headers={"Content-Type": "application/json", **sign(content)},
                )
                if answer.is_success:
                    return answer.json()
                why = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code < 500:
                    raise Refused(f"POST {path}: {why}")
            except httpx.TransportError as error:
                why = f"{type(error).__name__}: {error}"
            if time.monotonic() > until:
                raise Refused(f"POST {path}: {why}")
            time.sleep(0.5)

    def log_in(self, person: Person) -> Callable[[bytes], dict[str, str]]:
        """What signs the calls of `person` from now on: a token, for five minutes."""
        body = {"username": person.name, "password": person.password}
        token = self.post("/api/auth/token", body, lambda _: {})["access"]
        return lambda _: {"Authorization": f"Bearer {token}"}


def link(api: Api, simulator: SimulatorControl, person: Person) -> str:
    """Log in, ask for the QR code, and have the phone scan what the API returned.

    Returns the phone's number. Raises `Refused`.
    """
    signed_in = api.log_in(person)
    until = time.monotonic() + PATIENCE
    while True:
        data = api.post("/api/relance/connect", {}, signed_in)["data"]
        if data["status"] == "connected":
            return str(data["phoneNumber"])
        try:
            simulator.scan(PHONES[person.name], ref=data["qrCode"], name=person.name.title())
        except SimulatorControlError as error:
            # The page has turned to the next code meanwhile: ask for that one.
            if time.monotonic() > until:
                raise Refused(f"{person.name} cannot scan the code: {error}") from error
        time.sleep(0.2)


def choose_payers(tenant: Tenant, count: int = 3) -> list[str]:
    """External ids of people of different referrers; first those for whom a message waits."""
    chosen = (
        Target.objects.filter(tenant=tenant, state=Target.State.ACTIVE)
        .order_by("account_id", F("open_message_id").desc(nulls_last=True))
        .distinct("account_id")
        .values_list("referral__external_id", flat=True)
    )
    return list(chosen[:count])


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment that our API has been told of, and what it answered."""

    external_id: str
    cancelled: int
    in_flight: int


def pay(api: Api, cast: Cast, external_id: str) -> Payment:
    """The payment service says that somebody paid; returns what that stopped."""
    path = "/api/relance/internal/exit-user"

    def sign(body: bytes) -> dict[str, str]:
        return sign_request(
            key_id=cast.key_id, secret=cast.key_secret, method="POST", path=path, body=body
        )

    answer = api.post(path, {"userId": external_id}, sign)["data"]
    return Payment(
        external_id=external_id,
        cancelled=answer["messagesCancelled"],
        in_flight=answer["inFlight"],
    )
