"""Linking and unlinking an account with a real worker and a real browser: what can go wrong."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.utils import timezone

from tests.browser.conftest import PHONE, Relance, browsers_on, eventually
from whatsapp import contacts, outbox
from whatsapp.models import Account, Lease, Message
from whatsapp.simulator.client import SimulatorControl

pytestmark = [pytest.mark.browser, pytest.mark.timeout(100)]


def test_an_attempt_that_nobody_scans_ends_and_frees_the_browser(
    relance: Relance, simulator: SimulatorControl
) -> None:
    relance.start(WHATSAPP_LINK_SECONDS="8")  # two minutes, shortened
    assert relance.connect().json()["data"]["status"] == "pending"
    assert browsers_on(relance.profiles)

    eventually(relance.is_disconnected, what="the attempt ended")

    assert "nobody scanned" in relance.account.status_reason
    eventually(lambda: not browsers_on(relance.profiles), what="the browser is gone")
    eventually(lambda: Lease.objects.get(account=relance.account).lease_until is None)
    assert simulator.state()["refs"] == []
    # And whoever comes back in time is linked as if nothing had been.
    relance.link(simulator)
    assert relance.status()["phoneNumber"] == PHONE


def test_a_second_connect_while_linking_shows_the_same_attempt(
    relance: Relance, simulator: SimulatorControl
) -> None:
    relance.start()
    first = relance.connect().json()["data"]
    [page] = simulator.state()["waiting"]

    second = relance.connect().json()["data"]

    assert second["expiresAt"] == first["expiresAt"]
    assert [w["ref"] for w in simulator.state()["waiting"]] == [page["ref"]]
    assert simulator.state()["sockets"] == 1
    simulator.scan(PHONE, ref=second["qrCode"], name="Amina")
    eventually(relance.is_connected)
    third = relance.connect().json()["data"]
    assert third == {"status": "connected", "phoneNumber": PHONE}
    # What the phone says of itself is kept with it.
    status = relance.status()
    assert (status["pushname"], status["phoneNumber"]) == ("Amina", PHONE)
    assert status["lastQrScanDate"]


def test_disconnecting_while_sending_loses_and_doubles_nothing(
    relance: Relance, simulator: SimulatorControl
) -> None:
    relance.start(beat=True)
    relance.link(simulator)
    simulator.config(ack_delay=1.5)
    people = {f"+3363998020{n}": f"Friend {n}" for n in range(4)}
    contact_ids = contacts.ensure(tenant_id=relance.tenant.pk, people=people)
    now = timezone.now()
    outbox.queue_batch(
        [
            outbox.Draft(
                tenant_id=relance.tenant.pk,
                account_id=relance.account.pk,
                contact_id=contact_id,
                idempotency_key=phone,
                body=f"hello {phone}",
                due_at=now,
            )
            for phone, contact_id in contact_ids.items()
        ],
        now=now,
    )
    eventually(lambda: Message.objects.filter(state="sending").exists(), what="one is being sent")

    answer = relance.api.delete("/api/relance/disconnect")

    assert answer.json()["data"]["status"] == "disconnected"
    eventually(lambda: relance.account.logout_requested_at is None, what="the device logged out")
    assert simulator.state()["devices"] == []
    assert not (relance.profiles / str(relance.account.pk)).exists()
    assert relance.account.status == Account.Status.DISCONNECTED
    assert relance.account.phone == ""
    states = list(Message.objects.values_list("state", flat=True))
    assert "queued" in states, "what had not begun keeps its place"
    assert "sending" not in states, "what had begun was finished before the log-out"
    # Linked again: the rest goes out, and everything has arrived once.
    simulator.config(ack_delay=0.0)
    relance.link(simulator)
    eventually(
        lambda: not Message.objects.exclude(state__in=["sent", "delivered", "read"]).exists()
    )
    arrived = [m for m in simulator.messages() if m.accepted]
    assert sorted(f"+{m.to}" for m in arrived) == sorted(people)
    assert all(m.deliveries <= 1 for m in arrived)


def test_a_page_that_never_gets_ready_is_told_and_frees_the_browser(
    relance: Relance, simulator: SimulatorControl, settings: Any
) -> None:
    simulator.config(boot="stuck")
    settings.WHATSAPP_LINK_SECONDS = 24  # the API waits ten seconds less than that
    relance.start(beat=True, WHATSAPP_LINK_SECONDS="18", WHATSAPP_OPEN_SECONDS="3")

    answer = relance.connect()

    assert answer.status_code == 504
    assert answer.json()["message"].startswith("WhatsApp showed no QR code in time")
    assert "did not get ready" in answer.json()["message"]
    eventually(relance.is_disconnected, 25, what="the attempt ended")
    assert relance.account.status_reason
    eventually(lambda: not browsers_on(relance.profiles), what="the browser is gone")
    simulator.config(boot="ok")
    settings.WHATSAPP_LINK_SECONDS = 120
    relance.link(simulator)


def test_who_cannot_scan_types_a_code_in_on_the_phone(
    relance: Relance, simulator: SimulatorControl
) -> None:
    relance.start()
    assert relance.connect().json()["data"]["status"] == "pending"
    address = f"/api/v1/accounts/{relance.account.pk}/connect"

    shown = relance.api.post(address, {"phoneNumber": PHONE}, format="json").json()

    assert re.fullmatch(r"[1-9A-Z]{4}-[1-9A-Z]{4}", shown["pairingCode"])
    assert shown["qr"]["text"].startswith("2@")
    simulator.enter_code(PHONE, shown["pairingCode"], name="Amina")
    eventually(relance.is_connected)
    assert relance.status()["phoneNumber"] == PHONE
    assert relance.account.link_phone == ""
