"""The life of one browser, and calls into its page, one at a time. No Django here."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog
from selenium.common.exceptions import WebDriverException
from urllib3.exceptions import HTTPError

from whatsapp.driver import base, page
from whatsapp.driver.channel import (
    EventStream,
    bridge_script,
    bridge_source,
    new_word,
    run_before_page,
    wa_js_script,
)
from whatsapp.driver.launch import Browser, ChromiumConfig, start_browser
from whatsapp.driver.page import CallError
from whatsapp.driver.processes import end_group
from whatsapp.driver.translate import Translator

log = structlog.get_logger(__name__)

QUICK = 10.0
"""Deadline in seconds of calls that ask the page only, not WhatsApp."""
SETTLE = 0.25
"""Seconds without news from WhatsApp after which the page has stored what it knows."""


class BrowserSession:
    """A browser on a profile. Make one per session; it cannot be opened twice."""

    def __init__(self, config: ChromiumConfig, *, profile: Path, on_event: base.EventSink) -> None:
        self._config = config
        self._profile = profile
        self._calls = threading.RLock()
        self._translator = Translator(on_event)
        self._stream: EventStream | None = None
        self._browser: Browser | None = None
        self._starting: int | None = (
            None  # the process group of a browser that is no `_browser` yet
        )
        self._handover = threading.Lock()  # between whoever opens and whoever closes meanwhile
        self._lost = ""  # why the browser is of no more use
        self._closing = threading.Event()
        self._clock: tuple[str, float] = (
            "",
            0.0,
        )  # load, time.monotonic() minus the page's now, ms

    # ------------------------------------------------------------------- life of the browser

    def open(self, *, deadline: float) -> base.PageState:
        until = time.monotonic() + deadline
        try:
            with self._calls:
                browser = self._start(deadline)
                word = new_word()
                self._stream = EventStream(self._translator.take, word=word)
                self._stream.read(browser.log)
                threading.Thread(target=self._watch, name="browser-watch", daemon=True).start()
                self._load_page(browser, word, until)
            return self._wait_usable(until)
        except base.DriverError:
            self.close()
            raise
        except (WebDriverException, HTTPError, OSError) as error:
            log.warning("browser_failed", error=type(error).__name__)
            self.close()
            raise base.Retryable("browser_failed", "the browser died while it started") from error
        except BaseException:
            self.close()
            raise

    def _start(self, deadline: float) -> Browser:
        """Start the browser, unless somebody closes this before it has begun or while it does.

        A worker that was frozen while it opened has lost the account by the time it wakes.
        """
        self._go_on()
        browser = None
        try:
            browser = start_browser(
                self._config, self._profile, deadline=deadline, began=self._began
            )
        finally:
            with self._handover:
                self._browser, self._starting = browser, None
        self._go_on()
        return browser

    def _began(self, group: int) -> None:
        with self._handover:
            self._starting = group
        self._go_on()

    def _go_on(self) -> None:
        if self._closing.is_set():
            raise base.Retryable("browser_failed", "it was closed while it started")

    def _load_page(self, browser: Browser, word: str, until: float) -> None:
        url = self._config.url
        browser.set_timeout(max(1.0, until - time.monotonic()))
        for script in (
            wa_js_script(url, wa_js_source(self._config.wa_js)),
            bridge_script(url, bridge_source(), word=word),
        ):
            run_before_page(browser.web, browser.connection, script)
        browser.web.get(url)

    def _wait_usable(self, until: float) -> base.PageState:
        usable = {base.PageState.QR, base.PageState.CONNECTED}
        final = {base.PageState.UNSUPPORTED, base.PageState.CONFLICT}
        state = self._translator.wait_for(usable | final, until)
        if state in usable:
            return state
        if state is base.PageState.UNSUPPORTED:
            raise base.Retryable("unsupported_browser", "WhatsApp refuses this browser")
        if state is base.PageState.CONFLICT:
            raise base.SessionLost("conflict")
        if self._lost:
            raise base.Retryable("browser_failed", "the browser died while it started")
        raise base.Retryable("page_not_ready", f"the page stayed {state}")

    def close(self) -> None:
        self._let_it_settle()
        self._closing.set()
        # Without the lock: a call that hangs must not keep the browser alive. Its request ends
        # with the processes.
        with self._handover:
            browser, self._browser = self._browser, None
            if self._starting is not None:
                end_group(self._starting, grace=0)
        if browser is not None:
            # SIGTERM is Chromium's orderly end: it writes its profile out. A browser that hangs
            # or is stopped gets SIGKILL.
            if not browser.end(ask=not self._lost):
                log.error("browser_survived", group=browser.group)
            with contextlib.suppress(Exception):
                browser.web.stop_client()
                browser.connection.close()  # type: ignore[no-untyped-call]
        if self._stream is not None:
            self._stream.close()
        self._translator.stop()

    def _let_it_settle(self) -> None:
        """Give the page a moment to store what it heard last; a page that is busy gets none."""
        if self._browser is None or self._lost or not self._calls.acquire(blocking=False):
            return
        try:
            self._raw("quiet", {"ms": SETTLE * 1000}, deadline=2 * SETTLE)
        except CallError:
            pass
        finally:
            self._calls.release()

    @property
    def process_group(self) -> int | None:
        browser = self._browser
        return browser.group if browser else None

    def _watch(self) -> None:
        """Notice the end of the browser or of chromedriver at once (pidfd); `close` ends both."""
        browser = self._browser
        if browser is None:
            return
        poll, descriptors = select.poll(), []
        try:
            for pid in (browser.driver.pid, browser.pid):
                descriptors.append(os.pidfd_open(pid))
                poll.register(descriptors[-1], select.POLLIN)
            poll.poll()
        except ProcessLookupError:
            pass  # gone already
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._give_up(page.GONE)

    def _give_up(self, reason: str) -> None:
        if self._closing.is_set() or self._lost:
            return
        self._lost = reason
        log.warning("browser_lost", reason=reason)
        if self._stream is not None:
            self._stream.push_local("lost", reason)
        self._translator.stop()

    # ------------------------------------------------------------------------------- calls

    @contextlib.contextmanager
    def _turn(self, deadline: float) -> Iterator[float]:
        """Wait for our turn; gives the seconds that are left. Nothing was sent if it raises."""
        until = time.monotonic() + deadline
        if not self._calls.acquire(timeout=max(0.0, deadline)):
            raise base.Retryable("busy", "another call on this session takes its time")
        try:
            yield until - time.monotonic()
        finally:
            self._calls.release()

    def _raw(self, op: str, args: dict[str, Any], *, deadline: float, load: str = "") -> Any:
        browser = self._browser
        if browser is None or self._lost:
            raise CallError(self._lost or page.GONE, refused=True)
        try:
            return page.call(browser, op, args, load=load, deadline=deadline)
        except CallError as failed:
            if failed.code in (page.GONE, page.HUNG):
                self._give_up(failed.code)
            raise

    def _call(self, op: str, args: dict[str, Any] | None = None, *, deadline: float = QUICK) -> Any:
        with self._turn(deadline) as left:
            try:
                return self._raw(op, args or {}, deadline=left)
            except CallError as failed:
                raise page.decide(failed) from failed


@functools.lru_cache(maxsize=4)
def wa_js_source(path: Path) -> str:
    """wa-js as npm delivers it. Raises `Retryable` (``wa_js_missing``)."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise base.Retryable("wa_js_missing", f"no {path}: run npm ci") from error
