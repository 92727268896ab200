"""The contract between Relance and a WhatsApp session, whoever drives it.

One `Driver` is one linked device of one WhatsApp account: a browser with its own profile
directory (`chromium.py`) or an in-memory stand-in (`memory.py`). Both pass the same suite,
`tests/contract/`. Facts about the page behind it: docs/explanation/whatsapp-web.md.

Conventions:

* phones are E.164 with a plus (``+33639980001``); chat ids are WhatsApp's (``33639980001@c.us``,
  ``1234@lid``, ``1203@g.us``) and opaque to callers;
* ``wa_id`` is a whole message key, ``true_<chat>_<stanza id>``, chosen *before* a send so that
  the message can be looked up after a crash;
* ``deadline`` is seconds from the call; a call that is not answered in time raises;
* ``not_after`` is a reading of `time.monotonic`: the page refuses to start a send after it,
  whatever happened to the wall clock or to the calling process in between.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

# --------------------------------------------------------------------------------- errors


class DriverError(Exception):
    """Something went wrong; the subclass is the decision, `code` the reason for people and logs.

    `code` is a short stable word (``not_on_whatsapp``, ``nack_463``, ``page_not_ready``).
    Messages never hold phone numbers or message text.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code


class Permanent(DriverError):
    """It will never work for this recipient or content: do not try again."""


class Retryable(DriverError):
    """Nothing left this machine: trying again with the same ``wa_id`` is safe."""


class Unknown(DriverError):
    """It may or may not have left (time-out, ERROR_NETWORK, browser died): look it up first."""


class SessionLost(Retryable):
    """The session cannot act now: logged out, conflict, page gone. Nothing was sent.

    The browser has to be closed or linked again before anything else works.
    """


class NotOnWhatsApp(Permanent):
    """The phone number has no WhatsApp account."""

    def __init__(self) -> None:
        super().__init__("not_on_whatsapp", "this phone number is not on WhatsApp")


class TooLate(Retryable):
    """The page refused to start a send after ``not_after``; nothing was sent."""

    def __init__(self) -> None:
        super().__init__("too_late", "the send was not started: its time window had closed")


# ------------------------------------------------------------------------------ dataclasses


class PageState(enum.StrEnum):
    """What the page shows. Logged in and able to send is `CONNECTED` only."""

    LOADING = "loading"
    QR = "qr"  # waiting for a scan, a code is (or will shortly be) there
    QR_IDLE = "qr_idle"  # codes ran out; `refresh_qr` brings new ones
    SYNCING = "syncing"  # scanned or restored, not ready yet
    CONNECTED = "connected"  # authenticated and in stream mode MAIN, socket up
    RECONNECTING = "reconnecting"  # logged in, socket lost
    CONFLICT = "conflict"  # the account is open in another window with the same login
    LOGGED_OUT = "logged_out"  # the phone removed this device
    UNSUPPORTED = "unsupported"  # the page refuses this browser ("update your browser")


class Ack(enum.IntEnum):
    """WhatsApp's ack of an outgoing message; negative is failed."""

    FAILED = -1
    CLOCK = 0
    SERVER = 1
    DELIVERED = 2
    READ = 3
    PLAYED = 4


@dataclass(frozen=True, slots=True)
class QrCode:
    """One code to scan. `text` goes into the QR image as it is; `seq` rises with each rotation."""

    text: str
    seq: int


def storable(text: str) -> str:
    """A text that somebody chose freely, without what PostgreSQL refuses: NUL and half pairs."""
    return text.replace("\0", "").encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class Me:
    """The linked account. `phone` E.164, `lid` ``123@lid`` or empty, `platform` as ``android``."""

    phone: str
    lid: str
    name: str
    platform: str


@dataclass(frozen=True, slots=True)
class NumberInfo:
    """A phone that is on WhatsApp."""

    chat_id: str
    lid: str = ""
    business: bool = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Where a message will go and the id it will have, before it is sent."""

    chat_id: str
    wa_id: str


class MediaKind(enum.StrEnum):
    IMAGE = "image"
    VIDEO = "video"
    DOCUMENT = "document"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file to send, whole. At most 64 MiB; callers check type and size before."""

    kind: MediaKind
    data: bytes = field(repr=False)
    mime: str
    filename: str


@dataclass(frozen=True, slots=True)
class SendResult:
    """The server has acknowledged the message. `ack` >= 1; `server_time` is WhatsApp's, UTC."""

    wa_id: str
    ack: int
    server_time: datetime | None = None


class Found(enum.StrEnum):
    ON_SERVER = "on_server"  # ack >= 1: it was sent
    PENDING = "pending"  # ack 0: this page has it, the server has not said
    FAILED = "failed"  # ack < 0
    NOT_FOUND = "not_found"  # as far as this profile knows it was never sent


