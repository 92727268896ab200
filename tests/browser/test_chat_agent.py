"""A question is answered, a person takes over: real browser, real workers, the simulator."""

from __future__ import annotations

import time
from functools import partial

import pytest

from tests.browser.conftest import PHONE, Relance, eventually
from whatsapp.models import AgentRule, AgentTurn, Chat, ChatAgent, Incoming
from whatsapp.simulator.client import SimulatorControl
from whatsapp.simulator.record import RecordedMessage

pytestmark = [pytest.mark.browser, pytest.mark.timeout(150)]

ANA = "+33639980100"


def test_a_question_is_answered_within_seconds_until_a_person_takes_over(
    relance: Relance, simulator: SimulatorControl
) -> None:
    relance.start()
    relance.link(simulator)
    agent = ChatAgent.objects.create(tenant=relance.tenant, name="reception")
    AgentRule.objects.create(agent=agent, keywords=["combien"], answer="12 €, {{name}}")
    account = relance.account
    account.agent = agent
    account.save(update_fields=["agent"])

    def answers() -> list[RecordedMessage]:
        return [m for m in simulator.messages() if m.to == ANA[1:] and m.accepted]

    def has_answered(times: int) -> bool:
        return len(answers()) == times

    took = []
    for number in range(3):
        asked_at = time.time()
        simulator.receive(ANA, f"C’est combien ? ({number})", account=PHONE)
        eventually(partial(has_answered, number + 1), what="an answer")
        received = answers()[-1].received
        assert received is not None
        took.append(received - asked_at)
    assert answers()[0].body.startswith("12 €")
    print("round trips:", ", ".join(f"{seconds:.2f} s" for seconds in took))
    assert sorted(took)[1] < 3, took

    simulator.write_on_phone(PHONE, ANA, "Je m’en occupe")
    eventually(lambda: Incoming.objects.filter(from_me=True).exists(), what="the owner's words")
    assert Chat.objects.get().taken_over_by == "amina"
    simulator.receive(ANA, "C’est combien ? (encore)", account=PHONE)
    eventually(lambda: Incoming.objects.filter(body__endswith="(encore)").exists())
    assert AgentTurn.objects.count() == 3
