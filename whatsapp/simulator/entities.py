"""What the pretended WhatsApp consists of; `state.World` holds it.

Times are epoch seconds (floats); phones are digits, see `wids`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from whatsapp.simulator.media import MediaFacts

Packet = dict[str, Any]


class Line(Protocol):
    """The open socket of a page (`sessions.Session`)."""

    def send(self, packet: Packet) -> None: ...

    def hang_up(self) -> None: ...


@dataclass
class Group:
    """`participants` are phones (digits), the account itself among them; `admins` some of them."""

    wid: str
    subject: str
    participants: list[str]
    admins: list[str] = field(default_factory=list)
    creation: int = 0


@dataclass
class Account:
    """One WhatsApp account, that is one phone. `contacts` is its address book, phone -> name."""

    phone: str
    lid: str
    name: str
    lid_migrated: bool = False
    groups: dict[str, Group] = field(default_factory=dict)
    contacts: dict[str, str] = field(default_factory=dict)


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
class Attempt:
    """One time a page tried to send a message.

    `outcome`: accepted, duplicate (same stanza id, nothing delivered), delivered_again (the same
    with `dedup` off), nack:<code>, ack_lost (accepted, but the page does not know), swallowed
    (never reached the server).
    """

    at: float
    outcome: str


@dataclass
class Message:
    """An outgoing message: one row for each stanza id, account and recipient.

    `phone` is the recipient's digits even if the chat is a LID; empty for a group. `deliveries`
    counts the copies that the recipient got: 0 when WhatsApp never accepted it. `silent`: neither
    its ack nor a receipt ever reaches the page.
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

    def describe(self) -> dict[str, Any]:
        """JSON shape: the fields, `id` for the stanza id and `to` for the phone."""
        shown = asdict(self)
        shown["id"] = shown.pop("stanza_id")
        shown["to"] = shown.pop("phone")
        return shown


@dataclass
class Inbound:
    """A message to an account; `got` is when its page confirmed it."""

    id: str
    account: str
    phone: str
    chat: str
    body: str
    at: float
    got: float | None = None

    def describe(self) -> dict[str, Any]:
        shown = asdict(self)
        shown["from"] = shown.pop("phone")
        return shown
