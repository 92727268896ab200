"""What the pretended WhatsApp knows: accounts, linked devices, the directory and the record.

Everything lives in one `World`, in memory, and is touched by the event loop's thread only.
Times are epoch seconds (floats); phones are digits, see `wids`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from whatsapp.simulator.behaviour import Behaviour
from whatsapp.simulator.directory import Directory
from whatsapp.simulator.media import MediaFacts
from whatsapp.simulator.wids import GROUP_SERVER, phone_wid, server_of

_TOTALS = (
    "messages",
    "deliveries",
    "attempts",
    "duplicates",
    "refused",
    "swallowed",
    "acked",
    "delivered",
    "read",
)
_COUNTED_AS = {
    "duplicate": "duplicates",
    "delivered_again": "duplicates",
    "swallowed": "swallowed",
}

Packet = dict[str, Any]
Clock = Callable[[], float]


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
    counts the copies that the recipient got: 0 when WhatsApp never accepted it.
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


class World:
    """All of it. `now` gives the time; tests may pass their own clock."""

    def __init__(self, *, state_file: Path | None = None, now: Clock = time.time) -> None:
        self.now = now
        self.state_file = state_file
        self.revision = 0
        self._changed = asyncio.Event()
        self.lines: set[Line] = set()
        self._running: set[asyncio.Task[None]] = set()
        self.forget()
        if state_file is not None and state_file.exists():
            self._load(json.loads(state_file.read_text(encoding="utf-8")))

    def forget(self) -> None:
        """Back to an empty world with default behaviour. Open sockets are cut."""
        for task in self._running:
            task.cancel()
        for line in self.lines:
            line.hang_up()
        self.behaviour = Behaviour()
        self.directory = Directory()
        self.accounts: dict[str, Account] = {}
        self.devices: dict[str, Device] = {}
        self.waiting: dict[str, Waiting] = {}
        self.messages: list[Message] = []
        self.inbound: list[Inbound] = []
        self.seen: list[dict[str, Any]] = []
        self.uploads: dict[str, bytes] = {}
        self.offline_until: dict[str, float] = {}  # account phone, or "" for everybody
        self._by_id: dict[tuple[str, str, str], Message] = {}
        self._counts: Counter[str] = Counter()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the background until it ends or the world is forgotten."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    # ------------------------------------------------------------------ waiting for changes

    def touch(self) -> None:
        """Something changed that a watcher may be waiting for."""
        self.revision += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed_after(self, revision: int, timeout: float) -> None:  # noqa: ASYNC109
        """Return once the world is newer than `revision`, or after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self.revision <= revision:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    # ------------------------------------------------------------------ accounts and devices

    def link(
        self,
        phone: str,
        *,
        name: str,
        lid: str | None = None,
        groups: list[Group] | None = None,
        contacts: dict[str, str] | None = None,
        lid_migrated: bool | None = None,
    ) -> Device:
        """Link one more device to the account of `phone`, which is made when it is new."""
        if lid is not None or phone not in self.accounts:
            self.directory.add(phone, lid=lid)
        account = self.accounts.setdefault(phone, Account(phone, self.directory.lid(phone), name))
        account.name = name or account.name
        account.lid = self.directory.lid(phone)
        migrated = self.behaviour.lid_migrated if lid_migrated is None else lid_migrated
        account.lid_migrated = migrated
        for group in groups or []:
            account.groups[group.wid] = group
        account.contacts.update(contacts or {})
        device = Device(secrets.token_hex(16), phone, self.now())
        self.devices[device.token] = device
        self.save()
        self.touch()
        return device

    def unlink(self, device: Device) -> None:
        self.devices.pop(device.token, None)
        self.save()
        self.touch()

    def devices_of(self, phone: str | None) -> list[Device]:
        return [d for d in self.devices.values() if phone is None or d.phone == phone]

    def is_offline(self, phone: str | None = None) -> bool:
        """Whether sockets are refused: everybody's, or those of one account."""
        keys = [""] if phone is None else ["", phone]
        return any(self.offline_until.get(key, 0) > self.now() for key in keys)

    # ------------------------------------------------------------------ the record

    def find(self, account: str, chat: str, stanza_id: str) -> Message | None:
        return self._by_id.get((account, chat, stanza_id))

    def add_message(self, message: Message) -> None:
        self._by_id[message.account, message.chat, message.stanza_id] = message
        self.messages.append(message)

    def note_attempt(self, message: Message, outcome: str) -> None:
        """A page tried to send `message`; see `Attempt` for outcomes."""
        message.attempts.append(Attempt(self.now(), outcome))
        self._counts["attempts"] += 1
        kind = "refused" if outcome.startswith("nack:") else _COUNTED_AS.get(outcome)
        if kind is not None:
            self._counts[kind] += 1
        self.touch()

    def note_delivery(self, message: Message) -> None:
        """One copy of `message` is on its way to the recipient."""
        if message.received is None:
            message.received = self.now()
            self._counts["messages"] += 1
        message.deliveries += 1
        self._counts["deliveries"] += 1

    def mark(self, message: Message, step: Literal["acked", "delivered", "read"]) -> None:
        """Remember when `message` first came to `step`."""
        if getattr(message, step) is None:
            setattr(message, step, self.now())
            self._counts[step] += 1
            self.touch()

    def totals(self) -> dict[str, int]:
        """Counts since the last reset: `messages` accepted, `deliveries` (copies the recipients
        got), `attempts`, `duplicates`, `refused`, `swallowed`, `acked`, `delivered`, `read` and
        `inbound`."""
        return {name: self._counts[name] for name in _TOTALS} | {"inbound": len(self.inbound)}

    def recipient(self, chat: str) -> str:
        """The phone behind a chat, "" for a group or a LID that nobody knows."""
        if server_of(chat) == GROUP_SERVER:
            return ""
        return self.directory.phone(chat) or ""

    def chat_with(self, account: Account, phone: str) -> str:
        """The id of the chat between `account` and `phone`, as its page names it."""
        return self.directory.lid(phone) if account.lid_migrated else phone_wid(phone)

    # ------------------------------------------------------------------ over a restart

    def save(self) -> None:
        """Write accounts, devices and directory to the state file, if there is one."""
        if self.state_file is None:
            return
        kept = {
            "accounts": [asdict(a) for a in self.accounts.values()],
            "devices": [
                {"token": d.token, "phone": d.phone, "linked_at": d.linked_at}
                for d in self.devices.values()
            ],
            "directory": self.directory.describe(),
        }
        fresh = self.state_file.with_name(self.state_file.name + ".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(kept), encoding="utf-8")
        os.replace(fresh, self.state_file)  # noqa: PTH105 - whole or not at all

    def _load(self, kept: dict[str, Any]) -> None:
        listed = kept["directory"]
        self.directory.mode = listed["mode"]
        self.directory.absent = set(listed["absent"])
        for user in listed["users"]:
            self.directory.add(user["phone"], lid=user["lid"], business=user["business"])
        for raw in kept["accounts"]:
            groups = {wid: Group(**group) for wid, group in raw.pop("groups").items()}
            self.accounts[raw["phone"]] = Account(**raw, groups=groups)
        for raw in kept["devices"]:
            self.devices[raw["token"]] = Device(**raw)
