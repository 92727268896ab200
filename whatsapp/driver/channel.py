"""Events of the page, in order.

Selenium hands over each BiDi event in a thread of its own, so they arrive in any order. The page
numbers them (`n` from 1 for each load `l` of the page); `EventStream` puts them back into order
and gives them one by one to one consumer thread.
"""

from __future__ import annotations

import heapq
import itertools
import json
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.bidi.common import command_builder
from selenium.webdriver.remote.remote_connection import RemoteConnection
from selenium.webdriver.remote.webdriver import WebDriver

log = structlog.get_logger(__name__)
# It reports the end of every browser, wanted or not, as an error; ours is "browser_lost".
logging.getLogger("websocket").setLevel(logging.CRITICAL)

CHANNEL = "relance"
CDP = "relanceExecuteCdp"
GAP_WAIT = 0.5
"""Seconds to wait for a number that is missing before going on without it."""

PRELUDE = (
    # The defaults send a beacon to a third party and the links in messages to preview servers.
    "window.WPPConfig ="
    " {disableGoogleAnalytics: true, deviceName: false, linkPreviewApiServers: []};"
)


def wa_js_script(url: str, wa_js: str) -> str:
    """The script that puts wa-js into new documents, before the page's own scripts.

    It does something only in the top frame of `url`'s origin, on its path.
    """
    origin, path = _place(url)
    return (
        f"if (window === window.top && location.origin === {json.dumps(origin)}"
        f" && location.pathname === {json.dumps(path)}) {{ {PRELUDE}\n{wa_js}\n}}"
    )


def preload_script(url: str, bridge: str) -> str:
    """The function that BiDi runs in every new document, in the top frame of `url`'s origin."""
    origin, path = _place(url)
    return (
        "(channel) => {"
        f"if (window !== window.top || location.origin !== {json.dumps(origin)}) return;"
        f"const config = {{path: {json.dumps(path)}}};\n{bridge}\n}}"
    )


def _place(url: str) -> tuple[str, str]:
    """Origin and path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", parts.path or "/"


def bridge_source() -> str:
    return (Path(__file__).parent / "bridge.js").read_text(encoding="utf-8")


def run_before_page(web: WebDriver, connection: RemoteConnection, source: str) -> None:
    """Have the browser itself run `source` in new documents; for what is large.

    A BiDi preload script passes through chromedriver's mapper, which is a page of its own: wa-js
    made it 7 MB larger, 35 MB in the headless shell (where it instruments itself), and cost 75 ms.
    """
    connection.add_command(  # type: ignore[no-untyped-call]
        CDP, "POST", "/session/$sessionId/goog/cdp/execute"
    )
    params = {"source": source}
    web.execute(CDP, {"cmd": "Page.addScriptToEvaluateOnNewDocument", "params": params})


def spare_network_events(web: WebDriver) -> None:
    """Stop chromedriver's BiDi mapper from listening to the page's network.

    It does so by default, and then gets the body of every upload and every frame of the page's
    socket as JSON: after a file of 16 MiB our events came 6 s late.
    """
    context = web.current_window_handle
    try:
        session = web.execute(command_builder("goog:cdp.getSession", {"context": context}))
        disable = {"session": session["session"], "method": "Network.disable", "params": {}}
        web.execute(command_builder("goog:cdp.sendCommand", disable))
    except WebDriverException as error:  # slower with files, no worse
        log.warning("network_events_stay", error=type(error).__name__)


@dataclass(slots=True)
class PageEvent:
    """One event as the page told it; `load` names the load of the page."""

    load: str
    number: int
    kind: str
    at: float  # s since the epoch, the page's wall clock
    data: Any


@dataclass(slots=True)
class _Load:
    """What came from one load of the page; `origin` orders loads."""

    origin: float
    ahead: float  # how far our monotonic clock is ahead of the page's, at most, in ms
    next: int = 1
    waiting: dict[int, PageEvent] = field(default_factory=dict)


class EventStream:
    """Order, then deliver. `push` may be called by any thread; `handle` runs in one of ours."""

    def __init__(self, handle: Callable[[PageEvent], None], *, gap_wait: float = GAP_WAIT) -> None:
        self._handle = handle
        self._gap_wait = gap_wait
        self._changed = threading.Condition()
        self._loads: dict[str, _Load] = {}
        self._done: set[str] = set()
        self._gap_since: float | None = None
        self._closed = False
        self._local: list[tuple[int, PageEvent]] = []
        self._local_ids = itertools.count()
        self._thread = threading.Thread(target=self._run, name="page-events", daemon=True)
        self._thread.start()

    def push(self, text: str) -> None:
        """Take one message of the page's channel."""
        now = time.monotonic() * 1000
        try:
            raw = json.loads(text)
            event = PageEvent(raw["l"], raw["n"], raw["t"], raw["at"] / 1000, raw["d"])
            origin, ahead = float(raw["o"]), now - float(raw["p"])
        except (ValueError, KeyError, TypeError):
            log.warning("page_event_unreadable")
            return
        with self._changed:
            if event.load in self._done:
                return
            load = self._loads.setdefault(event.load, _Load(origin, ahead))
            load.ahead = min(load.ahead, ahead)
            if event.number >= load.next:
                load.waiting[event.number] = event
                self._changed.notify()

    def clock(self) -> tuple[str, float]:
        """The newest load of the page, and how far `time.monotonic` is ahead of its clock, in ms.

        Both clocks are CLOCK_MONOTONIC, so the difference holds for the whole load, whatever the
        wall clock does. Each event carries the page's reading; ours is taken later, when it
        arrives, so the smallest difference is the best and all err the same way: what is to end
        at some time ends too early in the page, never too late. ("", inf) before the first event.
        """
        with self._changed:
            if not self._loads:
                return "", math.inf
            name, load = max(self._loads.items(), key=lambda item: item[1].origin)
            return name, load.ahead

    def push_local(self, kind: str, data: Any = None) -> None:
        """Add an event of our own (the browser died), delivered before what still waits."""
        event = PageEvent("", 0, kind, time.time(), data)
        with self._changed:
            heapq.heappush(self._local, (next(self._local_ids), event))
            self._changed.notify()

    def close(self) -> None:
        """Stop delivering. Waits for a delivery in progress, unless called from one."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            with self._changed:
                while (event := self._take()) is None and not self._closed:
                    self._changed.wait(self._patience())
                if event is None:
                    return
            try:
                self._handle(event)
            except Exception:
                log.exception("page_event_failed", kind=event.kind)

    def _take(self) -> PageEvent | None:
        """The next event in order; None while it is not there and the gap is young."""
        if self._closed:
            return None
        if self._local:
            return heapq.heappop(self._local)[1]
        while self._loads:
            name, load = min(self._loads.items(), key=lambda item: item[1].origin)
            if load.next in load.waiting:
                self._gap_since = None
                load.next += 1
                return load.waiting.pop(load.next - 1)
            if not load.waiting and len(self._loads) == 1:
                self._gap_since = None
                return None
            # Something is missing: a number, or the end of a load that another has replaced.
            now = time.monotonic()
            if self._gap_since is None:
                self._gap_since = now
            if now - self._gap_since < self._gap_wait:
                return None
            self._gap_since = None
            if load.waiting:
                first = min(load.waiting)
                log.warning("page_events_missing", first=load.next, count=first - load.next)
                load.next = first
            else:
                del self._loads[name]
                self._done.add(name)
        return None

    def _patience(self) -> float | None:
        if self._gap_since is None:
            return None
        return max(0.001, self._gap_since + self._gap_wait - time.monotonic())
