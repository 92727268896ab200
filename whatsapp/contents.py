"""What a direct message can say; what WhatsApp would not take is refused as it is made.

    messages.send_direct(account=account, to="+33639980001", content=TextContent("Bonjour"), …)
    messages.send_direct(…, content=LocationContent(16.0, -61.7, name="Shop"), …)

Fields of an error are those of the API: ``text``, ``location.latitude``, ``link.url``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from whatsapp.fetching import MAX_URL
from whatsapp.models import Media, Message

MAX_TEXT = 65_536  # characters; WhatsApp refuses longer ones
MAX_CAPTION = 4_096  # characters
MAX_PLACE_NAME = 200
MAX_PLACE_ADDRESS = 300


class CannotSend(ValueError):
    """Why a message cannot be queued; `field` is what to change, `code` a stable word."""

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.code = code


@dataclass(frozen=True, slots=True)
class TextContent:
    """A text. A link in it is sent as it stands, without a preview."""

    text: str

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise CannotSend("text", "empty", "write a text or add a file")
        _check_text(self.text, "text", longest=MAX_TEXT)

    @property
    def fields(self) -> dict[str, Any]:
        """What `outbox.queue` takes for it."""
        return {"body": self.text, "kind": Message.Kind.TEXT}


@dataclass(frozen=True, slots=True)
class MediaContent:
    """A file that `media.store` has checked, with a caption that may be empty."""

    media: Media
    caption: str = ""

    def __post_init__(self) -> None:
        _check_text(self.caption, "text", longest=MAX_CAPTION)

    @property
    def fields(self) -> dict[str, Any]:
        return {"body": self.caption, "kind": Message.Kind.MEDIA, "media": self.media}


@dataclass(frozen=True, slots=True)
class LocationContent:
    """A place: degrees (WGS 84), with a name and an address that may be empty."""

    latitude: float
    longitude: float
    name: str = ""
    address: str = ""

    def __post_init__(self) -> None:
        for field, degrees, most in (
            ("latitude", self.latitude, 90),
            ("longitude", self.longitude, 180),
        ):
            if not math.isfinite(degrees) or abs(degrees) > most:
                raise CannotSend(
                    f"location.{field}", "out_of_range", f"give degrees from -{most} to {most}"
                )
        _check_text(self.name, "location.name", longest=MAX_PLACE_NAME)
        _check_text(self.address, "location.address", longest=MAX_PLACE_ADDRESS)

    @property
    def fields(self) -> dict[str, Any]:
        content = {
            "latitude": float(self.latitude),
            "longitude": float(self.longitude),
            "name": self.name,
            "address": self.address,
        }
        return {"body": "", "kind": Message.Kind.LOCATION, "content": content}


@dataclass(frozen=True, slots=True)
class Preview:
    """How a link is shown; `picture` is a small JPEG. Made by `previews.make`."""

    title: str
    description: str = ""
    picture: Media | None = None


@dataclass(frozen=True, slots=True)
class LinkContent:
    """A link with our own preview, in a text; without a text, or without the link in it, the link
    is added at its end. Without a preview it is sent as it stands."""

    url: str
    text: str = ""
    preview: Preview | None = None

    def __post_init__(self) -> None:
        check_link(self.url)
        _check_text(self.body, "text", longest=MAX_TEXT)

    @property
    def body(self) -> str:
        if self.url in self.text:
            return self.text
        return f"{self.text.rstrip()}\n{self.url}".lstrip("\n")

    @property
    def fields(self) -> dict[str, Any]:
        content = {"url": self.url}
        if self.preview is not None:
            content |= {"title": self.preview.title, "description": self.preview.description}
        return {
            "body": self.body,
            "kind": Message.Kind.LINK,
            "content": content,
            "media": self.preview.picture if self.preview else None,
        }


Content = TextContent | MediaContent | LocationContent | LinkContent


def check_link(url: str) -> None:
    """Raises `CannotSend` for what is no address of a page."""
    if len(url) > MAX_URL:
        raise CannotSend("link.url", "too_long", f"the link has {MAX_URL} characters at most")
    try:
        parts = urlsplit(url)
        readable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _port = parts.port  # raises for one that is no number
    except ValueError:
        readable = False
    if not readable or re.search(r"[\x00-\x20\x7f\\<>\"]", url):
        raise CannotSend("link.url", "bad_url", "begin the link with https:// or http://")
    _check_text(url, "link.url", longest=MAX_URL)


def _check_text(text: str, field: str, *, longest: int) -> None:
    if len(text) > longest:
        raise CannotSend(
            field, "too_long", f"write {longest:,} characters at most, not {len(text):,}"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CannotSend(field, "unreadable", "this contains half a character") from error
    if "\0" in text:
        raise CannotSend(field, "unreadable", "this contains a NUL character")
