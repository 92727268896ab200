"""Unmodified wa-js in a real browser on the simulator: what the driver leans on holds.

One browser for each story: starting one takes seconds.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.simulator import wa_js_page
from tests.simulator.conftest import ME, LogIn, OpenPage
from tests.simulator.wa_js_page import WaJsPage
from whatsapp.simulator.client import SimulatorControl
from whatsapp.simulator.process import SimulatorProcess

ANA, BOB = "33639980002", "447700900123"
GROUP = {
    "id": "120363000000000001@g.us",
    "subject": "Godparents",
    "participants": [{"phone": ANA, "admin": True}, {"phone": BOB}],
}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(bool(wa_js_page.missing()), reason=wa_js_page.missing()),
]


def stanza(key: str) -> str:
    """The stanza id in a message key."""
    return key.split("_")[2]


def png(width: int = 64, height: int = 48) -> bytes:
    """A picture of one colour."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checked

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + b"\x0b\x7a\x5c" * width for _ in range(height))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def data_url(body: bytes, mimetype: str) -> str:
    return f"data:{mimetype};base64,{base64.b64encode(body).decode()}"


def test_text_location_media_and_receipts_reach_both_sides(
    log_in: LogIn, control: SimulatorControl
) -> None:
    control.directory(mode="listed", users=[{"phone": ANA, "business": "Ana's shop"}])
    page = log_in(contacts=[{"phone": ANA, "name": "Ana"}])
    picture, document = png(), b"%PDF-1.4\n" + bytes(range(256)) * 500
    chosen = page.new_id(ANA)

    exists = "return Boolean(await WPP.contact.queryExists(A[0]))"
    known, unknown = page.run(exists, f"{ANA}@c.us"), page.run(exists, f"{BOB}@c.us")
    text = page.send_text(f"{ANA}@c.us", "Bonjour 🎉", messageId=chosen)
    image = page.send_file(
        f"{ANA}@c.us", data_url(picture, "image/png"), type="image", caption="a picture"
    )
    file = page.send_file(
        f"{ANA}@c.us",
        data_url(document, "application/pdf"),
        type="document",
        filename="terms.pdf",
        messageId=page.new_id(ANA),
    )
    page.run(
        "await WPP.chat.sendLocationMessage(A[0],"
        " {lat: 48.8566, lng: 2.3522, name: 'Office', address: '1 rue X', markIsRead: false})",
        f"{ANA}@c.us",
    )
    recorded = control.wait_for_messages(4, step="delivered")

    assert (known, unknown) == (True, False)
    assert [sent["result"] for sent in (text, image, file)] == ["OK", "OK", "OK"]
    assert text["id"] == chosen
    assert [m.key for m in recorded][:3] == [chosen, image["id"], file["id"]]
    assert [m.to for m in recorded] == [ANA] * 4
    assert recorded[0].body == "Bonjour 🎉"
    assert recorded[1].body == "a picture"
    for message, body, kind in (
        (recorded[1], picture, "image"),
        (recorded[2], document, "document"),
    ):
        assert message.media is not None
        assert message.media.sha256 == hashlib.sha256(body).hexdigest()
        assert message.media.size == len(body)
        assert message.type == kind
    assert recorded[2].media is not None
    assert recorded[2].media.filename == "terms.pdf"
    assert recorded[2].body == ""
    assert recorded[3].location is not None
    assert recorded[3].location["lat"] == pytest.approx(48.8566)

    page.wait_for_ack(chosen, 2)
    control.receipt([stanza(chosen)], ack=3)
    page.wait_for_ack(chosen, 3)
    assert control.messages()[0].read is not None
    assert page.complaints() == []


