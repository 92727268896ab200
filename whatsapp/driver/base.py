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

from datetime import datetime
from pathlib import Path
from typing import Protocol

from whatsapp.driver.errors import (
    DriverError,
    NotOnWhatsApp,
    Permanent,
    Retryable,
    SessionLost,
    TooLate,
    Unknown,
)
from whatsapp.driver.said import (
    BrowserLost,
    Conflict,
    Disconnected,
    Event,
    EventSink,
    GroupChanged,
    Incoming,
    IncomingMessage,
    Linked,
    LoggedOut,
    QrChanged,
    QrIdle,
    Ready,
    Receipt,
)
from whatsapp.driver.values import (
    MAX_DOWNLOAD,
    Ack,
    Found,
    GroupInfo,
    LinkPreview,
    Location,
    Lookup,
    Me,
    MediaFile,
    MediaInfo,
    MediaKind,
    Member,
    NumberInfo,
    Outgoing,
    PageState,
    QrCode,
    SendResult,
    storable,
)

__all__ = [
    "MAX_DOWNLOAD",
    "Ack",
    "BrowserLost",
    "Conflict",
    "Disconnected",
    "Driver",
    "DriverError",
    "DriverFactory",
    "Event",
    "EventSink",
    "Found",
    "GroupChanged",
    "GroupInfo",
    "Incoming",
    "IncomingMessage",
    "LinkPreview",
    "Linked",
    "Location",
    "LoggedOut",
    "Lookup",
    "Me",
    "MediaFile",
    "MediaInfo",
    "MediaKind",
    "Member",
    "NotOnWhatsApp",
    "NumberInfo",
    "Outgoing",
    "PageState",
    "Permanent",
    "QrChanged",
    "QrCode",
    "QrIdle",
    "Ready",
    "Receipt",
    "Retryable",
    "SendResult",
    "SessionLost",
    "TooLate",
    "Unknown",
    "storable",
]


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

    def prepare(self, to: str, *, deadline: float) -> Outgoing:
        """Find the chat with `to` and choose the id of the next message. Sends nothing.

        `to` is a phone (E.164), a person's LID (``123@lid``) or a group (``123@g.us``). Raises
        `NotOnWhatsApp`; `Permanent` with ``own_number`` (a message to oneself),
        ``not_in_group``, ``group_read_only`` (only its admins write there); `Retryable` when it
        cannot tell, or with ``chat_busy`` while a message to this chat has no answer: WhatsApp
        would queue the next one behind it.
        """

    def send_text(
        self,
        out: Outgoing,
        text: str,
        *,
        quote: str = "",
        preview: LinkPreview | None = None,
        not_after: float,
        deadline: float,
    ) -> SendResult:
        """Send and wait for the server's ack. Raises `TooLate`, `Permanent`, `Retryable` (it did
        not leave) or `Unknown` (it may have).

        `quote` is the `wa_id` of the message it answers, in the same chat: `Permanent` with
        ``quote_gone`` when this session does not know it (any more); nothing has left then, and
        without the quote it would. `preview` is shown with the link in the text; without one no
        link is looked at. Codes of a group are those of `prepare`: roles change in between.
        """

    def send_media(
        self,
        out: Outgoing,
        media: MediaFile,
        caption: str,
        *,
        quote: str = "",
        not_after: float,
        deadline: float,
    ) -> SendResult:
        """The same for a file with a caption (may be empty; with audio WhatsApp shows none)."""

    def send_location(
        self,
        out: Outgoing,
        location: Location,
        *,
        quote: str = "",
        not_after: float,
        deadline: float,
    ) -> SendResult:
        """The same for a place."""

    def typing(self, chat_id: str, *, seconds: float, deadline: float) -> None:
        """Show "typing…" in a chat for so many seconds (0: no longer) and return at once.

        A message to this chat ends it. Nobody has to see it: it does not raise `Permanent`.
        """

    def lookup(self, wa_id: str, *, deadline: float) -> Lookup:
        """What this session knows of a message that was, or was not, sent."""

    def unread(self, *, since: datetime | None = None, deadline: float) -> list[IncomingMessage]:
        """Messages not given out by this session yet: those that came while nobody listened.

        Oldest first, of people and groups. Without `since`: what WhatsApp counts as unread, and
        what the owner wrote into these chats meanwhile. A chat that was read or answered on the
        phone counts as read: whoever wants no gap says `since`, and gets all that this profile
        has from then on, whether read or not (`IncomingMessage.from_me` tells what was written
        here). Ask again for the same time as often as you like: ``wa_id`` is unique.
        """

    def download(self, wa_id: str, *, limit: int = MAX_DOWNLOAD, deadline: float) -> MediaFile:
        """The file of an incoming message, whole.

        `mime` and `filename` are what its sender says. Raises `Permanent` with ``media_gone``
        (the message or its file is no longer there, or has none) or ``media_too_large`` (over
        `limit` bytes: announced, or found when it was there); `Retryable` otherwise.
        """

    def groups(self, *, deadline: float) -> list[GroupInfo]:
        """All groups of this account, asked of WhatsApp."""

    def group_members(self, chat_id: str, *, deadline: float) -> list[Member]:
        """Who is in a group. Raises `Permanent` (``not_in_group``)."""

    def pairing_code(self, phone: str, *, deadline: float) -> str:
        """A code (``ABCD-EFGH``) that the owner of `phone` (E.164) types in instead of a scan.

        For a page that waits for one (`QR`, `QR_IDLE`); `Linked` follows as after a scan. Raises
        `Permanent` (``bad_number``, ``already_linked``) or `Retryable`.
        """

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
