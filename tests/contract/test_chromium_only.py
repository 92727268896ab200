"""What only a real browser can show: clocks, hangs, reloads."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.contract.chromium_rig import WA_JS, ChromiumRig, group_of
from tests.contract.media import DOCUMENT
from tests.contract.rig import CALL, OPEN, WAIT, Session, link, new_phone, reopen, wait_until
from whatsapp.driver import base
from whatsapp.driver.chromium import ChromiumDriver
from whatsapp.driver.launch import ChromiumConfig
from whatsapp.driver.processes import command_line, group_members, is_alive
from whatsapp.simulator.process import SimulatorProcess

pytestmark = pytest.mark.browser


def hear_from_the_page(chromium: ChromiumRig, session: Session) -> None:
    """Any event: each tells the page's time."""
    before = session.last
    chromium.inbound(session.account, new_phone(), "what time is it?")
    session.wait_for(base.Incoming, after=before)


@contextmanager
def page_stopped(group: int):
    """The page's processes hang (SIGSTOP) inside; chromedriver and the browser go on."""
    pages = [pid for pid in group_members(group) if b"--type=renderer" in command_line(pid)]
    assert pages
    for pid in pages:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pages:
            if is_alive(pid):
                os.kill(pid, signal.SIGCONT)


# -------------------------------------------------------------------------------- hangs


def test_a_hung_page_makes_a_send_unknown_within_its_deadline(own: Session, chromium):
    phone = new_phone()
    out = own.driver.prepare(phone, deadline=CALL)
    with page_stopped(group_of(own)):
        started = time.monotonic()
        with pytest.raises(base.Unknown) as hung:
            own.driver.send_text(out, "hung", not_after=started + 60, deadline=1.0)
        took = time.monotonic() - started
        own.wait_for(base.BrowserLost)
        with pytest.raises(base.SessionLost) as after:
            own.driver.status()
        closing = time.monotonic()
        own.driver.close()
        closed = time.monotonic() - closing

    assert hung.value.code == after.value.code == "page_hung"
    assert took < 1.0 + 2.0
    assert closed < 5.0


def test_a_hung_page_makes_other_calls_say_so_within_their_deadline(own: Session):
    with page_stopped(group_of(own)):
        started = time.monotonic()
        with pytest.raises(base.SessionLost) as hung:
            own.driver.number_exists(new_phone(), deadline=1.0)
        took = time.monotonic() - started

    assert hung.value.code == "page_hung"
    assert took < 1.0 + 2.0


def test_close_interrupts_a_call_that_hangs(own: Session):
    raised: list[BaseException] = []

    def call() -> None:
        try:
            own.driver.number_exists(new_phone(), deadline=60)
        except base.DriverError as error:
            raised.append(error)

    with page_stopped(group_of(own)):
        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(0.2)
        own.driver.close()
        thread.join(timeout=5)

    assert not thread.is_alive()
    assert isinstance(raised[0], base.SessionLost)


def test_a_page_that_was_frozen_past_the_window_does_not_send(own: Session, chromium):
    out = own.driver.prepare(new_phone(), deadline=CALL)
    hear_from_the_page(chromium, own)
    raised: list[BaseException] = []

    def send() -> None:
        try:
            own.driver.send_text(out, "late", not_after=time.monotonic() + 0.5, deadline=CALL)
        except base.DriverError as error:
            raised.append(error)

    with page_stopped(group_of(own)):
        thread = threading.Thread(target=send)
        thread.start()
        time.sleep(1.0)
    thread.join(timeout=CALL)

    assert [type(error) for error in raised] == [base.TooLate]
    assert chromium.sent(out.wa_id) is None


