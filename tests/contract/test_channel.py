"""Events of the page, found in the browser's log and delivered in the page's order."""

from __future__ import annotations

import io
import json
import math
import time

import pytest

from tests.contract.rig import wait_until
from whatsapp.driver.channel import EventStream, PageEvent, bridge_script, wa_js_script

WORD = "c0ffee"


def message(number: int, *, load: str = "a", origin: float = 1.0, kind: str = "state") -> str:
    event = {"l": load, "o": origin, "n": number, "at": 0, "p": 0.0, "t": kind}
    return json.dumps(event | {"d": f"{load}{number}"})


def logged(text: str, *, word: str = WORD, pieces: int = 1) -> list[bytes]:
    """The lines in which Chromium logs what the page writes to its console."""
    size = max(1, -(-len(text) // pieces))
    cut = [text[at : at + size] for at in range(0, len(text), size)] or [""]
    said = (f"{word} {k}/{len(cut)} {piece}" for k, piece in enumerate(cut, start=1))
    return [f'[7:7:1120/142016.40:INFO:CONSOLE:3] "{it}", source:  (3)\n'.encode() for it in said]


def tell(stream: EventStream, text: str, *, pieces: int = 1) -> None:
    for line in logged(text, pieces=pieces):
        stream.take_line(line)


@pytest.fixture
def stream():
    heard: list[str] = []
    stream = EventStream(lambda event: heard.append(event.data), word=WORD)
    yield stream, heard
    stream.close()


def test_events_are_delivered_in_the_order_of_the_log(stream):
    stream, heard = stream
    for number in range(1, 301):
        tell(stream, message(number))

    wait_until(lambda: heard == [f"a{n}" for n in range(1, 301)], "300 events in order")


def test_a_long_event_comes_in_several_lines_with_others_between_them(stream):
    stream, heard = stream
    for line in logged(message(1), pieces=5):
        stream.take_line(line)
        stream.take_line(b"[7:9:1120/142016.41:ERROR:dbus/bus.cc:405] Failed to connect\n")

    wait_until(lambda: heard == ["a1"], "the event, whole")


def test_an_event_whose_beginning_was_not_heard_is_dropped(stream):
    stream, heard = stream
    for line in logged(message(1), pieces=3)[1:]:
        stream.take_line(line)
    tell(stream, message(2))

    wait_until(lambda: heard == ["a2"], "the next one")


def test_lines_of_others_are_passed_over_whatever_they_say(stream):
    stream, heard = stream
    [forged] = logged(message(1), word="guessed")
    numbers = f'"{WORD} {"9" * 5000}/1 ", source:  (3)\n'.encode()
    for line in (forged, numbers, b"", b"\n", b"\xff\xfe", b'"c0ffee 1/1', message(1).encode()):
        stream.take_line(line)
    tell(stream, message(2))

    wait_until(lambda: heard == ["a2"], "ours")


def test_quotes_in_an_event_do_not_end_it(stream):
    stream, heard = stream
    event = json.loads(message(1)) | {"d": 'she said "no", source: me'}
    tell(stream, json.dumps(event))

    wait_until(lambda: heard == ['she said "no", source: me'], "the whole text")


def test_what_an_old_page_says_after_a_reload_is_no_news_but_its_messages_are(stream):
    stream, heard = stream
    tell(stream, message(1, load="a", origin=1.0))
    tell(stream, message(1, load="b", origin=2.0))
    tell(stream, message(2, load="a", origin=1.0, kind="state"))
    tell(stream, message(3, load="a", origin=1.0, kind="message"))

    wait_until(lambda: heard == ["a1", "b1", "a3"], "the message, not the state")


def test_rubbish_and_failing_receivers_do_not_stop_it():
    heard: list[str] = []

    def receive(event: PageEvent) -> None:
        heard.append(event.data)
        raise RuntimeError("a receiver's own trouble")

    stream = EventStream(receive, word=WORD)
    for text in ("", "{}", "[]", message(1), '{"l": 1}', message(2)):
        tell(stream, text)
    wait_until(lambda: heard == ["a1", "a2"], "the readable ones")
    stream.close()


def test_a_log_is_read_to_its_end_and_closed(stream):
    stream, heard = stream
    log = io.BytesIO(b"".join(logged(message(1)) + logged(message(2))))
    stream.read(log)

    wait_until(lambda: heard == ["a1", "a2"], "both")
    wait_until(lambda: log.closed, "the log closed")


def test_after_close_nothing_is_delivered(stream):
    stream, heard = stream
    stream.close()
    tell(stream, message(1))
    time.sleep(0.05)

    assert heard == []


def test_the_bridge_does_nothing_on_other_origins_or_in_frames():
    script = bridge_script("https://web.whatsapp.com/", "BRIDGE", word=WORD)
    guard = script.index("return;")

    assert 'location.origin !== "https://web.whatsapp.com"' in script[:guard]
    assert "window !== window.top" in script[:guard]
    assert guard < script.index("BRIDGE")


def test_wa_js_is_put_on_its_page_only_with_its_settings_before_it():
    script = wa_js_script("https://web.whatsapp.com/", "WA")
    guard = script.index("{")

    assert 'location.origin === "https://web.whatsapp.com"' in script[:guard]
    assert 'location.pathname === "/"' in script[:guard]
    assert "window === window.top" in script[:guard]
    assert guard < script.index("WPPConfig") < script.index("WA\n")


def test_the_pages_clock_is_never_taken_for_slower_than_it_is(stream):
    stream, _ = stream
    truth = time.monotonic() * 1000 - 5000  # the page was loaded five seconds ago

    def event(number: int, *, delay: float) -> str:  # told `delay` ms before it arrives
        now = time.monotonic() * 1000 - truth
        return json.dumps({**json.loads(message(number)), "p": now - delay})

    before = stream.clock()
    errors = []
    for number, delay in enumerate((300, 20, 80), start=1):
        tell(stream, event(number, delay=delay))
        errors.append(stream.clock()[1] - truth)

    assert before == ("", math.inf)
    assert 300 <= errors[0] < 310
    assert 20 <= errors[1] < 30
    assert errors[2] == errors[1]


def test_a_reload_brings_a_clock_of_its_own(stream):
    stream, _ = stream
    tell(stream, message(1, load="a", origin=1.0))
    tell(stream, message(1, load="b", origin=2.0))

    assert stream.clock()[0] == "b"
