"""The referrer's journey: log in, scan, see the first message go out, pause, disconnect."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from campaigns import planning
from campaigns.models import Target
from tests.browser.conftest import PASSWORD, PHONE, Relance, eventually
from tests.visitors import Visitor
from whatsapp import linking
from whatsapp.models import Message
from whatsapp.simulator.client import SimulatorControl

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def nobody_is_due_later() -> bool:
    now = timezone.now()
    return not Target.objects.filter(state=Target.State.ACTIVE, next_due_at__gt=now).exists()


def test_a_referrer_links_sees_a_message_go_out_pauses_and_disconnects(
    relance: Relance, simulator: SimulatorControl, chromium: Chrome, live_server: Any
) -> None:
    simulator.config(delivered_after=0.1, read_after=0.2)
    relance.start(beat=True)
    relance.follow("Zoé", "Ben", step_delay=5)
    amina = Visitor(chromium, live_server.url)
    amina.wide(360)

    def press(css: str) -> None:
        chromium.find_element(By.CSS_SELECTOR, css).click()

    def shows(part: str, words: str) -> bool:
        # In one call: the part may be exchanged at any moment.
        text = chromium.execute_script(
            "return document.getElementById(arguments[0])?.innerText || ''", part
        )
        return words in text

    # Logs in.
    chromium.get(live_server.url + "/")
    chromium.find_element(By.NAME, "username").send_keys("amina", Keys.TAB, PASSWORD, Keys.ENTER)
    eventually(lambda: shows("main", "Hello Amina"), what="logged in")
    assert shows("account", "Not linked yet")

    # Scans what is on the screen.
    press("#link")
    eventually(lambda: chromium.find_elements(By.CSS_SELECTOR, ".qr"), 30, what="a code is shown")
    amina.keep("journey-1-code")
    code = linking.current_qr(relance.account.pk)
    assert code is not None
    simulator.scan(PHONE, ref=code.text, name="Amina's phone")
    eventually(lambda: shows("account", "Connected"), what="the page says that she is linked")
    assert shows("account", "Amina's phone")
    assert not chromium.find_elements(By.CSS_SELECTOR, ".qr")

    # Sees the first message go out.
    eventually(lambda: shows("people", "day 1: read"), 40, what="the first message was read")
    assert shows("people", "Zoé")
    amina.keep("journey-2-sent")

    # Pauses: nothing leaves any more.
    press("#sending")
    eventually(lambda: shows("account", "Sending is paused"), what="paused")
    eventually(lambda: not Message.objects.filter(state="sending").exists())
    sent = len(simulator.messages())
    eventually(nobody_is_due_later, what="the next messages are due")
    assert planning.plan(now=timezone.now()).queued == 0
    assert len(simulator.messages()) == sent

    # Disconnects.
    press("#disconnect")
    eventually(lambda: shows("main", "Disconnect your WhatsApp?"))
    press("button.danger")
    eventually(lambda: shows("account", "It was disconnected by request"), what="the page says so")
    eventually(lambda: simulator.state()["devices"] == [], what="her phone lists no device")
    amina.keep("journey-3-disconnected")
    assert chromium.find_elements(By.ID, "link"), "she may come back"
    assert amina.complaints() == []
