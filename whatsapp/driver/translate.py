"""From what the page says (`channel.PageEvent`) to the events of the contract (`base.Event`)."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any

import structlog

from whatsapp.driver import base
from whatsapp.driver.base import PageState
from whatsapp.driver.channel import PageEvent

log = structlog.get_logger(__name__)


def incoming_messages(said: list[dict[str, Any]]) -> list[base.IncomingMessage]:
    """Those that can be read: what a stranger sends hides nobody else's."""
    found = []
    for one in said:
        try:
            found.append(incoming_message(one))
        except (ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
            _note_unreadable(type(error).__name__)
    return found


def _note_unreadable(error: str) -> None:
    """The type of the error only: what it says may quote the message."""
    log.error("incoming message unreadable", error=error)


def incoming_message(said: dict[str, Any]) -> base.IncomingMessage:
    """A message as the bridge describes it."""
    return base.IncomingMessage(
        wa_id=said["id"],
        chat_id=said["chat"],
        phone=said["phone"],
        lid=said["lid"],
        name=base.storable(said["name"]),
        kind=said["kind"],
        body=base.storable(said["body"]),
        sent_at=datetime.fromtimestamp(said["t"], UTC),
        author=said["author"],
        author_phone=said["authorPhone"],
        author_lid=said["authorLid"],
        from_me=said["fromMe"],
        quoted=said["quoted"],
        location=_location(said["location"]),
        media=_media(said["media"]),
    )


def _location(said: dict[str, Any] | None) -> base.Location | None:
    """None for what is no place on earth: whoever sent it chose the numbers."""
    if said is None or said["latitude"] is None or said["longitude"] is None:
        return None  # NaN comes as null
    try:
        return base.Location(
            float(said["latitude"]),
            float(said["longitude"]),
            base.storable(said["name"]),
            base.storable(said["address"]),
        )
    except ValueError:
        return None


def _media(said: dict[str, Any] | None) -> base.MediaInfo | None:
    if said is None:
        return None
    return base.MediaInfo(
        base.storable(said["mime"]), base.storable(said["filename"]), int(said["size"])
    )


class Translator:
    """Remembers the page's state and makes gapless events of what it says.

    `take` runs in the stream's one thread; the state may be waited for in any other. The state is
    noted before the event goes out, so a sink that calls the driver sees at least as much.
    """

    def __init__(self, on_event: base.EventSink) -> None:
        self._on_event = on_event
        self._changed = threading.Condition()
        self._seq = 0
        self._state = PageState.LOADING
        self._code: base.QrCode | None = None
        self._codes = 0
        self._logged_out = False
        self._was_ready = False
        self._stopped = False

    # ------------------------------------------------------------------------ any thread

    def wait_for(self, states: set[PageState], until: float) -> PageState:
        """Wait until the state is one of `states`, or `until` (monotonic), or the end."""
        with self._changed:
            while self._state not in states and not self._stopped:
                if not self._changed.wait(max(0.0, until - time.monotonic())):
                    break
            return self._state

    def wait_logged_out(self, until: float) -> bool:
        with self._changed:
            while not self._logged_out and not self._stopped:
                if not self._changed.wait(max(0.0, until - time.monotonic())):
                    break
            return self._logged_out

    def stop(self) -> None:
        """Nobody has to wait any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def code(self, text: str) -> base.QrCode:
        """The code object of a text: the same text keeps its number."""
        with self._changed:
            if self._code is None or self._code.text != text:
                self._codes += 1
                self._code = base.QrCode(text, self._codes)
            return self._code

    # ----------------------------------------------------------------- the stream's thread

    def take(self, event: PageEvent) -> None:
        at = datetime.fromtimestamp(event.at, UTC)
        data = event.data
        match event.kind:
            case "load":
                self._enter(PageState.LOADING, at)
            case "state":
                self._enter(PageState(data), at)
            case "qr":
                self._emit(base.QrChanged(self._next(), at, self.code(data)))
            case "linked":
                self._logged_out = False
                self._emit(base.Linked(self._next(), at))
            case "logout":
                self._log_out(str(data or ""), at)
            case "receipt":
                self._emit(
                    base.Receipt(
                        self._next(),
                        at,
                        tuple(data["ids"]),
                        data["ack"],
                        data["participant"],
                        data["phone"] if data["participant"] else "",
                    )
                )
            case "message":
                self._emit(base.Incoming(self._next(), at, incoming_message(data)))
            case "unreadable":
                _note_unreadable(str(data))
            case "group":
                self._emit(base.GroupChanged(self._next(), at, data))
            case "lost":
                self._emit(base.BrowserLost(self._next(), at, data))

    def _enter(self, state: PageState, at: datetime) -> None:
        with self._changed:
            before, self._state = self._state, state
            self._changed.notify_all()
        if state is before:
            return
        if state is PageState.CONNECTED:
            self._logged_out = False
            self._was_ready = True
            self._emit(base.Ready(self._next(), at))
        elif state is PageState.CONFLICT:
            self._was_ready = False
            self._emit(base.Conflict(self._next(), at))
        elif state is PageState.QR_IDLE:
            self._emit(base.QrIdle(self._next(), at))
        elif self._was_ready and state in (
            PageState.LOADING,
            PageState.SYNCING,
            PageState.RECONNECTING,
        ):
            self._was_ready = False  # once, not again while it goes through these states
            self._emit(base.Disconnected(self._next(), at))

    def _log_out(self, reason: str, at: datetime) -> None:
        with self._changed:
            first, self._logged_out = not self._logged_out, True
            self._was_ready = False
            self._state = PageState.LOGGED_OUT
            self._changed.notify_all()
        if first:  # the page says it before it reloads, and again after
            self._emit(base.LoggedOut(self._next(), at, reason))

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _emit(self, event: base.Event) -> None:
        self._on_event(event)
