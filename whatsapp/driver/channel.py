"""What the page says, and in which order.

The page writes its events to its console. Chromium logs what comes to a console on its standard
error, and chromedriver (`--enable-chrome-logs`) lets that through into a pipe of ours: a push that
costs neither a second page for BiDi's mapper nor a question every some milliseconds.

Whoever else writes to the console does not know the word in front of our lines. A line is shorter
than what a pipe takes in one piece (4,096 bytes), so that no other thread's line gets into it; what
is longer comes in several.
"""

from __future__ import annotations

import json
import math
import queue
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import structlog
from selenium.webdriver.remote.remote_connection import RemoteConnection
from selenium.webdriver.remote.webdriver import WebDriver

log = structlog.get_logger(__name__)

CDP = "relanceExecuteCdp"
PIECE = 2800
"""Characters of one line; with what Chromium puts around them they stay below 4,096 bytes."""

PRELUDE = (
    # The defaults send a beacon to a third party and the links in messages to preview servers.
    "window.WPPConfig ="
    " {disableGoogleAnalytics: true, deviceName: false, linkPreviewApiServers: []};"
)
LOST_WITH_ITS_PAGE = frozenset({"load", "state", "qr", "linked", "logout"})
"""Kinds of events that mean nothing any more once a newer load of the page has spoken."""


def new_word() -> str:
    """The word in front of the lines of one browser."""
    return secrets.token_hex(8)


def wa_js_script(url: str, wa_js: str) -> str:
    """The script that puts wa-js into new documents, before the page's own scripts.

    It does something only in the top frame of `url`'s origin, on its path.
    """
    origin, path = _place(url)
    return (
        f"if (window === window.top && location.origin === {json.dumps(origin)}"
        f" && location.pathname === {json.dumps(path)}) {{ {PRELUDE}\n{wa_js}\n}}"
    )


def bridge_script(url: str, bridge: str, *, word: str) -> str:
    """The script that puts the bridge into new documents, in the top frame of `url`'s origin.

    The console is taken before the page can change it. All but ASCII is escaped: a character must
    not be cut in two.
    """
    origin, path = _place(url)
    return (
        "(() => {"
        f"if (window !== window.top || location.origin !== {json.dumps(origin)}) return;"
        "const write = console.log.bind(console);"
        "const channel = (text) => {"
        " const plain = text.replace(/[^ -~]/g,"
        " (c) => '\\\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));"
        f" const count = Math.max(1, Math.ceil(plain.length / {PIECE}));"
        " for (let k = 1; k <= count; k++)"
        f"  write('{word} ' + k + '/' + count + ' '"
        f"   + plain.slice((k - 1) * {PIECE}, k * {PIECE}));"
        "};"
        f"const config = {{path: {json.dumps(path)}}};\n{bridge}\n}})()"
    )


def _place(url: str) -> tuple[str, str]:
    """Origin and path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", parts.path or "/"


BRIDGE = ("page", "receiving", "sending", "chats", "calls")
"""The files of `bridge/`, in the order in which they are one script."""


def bridge_source() -> str:
    folder = Path(__file__).parent / "bridge"
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in BRIDGE]
    return (
        "(function () {\n'use strict';\nif (window.__relance) return;\n"
        + "\n".join(parts)
        + "})();"
    )


def run_before_page(web: WebDriver, connection: RemoteConnection, source: str) -> None:
    """Have the browser run `source` in new documents, before any script of theirs."""
    connection.add_command(  # type: ignore[no-untyped-call]
        CDP, "POST", "/session/$sessionId/goog/cdp/execute"
    )
    params = {"source": source}
    web.execute(CDP, {"cmd": "Page.addScriptToEvaluateOnNewDocument", "params": params})


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
    """The newest load of the page; `origin` orders loads."""

    name: str = ""
    origin: float = -math.inf
    ahead: float = math.inf  # how far our monotonic clock is ahead of the page's, at most, in ms
    last: int = 0  # number of the last event


class EventStream:
    """Finds events in the browser's log and gives them, one by one, to `handle` in one thread."""

    def __init__(self, handle: Callable[[PageEvent], None], *, word: str) -> None:
        self._handle = handle
        self._line = re.compile(
            rb'"%s (\d{1,6})/(\d{1,6}) (.*)", source: ' % re.escape(word.encode())
        )
        self._pieces: list[bytes] = []
        self._newest = _Load()
        self._events: queue.SimpleQueue[PageEvent | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="page-events", daemon=True)
        self._thread.start()

    def read(self, lines: IO[bytes]) -> None:
        """Take the browser's log in until its end, in a thread of its own."""

        def run() -> None:
            with lines:
                for line in lines:
                    self.take_line(line)

        threading.Thread(target=run, name="browser-log", daemon=True).start()

    def take_line(self, line: bytes) -> None:
        """Take one line of the browser's log; others than ours are passed over."""
        found = self._line.search(line)
        if found is None:
            return
        number, count = int(found[1]), int(found[2])
        if number == 1:
            self._pieces.clear()
        self._pieces.append(found[3])
        if number == count:
            self._take(b"".join(self._pieces))
            self._pieces.clear()

    def _take(self, text: bytes) -> None:
        now = time.monotonic() * 1000
        try:
            raw = json.loads(text)
            event = PageEvent(raw["l"], raw["n"], raw["t"], raw["at"] / 1000, raw["d"])
            origin, ahead = float(raw["o"]), now - float(raw["p"])
        except (ValueError, KeyError, TypeError):
            log.warning("page_event_unreadable")
            return
        newest = self._newest
        if origin > newest.origin:
            self._newest = _Load(event.load, origin, ahead, event.number)
            missing = event.number - 1
        elif event.load == newest.name:
            missing = event.number - newest.last - 1
            newest.ahead = min(newest.ahead, ahead)
            newest.last = event.number
        elif event.kind in LOST_WITH_ITS_PAGE:
            return
        else:
            missing = 0
        if missing:
            log.warning("page_events_missing", count=missing)
        self._events.put(event)

    def clock(self) -> tuple[str, float]:
        """The newest load of the page, and how far `time.monotonic` is ahead of its clock, in ms.

        Both clocks are CLOCK_MONOTONIC, so the difference holds for the whole load, whatever the
        wall clock does. Each event carries the page's reading; ours is taken later, when it
        arrives, so the smallest difference is the best and all err the same way: what is to end
        at some time ends too early in the page, never too late. ("", inf) before the first event.
        """
        newest = self._newest
        return newest.name, newest.ahead

    def push_local(self, kind: str, data: Any = None) -> None:
        """Add an event of our own (the browser died), delivered after what was read before it."""
        self._events.put(PageEvent("", 0, kind, time.time(), data))

    def close(self) -> None:
        """Stop delivering. Waits for a delivery in progress, unless called from one."""
        self._closed.set()
        self._events.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while (event := self._events.get()) is not None and not self._closed.is_set():
            try:
                self._handle(event)
            except Exception:
                log.exception("page_event_failed", kind=event.kind)
