"""What the pretended WhatsApp knows: accounts, linked devices, the directory and the record.

Everything lives in one `World`, in memory, and is touched by the event loop's thread only. With a
state file it outlives the process: accounts, devices and settings are in that file, and what was
said in a journal beside it.
Times are epoch seconds (floats); phones are digits, see `wids`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

from whatsapp.simulator import persistence
from whatsapp.simulator.behaviour import Behaviour
from whatsapp.simulator.directory import Directory
from whatsapp.simulator.entities import (
    Account,
    Attempt,
    Device,
    Group,
    Inbound,
    Line,
    LinkCode,
    Message,
    Packet,
    Step,
    Typing,
    Waiting,
)
from whatsapp.simulator.journal import Journal
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
    "played",
)
_STEPS: tuple[Step, ...] = ("acked", "delivered", "read", "played")
_COUNTED_AS = {
    "duplicate": "duplicates",
    "delivered_again": "duplicates",
    "swallowed": "swallowed",
}

Clock = Callable[[], float]


class World:
    """All of it. `now` gives the time; tests may pass their own clock."""

    def __init__(self, *, state_file: Path | None = None, now: Clock = time.time) -> None:
        self.now = now
        self.state_file = state_file
        self._journal: Journal | None = None
        self.revision = 0
        self._changed = asyncio.Event()
        self.lines: set[Line] = set()
        self._running: set[asyncio.Task[None]] = set()
        self.forget()
        if state_file is not None:
            journal = Journal(state_file.with_name(state_file.name + ".journal"))
            if state_file.exists():
                persistence.load(self, state_file)
                persistence.replay(self, journal)
                self._count_again()
            else:
                journal.forget()
            self._journal = journal

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
        self.groups: dict[str, Group] = {}
        self.blocked: set[tuple[str, str]] = set()  # (who blocked, which account)
        self.waiting: dict[str, Waiting] = {}
        self.link_codes: dict[str, LinkCode] = {}  # by phone
        self.messages: list[Message] = []
        self.inbound: list[Inbound] = []
        self.seen: list[dict[str, Any]] = []
        self.typing: list[Typing] = []
        self.uploads: dict[str, bytes] = {}
        self.offline_until: dict[str, float] = {}  # account phone, or "" for everybody
        self._by_id: dict[tuple[str, str, str], Message] = {}
        self._inbound_by_id: dict[tuple[str, str], Inbound] = {}
        self._writers: set[tuple[str, str]] = set()  # (account, who wrote to it)
        self._counts: Counter[str] = Counter()
        if self._journal is not None:
            self._journal.forget()

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
        self._note("message", asdict(message))
        self.touch()

    def note_acceptance(self, message: Message) -> None:
        """WhatsApp took `message`, or a further copy of it, and passes it on."""
        if message.received is None:
            message.received = self.now()
            self._counts["messages"] += 1
        if (message.phone, message.account) not in self.blocked:
            message.deliveries += 1
            self._counts["deliveries"] += 1
        self._note("message", asdict(message))

    def mark(self, message: Message, step: Step) -> None:
        """Remember when `message` first came to `step`."""
        if getattr(message, step) is None:
            setattr(message, step, self.now())
            self._counts[step] += 1
            self._note("message", asdict(message))
            self.touch()

    def mark_receiver(self, message: Message, phone: str, step: Step) -> None:
        """The same for one receiver; `message` comes to `step` with the last of them."""
        if message.receipts:
            times = message.receipts[phone]
            if step in times:
                return
            times[step] = self.now()
            self._note("receipt", [message.index, phone, step, times[step]])
            self.touch()
            if not all(step in of_one for of_one in message.receipts.values()):
                return
        self.mark(message, step)

    def receivers(self, message: Message) -> list[str]:
        """Phones that `message` is for."""
        return [message.phone] if message.phone else list(message.receipts)

    def has_come_to(self, message: Message, phone: str, step: Step) -> bool:
        """Whether `message` came to `step` with this receiver."""
        if message.receipts:
            return step in message.receipts[phone]
        return getattr(message, step) is not None

    def travelling(self) -> list[Message]:
        """Accepted, and still on their way."""
        last: Step = "delivered" if self.behaviour.delays.read_after is None else "read"
        return [m for m in self.messages if m.received is not None and getattr(m, last) is None]

    def keep_inbound(self, inbound: Inbound) -> None:
        """Add it to what is known, without writing it down."""
        self.inbound.append(inbound)
        self._inbound_by_id[inbound.account, inbound.id] = inbound
        if inbound.to and not inbound.from_me:
            self._writers.add((inbound.account, inbound.phone))

    def add_inbound(self, inbound: Inbound) -> None:
        self.keep_inbound(inbound)
        self._note("inbound", asdict(inbound))

    def find_inbound(self, account: str, stanza_id: str) -> Inbound | None:
        return self._inbound_by_id.get((account, stanza_id))

    def has_written(self, phone: str, account: str) -> bool:
        """Whether `phone` ever wrote to `account` itself, not in a group."""
        return (account, phone) in self._writers

    def see(self, account: str, chat: str) -> None:
        """A page of `account` shows `chat` to its user."""
        at = self.now()
        self._note("seen", [account, chat, at])
        self.mark_seen(account, chat, at)
        self.touch()

    def mark_seen(self, account: str, chat: str, at: float) -> None:
        self.seen.append({"account": account, "chat": chat, "at": at})
        for inbound in self.inbound:
            if inbound.account == account and inbound.chat == chat and inbound.seen is None:
                inbound.seen = at

    def note_typing(self, account: str, chat: str, state: str) -> None:
        typing = Typing(account, chat, self.recipient(chat), state, self.now())
        self.typing.append(typing)
        self._note("typing", asdict(typing))
        self.touch()

    def push(self, device: Device, packet: Packet) -> None:
        """Deliver `packet` to the device's page now, or when it resumes."""
        self._note("push", [device.token, packet])
        device.push(packet)

    def confirm(self, device: Device, number: int, at: float | None = None) -> None:
        """The device's page has got packet `number`, `at` epoch seconds (now)."""
        got = self.now() if at is None else at
        packet = device.pending.get(number)
        device.confirm(number)
        self._note("got", [device.token, number, got])
        if packet is not None and packet["type"] == "message":
            inbound = self.find_inbound(device.phone, packet["msg"]["id"])
            if inbound is not None and inbound.got is None:
                inbound.got = got
        self.touch()

    def keep_upload(self, path: str, body: bytes) -> None:
        self.uploads[path] = body
        self._note("upload", [path, base64.b64encode(body).decode()])

    def totals(self) -> dict[str, int]:
        """Counts since the last reset: `messages` accepted, `deliveries` (copies the recipients
        got), `attempts`, `duplicates`, `refused`, `swallowed`, `acked`, `delivered`, `read`,
        `played` and `inbound`."""
        return {name: self._counts[name] for name in _TOTALS} | {"inbound": len(self.inbound)}

    def recipient(self, chat: str) -> str:
        """The phone behind a chat, "" for a group or a LID that nobody knows."""
        if server_of(chat) == GROUP_SERVER:
            return ""
        return self.directory.phone(chat) or ""

    def chat_with(self, account: Account, phone: str) -> str:
        """The id of the chat between `account` and `phone`, as its page names it."""
        by_lid = account.lid_migrated or phone in self.directory.hidden
        return self.directory.lid(phone) if by_lid else phone_wid(phone)

    def groups_of(self, phone: str) -> list[Group]:
        """The groups that `phone` is in."""
        return [group for group in self.groups.values() if phone in group.participants]

    # ------------------------------------------------------------------ over a restart

    def _note(self, kind: str, data: Any) -> None:
        if self._journal is not None:
            self._journal.write(kind, data)

    def save(self) -> None:
        """Write accounts, devices, groups, directory and settings to the state file, if any."""
        if self.state_file is not None:
            persistence.save(self, self.state_file)

    def _count_again(self) -> None:
        for message in self.messages:
            outcomes = [attempt.outcome for attempt in message.attempts]
            self._counts["attempts"] += len(outcomes)
            for outcome in outcomes:
                kind = "refused" if outcome.startswith("nack:") else _COUNTED_AS.get(outcome)
                if kind is not None:
                    self._counts[kind] += 1
            self._counts["messages"] += message.received is not None
            self._counts["deliveries"] += message.deliveries
            for step in _STEPS:
                self._counts[step] += getattr(message, step) is not None
