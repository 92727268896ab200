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
                "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
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
    page.driver.get(f"{simulator.url}/phone?phone={ANA}")
    find(page, "#handset .chat").click()
    find(page, "#talk .bubble")

    assert (on_qr, on_chat, overhang()) == (0, 0, 0)


def test_a_person_talks_to_an_account_from_another_phone_and_in_a_group(
    simulator: SimulatorProcess, page: WaJsPage, tmp_path: Path
) -> None:
    control = simulator.control
    control.config(delivered_after=0)
    page.driver.set_window_size(1100, 900)
    control.scan(ME, ref=page.wait_for_code(), name="Camille")
    page.wait_for_main()
    group = control.make_group("Godparents", [ME, {"phone": ANA, "name": "Ana"}])
    preview = {
        "title": "Spring",
        "description": "What is new",
        "matchedText": "https://example.org",
    }
    page.send_text(f"{ANA}@c.us", "Look: https://example.org", linkPreview=preview)
    page.send_text(group, "Who comes?")

    page.driver.switch_to.new_window("tab")
    page.driver.get(f"{simulator.url}/phone")
    field = find(page, "#whose")
    field.send_keys("+33 6 39 98 00 02")
    field.submit()
    page.wait_for("document.querySelectorAll('#chats .chat').length === 2")

    def say(chat: str, text: str) -> list[str]:
        """Open a conversation, write, and give what it shows once that is there."""
        rows = page.driver.find_elements(By.CSS_SELECTOR, "#chats .chat")
        next(row for row in rows if chat in row.text).click()
        page.wait_for(f"document.querySelector('#talk .bar strong').textContent === {chat!r}")
        find(page, "#talk .compose input[name=text]").send_keys(text)
        find(page, "#talk .compose button").click()
        page.wait_for(f"document.querySelector('#talk').textContent.includes({text!r})")
        return [b.text for b in page.driver.find_elements(By.CSS_SELECTOR, "#talk .bubble .text")]

    private = say("Camille", "Nice!")
    card = find(page, "#talk .bubble .link strong").text
    shared = say("Godparents", "Me")
    control.wait_until(lambda state: state["totals"]["read"] == 2, op="record")
    told = [(m["from"], m["chat"], m["body"]) for m in control.inbound_messages()]

    picture = tmp_path / "me.png"
    picture.write_bytes(b"not much of a picture")
    find(page, "#talk input[type=file]").send_keys(str(picture))
    control.wait_until(lambda answer: answer["totals"]["inbound"] == 3, op="inbound")
    *_, sent = control.inbound_messages()
    assert (sent["type"], sent["media"]["filename"]) == ("image", "me.png")
    assert sent["media"]["size"] == len(picture.read_bytes())

    assert private == ["Look: https://example.org", "Nice!"]
    assert card == "Spring"
    assert shared == ["Who comes?", "Me"]
    assert told == [(ANA, f"{ANA}@c.us", "Nice!"), (ANA, group, "Me")]
    assert page.complaints() == []


def test_the_owner_of_an_account_writes_from_their_own_phone(
    simulator: SimulatorProcess, page: WaJsPage
) -> None:
    control = simulator.control
    control.scan(ME, ref=page.wait_for_code(), name="Camille")
    page.wait_for_main()
    web = page.driver.current_window_handle

    page.driver.switch_to.new_window("tab")
    page.driver.get(f"{simulator.url}/phone?phone={ME}")
    find(page, "#other input").send_keys("+33 6 39 98 00 02")
    find(page, "#other button").click()
    find(page, "#talk .compose input[name=text]").send_keys("From my own phone")
    find(page, "#talk .compose button").click()
    find(page, "#talk .bubble.mine")
    page.driver.switch_to.window(web)
    find(page, ".chat").click()
    shown = find(page, ".bubble.mine .text").text

    assert shown == "From my own phone"
    assert [m["to"] for m in control.inbound_messages()] == [ANA]


def test_a_browser_is_linked_on_the_phone_s_page_by_typing_its_code(
    simulator: SimulatorProcess, page: WaJsPage
) -> None:
    page.wait_for_code()
    code = page.run("return await WPP.conn.genLinkDeviceCodeForPhoneNumber(A[0])", ME)
    web = page.driver.current_window_handle

    page.driver.switch_to.new_window("tab")
    page.driver.get(f"{simulator.url}/phone")
    typed = find(page, "#waiting input[name=code]")
    typed.send_keys("0000-0000")
    typed.submit()
    page.wait_for("document.querySelector('#message').textContent.startsWith('code:')")
    typed = find(page, "#waiting input[name=code]")
    typed.clear()
    typed.send_keys(code)
    typed.submit()
    simulator.control.wait_for_online(ME)
    page.driver.switch_to.window(web)

    page.wait_for_main()


def test_the_phone_shows_that_the_account_is_typing(
    simulator: SimulatorProcess, page: WaJsPage
) -> None:
    control = simulator.control
    control.scan(ME, ref=page.wait_for_code(), name="Camille")
    page.wait_for_main()
    control.receive(ANA, "Hello?", account=ME)
    page.wait_for("WPP.whatsapp.ChatStore.length === 1")
    web = page.driver.current_window_handle

    page.driver.switch_to.new_window("tab")
    page.driver.get(f"{simulator.url}/phone?phone={ANA}")
    find(page, "#chats .chat").click()
    phone = page.driver.current_window_handle

    def tell(what: str, shown: str) -> None:
        page.driver.switch_to.window(web)
        page.run(f"await WPP.chat.{what}(A[0])", f"{ANA}@c.us")
        page.driver.switch_to.window(phone)
        page.wait_for(f"document.querySelector('#doing').textContent === {shown!r}")

    tell("markIsComposing", "typing…")
    tell("markIsPaused", "")
