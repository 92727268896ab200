"""What the control API tells of messages, typed: see docs/reference/simulator.md, "The record"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RecordedMedia:
    """The file a recipient got: `sha256` of its bytes in hex, `size` in bytes."""

    sha256: str
    size: int
    mimetype: str
    filename: str


@dataclass(frozen=True, slots=True)
class RecordedAttempt:
    """One try to send: epoch seconds, and an outcome (see `entities.Attempt`)."""

    at: float
    outcome: str


@dataclass(frozen=True, slots=True)
class RecordedQuote:
    """The message that another one answers: stanza id, its author's wid, its text or caption."""

    id: str
    author: str
    body: str


@dataclass(frozen=True, slots=True)
class RecordedPreview:
    """What a text shows of a page it links to; the thumbnail's SHA-256 in hex, "" for none, and its
    size in bytes."""

    url: str
    title: str
    description: str
    thumbnail_sha256: str
    thumbnail_size: int


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """A message in the record, see `entities.Message`. `account` and `to` are digits; times are
    epoch seconds, None for what has not happened; `to` is empty for a group, whose members are in
    `receipts`, phone -> step ("delivered", "read", "played") -> epoch seconds."""

    index: int
    id: str
    key: str
    account: str
    chat: str
    to: str
    type: str
    body: str
    media: RecordedMedia | None
    location: dict[str, Any] | None
    received: float | None
    acked: float | None
    delivered: float | None
    read: float | None
    deliveries: int
    silent: bool
    attempts: tuple[RecordedAttempt, ...]
    played: float | None = None
    quoted: RecordedQuote | None = None
    preview: RecordedPreview | None = None
    receipts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether WhatsApp took it, be it that the page knows or not."""
        return self.received is not None

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> RecordedMessage:
        media, quoted, preview = raw["media"], raw["quoted"], raw["preview"]
        return cls(
            **{
                **raw,
                "media": None if media is None else RecordedMedia(**media),
                "quoted": None if quoted is None else RecordedQuote(**quoted),
                "preview": None if preview is None else RecordedPreview(**preview),
                "attempts": tuple(RecordedAttempt(**a) for a in raw["attempts"]),
            }
        )
