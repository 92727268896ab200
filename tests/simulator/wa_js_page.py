"""A browser on the simulator with unmodified wa-js in its page, and nothing of our driver."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = Path("/usr/bin/chromium")
CHROMEDRIVER = Path("/usr/bin/chromedriver")
# Headless Chromium says so in its user agent; the page refuses such browsers, like the real one.
USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/156.0.0.0 Safari/537.36"
)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_WA_JS = "@wppconnect/wa-js/dist/wppconnect-wa.js"
_MODULES = Path(__file__).parents[2] / "node_modules"
_SETTINGS = (
    "window.WPPConfig = {disableGoogleAnalytics: true, deviceName: false, "
    "linkPreviewApiServers: [], poweredBy: '-'};"
)
READY_SECONDS = 20


def node_modules(package: str) -> Path | None:
    """The folder `node_modules` if it has `package`, None when that has not been installed."""
    return _MODULES if (_MODULES / package).exists() else None


def missing() -> str:
    """Why a browser test cannot run here, "" when it can."""
    for program in (CHROMIUM, CHROMEDRIVER):
        if not program.exists():
            return f"{program} is not installed"
    return "" if node_modules(_WA_JS) else "wa-js is not installed: npm ci"


class WaJsPage:
    """One browser with one profile on the simulator at `url`.

    `run` evaluates the body of an async function, `args` is `A` in it.
    """

    def __init__(self, url: str, profile: Path, *flags: str, user_agent: str | None = USER_AGENT):
        self.url = f"{url}/"
        self.profile = profile
        options = Options()
        options.binary_location = str(CHROMIUM)
        for flag in (*FLAGS, f"--user-data-dir={profile}", *flags):
            options.add_argument(flag)
        if user_agent:
            options.add_argument(f"--user-agent={user_agent}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        folder = node_modules(_WA_JS)
        assert folder is not None
        source = _SETTINGS + (folder / _WA_JS).read_text(encoding="utf-8")
        self.driver = webdriver.Chrome(options=options, service=Service(str(CHROMEDRIVER)))
        self.driver.set_script_timeout(30)
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})
        self.driver.get(self.url)

    def run(self, body: str, *args: Any) -> Any:
        answer = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "const A = [...arguments].slice(0, -1);"
            f"(async () => {{ {body} }})().then("
            "  (value) => done({value: value === undefined ? null : value}),"
            "  (error) => done({error: `${error && error.code} ${error && error.message}`}));",
            *args,
        )
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["value"]

    def wait_for(self, expression: str, seconds: float = READY_SECONDS) -> None:
        """Until a JavaScript expression is true; one that throws is not."""
        script = f"try {{ return Boolean({expression}) }} catch (error) {{ return false }}"
        WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(
            lambda driver: driver.execute_script(script), f"never true: {expression}"
        )

    def wait_for_code(self) -> str:
        """The text of the QR code, as wa-js gives it."""
        self.wait_for("WPP.isFullReady && WPP.whatsapp.Conn.ref")
        return str(self.run("return (await WPP.conn.getAuthCode()).fullCode"))

    def wait_for_main(self) -> None:
        self.wait_for(
            "WPP.isFullReady && WPP.conn.isAuthenticated() "
            "&& WPP.conn.getStreamData().mode === 'MAIN'"
        )

    def send_text(self, chat: str, text: str, **options: Any) -> dict[str, Any]:
        """`{id, ack, result}` of sendTextMessage; never rejects because of the network."""
        sent: dict[str, Any] = self.run(
            "const options = {linkPreview: false, markIsRead: false, ...A[2]};"
            "const r = await WPP.chat.sendTextMessage(A[0], A[1], options);"
            "return {id: r.id, ack: r.ack, result: r.sendMsgResult"
            " && r.sendMsgResult.messageSendResult}",
            chat,
            text,
            options,
        )
        return sent

    def send_file(self, chat: str, data_url: str, **options: Any) -> dict[str, Any]:
        sent: dict[str, Any] = self.run(
            "const r = await WPP.chat.sendFileMessage(A[0], A[1], {markIsRead: false, ...A[2]});"
            "return {id: r.id, ack: r.ack, result: r.sendMsgResult"
            " && r.sendMsgResult.messageSendResult}",
            chat,
            data_url,
            options,
        )
        return sent

    def new_id(self, phone: str) -> str:
        """The id of a message to `phone` that is not sent yet."""
        return str(
            self.run(
                "const chat = await WPP.chat.find(A[0]);"
                "return String(await WPP.chat.generateMessageID(chat))",
                f"{phone}@c.us",
            )
        )

    def ack_of(self, key: str) -> Any:
        """The ack of a stored message, or the error code of the look-up."""
        return self.run(
            "try { return (await WPP.chat.getMessageById(A[0])).ack }"
            "catch (error) { return error.code }",
            key,
        )

    def wait_for_ack(self, key: str, ack: int, seconds: float = 10) -> None:
        WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(
            lambda _: self.ack_of(key) == ack, f"ack of {key} never {ack}"
        )

    def complaints(self) -> list[str]:
        """What the browser's console has of grade SEVERE, content security policy included."""
        entries: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def quit(self) -> None:
        self.driver.quit()

    def kill(self) -> None:
        """SIGKILL to the browser and its driver, as a crash; the profile may be used again."""
        service = self.driver.service.process
        browser = int(self.driver.capabilities["goog:processID"])
        for pid in (browser, service.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        service.wait()
        self.driver.service.process = None  # type: ignore[assignment]  # nothing left to stop
        for name in ("SingletonLock", "SingletonSocket", "SingletonCookie"):
            (self.profile / name).unlink(missing_ok=True)
