"""The outside world of `memory`: phones, recipients, the network, WhatsApp's server.

A test scans codes, lets people answer, breaks things, and reads `record`. Everything happens
synchronously in the calling thread, in an order a test can rely on; where a test wants to hold
receipts back it passes `later` (see `Steps`).
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from whatsapp.driver import base

Fate = Literal["lost", "swallowed", "nack", "hang", "die"]
"""lost: accepted, the ack never comes. swallowed: never accepted, nobody says so. nack: refused
with a code. hang: the page stops answering. die: the browser ends while it sends, before the
message is accepted."""


@dataclass(slots=True)
class Sent:
    """One message on WhatsApp's server: `wa_id` names it, however often it was tried."""

    wa_id: str
    account: str  # phone, E.164
    phone: str
    kind: str  # chat, image, video, document, audio
    body: str = field(repr=False)
    media: base.MediaFile | None = None
    attempts: int = 1  # times it reached the server
    ack: int = base.Ack.SERVER


@dataclass(slots=True)
class Fault:
    """What happens to the next `times` messages (None: all), to `phone` or to anybody."""

    fate: Fate
    phone: str | None = None
    times: int | None = 1
    code: int = 0


class Page(Protocol):
    """What the world does to a session; `memory.MemoryDriver` is the only one."""

    profile: Path

    def emit(self, kind: type[base.Event], **values: Any) -> None: ...
    def give_out(self) -> None: ...
    def linked(self) -> None: ...
    def unlinked(self, reason: str) -> None: ...
    def show_code(self) -> None: ...
    def hide_code(self) -> None: ...
    def network(self, *, up: bool) -> None: ...
    def conflicted(self) -> None: ...
    def lose(self, reason: str) -> None: ...


@dataclass(slots=True)
class Device:
    """A linked profile. What the "page" stores lives here, so that a restart finds it again."""

    profile: Path
    account: str
    page: Page | None = None
    offline: bool = False
    messages: dict[str, tuple[int, str]] = field(default_factory=dict)  # wa_id -> ack, code
    busy: dict[str, str] = field(default_factory=dict)  # chat -> wa_id without an answer
    unread: dict[str, base.IncomingMessage] = field(default_factory=dict)


@dataclass(slots=True)
class Person:
    phone: str
    lid: str
    name: str = ""
    lid_migrated: bool = False  # accounts only: their chats are @lid


