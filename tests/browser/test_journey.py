"""From the QR code to the seventh message, with everything real but WhatsApp."""

from __future__ import annotations

import signal
from collections import defaultdict

import pytest

from campaigns.models import Target
from tests.browser.conftest import Relance, eventually
from whatsapp.models import Message
from whatsapp.simulator.client import SimulatorControl

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

PEOPLE = ("Zoé", "Ben", "Léa", "Tom", "Ines")


def steps_done(external_id: str) -> int:
    return (
        Target.objects.filter(referral__external_id=external_id)
        .values_list("steps_done", flat=True)
        .first()
        or 0
    )


def test_a_linked_account_follows_everybody_through_restarts_until_they_pay(
    relance: Relance, simulator: SimulatorControl
) -> None:
    simulator.config(delivered_after=0.1, read_after=0.2)
    relance.start(beat=True)
    relance.link(simulator)
    [device] = simulator.state()["devices"]
    scanned_at = relance.status()["lastQrScanDate"]
    relance.follow(*PEOPLE, step_delay=4)

    eventually(lambda: steps_done("ref-0") >= 1, 60, what="the first step")
    relance.supervisor.signal("worker", signal.SIGTERM)
    relance.supervisor.wait_ready("worker")
    eventually(lambda: steps_done("ref-0") >= 3, 90, what="the third step, after a restart")
    payment = relance.pay("ref-0")
    at_most = steps_done("ref-0") + payment.in_flight
    # Not amid a send: one that nobody saw end may be for a person to settle (tests/chaos).
    eventually(
        lambda: not Message.objects.filter(state__in=["queued", "sending"]).exists(),
        30,
        what="nothing is being sent",
    )
    relance.supervisor.signal("worker", signal.SIGKILL)
    eventually(
        lambda: not Target.objects.filter(state=Target.State.ACTIVE).exists(),
        180,
        what="everybody is through",
    )
    eventually(
        lambda: not Message.objects.filter(state__in=["queued", "sending", "sent", "delivered"]),
        60,
        what="everything is read",
    )

    # The same device all the time: nobody scanned again.
    assert [d["token"] for d in simulator.state()["devices"]] == [device["token"]]
    assert relance.status()["lastQrScanDate"] == scanned_at
    found = relance.judge(simulator)
    assert found.details == []
    assert found.passed
    payer = Target.objects.get(referral__external_id="ref-0")
    assert (payer.state, payer.exit_reason) == ("exited", "paid")
    assert 3 <= found.total.expected - 7 * (len(PEOPLE) - 1) <= at_most
    chats = defaultdict(list)
    for message in simulator.messages():
        if message.accepted:
            chats[message.to].append(message)
    french, english = chats["33639980102"], chats["33639980101"]
    assert [m.type for m in french] == ["chat", "image", "chat", "document", "chat", "chat", "chat"]
    assert "Bonjour Léa" in french[0].body
    assert "Hi Ben" in english[0].body
    assert all(message.read for message in french + english)
    assert set(Message.objects.values_list("state", flat=True)) <= {"read", "cancelled"}