def test_the_session_and_its_messages_survive_drop_crash_and_restart(
    log_in: LogIn, open_page: OpenPage, control: SimulatorControl
) -> None:
    page = log_in()
    first = page.send_text(f"{ANA}@c.us", "before")["id"]

    control.drop()
    page.wait_for("WPP.conn.getStreamData().info === 'OPENING'")
    page.wait_for("WPP.conn.getStreamData().info === 'NORMAL'")
    control.wait_for_online(ME)
    after_drop = page.send_text(f"{ANA}@c.us", "after the drop")
    control.config(ack="lost")
    unsure = page.new_id(ANA)
    page.send_text(f"{ANA}@c.us", "nobody knows", messageId=unsure, waitForAck=False)
    control.wait_for_messages(3)
    page.kill()
    control.wait_until(lambda state: not state["devices"][0]["online"])
    control.receive(ANA, "while you were away", account=ME)
    control.config(ack=True)

    page = open_page()
    page.wait_for_main()
    page.wait_for("WPP.whatsapp.ChatStore.getModelsArray().some((chat) => chat.unreadCount === 1)")
    missed = page.run(
        "const found = [];"
        "for (const chat of await WPP.chat.list({onlyWithUnreadMessage: true})) {"
        "  const list = await WPP.chat.getMessages(chat.id, {count: chat.unreadCount});"
        "  for (const message of list) found.push(message.body);"
        "} return found"
    )

    assert after_drop["result"] == "OK"
    assert page.ack_of(first) >= 1
    assert page.ack_of(unsure) == 0
    assert page.ack_of(f"{unsure}X") == "msg_not_found"
    assert missed == ["while you were away"]

    again = page.send_text(f"{ANA}@c.us", "nobody knows", messageId=unsure)
    third = control.messages()[2]
    assert again["ack"] == 1
    assert third.deliveries == 1
    assert [attempt.outcome for attempt in third.attempts] == ["ack_lost", "duplicate"]


def test_a_page_that_comes_back_may_send_again_what_was_never_acknowledged(
    log_in: LogIn, open_page: OpenPage, control: SimulatorControl
) -> None:
    control.config(ack={"mode": "lost", "times": 1}, resend_pending=True)
    page = log_in()
    key = page.new_id(ANA)
    page.send_text(f"{ANA}@c.us", "once", messageId=key, waitForAck=False)
    control.wait_for_messages(1)
    page.kill()

    page = open_page()
    page.wait_for_main()
    page.wait_for_ack(key, 1)
    [message] = control.messages()

    assert message.deliveries == 1
    assert [attempt.outcome for attempt in message.attempts] == ["ack_lost", "duplicate"]


def test_events_reach_a_listening_client(log_in: LogIn, control: SimulatorControl) -> None:
    page = log_in(groups=[GROUP])
    page.run(
        "window.seen = [];"
        "WPP.on('chat.new_message', (m) => m.id.fromMe || seen.push(['message', m.body]));"
        "WPP.on('chat.msg_ack_change', (a) => seen.push(['ack', a.ack, a.ids.map(String)]));"
        "WPP.on('conn.stream_mode_changed', (mode) => seen.push(['mode', mode]));"
    )

    sent = page.send_text(str(GROUP["id"]), "to all of you")
    control.read_all()
    control.receive(ANA, "an answer", group=str(GROUP["id"]))
    page.wait_for("seen.some((event) => event[0] === 'message')")
    page.wait_for("seen.some((event) => event[0] === 'ack' && event[1] === 3)")
    control.conflict()
    page.wait_for("WPP.conn.getStreamData().mode === 'CONFLICT'")
    seen = page.run("return seen")

    assert sent["result"] == "OK"
    assert ["message", "an answer"] in seen
    assert any(event[0] == "ack" and stanza(sent["id"]) in event[2][0] for event in seen)
    assert ["mode", "CONFLICT"] in seen
    [message] = control.messages()
    assert (message.chat, message.to) == (GROUP["id"], "")


def test_groups_and_their_participants_are_listed(log_in: LogIn) -> None:
    page = log_in(groups=[GROUP])

    groups = page.run("return (await WPP.group.getAllGroups()).map((g) => [String(g.id), g.name])")
    members = page.run(
        "return (await WPP.group.getParticipants(A[0])).map((p) => p.isAdmin)", GROUP["id"]
    )

    assert groups == [[GROUP["id"], GROUP["subject"]]]
    assert sorted(members) == [False, False, True]


