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
import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from whatsapp.simulator.behaviour import Behaviour
from whatsapp.simulator.directory import Directory
from whatsapp.simulator.entities import (
    Account,
    Attempt,
    Device,
    Group,
    Inbound,
    Line,
    Message,
    Packet,
    Waiting,
)
from whatsapp.simulator.journal import Journal
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
                self._load(json.loads(state_file.read_text(encoding="utf-8")))
                self._replay(journal)
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
        self.waiting: dict[str, Waiting] = {}
        self.messages: list[Message] = []
        self.inbound: list[Inbound] = []
        self.seen: list[dict[str, Any]] = []
        self.uploads: dict[str, bytes] = {}
        self.offline_until: dict[str, float] = {}  # account phone, or "" for everybody
        self._by_id: dict[tuple[str, str, str], Message] = {}
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
        self._note("message", asdict(message))
        self.touch()

    def note_delivery(self, message: Message) -> None:
        """One copy of `message` is on its way to the recipient."""
        if message.received is None:
            message.received = self.now()
            self._counts["messages"] += 1
        message.deliveries += 1
        self._counts["deliveries"] += 1
        self._note("message", asdict(message))

    def mark(self, message: Message, step: Literal["acked", "delivered", "read"]) -> None:
        """Remember when `message` first came to `step`."""
        if getattr(message, step) is None:
            setattr(message, step, self.now())
            self._counts[step] += 1
            self._note("message", asdict(message))
            self.touch()

    def undelivered(self) -> list[Message]:
        """Accepted, and still on their way."""
        return [m for m in self.messages if m.received is not None and m.delivered is None]

    def add_inbound(self, inbound: Inbound) -> None:
        self.inbound.append(inbound)
        self._note("inbound", asdict(inbound))

    def push(self, device: Device, packet: Packet) -> None:
        """Deliver `packet` to the device's page now, or when it resumes."""
        self._note("push", [device.token, packet])
        device.push(packet)

    def confirm(self, device: Device, number: int) -> None:
        """The device's page has got packet `number`."""
        packet = device.pending.get(number)
        device.confirm(number)
        self._note("got", [device.token, number])
        if packet is not None and packet["type"] == "message":
            for inbound in self.inbound:
                if inbound.id == packet["msg"]["id"] and inbound.account == device.phone:
                    inbound.got = inbound.got or self.now()
        self.touch()

    def keep_upload(self, path: str, body: bytes) -> None:
        self.uploads[path] = body
        self._note("upload", [path, base64.b64encode(body).decode()])

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

    def _note(self, kind: str, data: Any) -> None:
        if self._journal is not None:
            self._journal.write(kind, data)

    def save(self) -> None:
        """Write accounts, devices, directory and settings to the state file, if there is one."""
        if self.state_file is None:
            return
        kept = {
            "accounts": [asdict(a) for a in self.accounts.values()],
            "devices": [
                {"token": d.token, "phone": d.phone, "linked_at": d.linked_at}
                for d in self.devices.values()
            ],
            "directory": self.directory.describe(),
            "config": self.behaviour.describe(),
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
        self.behaviour.update(kept["config"])

    def _replay(self, journal: Journal) -> None:
        """What was said before; of a message the last line counts."""
        messages: dict[int, dict[str, Any]] = {}
        for kind, data in journal.read():
            if kind == "message":
                messages[data["index"]] = data
            elif kind == "inbound":
                self.inbound.append(Inbound(**data))
            elif kind == "upload":
                self.uploads[data[0]] = base64.b64decode(data[1])
            elif data[0] in self.devices:  # push, got
                device = self.devices[data[0]]
                if kind == "push":
                    device.push(data[1])
                else:
                    self.confirm(device, data[1])
        for raw in messages.values():
            attempts = [Attempt(**attempt) for attempt in raw.pop("attempts")]
            media = MediaFacts(**raw.pop("media")) if raw["media"] else raw.pop("media")
            self.add_message(Message(**raw, media=media, attempts=attempts))
        self._count_again()

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
            for step in ("acked", "delivered", "read"):
                self._counts[step] += getattr(message, step) is not None
