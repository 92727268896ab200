"""What the contract's tests may do to the outside world, whatever stands behind the driver."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from whatsapp.driver import base

E = TypeVar("E", bound=base.Event)

OPEN = 40.0
"""Seconds a browser may take to start on a busy machine."""
CALL = 10.0
"""Deadline of calls that are expected to be answered."""
WAIT = 10.0
"""Seconds until an expected event must have come."""


class Session:
    """A driver and what it said so far."""

    def __init__(self, make: Callable[[base.EventSink], base.Driver]) -> None:
        self._arrived = threading.Condition()
        self.events: list[base.Event] = []
        self.driver = make(self._take)
        self.account = ""

    def _take(self, event: base.Event) -> None:
        with self._arrived:
            self.events.append(event)
            self._arrived.notify_all()

    def of(self, kind: type[E]) -> list[E]:
        with self._arrived:
            return [event for event in self.events if isinstance(event, kind)]

    def wait_for(
        self, kind: type[E], where: Callable[[E], bool] = lambda _: True, *, after: int = 0
    ) -> E:
        """The first event of `kind` with a seq above `after` for which `where` holds."""
        until = time.monotonic() + WAIT
        with self._arrived:
            while True:
                for event in self.events:
                    if isinstance(event, kind) and event.seq > after and where(event):
                        return event
                if not self._arrived.wait(max(0.0, until - time.monotonic())):
                    said = [type(event).__name__ for event in self.events]
                    raise AssertionError(f"no {kind.__name__} within {WAIT} s, only {said}")

    @property
    def last(self) -> int:
        """The seq of the newest event."""
        with self._arrived:
            return self.events[-1].seq if self.events else 0

    def send(self, phone: str, text: str, *, deadline: float = CALL) -> base.Outgoing:
        """Prepare and send a text the way the outbox does; returns where it went."""
        out = self.driver.prepare(phone, deadline=CALL)
        self.driver.send_text(out, text, not_after=time.monotonic() + deadline, deadline=deadline)
        return out


@dataclass(frozen=True)
class Sent:
    """What reached WhatsApp's server under one message id."""

    phone: str  # empty for a group
    kind: str
    body: str
    sha256: str  # of the media's bytes, empty for a text
    attempts: int  # times it came
    copies: int  # times the recipient got it
    chat: str = ""
    quoted: str = ""  # stanza id
    location: base.Location | None = None
    preview: tuple[str, str, str, str] | None = (
        None  # url, title, description, sha256 of its picture
    )


class Rig(Protocol):
    """The outside world of one driver. Phones are E.164 with a plus."""

    name: str
    impatience: float
    """Deadline in seconds for sends that are expected to hear nothing."""

    def session(self, profile: Path, *, fast_codes: bool = False) -> Session:
        """A driver on a profile, not opened. `fast_codes`: QR codes change and run out soon."""

    def refusing(
        self, how: Literal["stuck", "unsupported"], profile: Path
    ) -> AbstractContextManager[Session]:
        """A session whose page never gets ready, or tells the browser to go."""

    def scan(self, session: Session, phone: str, *, name: str, lid_migrated: bool) -> None: ...
    def next_code(self, session: Session) -> None:
        """Make the next code come, where it does not by itself."""

    def codes_run_out(self, session: Session) -> None: ...
    def inbound(
        self,
        account: str,
        phone: str,
        body: str = "",
        *,
        name: str = "Ana",
        kind: str = "",
        group: str = "",
        quoted: str = "",
        location: base.Location | None = None,
        media: base.MediaFile | None = None,
        size: int | None = None,
        gone: bool = False,
    ) -> str:
        """`phone` writes; returns the stanza id. `size` is what a file is announced with, where it
        lies; a file that is `gone` can be fetched no more."""

    def write_on_phone(self, account: str, to: str, body: str) -> str:
        """The owner writes to a phone or a group on the phone itself; returns the stanza id."""

    def make_group(
        self,
        account: str,
        members: list[str],
        *,
        subject: str = "Customers",
        admin: bool = False,
        announce_only: bool = False,
        hidden: str = "",
    ) -> str:
        """A group of the account, an admin of it or not, and others; `hidden` is one of them whose
        phone nobody sees. Returns its chat id."""

    def leave_group(self, group: str, phone: str) -> None: ...
    def make_admin(self, group: str, phone: str) -> None: ...
    def announce_only(self, group: str) -> None: ...
    def group_receipt(self, wa_id: str, ack: int, phone: str) -> None: ...
    def enter_code(self, phone: str, code: str) -> None: ...
    def is_typing(self, account: str, chat_id: str) -> bool: ...
    def receipt(self, wa_id: str, ack: int) -> None: ...
    def drop(self, account: str) -> None:
        """The socket breaks; the page may come back at once."""

    def offline(self, account: str, cut: bool) -> None:
        """Cut the account's network, or mend it."""

    def conflict(self, account: str) -> None: ...
    def log_out(self, account: str) -> None: ...
    def absent(self, phone: str) -> None: ...
    def fail(
        self, fate: Literal["lost", "late", "swallowed", "nack"], phone: str, *, code: int = 0
    ) -> None:
        """What happens to the next message to `phone`. ``late``: its ack comes after
        `impatience`, all by itself or when `late_ack` is called."""

    def late_ack(self, wa_id: str) -> None: ...

    def sent(self, wa_id: str) -> Sent | None:
        """What the server has under this id, None when nothing came."""


_phones = itertools.count(1)


def new_phone() -> str:
    """A number nobody else in this run uses, from the range kept free for fiction."""
    return f"+3363998{next(_phones):04d}"


def link(rig: Rig, profile: Path, *, name: str = "Referrer", lid_migrated: bool = False) -> Session:
    """A session on a fresh profile, scanned by a phone of its own and ready."""
    session = rig.session(profile)
    session.account = new_phone()
    assert session.driver.open(deadline=OPEN) is base.PageState.QR
    rig.scan(session, session.account, name=name, lid_migrated=lid_migrated)
    session.wait_for(base.Ready)
    return session


def reopen(rig: Rig, session: Session, profile: Path) -> Session:
    """The next session on the profile of `session`, opened and connected."""
    session.driver.close()
    again = rig.session(profile)
    again.account = session.account
    assert again.driver.open(deadline=OPEN) is base.PageState.CONNECTED
    return again


def soon() -> float:
    """A deadline for a call, by the monotonic clock."""
    return time.monotonic() + CALL


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wait_until(holds: Callable[[], bool], what: str, *, within: float = WAIT) -> None:
    until = time.monotonic() + within
    while not holds():
        assert time.monotonic() < until, f"not within {within} s: {what}"
        time.sleep(0.02)
