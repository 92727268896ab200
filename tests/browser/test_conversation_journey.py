"""Marketing's other journey: an account linked by a typed code, a rules agent, a hand that takes
over, a STOP. Whoever writes types on the simulator's phone, in the same browser.

With SCREENSHOTS set to a folder every screen is kept there, to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from tests.browser.conftest import PASSWORD, PHONE, Relance, eventually
from tests.browser.marie import Marie
from tests.factories import make_user
from whatsapp.models import Account, AgentTurn, Chat, ChatAgent, Contact, Incoming
from whatsapp.simulator.client import SimulatorControl

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

ZOE = "+33639980199"
PRICE = "Dix euros par mois, sans engagement."


class Zoe:
    """Somebody with the simulator's phone in hand, in a tab beside Marie's."""

    def __init__(self, marie: Marie, simulator: SimulatorControl) -> None:
        self.marie, self.driver = marie, marie.driver
        self.desk = self.driver.current_window_handle
        self.driver.switch_to.new_window("tab")
        self.phone = self.driver.current_window_handle
        self.driver.get(f"{simulator.base_url}/phone?phone={ZOE[1:]}")
        self.driver.switch_to.window(self.desk)

    @contextmanager
    def in_hand(self) -> Iterator[None]:
        self.driver.switch_to.window(self.phone)
        try:
            if not self.driver.find_elements(By.CSS_SELECTOR, "#talk form"):
                eventually(lambda: self.marie.reads("Amina", "#chats"), what="her chats")
                self.marie.press("#chats .chat")
            yield
        finally:
            self.driver.switch_to.window(self.desk)

    def writes(self, text: str) -> None:
        with self.in_hand():
            field = eventually(
                lambda: self.driver.find_elements(By.CSS_SELECTOR, "#talk form [name=text]")
            )[0]
            field.send_keys(text, Keys.ENTER)
            self.marie.sees(text, "#talk .lines")

    def reads(self, text: str) -> None:
        with self.in_hand():
            self.marie.sees(text, "#talk .lines")


def test_marketing_links_by_a_code_lets_rules_answer_takes_over_and_a_stop_is_heard(
    relance: Relance, simulator: SimulatorControl, chromium: Chrome, live_server: Any
) -> None:
    simulator.config(delivered_after=0.1, read_after=0.2)
    simulator.directory(users=[{"phone": ZOE, "name": "Zoé"}])
    make_user(relance.tenant, username="marie", role="manager", password=PASSWORD, is_staff=True)
    relance.start(beat=True)
    marie = Marie(chromium, live_server.url)
    marie.wide(1280)
    marie.log_in()
    link_by_code(marie, simulator)
    let_rules_answer(marie)

    # Somebody asks, and the agent answers.
    zoe = Zoe(marie, simulator)
    zoe.writes("Bonjour, c'est combien ?")
    zoe.reads(PRICE)
    marie.open("/admin/whatsapp/chat/")
    marie.sees("Zoé")
    marie.may_use("conversations")
    chat = Chat.objects.get()
    marie.open(f"/admin/whatsapp/chat/{chat.pk}/change/")
    marie.sees("c'est combien ?", ".chat-theirs")
    marie.sees(PRICE, ".chat-ours")
    marie.sees("The chat agent Prices answers here.")
    eventually(
        lambda: chromium.find_elements(By.CSS_SELECTOR, ".chat-tick.chat-read"),
        what="the page says by itself that she has read it",
    )
    marie.may_use("conversation")

    # A person takes over, by answering; what the agent knew it keeps to itself.
    marie.write("text", "Pour vous, neuf 🙂\n— Marie")
    marie.press(".chat-box ~ .console-buttons button")
    marie.sees("agent and sequences keep silent")
    zoe.reads("Pour vous, neuf 🙂")
    zoe.writes("Combien ? Neuf !")
    marie.sees("Combien ? Neuf !", ".chat-theirs")
    assert AgentTurn.objects.count() == 1, "the agent was not asked again"
    assert bodies_to_zoe(simulator) == [PRICE, "Pour vous, neuf 🙂\n— Marie"]
    marie.may_use("conversation-taken-over")

    # She has enough.
    zoe.writes("STOP")
    marie.sees("SAID STOP", "#chat-live h2")
    eventually(lambda: len(bodies_to_zoe(simulator)) == 3, what="she is told once")
    zoe.writes("STOP")
    eventually(lambda: Incoming.objects.filter(body="STOP").count() == 2)
    assert Contact.objects.get(phone=ZOE).obstacle == "opted_out"
    marie.write("text", "Encore une chose")
    marie.press(".chat-box ~ .console-buttons button")
    marie.sees("Not sent:")
    marie.may_use("conversation-stopped")
    assert len(bodies_to_zoe(simulator)) == 3
    assert marie.complaints() == []


def link_by_code(marie: Marie, simulator: SimulatorControl) -> None:
    """A new account, and its owner types the code of its page in on her phone."""
    marie.open("/admin/whatsapp/account/add/")
    marie.driver.find_element(By.NAME, "name").send_keys("amina")
    marie.press("[name=_save]")
    marie.sees("amina")
    account = Account.objects.get()
    marie.open(f"/admin/whatsapp/account/{account.pk}/change/")
    marie.driver.find_element(By.XPATH, "//button[contains(., 'Show a QR code')]").click()
    marie.sees("No way to scan?", "#account-live")
    marie.press("#type-instead summary")
    marie.driver.find_element(By.ID, "phone-to-link").send_keys(PHONE, Keys.ENTER)
    code = eventually(
        lambda: marie.driver.execute_script(
            "return document.querySelector('.console-typed')?.innerText"
        ),
        30,
        what="a code to type in",
    )
    marie.may_use("account-code")
    simulator.enter_code(PHONE, code, name="Amina")
    marie.sees("CONNECTED", "#account-live")


def let_rules_answer(marie: Marie) -> None:
    """A rule about prices, tried, and given to the account."""
    marie.open("/admin/whatsapp/chatagent/add/")
    marie.driver.find_element(By.NAME, "name").send_keys("Prices")
    marie.write("rules-0-keywords", "combien, prix")
    marie.write("rules-0-answer", PRICE)
    marie.may_use("agent-new")
    marie.press("[name=_save]")
    marie.sees("Prices")
    agent = ChatAgent.objects.get()
    marie.open(f"/admin/whatsapp/chatagent/{agent.pk}/change/")
    marie.write("text", "quel est le prix ?")
    marie.press("#agent-try button")
    marie.sees(PRICE, "#agent-try .chat-ours")
    marie.may_use("agent")
    marie.open(f"/admin/whatsapp/account/{Account.objects.get().pk}/change/")
    Select(marie.driver.find_element(By.NAME, "agent")).select_by_visible_text("Prices")
    marie.press("[name=_save]")
    eventually(lambda: Account.objects.filter(agent=agent).exists(), what="the account has it")


def bodies_to_zoe(simulator: SimulatorControl) -> list[str]:
    return [m.body for m in simulator.messages() if m.accepted and f"+{m.to}" == ZOE]