@dataclass(frozen=True, slots=True)
class Lookup:
    """What the page knows of one outgoing message."""

    found: Found
    ack: int | None = None
    code: str = ""


# --------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Event:
    """Something the page said. `seq` rises by one for each event of a driver, without gaps.

    Drivers deliver events in the order of `seq`; `at` is when the page saw it, UTC.
    """

    seq: int
    at: datetime


@dataclass(frozen=True, slots=True)
class QrChanged(Event):
    code: QrCode


@dataclass(frozen=True, slots=True)
class QrIdle(Event):
    """The page stopped showing codes; `refresh_qr` starts again."""


@dataclass(frozen=True, slots=True)
class Linked(Event):
    """A phone scanned the code. Does not come for a restored session."""


@dataclass(frozen=True, slots=True)
class Ready(Event):
    """The page is `CONNECTED`: after a scan, a restore or a reconnect."""


@dataclass(frozen=True, slots=True)
class Disconnected(Event):
    """The socket was lost; the page tries to come back by itself."""


@dataclass(frozen=True, slots=True)
class LoggedOut(Event):
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Conflict(Event):
    """Another window took this login over."""


@dataclass(frozen=True, slots=True)
class BrowserLost(Event):
    """The browser died or hung; the driver is of no more use and must be closed."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Receipt(Event):
    """Acks of outgoing messages. `wa_ids` whole keys; `participant` set for groups (match the
    stanza id there: the key of a group receipt carries the receiver)."""

    wa_ids: tuple[str, ...]
    ack: int
    participant: str = ""


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message somebody sent us. `wa_id` is unique; `phone` empty when only the LID is known."""

    wa_id: str
    chat_id: str
    phone: str
    lid: str
    name: str
    kind: str  # WhatsApp's type: chat, image, location, ...
    body: str = field(repr=False)
    sent_at: datetime
    author: str = ""  # participant in groups


@dataclass(frozen=True, slots=True)
class Incoming(Event):
    message: IncomingMessage


EventSink = Callable[[Event], None]


# -------------------------------------------------------------------------------- contract


class Driver(Protocol):
    """One WhatsApp session. Thread-safe: calls are serialised inside. Errors: see each method;
    every method may raise `SessionLost` (code ``browser_gone``) once the browser is dead."""

    def open(self, *, deadline: float) -> PageState:
        """Start the browser on its profile and wait until the page is usable.

        Returns `QR` (nobody linked), or `CONNECTED` (session restored). Raises `Retryable`
        (``page_not_ready``, ``browser_failed``, ``unsupported_browser``) after closing itself.
        """

    def status(self) -> PageState: ...

    def qr(self) -> QrCode | None:
        """The code the page shows now, or None when it shows none."""

    def refresh_qr(self) -> None:
        """Ask for new codes after `QR_IDLE`."""

    def me(self) -> Me:
        """The linked account. Raises `SessionLost` (``not_linked``) when there is none."""

    def number_exists(self, phone: str, *, deadline: float) -> NumberInfo | None:
        """Ask whether `phone` (E.164) has an account. Raises `Retryable` when it cannot tell."""

    def prepare(self, phone: str, *, deadline: float) -> Outgoing:
        """Find the chat with `phone` and choose the id of the next message. Sends nothing.

        Raises `NotOnWhatsApp`; `Retryable` when it cannot tell, or with ``chat_busy`` while a
        message to this chat has no answer: WhatsApp would queue the next one behind it.
        """

    def send_text(
        self, out: Outgoing, text: str, *, not_after: float, deadline: float
    ) -> SendResult:
        """Send and wait for the server's ack. Raises `TooLate`, `Permanent`, `Retryable` (it did
        not leave) or `Unknown` (it may have)."""

    def send_media(
        self, out: Outgoing, media: MediaFile, caption: str, *, not_after: float, deadline: float
    ) -> SendResult:
        """The same for a file with a caption (may be empty)."""

    def lookup(self, wa_id: str, *, deadline: float) -> Lookup:
        """What this session knows of a message that was, or was not, sent."""

    def unread(self, *, deadline: float) -> list[IncomingMessage]:
        """Incoming messages not seen as events: those that came while nobody listened."""

    def logout(self, *, deadline: float) -> None:
        """Remove this device from the phone; the profile is worthless afterwards."""

    def close(self) -> None:
        """End the browser, whatever state it is in: ask, then end its process group. Idempotent."""

    @property
    def process_group(self) -> int | None:
        """The process group of the browser on this machine, None when there is none."""


class DriverFactory(Protocol):
    """Makes the driver of one account; chosen by the setting ``WHATSAPP_DRIVER``."""

    def __call__(self, *, profile: Path, on_event: EventSink) -> Driver: ...