def test_the_window_is_checked_again_after_a_slow_upload(own: Session, chromium):
    own.driver._browser.web.execute_script(
        "const real = window.fetch;"
        "window.fetch = async (...a) => { await new Promise((ok) => setTimeout(ok, 800));"
        " return real(...a); };"
    )
    out = own.driver.prepare(new_phone(), deadline=CALL)
    started = time.monotonic()
    with pytest.raises(base.TooLate):
        own.driver.send_media(out, DOCUMENT, "slow", not_after=started + 0.5, deadline=CALL)
    took = time.monotonic() - started

    assert took > 0.7  # it did begin in time
    assert chromium.sent(out.wa_id) is None
    assert own.driver.lookup(out.wa_id, deadline=CALL).found is base.Found.FAILED


# ------------------------------------------------------------------------------- clocks


def test_jumps_of_the_wall_clock_do_not_matter(own: Session, chromium, monkeypatch):
    web = own.driver._browser.web
    web.execute_script(  # the page's wall clock goes one day ahead, ours one back
        "const real = Date.now.bind(Date); Date.now = () => real() + 86400000;"
    )
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 86400)
    ours = own.driver.prepare(new_phone(), deadline=CALL)
    own.driver.send_text(ours, "in time", not_after=time.monotonic() + 2, deadline=CALL)
    late = own.driver.prepare(new_phone(), deadline=CALL)
    with pytest.raises(base.TooLate):
        own.driver.send_text(late, "late", not_after=time.monotonic() - 0.001, deadline=CALL)

    assert chromium.sent(ours.wa_id) is not None
    assert chromium.sent(late.wa_id) is None


def test_our_idea_of_the_pages_clock_is_right(chromium: ChromiumRig, steady: Session):
    for _ in range(5):
        hear_from_the_page(chromium, steady)
    _, ahead = steady.driver._stream.clock()
    asked = time.monotonic() * 1000
    page_now = steady.driver._browser.web.execute_script("return performance.now()")
    answered = time.monotonic() * 1000

    # Our reading of the page's clock is never behind it: the page may only refuse too early.
    assert page_now + ahead >= asked - 1
    assert page_now + ahead < answered + 50


# ------------------------------------------------------------------------------ reloads


def test_a_reload_of_the_page_is_a_short_disconnection(own: Session, chromium):
    own.send(new_phone(), "before")
    before = own.last
    own.driver._browser.web.refresh()
    lost = own.wait_for(base.Disconnected, after=before)
    own.wait_for(base.Ready, after=lost.seq)
    out = own.send(new_phone(), "after")
    phone = new_phone()
    chromium.inbound(own.account, phone, "heard after the reload")
    own.wait_for(base.Incoming, lambda e: e.message.body == "heard after the reload")

    assert chromium.sent(out.wa_id) is not None
    assert [event.seq for event in own.events] == list(range(1, len(own.events) + 1))


def test_nothing_of_ours_runs_on_other_pages(chromium: ChromiumRig, own: Session):
    web = own.driver._browser.web
    web.get("about:blank")
    wait_until(lambda: web.current_url == "about:blank", "another page")
    there = web.execute_script("return [typeof window.WPP, typeof window.__relance]")

    assert there == ["undefined", "undefined"]
    assert own.driver.status() is base.PageState.LOADING


def test_the_real_address_can_be_played_by_the_simulator(profile: Path):
    with SimulatorProcess("--tls") as simulator:
        config = ChromiumConfig(
            wa_js=WA_JS,
            host_rules=f"MAP web.whatsapp.com 127.0.0.1:{simulator.port}",
            flags=(f"--ignore-certificate-errors-spki-list={simulator.spki}",),
        )
        session = Session(lambda sink: ChromiumDriver(config, profile=profile, on_event=sink))
        state = session.driver.open(deadline=OPEN)
        address = session.driver._browser.web.current_url
        session.driver.close()

    assert state is base.PageState.QR
    assert address == "https://web.whatsapp.com/"


# ------------------------------------------------------------------------- catching up


