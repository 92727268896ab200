"""One WhatsApp session in a Chromium of its own: Selenium outside, wa-js and bridge.js inside.

Rooms: `launch.py` starts the processes, `processes.py` ends them, `channel.py` orders what the
page says, `page.py` calls into it; this file is the `Driver`. No Django here.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import math
import os
import select
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
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
from whatsapp.driver.outcomes import nacked
from whatsapp.driver.page import CallError
from whatsapp.driver.translate import Translator, incoming_message

log = structlog.get_logger(__name__)

QUICK = 10.0
"""Deadline in seconds of calls that ask the page only, not WhatsApp."""
SETTLE = 0.25
"""Seconds without news from WhatsApp after which the page has stored what it knows."""
CHUNK = 3 * 2**20
"""Bytes of a file per WebDriver request; a multiple of 3, so that base64 pieces can be joined."""


class ChromiumDriver:
    """`base.Driver` on Chromium. Make one per session; it cannot be opened twice."""

    def __init__(self, config: ChromiumConfig, *, profile: Path, on_event: base.EventSink) -> None:
        self._config = config
        self._profile = profile
        self._calls = threading.RLock()
        self._translator = Translator(on_event)
        self._stream: EventStream | None = None
        self._browser: Browser | None = None
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
                browser = start_browser(self._config, self._profile, deadline=deadline)
                self._browser = browser
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
        browser, self._browser = self._browser, None
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

    def status(self) -> base.PageState:
        with self._turn(QUICK) as left:
            try:
                return base.PageState(self._raw("status", {}, deadline=left))
            except CallError as failed:
                if failed.code in (page.GONE, page.HUNG):
                    raise page.decide(failed) from failed
                return base.PageState.LOADING

    def qr(self) -> base.QrCode | None:
        text = self._call("qr")
        return self._translator.code(text) if text else None

    def refresh_qr(self) -> None:
        self._call("refreshQr")

    def me(self) -> base.Me:
        said = self._call("me")
        return base.Me(said["phone"], said["lid"], said["name"], said["platform"])

    def number_exists(self, phone: str, *, deadline: float) -> base.NumberInfo | None:
        said = self._call("numberExists", {"phone": phone}, deadline=deadline)
        return base.NumberInfo(said["chat"], said["lid"], said["business"]) if said else None

    def prepare(self, phone: str, *, deadline: float) -> base.Outgoing:
        said = self._call("prepare", {"phone": phone}, deadline=deadline)
        return base.Outgoing(said["chat"], said["id"])

    def lookup(self, wa_id: str, *, deadline: float) -> base.Lookup:
        said = self._call("lookup", {"id": wa_id}, deadline=deadline)
        return base.Lookup(base.Found(said["found"]), said["ack"], said["code"])

    def unread(self, *, deadline: float) -> list[base.IncomingMessage]:
        return [incoming_message(m) for m in self._call("unread", deadline=deadline)]

    def logout(self, *, deadline: float) -> None:
        until = time.monotonic() + deadline
        with self._turn(deadline) as left:
            try:
                self._raw("logout", {}, deadline=left)
            except CallError as failed:
                if failed.code != page.RELOADED:  # the page reloads itself as its last act
                    raise page.decide(failed) from failed
        if not self._translator.wait_logged_out(until):
            raise base.Retryable("logout_unconfirmed", "the page did not confirm the log-out")

    # ------------------------------------------------------------------------------- sends

    def send_text(
        self, out: base.Outgoing, text: str, *, not_after: float, deadline: float
    ) -> base.SendResult:
        args = {"chat": out.chat_id, "id": out.wa_id, "body": text}
        with self._turn(deadline) as left:
            return self._send("sendText", args, out, not_after, time.monotonic() + left)

    def send_media(
        self,
        out: base.Outgoing,
        media: base.MediaFile,
        caption: str,
        *,
        not_after: float,
        deadline: float,
    ) -> base.SendResult:
        args = {
            "chat": out.chat_id,
            "id": out.wa_id,
            "kind": media.kind.value,
            "mime": media.mime,
            "filename": media.filename,
            "caption": caption,
        }
        with self._turn(deadline) as left:
            until = time.monotonic() + left
            try:  # the page's CSP blocks fetches, and one request has a limit: in pieces
                for start in range(0, len(media.data), CHUNK):
                    piece = base64.b64encode(media.data[start : start + CHUNK]).decode()
                    put = {"b64": piece, "first": start == 0}
                    self._raw("put", put, deadline=until - time.monotonic())
            except CallError as failed:
                raise page.decide(failed) from failed
            return self._send("sendMedia", args, out, not_after, until)

    def _send(
        self, op: str, args: dict[str, Any], out: base.Outgoing, not_after: float, until: float
    ) -> base.SendResult:
        load, ahead = self._stream.clock() if self._stream else ("", math.inf)
        if not load:
            raise base.Retryable("page_not_ready")
        args["notAfter"] = not_after * 1000 - ahead
        try:
            said = self._raw(op, args, load=load, deadline=until - time.monotonic())
        except CallError as failed:
            raise page.decide_send(failed) from failed
        if said["ack"] >= base.Ack.SERVER:
            at = datetime.fromtimestamp(said["t"], UTC) if said.get("t") else None
            return base.SendResult(out.wa_id, said["ack"], at)
        if said["nack"] or said["ack"] < 0:
            raise nacked(str(said["nack"] or ""))
        raise base.Unknown((said["result"] or "no_ack").lower())


@functools.lru_cache(maxsize=4)
def wa_js_source(path: Path) -> str:
    """wa-js as npm delivers it. Raises `Retryable` (``wa_js_missing``)."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise base.Retryable("wa_js_missing", f"no {path}: run npm ci") from error


class ChromiumFactory:
    """`base.DriverFactory` with one configuration for all accounts."""

    def __init__(self, config: ChromiumConfig) -> None:
        self._config = config

    def __call__(self, *, profile: Path, on_event: base.EventSink) -> base.Driver:
        return ChromiumDriver(self._config, profile=profile, on_event=on_event)
