"""Who and what there is in the world of `memory`, and how its events get out."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
    phone: str  # of the recipient; empty for a group
    kind: str  # chat, image, video, document, audio, location
    body: str = field(repr=False)
    media: base.MediaFile | None = None
    chat_id: str = ""
    quoted: str = ""  # wa_id
    preview: base.LinkPreview | None = None
    location: base.Location | None = None
    attempts: int = 1  # times it reached the server
    ack: int = base.Ack.SERVER
    acks: dict[str, int] = field(default_factory=dict)  # in groups, by the member's phone


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
    history: dict[str, base.IncomingMessage] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)  # wa_ids

    @property
    def listener(self) -> Page | None:
        """The page that hears what happens now."""
        return None if self.offline else self.page


@dataclass(slots=True)
class Person:
    phone: str
    lid: str
    name: str = ""
    lid_migrated: bool = False  # accounts only: their chats are @lid
    hidden: bool = False  # known by LID only; the phone shows itself to nobody


@dataclass(slots=True)
class Group:
    chat_id: str
    subject: str
    description: str = ""
    announce_only: bool = False
    members: dict[str, bool] = field(default_factory=dict)  # phone -> is an admin
    former: set[str] = field(default_factory=set)

    def writes(self, phone: str) -> bool:
        return phone in self.members and (self.members[phone] or not self.announce_only)


@dataclass(frozen=True, slots=True)
class Typing:
    """A page showed "typing…"."""

    account: str
    chat_id: str
    seconds: float


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


class World:
    """People, devices, messages; and the lock around them."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now = now
        self.monotonic = monotonic
        self.lock = threading.RLock()
        self.people: dict[str, Person] = {}
        self.absent: set[str] = set()
        self.devices: dict[Path, Device] = {}
        self.groups: dict[str, Group] = {}
        self.record: list[Sent] = []
        self.by_id: dict[tuple[str, str], Sent] = {}
        self._counter = itertools.count(1)
        self._due: deque[Page] = deque()
        self._depth = 0

    def person(self, phone: str, *, name: str = "", hidden: bool | None = None) -> Person:
        """The entry of a phone, made on first use; everybody is on WhatsApp but `absent`.

        `hidden`: pages know them by their LID only, wherever they meet them.
        """
        with self.lock:
            if phone not in self.people:
                lid = f"{10**14 + next(self._counter)}@lid"
                self.people[phone] = Person(phone, lid, name)
            person = self.people[phone]
            person.name = name or person.name
            person.hidden = person.hidden if hidden is None else hidden
            return person

    def person_at(self, chat_id: str) -> Person | None:
        """Whose chat it is; None when nobody has this LID."""
        if chat_id.endswith("@lid"):
            return next((one for one in self.people.values() if one.lid == chat_id), None)
        return self.person("+" + chat_id.partition("@")[0])

    def chat_of(self, account: str, person: Person) -> str:
        """The chat that `account` has with `person`."""
        by_lid = person.hidden or self.person(account).lid_migrated
        return person.lid if by_lid else f"{person.phone[1:]}@c.us"

    def devices_of(self, account: str) -> list[Device]:
        return [device for device in self.devices.values() if device.account == account]

    def new_id(self, chat_id: str, account: str) -> str:
        """The key of a message that `account` writes."""
        stanza = f"3EB0{next(self._counter):018X}"
        author = f"_{self.person(account).lid}" if chat_id.endswith("@g.us") else ""
        return f"true_{chat_id}_{stanza}{author}"

    def number(self) -> int:
        return next(self._counter)

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
