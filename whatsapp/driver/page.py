"""Calls into the bridge with a deadline, and what their failures mean.

Threads of a Celery pool cannot be interrupted, so each call carries its own end twice: a timer in
the page (the page works, WhatsApp does not answer) and, `SLACK` seconds later, the read time-out
of the WebDriver request (the page does not work).
"""

from __future__ import annotations

import json
import re
from typing import Any

from selenium.common.exceptions import (
    InvalidSessionIdException,
    NoSuchWindowException,
    TimeoutException,
    WebDriverException,
)
from selenium.webdriver.remote.command import Command
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as HTTPTimeout

from whatsapp.driver.base import (
    DriverError,
    NotOnWhatsApp,
    Permanent,
    Retryable,
    SessionLost,
    TooLate,
    Unknown,
)
from whatsapp.driver.launch import Browser

SLACK = 1.0

CALL = (
    "return window.__relance ? window.__relance.call("
    "arguments[0], arguments[1], arguments[2], arguments[3]) : null"
)


class CallError(Exception):
    """A call without a value. `code` says why; `refused` that the page did nothing about it."""

    def __init__(self, code: str, *, refused: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.refused = refused


GONE = "browser_gone"  # the browser or its chromedriver is dead
HUNG = "page_hung"  # they live, the page does not answer
RELOADED = "page_reloaded"  # the page was replaced while it worked on the call
TIMEOUT = "timeout"  # the page answers, WhatsApp does not


def call(browser: Browser, op: str, args: dict[str, Any], *, load: str, deadline: float) -> Any:
    """Run one operation of the bridge and return its plain value. Raises `CallError` only."""
    browser.set_timeout(max(0.05, deadline) + SLACK)
    try:
        answer = browser.web.execute(
            Command.W3C_EXECUTE_SCRIPT,
            {"script": CALL, "args": [load, op, args, max(50, deadline * 1000)]},
        )["value"]
    except HTTPTimeout as error:
        raise CallError(HUNG) from error
    except (HTTPError, OSError, InvalidSessionIdException, NoSuchWindowException) as error:
        raise CallError(GONE) from error
    except TimeoutException as error:
        raise CallError(TIMEOUT) from error
    except WebDriverException as error:
        raise CallError(_webdriver_code(error)) from error
    if answer is None:  # between two documents, or on a page that is not WhatsApp's
        raise CallError("loading", refused=True)
    answer = json.loads(answer)
    if "ok" in answer:
        return answer["ok"]
    failed = answer["err"]
    code = re.sub(r"\W+", "_", failed["code"] or failed["message"])
    raise CallError(code, refused=failed["refused"])


def _webdriver_code(error: WebDriverException) -> str:
    said = (error.msg or "").lower()
    if any(word in said for word in ("crashed", "not reachable", "disconnected", "closed the con")):
        return GONE
    return RELOADED  # "aborted by navigation", "execution context was destroyed", ...


SESSION_CODES = {"conflict", "logged_out", "unsupported", "not_linked", "qr", "qr_idle"}
"""Refusals that no second try can help: somebody has to link or close."""

NEVER = {
    *("bad_key", "own_number", "not_in_group", "group_read_only", "quote_gone"),
    *("media_gone", "media_too_large", "already_linked", "bad_number"),
}
"""Refusals that are about the recipient or the content, not about the moment."""

NOTHING_LEFT = {
    # code of wa-js, thrown before it hands a message to WhatsApp -> ours
    "message_key_is_not_from_me": "bad_key",
    "message_key_remote_id_is_not_same_of_chat": "bad_key",
    "invalid_wid": "bad_chat",
    "chat_not_found": "bad_chat",
    "file_too_large": "file_too_large",
    "can_not_send_message_to_this_groupType": "bad_chat",
    "invalid_quoted_msg": "quote_gone",
    "quoted_msg_can_not_reply": "quote_gone",
}


def decide(failed: CallError) -> DriverError:
    """The error of a call that sends nothing."""
    if failed.code in (GONE, HUNG):
        return SessionLost(failed.code)
    return _refusal(failed.code) if failed.refused else Retryable(failed.code)


def decide_send(failed: CallError) -> DriverError:
    """The error of a send: unless it surely did not leave it is `Unknown`."""
    if failed.refused and failed.code in (GONE, HUNG):
        return SessionLost(failed.code)
    if failed.refused:
        return _refusal(failed.code)
    if failed.code in NOTHING_LEFT:
        return Permanent(NOTHING_LEFT[failed.code])
    return Unknown(failed.code)


def _refusal(code: str) -> DriverError:
    if code == "too_late":
        return TooLate()
    if code == "not_on_whatsapp":
        return NotOnWhatsApp()
    if code in NEVER:
        return Permanent(code)
    if code in SESSION_CODES:
        return SessionLost("not_linked" if code in ("qr", "qr_idle") else code)
    return Retryable({"loading": "page_not_ready", "other_load": RELOADED}.get(code, code))
