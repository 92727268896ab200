"""What the pretended WhatsApp consists of; `state.World` holds it.

Times are epoch seconds (floats); phones are digits, see `wids`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from whatsapp.simulator.media import MediaFacts

Packet = dict[str, Any]


class Line(Protocol):
    """The open socket of a page (`sessions.Session`)."""

    def send(self, packet: Packet) -> None: ...

    def hang_up(self) -> None: ...


@dataclass
class Group:
    """`participants` are phones (digits), accounts and others; `admins` some of them.

    In a group that is `announce_only` nobody but admins may write. `creation` is in epoch seconds.
    """

    wid: str
    subject: str
    participants: list[str]
    admins: list[str] = field(default_factory=list)
    creation: int = 0
    description: str = ""
    announce_only: bool = False

    def may_write(self, phone: str) -> bool:
        return phone in self.participants and (not self.announce_only or phone in self.admins)


@dataclass
class Account:
    """One WhatsApp account, that is one phone. `contacts` is its address book, phone -> name.

    Until `new_chats_locked_until` (epoch seconds) it may write to nobody who never wrote to it.
    """

    phone: str
    lid: str
    name: str
    lid_migrated: bool = False
    contacts: dict[str, str] = field(default_factory=dict)
    new_chats_locked_until: float = 0.0


@dataclass
class Device:
    """A browser linked to an account; `token` is what it proves itself with after a restart.

    `pending` holds, in order, what the page has not confirmed: it is sent again when the page
    resumes, so nothing is lost with a socket. `line` is set while the page is connected,
    `listening` once it asked for what it had missed.
    """

    token: str
    phone: str
    linked_at: float
    pending: dict[int, Packet] = field(default_factory=dict)
    next_packet: int = 1
    line: Line | None = None
    listening: bool = False

    def push(self, packet: Packet) -> None:
        """Deliver `packet` to the page now, or when it resumes."""
        numbered = packet | {"n": self.next_packet}
        self.pending[self.next_packet] = numbered
        self.next_packet += 1
        if self.line is not None and self.listening:
            self.line.send(numbered)

    def resume(self) -> None:
        """The page is ready: send what it missed, and what comes from now on as it comes."""
        self.listening = True
        if self.line is not None:
            for packet in self.pending.values():
                self.line.send(packet)

    def confirm(self, number: int) -> None:
        self.pending.pop(number, None)


@dataclass
class Waiting:
    """A page that shows a QR code. `text` is all of the code, once the page has told it."""

    ref: str
    expires_at: float
    since: float
    user_agent: str
    line: Line
    text: str = ""


@dataclass
class LinkCode:
    """Eight characters that a page shows, to be typed on `phone`."""

    phone: str
    code: str
    expires_at: float
    line: Line


@dataclass
class Attempt:
    """One time a page tried to send a message.

    `outcome`: accepted, duplicate (same stanza id, nothing delivered), delivered_again (the same
    with `dedup` off), nack:<code>, ack_lost (accepted, but the page does not know), swallowed
    (never reached the server).
    """

    at: float
    outcome: str


Step = Literal["acked", "delivered", "read", "played"]


@dataclass(frozen=True)
class Quoted:
    """The message that another one answers: stanza id, its author's wid, its text or caption."""

    id: str
    author: str
    body: str


@dataclass(frozen=True)
class Preview:
    """What a text shows of a page it links to; `thumbnail_sha256` of a JPEG in hex, "" for none."""

    url: str
    title: str
    description: str
    thumbnail_sha256: str
    thumbnail_size: int  # bytes


@dataclass
class Message:
    """An outgoing message: one row for each stanza id, account and recipient.

    `phone` is the recipient's digits even if the chat is a LID; empty for a group. `deliveries`
    counts the copies that the recipient got: 0 when WhatsApp never accepted it, or when they have
    blocked the account. `silent`: neither its ack nor a receipt ever reaches the page.
    `receipts` has the members whom a message to a group is for, phone -> step -> epoch seconds; the
    message itself is `delivered`, `read` or `played` once it is so for all of them.
    """

    index: int
    stanza_id: str
    key: str
    account: str
    chat: str
    phone: str
    type: str
    body: str
    media: MediaFacts | None
    location: dict[str, Any] | None
    received: float | None = None
    acked: float | None = None
    delivered: float | None = None
    read: float | None = None
    deliveries: int = 0
    silent: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    played: float | None = None
    quoted: Quoted | None = None
    preview: Preview | None = None
    receipts: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def from_journal(cls, raw: dict[str, Any]) -> Message:
        """From what `dataclasses.asdict` made of it."""
        kept = cls(**raw)
        kept.attempts = [Attempt(**attempt) for attempt in raw["attempts"]]
        kept.media = MediaFacts(**raw["media"]) if raw["media"] else None
        kept.quoted = Quoted(**raw["quoted"]) if raw["quoted"] else None
        kept.preview = Preview(**raw["preview"]) if raw["preview"] else None
        return kept

    def describe(self) -> dict[str, Any]:
        """JSON shape: the fields, `id` for the stanza id and `to` for the phone."""
        shown = asdict(self)
        shown["id"] = shown.pop("stanza_id")
        shown["to"] = shown.pop("phone")
        return shown


@dataclass
class Inbound:
    """A message that an account's pages are told of: from somebody else, or `from_me`, written on
    the account's own phone.

    `phone` is the author's; `to` the recipient's, empty for a group. `got` is when a page confirmed
    it, `seen` when a page showed it to its user. `body` is the caption of media; `media` are its
    facts in plain; `location` has `lat`, `lng`, `name`, `address`.
    """

    id: str
    account: str
    phone: str
    chat: str
    body: str
    at: float
    got: float | None = None
    seen: float | None = None
    type: str = "chat"
    to: str = ""
    from_me: bool = False
    name: str = ""
    media: MediaFacts | None = None
    location: dict[str, Any] | None = None
    quoted: Quoted | None = None

    @classmethod
    def from_journal(cls, raw: dict[str, Any]) -> Inbound:
        """From what `dataclasses.asdict` made of it."""
        kept = cls(**raw)
        kept.media = MediaFacts(**raw["media"]) if raw["media"] else None
        kept.quoted = Quoted(**raw["quoted"]) if raw["quoted"] else None
        return kept

    def describe(self) -> dict[str, Any]:
        """JSON shape: the fields, `from` for the author."""
        shown = asdict(self)
        shown["from"] = shown.pop("phone")
        return shown


@dataclass(frozen=True)
class Typing:
    """A page told that its user types, records, or does neither any more: `state` is composing,
    recording or paused. `to` is the recipient's phone, empty for a group."""

    account: str
    chat: str
    to: str
    state: str
    at: float
