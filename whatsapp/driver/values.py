"""What is given to a session and what it answers. Reached by everybody as `base.<name>`."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from datetime import datetime


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
    """A file, whole. To send: at most 64 MiB; callers check type and size before."""

    kind: MediaKind
    data: bytes = field(repr=False)
    mime: str
    filename: str


MAX_DOWNLOAD = 64 * 2**20
"""Bytes: the largest incoming file that `Driver.download` takes unless told otherwise."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """An incoming file that was announced, not fetched. Said by the sender: trust none of it."""

    mime: str
    filename: str
    size: int  # bytes; 0 when nobody said


@dataclass(frozen=True, slots=True)
class Location:
    """A place; degrees, WGS 84. Raises `ValueError` outside -90..90 and -180..180."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""

    def __post_init__(self) -> None:
        for what, value, most in (
            ("latitude", self.latitude, 90),
            ("longitude", self.longitude, 180),
        ):
            if not math.isfinite(value) or abs(value) > most:
                raise ValueError(f"{what}: between -{most} and {most}, not {value}")


@dataclass(frozen=True, slots=True)
class LinkPreview:
    """Our own preview of a link. `url` as it stands in the text; `thumbnail` a JPEG or empty.

    Nobody fetches anything for it: neither wa-js nor its preview servers.
    """

    url: str
    title: str
    description: str = ""
    thumbnail: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A group this account is, or was, in.

    It may write there when it is a `member` and, in an `announce_only` group, an `admin`.
    """

    chat_id: str
    subject: str
    description: str
    size: int  # members, as far as this page knows
    admin: bool  # this account is one
    announce_only: bool
    member: bool  # this account is one; False after it left or was removed


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a group, ourselves included. `phone` or `lid` is empty where it is not known."""

    lid: str
    phone: str
    name: str
    admin: bool


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