def test_a_lid_migrated_account_sends_to_lids_and_the_record_names_the_phone(
    log_in: LogIn, control: SimulatorControl
) -> None:
    control.directory(users=[{"phone": ANA, "lid": "100000000000777@lid"}])
    page = log_in(lid_migrated=True)

    chosen = page.new_id(ANA)
    sent = page.send_text(f"{ANA}@c.us", "to a LID", messageId=chosen)
    control.receive(ANA, "from a LID", account=ME)
    page.wait_for("WPP.whatsapp.ChatStore.length === 1")
    page.wait_for("WPP.whatsapp.ChatStore.getModelsArray()[0].unreadCount === 1")
    page.wait_for_ack(chosen, 2)
    [message] = control.messages()

    assert sent["result"] == "OK"
    assert chosen.startswith("true_100000000000777@lid_")
    assert (message.chat, message.to) == ("100000000000777@lid", ANA)


def test_failures_look_to_the_client_as_they_do_on_the_real_page(
    log_in: LogIn, control: SimulatorControl
) -> None:
    page = log_in()

    control.config(nack={"code": 463, "phone": ANA, "times": 1})
    refused = page.send_text(f"{ANA}@c.us", "cold")
    taken = page.send_text(f"{ANA}@c.us", "warm")
    control.offline(30)
    page.wait_for("WPP.conn.getStreamData().info === 'OPENING'")
    cut = page.send_text(f"{ANA}@c.us", "into the void")
    control.offline(0)
    page.wait_for("WPP.conn.getStreamData().info === 'NORMAL'")

    assert (refused["result"], refused["ack"]) == ("ERROR_UNKNOWN", -1)
    assert (taken["result"], taken["ack"]) == ("OK", 1)
    assert (cut["result"], cut["ack"]) == ("ERROR_NETWORK", 0)
    assert [m.body for m in control.messages() if m.accepted] == ["warm"]


def test_a_second_window_with_the_same_login_takes_over_and_use_here_takes_it_back(
    log_in: LogIn,
) -> None:
    page = log_in()
    first = page.driver.current_window_handle

    page.driver.switch_to.new_window("tab")
    second = page.driver.current_window_handle
    page.driver.get(page.url)
    page.driver.switch_to.window(first)
    page.wait_for("document.querySelector('[data-screen=conflict] button')")
    page.driver.find_element(By.XPATH, "//button[text()='Use here']").click()
    page.wait_for_main()
    page.driver.switch_to.window(second)
    page.wait_for("document.querySelector('[data-screen=conflict]')")

    assert "another window" in page.driver.find_element(By.ID, "app").text


def test_the_phone_logs_the_browser_out(log_in: LogIn, control: SimulatorControl) -> None:
    page = log_in()

    control.logout(ME)
    page.wait_for("location.search.includes('post_logout=1')")
    code = page.wait_for_code()

    assert not page.run("return WPP.conn.isAuthenticated()")
    control.scan(ME, ref=code)
    page.wait_for_main()


def test_codes_run_out_and_come_back_on_request(tmp_path: Path) -> None:
    with SimulatorProcess("--ref-ttl", "1", "--refs", "2") as simulator:
        page = WaJsPage(simulator.url, tmp_path / "profile")
        try:
            first = page.wait_for_code()
            page.wait_for("WPP.whatsapp.Socket.state === 'UNPAIRED_IDLE'")
            page.run("await WPP.conn.refreshQR()")
            second = page.wait_for_code()
        finally:
            page.quit()

    assert first.split(",")[0] != second.split(",")[0]


def test_a_headless_browser_is_told_to_update(open_page: OpenPage) -> None:
    page = open_page(user_agent=None)

    shown = page.driver.find_element(By.ID, "app").text

    assert "update your browser" in shown
    assert page.driver.execute_script("return typeof require") == "undefined"


def test_a_page_that_is_stuck_never_gets_ready(
    open_page: OpenPage, control: SimulatorControl
) -> None:
    control.config(boot="stuck")
    page = open_page()

    modules = page.driver.execute_script("return Object.keys(require('__debug').modulesMap)")

    assert not any(name.startswith("WAWeb") for name in modules)
    assert page.driver.execute_script("return Boolean(WPP.isFullReady)") is False
