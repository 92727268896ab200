"""What a message says besides its text: read before its intent, handed to the driver after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings

from whatsapp.driver.base import (
    Driver,
    LinkPreview,
    Location,
    MediaFile,
    MediaKind,
    Outgoing,
    Permanent,
    Retryable,
    SendResult,
)
from whatsapp.models import Media, Message


@dataclass(frozen=True, slots=True)
class Payload:
    """At most one of these is there; a text has none."""

    media: MediaFile | None = None
    location: Location | None = None
    preview: LinkPreview | None = None


def read(message: Message) -> Payload:
    """Everything from disk and database: nothing may fail between an intent and its send.

    Raises `Permanent` for what can never be sent and `Retryable` for a file that cannot be read.
    """
    said = message.content
    match Message.Kind(message.kind):
        case Message.Kind.MEDIA:
            return Payload(media=_read_media(message.media))
        case Message.Kind.LOCATION:
            try:
                return Payload(location=Location(**said))
            except (TypeError, ValueError) as error:
                raise Permanent("bad_location", f"no place on Earth: {error}") from error
        case Message.Kind.LINK if said.get("title"):
            try:
                picture = _read_media(message.media).data if message.media else b""
            except Retryable:
                picture = b""  # the link is what was asked for
            return Payload(
                preview=LinkPreview(
                    said.get("url", ""), said["title"], said.get("description", ""), picture
                )
            )
    return Payload()


def _read_media(media: Media | None) -> MediaFile:
    if media is None:
        raise Permanent("media_unreadable", "it has no file")
    try:
        with media.file.open("rb") as file:
            data = file.read()
    except OSError as error:
        raise Retryable("media_unreadable", f"its file cannot be read: {error.strerror}") from error
    return MediaFile(
        kind=MediaKind(media.kind), data=data, mime=media.mime, filename=media.filename
    )


def send(
    driver: Driver, out: Outgoing, message: Message, payload: Payload, *, not_after: float
) -> SendResult:
    """The driver's call for what the message is. Raises as that does."""
    how: dict[str, Any] = {
        "quote": message.quoted_wa_id,
        "not_after": not_after,
        "deadline": settings.WHATSAPP_SEND_SECONDS,
    }
    if payload.location is not None:
        return driver.send_location(out, payload.location, **how)
    if payload.media is not None:
        return driver.send_media(out, payload.media, message.body, **how)
    return driver.send_text(out, message.body, preview=payload.preview, **how)