class Steps:
    """A `later` that keeps what should happen until the test says so."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def __call__(self, step: Callable[[], None]) -> None:
        self._waiting.append(step)

    def run(self, count: int | None = None) -> int:
        """Run the next `count` steps, or all there are; returns how many."""
        done = 0
        while self._waiting and (count is None or done < count):
            self._waiting.popleft()()
            done += 1
        return done


class MemoryWhatsApp:
    """See the module. Every method may be called from any thread."""

    def __init__(
        self,
        *,
        delivered: bool = False,
        read: bool = False,
        later: Callable[[Callable[[], None]], None] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.delivered = delivered  # each accepted message gets these receipts by itself
        self.read = read
        self.now = now
        self.monotonic = monotonic
        self.lock = threading.RLock()
        self.people: dict[str, Person] = {}
        self.absent: set[str] = set()
        self.devices: dict[Path, Device] = {}
        self.waiting: dict[str, Page] = {}  # code text -> the page that shows it
        self.record: list[Sent] = []
        self.by_id: dict[tuple[str, str], Sent] = {}
        self.faults: list[Fault] = []
        self.boot: Literal["ok", "stuck", "broken", "unsupported"] = "ok"
        self.hooks: dict[str, Callable[[base.Outgoing], None]] = {}
        """Called at ``sending`` (nothing left yet), ``accepted`` (the server has it, the page
        does not know) and ``acked``; may raise to play a crash at that point."""
        self._later = later or (lambda step: step())
        self._counter = itertools.count(1)
        self._due: deque[Page] = deque()
        self._depth = 0

    # -------------------------------------------------------------- what a test does to it

    def person(self, phone: str, *, name: str = "") -> Person:
        """The entry of a phone, made on first use; everybody is on WhatsApp but `absent`."""
        with self.lock:
            if phone not in self.people:
                lid = f"{10**14 + next(self._counter)}@lid"
                self.people[phone] = Person(phone, lid, name)
            return self.people[phone]

    def scan(
        self,
        phone: str,
        *,
        code: str | None = None,
        name: str = "Me",
        lid_migrated: bool | None = None,
    ) -> None:
        """A phone scans `code` (a QR text), or the newest one. Raises `LookupError`."""
        with self.acting():
            if not self.waiting:
                raise LookupError("no page shows a code")
            page = self.waiting.pop(code or next(reversed(self.waiting)))
            person = self.person(phone)
            person.name = name
            if lid_migrated is not None:
                person.lid_migrated = lid_migrated
            self.devices[page.profile] = Device(page.profile, phone, page)
            page.linked()

    def rotate(self) -> None:
        """Every page that shows a code shows the next one."""
        with self.acting():
            for page in list(self.waiting.values()):
                page.show_code()

    def run_out(self) -> None:
        """Every page stops showing codes."""
        with self.acting():
            for page in list(self.waiting.values()):
                page.hide_code()

    def inbound(
        self,
        account: str,
        phone: str,
        body: str,
        *,
        name: str = "",
        kind: str = "chat",
        lid_only: bool = False,
    ) -> str:
        """`phone` writes to `account`; returns the message's id. Waits where nobody is there."""
        with self.acting():
            sender = self.person(phone)
            use_lid = lid_only or self.person(account).lid_migrated
            chat = sender.lid if use_lid else f"{phone[1:]}@c.us"
            message = base.IncomingMessage(
                wa_id=f"false_{chat}_3A{next(self._counter):018X}",
                chat_id=chat,
                phone="" if lid_only else phone,
                lid=sender.lid,
                name=name or sender.name,
                kind=kind,
                body=body,
                sent_at=self.now(),
            )
            for device in self._devices(account):
                if device.page is None or device.offline:
                    device.unread[message.wa_id] = message
                else:
                    device.page.emit(base.Incoming, message=message)
            return message.wa_id

    def receipt(self, wa_id: str, ack: int) -> None:
        """The recipient's phone says delivered (2), read (3) or played (4)."""
        with self.acting():
            for sent in self.record:
                if sent.wa_id == wa_id:
                    sent.ack = max(sent.ack, ack)
                    for device in self._devices(sent.account):
                        self.tell_ack(device, wa_id, ack)

    def drop(self, account: str) -> None:
        """The socket breaks and comes back."""
        self.set_offline(account, True)
        self.set_offline(account, False)

    def set_offline(self, account: str, offline: bool) -> None:
        """The network of the account's pages is cut, or restored."""
        with self.acting():
            for device in self._devices(account):
                if device.offline != offline:
                    device.offline = offline
                    if offline:
                        device.busy.clear()
                    if device.page:
                        device.page.network(up=not offline)

    def conflict(self, account: str) -> None:
        """Another window takes the login over."""
        with self.acting():
            for device in self._devices(account):
                if device.page:
                    device.page.conflicted()

    def log_out(self, account: str, reason: str = "unknown_companion") -> None:
        """The phone removes its linked devices."""
        with self.acting():
            for device in self._devices(account):
                self.unlink(device, reason)

    def kill(self, account: str, reason: str = "browser_gone") -> None:
        """The browsers of the account die (``browser_gone``) or hang (``page_hung``)."""
        with self.acting():
            for device in self._devices(account):
                if device.page:
                    device.page.lose(reason)

    def fail(
        self, fate: Fate, *, phone: str | None = None, times: int | None = 1, code: int = 0
    ) -> None:
        """Let the next `times` messages (to `phone`) fail; `code` belongs to ``nack``."""
        with self.lock:
            self.faults.append(Fault(fate, phone, times, code))

    # ------------------------------------------------------------- what the drivers ask of it

    def _devices(self, account: str) -> list[Device]:
        return [device for device in self.devices.values() if device.account == account]

    def unlink(self, device: Device, reason: str) -> None:
        """Forget a device; its page says so and shows codes again."""
        self.devices.pop(device.profile, None)
        if device.page:
            device.page.unlinked(reason)

    def fault(self, phone: str) -> Fault | None:
        """What strikes a message to `phone` now; counts it."""
        for fault in self.faults:
            if fault.phone in (None, phone) and fault.times != 0:
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def accept(self, sent: Sent) -> Sent:
        """Store a message once; the same id again only counts."""
        key = (sent.account, sent.wa_id)
        if known := self.by_id.get(key):
            known.attempts += 1
            return known
        self.by_id[key] = sent
        self.record.append(sent)
        return sent

    def travel(self, sent: Sent) -> None:
        """The receipts that come by themselves."""
        for wanted, ack in ((self.delivered, base.Ack.DELIVERED), (self.read, base.Ack.READ)):
            if wanted:
                self._later(partial(self.receipt, sent.wa_id, ack))

    def tell_ack(self, device: Device, wa_id: str, ack: int) -> None:
        """An ack reaches one page. Those away see it by `lookup` only, as with Chromium."""
        if device.messages.get(wa_id, (ack, ""))[0] >= ack or wa_id not in device.messages:
            return
        device.messages[wa_id] = (ack, "")
        for chat, busy in list(device.busy.items()):
            if busy == wa_id:
                del device.busy[chat]
        if device.page and not device.offline:
            device.page.emit(base.Receipt, wa_ids=(wa_id,), ack=int(ack))

    def new_id(self, chat_id: str) -> str:
        return f"true_{chat_id}_3EB0{next(self._counter):018X}"

    def new_code(self) -> str:
        return f"2@{next(self._counter):044d},noise,identity,secret"

    def deliver_soon(self, page: Page) -> None:
        """`page` has events to give out once nobody holds the lock."""
        self._due.append(page)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Hold the lock; give the events out after it is released, before the caller goes on."""
        outermost = False
        try:
            with self.lock:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                    outermost = self._depth == 0
        finally:
            if outermost:  # a sink may wait for a thread that needs the lock
                self._give_out()

    def _give_out(self) -> None:
        while True:
            try:
                page = self._due.popleft()
            except IndexError:
                return
            page.give_out()
