"""What a person sees and can do: the page itself, and the page that plays the phones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.simulator import wa_js_page
from tests.simulator.wa_js_page import WaJsPage
from whatsapp.simulator.process import SimulatorProcess

ME, ANA = "33639980001", "33639980002"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(bool(wa_js_page.missing()), reason=wa_js_page.missing()),
]


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as running:
        yield running


@pytest.fixture
def page(simulator: SimulatorProcess, tmp_path: Path) -> Iterator[WaJsPage]:
    opened = WaJsPage(simulator.url, tmp_path / "profile", "--window-size=360,740")
    yield opened
    opened.quit()


def find(page: WaJsPage, selector: str) -> WebElement:
    """The first element, as soon as there is one."""
    page.wait_for(f"document.querySelector({selector!r})")
    return page.driver.find_element(By.CSS_SELECTOR, selector)


def test_a_person_links_reads_and_writes_without_a_phone(
    simulator: SimulatorProcess, page: WaJsPage
) -> None:
    control = simulator.control
    page.wait_for("document.querySelector('.code img').naturalWidth > 0")
    web = page.driver.current_window_handle

    page.driver.switch_to.new_window("tab")
    page.driver.get(f"{simulator.url}/phone")
    scan = find(page, "#waiting form button")
    offered = scan.text
    scan.click()
    control.wait_for_online(ME)
    page.driver.switch_to.window(web)
    own = find(page, ".who").text

    control.receive(ANA, "Bonjour !", account=ME)
    find(page, ".chat").click()
    field = find(page, ".compose input")
    field.send_keys("Bonsoir")
    find(page, ".compose button").click()
    [sent] = control.wait_for_messages(1)
    control.wait_until(lambda state: state["seen"])
    control.read_all()
    page.wait_for("document.querySelector('.bubble.mine .tick.read')")
    bubbles = [b.text for b in page.driver.find_elements(By.CSS_SELECTOR, ".bubble .text")]

    assert offered == "Scan as +33 6 39 98 00 01"
    assert own.splitlines() == ["Camille", "+33 6 39 98 00 01"]
    assert bubbles == ["Bonjour !", "Bonsoir"]
    assert (sent.to, sent.body) == (ANA, "Bonsoir")
    assert page.complaints() == []


def test_a_lost_connection_shows_and_goes_away(simulator: SimulatorProcess, page: WaJsPage) -> None:
    simulator.control.scan(ME, ref=page.wait_for_code())
    page.wait_for_main()

    simulator.control.offline(60)
    page.wait_for("!document.querySelector('.side .banner').hidden")
    shown = page.driver.find_element(By.CSS_SELECTOR, ".side .banner").text
    simulator.control.offline(0)
    page.wait_for("document.querySelector('.side .banner').hidden")

    assert "No connection" in shown


def test_nothing_is_wider_than_a_small_phone(simulator: SimulatorProcess, page: WaJsPage) -> None:
    def overhang() -> int:
        return int(
            page.driver.execute_script(
                "return document.documentElement.scrollWidth - window.innerWidth"
            )
        )

    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": False},
    )
    code = page.wait_for_code()
    on_qr = overhang()
    simulator.control.scan(ME, ref=code)
    page.wait_for_main()
    simulator.control.receive(ANA, "long" * 60, account=ME)
    find(page, ".chat").click()
    find(page, ".bubble")
    on_chat = overhang()
    page.driver.get(f"{simulator.url}/phone")
    find(page, "#devices form")

    assert (on_qr, on_chat, overhang()) == (0, 0, 0)
