"""Events of the page: whatever order they arrive in, they are delivered in the page's."""

from __future__ import annotations

import itertools
import json
import math
import threading
import time

import pytest

from tests.contract.rig import wait_until
from whatsapp.driver.channel import EventStream, PageEvent, preload_script, wa_js_script


def message(number: int, *, load: str = "a", origin: float = 1.0) -> str:
    event = {"l": load, "o": origin, "n": number, "at": 0, "p": 0.0, "t": "state"}
    return json.dumps(event | {"d": f"{load}{number}"})


@pytest.fixture
def stream():
    heard: list[str] = []
    stream = EventStream(lambda event: heard.append(event.data), gap_wait=0.2)
    yield stream, heard
    stream.close()


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3, 4]))[::5])
def test_any_order_of_arrival_gives_the_order_of_the_page(stream, order):
    stream, heard = stream
    for number in order:
        stream.push(message(number))

    wait_until(lambda: heard == ["a1", "a2", "a3", "a4"], "four events in order")


def test_many_threads_at_once_do_not_mix_it_up(stream):
    stream, heard = stream
    threads = [threading.Thread(target=stream.push, args=(message(n),)) for n in range(300, 0, -1)]
    for thread in threads:
        thread.start()

    wait_until(lambda: heard == [f"a{n}" for n in range(1, 301)], "300 events in order")


def test_a_missing_event_is_waited_for_but_not_for_ever(stream):
    stream, heard = stream
    stream.push(message(1))
    stream.push(message(3))
    time.sleep(0.1)
    early = list(heard)
    started = time.monotonic()
    wait_until(lambda: heard == ["a1", "a3"], "the third, without the second")

    assert early == ["a1"]
    assert time.monotonic() - started < 1.0


def test_an_event_that_comes_after_it_was_given_up_is_dropped(stream):
    stream, heard = stream
    stream.push(message(2))
    wait_until(lambda: heard == ["a2"], "the second, without the first")
    stream.push(message(1))
    stream.push(message(3))

    wait_until(lambda: heard == ["a2", "a3"], "no going back")


def test_a_reload_begins_again_at_one_after_the_old_page_has_said_everything(stream):
    stream, heard = stream
    stream.push(message(1, load="b", origin=2.0))
    stream.push(message(2, load="a", origin=1.0))
    stream.push(message(1, load="a", origin=1.0))
    stream.push(message(2, load="b", origin=2.0))

    wait_until(lambda: heard == ["a1", "a2", "b1", "b2"], "old page first")


def test_the_same_event_twice_is_delivered_once(stream):
    stream, heard = stream
    for _ in range(2):
        stream.push(message(1))
        stream.push(message(2))
    stream.push(message(3))

    wait_until(lambda: heard == ["a1", "a2", "a3"], "each once")


def test_rubbish_and_failing_receivers_do_not_stop_it():
    heard: list[str] = []

    def receive(event: PageEvent) -> None:
        heard.append(event.data)
        raise RuntimeError("a receiver's own trouble")

    stream = EventStream(receive, gap_wait=0.2)
    for text in ("", "{}", "[]", message(1), '{"l": 1}', message(2)):
        stream.push(text)
    wait_until(lambda: heard == ["a1", "a2"], "the readable ones")
    stream.close()


def test_after_close_nothing_is_delivered(stream):
    stream, heard = stream
    stream.close()
    stream.push(message(1))
    time.sleep(0.05)

    assert heard == []


def test_the_preload_script_does_nothing_on_other_origins_or_in_frames():
    script = preload_script("https://web.whatsapp.com/", "BRIDGE")
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
        stream.push(event(number, delay=delay))
        errors.append(stream.clock()[1] - truth)

    assert before == ("", math.inf)
    assert 300 <= errors[0] < 310
    assert 20 <= errors[1] < 30
    assert errors[2] == errors[1]


def test_a_reload_brings_a_clock_of_its_own(stream):
    stream, _ = stream
    stream.push(message(1, load="a", origin=1.0))
    stream.push(message(1, load="b", origin=2.0))

    assert stream.clock()[0] == "b"