@pytest.fixture
def caught(chromium: ChromiumRig, profile: Path):
    """A session that was closed since two people wrote; who they are; from when on."""
    session = link(chromium, profile)
    phones = [new_phone(), new_phone()]
    for phone in phones:
        chromium.inbound(session.account, phone, f"from {phone}")
        session.wait_for(base.Incoming, lambda e, phone=phone: e.message.phone == phone)
    again = reopen(chromium, session, profile)
    yield again, phones, datetime.now(UTC) - timedelta(hours=1)
    again.driver.close()


def test_what_a_late_answer_held_is_given_out_when_it_is_asked_for_again(caught):
    session, phones, since = caught
    web = session.driver._browser.web
    web.execute_script(
        "const slow = async (...a) => { await new Promise((ok) => setTimeout(ok, 800));"
        " window.listed = true; return real.chat.list(...a); }, real = window.WPP;"
        "window.WPP = {...real, chat: {...real.chat, list: slow}};"
    )
    with pytest.raises(base.DriverError):
        session.driver.unread(since=since, deadline=0.2)
    wait_until(lambda: web.execute_script("return window.listed"), "the late answer")

    found = session.driver.unread(since=since, deadline=CALL)

    assert {message.phone for message in found} == set(phones)


def test_a_message_that_the_page_chokes_on_hides_no_other(caught, caplog):
    session, (odd, fine), since = caught
    session.driver._browser.web.execute_script(
        "const cache = WPP.whatsapp.lidPnCache, real = cache.getCurrentLid.bind(cache);"
        "const [odd] = arguments; cache.getCurrentLid = (wid) => {"
        " if (String(wid).includes(odd)) throw new Error('odd'); return real(wid); };",
        odd[1:],
    )

    found = session.driver.unread(since=since, deadline=CALL)
    wait_until(lambda: "incoming message unreadable" in caplog.text, "a line of the log")

    assert [message.phone for message in found] == [fine]
    assert odd[1:] not in caplog.text


# ------------------------------------------------------------------------------- groups


def test_a_message_in_a_group_names_its_author(chromium: ChromiumRig, profile: Path):
    me, ana, group = new_phone(), new_phone(), "120363000000000001@g.us"
    session = chromium.session(profile)
    session.driver.open(deadline=OPEN)
    code = session.driver.qr()
    assert code is not None
    members = {"id": group, "subject": "Ops", "participants": [ana]}
    chromium.control.scan(me, ref=code.text, groups=[members])
    session.wait_for(base.Ready)
    chromium.control.receive(ana, "in the group", account=me, group=group, name="Ana")
    message = session.wait_for(base.Incoming).message
    session.driver.close()

    assert message.chat_id == group
    assert message.author == message.lid
    assert message.lid.endswith("@lid")
    assert (message.phone, message.name, message.body) == (ana, "Ana", "in the group")


# -------------------------------------------------------------------------------- speed


def test_print_the_figures(chromium: ChromiumRig, profile: Path, capsys):
    """Not a gate: bench/ compares with others. Shown by ``pytest -s``."""
    session = chromium.session(profile)
    started = time.monotonic()
    session.driver.open(deadline=OPEN)
    cold = time.monotonic() - started
    chromium.scan(session, new_phone(), name="Bench", lid_migrated=False)
    session.wait_for(base.Ready)
    phone = new_phone()
    took = []
    for number in range(60):
        out = session.driver.prepare(phone, deadline=CALL)
        before = time.perf_counter()
        session.driver.send_text(
            out, f"bench {number}", not_after=time.monotonic() + CALL, deadline=CALL
        )
        took.append(time.perf_counter() - before)
    session.driver.close()
    again = chromium.session(profile)
    started = time.monotonic()
    again.driver.open(deadline=OPEN)
    restored = time.monotonic() - started
    again.driver.close()
    figures = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cold_start_to_qr_s": round(cold, 2),
        "restore_s": round(restored, 2),
        "send_median_ms": round(sorted(took)[30] * 1000, 2),
    }
    with capsys.disabled():
        print(f"\n{json.dumps(figures)}")

    assert sorted(took)[30] < WAIT
