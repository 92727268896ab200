"""What a session says by itself, as events. Reached by everybody as `base.<name>`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from whatsapp.driver.values import Location, MediaInfo, QrCode


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
    """Acks of outgoing messages. `wa_ids` whole keys.

    In a group each member has receipts of their own: `participant` is who (``123@lid`` or
    ``33...@c.us``), `participant_phone` their phone when known. Match the stanza id there (the
    third part of the key): the key of a group receipt carries the receiver.
    """

    wa_ids: tuple[str, ...]
    ack: int
    participant: str = ""
    participant_phone: str = ""


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message of somebody else, or one that our account's owner wrote on another device.

    `wa_id` is unique, `phone` empty when only the LID is known. `phone` and `lid` are the other
    person's in a chat of two, whoever wrote, and the author's in a group.
    """

    wa_id: str
    chat_id: str
    phone: str
    lid: str
    name: str  # of whoever wrote, as they call themselves; may be empty
    kind: str  # WhatsApp's type: chat, image, ptt, location, ... or one nobody has heard of
    body: str = field(repr=False)  # text or caption
    sent_at: datetime
    author: str = ""  # participant in groups
    author_phone: str = ""  # groups only, as `author`
    author_lid: str = ""
    from_me: bool = False
    """Written with this account on the phone or on another linked device. What this very session
    sent never comes back; what earlier sessions of the profile sent may, from `Driver.unread`:
    whoever sent it knows its `wa_id`."""
    quoted: str = ""  # wa_id of the message that it answers
    location: Location | None = field(default=None, repr=False)
    media: MediaInfo | None = field(default=None, repr=False)  # `Driver.download` fetches it


@dataclass(frozen=True, slots=True)
class Incoming(Event):
    message: IncomingMessage


@dataclass(frozen=True, slots=True)
class GroupChanged(Event):
    """Members, roles or settings of a group changed, or ours in it: ask anew."""

    chat_id: str


EventSink = Callable[[Event], None]
