"""The live browsers of one worker process: who is open, whose turn it is, closed in order.

Celery's pool threads run `driving.drive`, one account each; `upkeep.py` has the other threads.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connections

from accounts import poison
from whatsapp import doorbells, leases, profiles
from whatsapp.driver.base import Driver, DriverFactory, Event, IncomingMessage
from whatsapp.upkeep import Upkeep

log = structlog.get_logger(__name__)

# Longer than any single call into a browser, shorter than whoever stops us waits.
STOP_SECONDS = 90.0


@dataclass(eq=False)
class Session:
    """One open browser with its lease. `connected` is set while the page can send."""

    account_id: int
    held: leases.Held
    driver: Driver
    profile: Path
    opened: bool = False  # the page was usable once
    opened_at: float = field(default_factory=time.monotonic)
    used_at: float = field(default_factory=time.monotonic)
    link_ends: float | None = None  # monotonic; None once linked
    linked: bool = False  # its profile holds a login worth saving
    saved_at: float | None = None  # monotonic; None: never since it was opened
    knows_from: datetime | None = None  # see `profiles.Ready`
    showed_code: bool = False  # a QR code: whoever is linked now has a new login
    typed_for: str = ""  # the phone for which a code to type in was asked
    caught_up: bool = False
    unstored: list[IncomingMessage] = field(default_factory=list)  # caught up, not in the database
    reconnects: int = 0  # looks at a page without a socket
    look_again: float | None = None  # monotonic; when to look at it next
    probed_at: float = field(default_factory=time.monotonic)
    looked_at: float = 0.0  # monotonic; at what people want to know of its groups
    chats_stuck: int = 0  # times a chat was busy with a send nobody answered
    noted_group: int | None = None  # the browser's process group, as the lease knows it
    memory: int = 0  # bytes its browser took when it was last measured; 0: not yet
    noted_memory: int = 0  # the same, as the lease knows it
    lost: str = ""  # why the browser is of no more use
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def usable(self) -> bool:
        return self.held.alive and not self.lost and not self.closing.is_set()

    @property
    def save_due(self) -> bool:
        """Whether its profile should be saved while it is open: first after linking."""
        if not self.linked:
            return False
        every = settings.WHATSAPP_PROFILE_SAVE_SECONDS
        return self.saved_at is None or time.monotonic() - self.saved_at > every


class NoSlot(Exception):
    """This worker holds as many browsers as it may, and none of them is idle."""


class SessionPool:
    """Open sessions by account. One per worker process; see `tasks.pool`."""

    def __init__(
        self,
        *,
        holder: leases.Holder,
        make_driver: DriverFactory,
        profiles_root: Path,
        on_event: Callable[[Session, Event], None],
        drive: Callable[[SessionPool, int], None],
    ) -> None:
        self.holder = holder
        self.stopping = threading.Event()
        self._make_driver = make_driver
        self._profiles_root = profiles_root
        self._drive = drive
        self._sessions: dict[int, Session] = {}
        self._busy: dict[int, bool] = {}  # account -> rung again meanwhile
        self._lock = threading.Condition()
        self._claiming: set[int] = set()  # slots kept for accounts that are being taken
        self._wakes = ThreadPoolExecutor(max_workers=8, thread_name_prefix="wake")
        self._upkeep = Upkeep(self, on_event)
        self._ended = False

    # --------------------------------------------------------------------------- life cycle

    def start(self) -> None:
        """Start the threads of `upkeep`."""
        self._upkeep.start()

    def stop(self) -> None:
        """End everything, in order: see `drain`. For good."""
        self._ended = True
        self.drain()
        self._wakes.shutdown(wait=False, cancel_futures=True)
        self._upkeep.stop()

    @property
    def state(self) -> str:
        """``taking`` accounts, ``draining``, or ``drained``."""
        with self._lock:
            if not self.stopping.is_set():
                return "taking"
            return "draining" if self._sessions or self._busy else "drained"

    @property
    def beats(self) -> bool:
        """Whether PostgreSQL took a heartbeat while the leases of the one before still ran."""
        return time.monotonic() - self._upkeep.beaten_at < settings.WHATSAPP_LEASE_SECONDS

    def drain(self) -> None:
        """Let what is being sent finish, close every browser, give every lease back.

        No account is taken until `undrain`; leases are renewed until the last browser has ended.
        Returns when that is done, or after `STOP_SECONDS`.
        """
        with self._lock:
            self.stopping.set()
            self._lock.notify_all()
        until = time.monotonic() + STOP_SECONDS
        while time.monotonic() < until:
            with self._lock:
                sessions = list(self._sessions.values())
                # Somebody may have let it take accounts again since the last look.
                if not self.stopping.is_set() or not (sessions or self._busy):
                    return
            with ThreadPoolExecutor(max_workers=8) as closers:
                list(closers.map(self._close_on_stop, sessions))
            with self._lock:
                self._lock.wait_for(lambda: not self._busy, 1.0)

    def undrain(self) -> bool:
        """Take accounts again. False while it is still draining, or when the worker stops."""
        with self._lock:
            if self._ended or self._sessions or self._busy:
                return False
            self.stopping.clear()
            return True

    def _close_on_stop(self, session: Session) -> None:
        # A send that has begun is finished first: its thread sees `stopping` right after it. A
        # browser that is still being opened has nothing to finish.
        if session.opened:
            patience = settings.WHATSAPP_SEND_SECONDS + settings.WHATSAPP_CALL_SECONDS
            with self._lock:
                self._lock.wait_for(lambda: session.account_id not in self._busy, patience)
        with poison.apart("session not closed", account_id=session.account_id):
            self.close(session, reason="worker stops")
        with contextlib.suppress(DatabaseError):
            doorbells.ring([session.account_id])  # another worker takes over at once
        connections.close_all()

    # ------------------------------------------------------------------------------- turns

    @contextlib.contextmanager
    def turn(self, account_id: int) -> Iterator[bool]:
        """One thread at a time per account. Gives False, and remembers the ring, when busy."""
        with self._lock:
            mine = account_id not in self._busy
            self._busy[account_id] = not mine
        if not mine:
            yield False
            return
        try:
            yield True
        finally:
            with self._lock:
                again = self._busy.pop(account_id)
                self._lock.notify_all()
            if again:
                self.wake(account_id)

    def wake(self, account_id: int) -> None:
        """Look at an account soon, on a thread of our own: for what a browser just said."""

        def run() -> None:
            try:
                self._drive(self, account_id)
            except Exception:
                log.exception("drive failed", account_id=account_id)
            finally:
                close_old_connections()

        if not self.stopping.is_set():
            with contextlib.suppress(RuntimeError):  # shut down between the check and here
                self._wakes.submit(run)

    # ---------------------------------------------------------------------------- sessions

    def get(self, account_id: int) -> Session | None:
        with self._lock:
            return self._sessions.get(account_id)

    def all(self) -> list[Session]:
        """Every session there is, those that are being closed included."""
        with self._lock:
            return list(self._sessions.values())

    def __len__(self) -> int:
        with self._lock:
            return len(self._sessions)

    def profile(self, account_id: int) -> Path:
        return self._profiles_root / str(account_id)

    def claim(self, account_id: int, *, evict: bool) -> Session | None:
        """Take the lease and register a session, browser not started. None: somebody else's.

        Call it within a `turn`. `evict`: whether an idle session may be closed to make room.
        Raises `NoSlot` and `leases.StillAlive`.
        """
        with self._lock:
            # The one before may still be closing: two browsers never share a profile.
            if not self._lock.wait_for(lambda: account_id not in self._sessions, STOP_SECONDS):
                raise NoSlot
        self._make_room(account_id, evict=evict)
        try:
            held = leases.take(account_id, self.holder)
            if held is None:
                return None
            profile = self.profile(account_id)
            session: Session

            def on_event(event: Event) -> None:
                self._upkeep.hear(session, event)

            driver = self._make_driver(profile=profile, on_event=on_event)
            session = Session(account_id=account_id, held=held, driver=driver, profile=profile)
            with self._lock:
                if not self.stopping.is_set():
                    self._sessions[account_id] = session
                    return session
            leases.release(held)
            raise NoSlot
        finally:
            with self._lock:
                self._claiming.discard(account_id)

    def _make_room(self, account_id: int, *, evict: bool) -> None:
        """Keep a slot for the account, closing the session used least recently if need be."""
        victim = None
        with self._lock:
            if self.stopping.is_set():
                raise NoSlot
            if len(self._sessions) + len(self._claiming) >= settings.WHATSAPP_MAX_SESSIONS:
                idle = [
                    s
                    for s in self._sessions.values()
                    if s.account_id not in self._busy and s.link_ends is None
                ]
                if not idle or not evict:
                    raise NoSlot
                victim = min(idle, key=lambda s: s.used_at)
                self._busy[victim.account_id] = False  # its turn is ours: nobody sends meanwhile
            self._claiming.add(account_id)
        if victim is not None:
            try:
                self.close(victim, reason="slot needed")
            finally:
                with self._lock:
                    self._busy.pop(victim.account_id, None)
                    self._lock.notify_all()

    def close(self, session: Session, *, reason: str, keep_lease: bool = False) -> None:
        """End the browser, save its profile, then give the lease back. Idempotent.

        `keep_lease`: the lease is lost, or the caller gives it back: nothing is saved. The lease is
        renewed until this is done.
        """
        with self._lock:
            if session.closing.is_set():
                return
            session.closing.set()
        try:
            session.driver.close()
            if session.linked and not keep_lease:
                profiles.save(session.held, session.profile, ended=True)
            if not keep_lease:
                leases.release(session.held)
        except DatabaseError as error:
            log.warning("lease runs out by itself", account_id=session.account_id, why=str(error))
        finally:
            with self._lock:
                if self._sessions.get(session.account_id) is session:
                    del self._sessions[session.account_id]
                self._lock.notify_all()
        log.info("session closed", account_id=session.account_id, reason=reason)

    def close_soon(self, session: Session, *, reason: str, keep_lease: bool = False) -> None:
        """The same on a thread of its own: for whoever must not wait."""

        def run() -> None:
            self.close(session, reason=reason, keep_lease=keep_lease)
            connections.close_all()

        threading.Thread(target=run, name=f"close-{session.account_id}", daemon=True).start()
