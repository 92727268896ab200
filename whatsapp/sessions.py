"""The live browsers of one worker process: who is open, kept by a heartbeat, closed in order.

Threads of a worker:

* Celery's pool threads run `driving.drive`, one account each;
* the heartbeat renews every lease in one statement;
* one consumer takes the events of all browsers and writes them down (`events.py`);
* housekeeping ends attempts to link that nobody scanned.
"""

from __future__ import annotations

import contextlib
import queue
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

from whatsapp import leases, processes, profiles
from whatsapp.driver.base import Driver, DriverFactory, Event

log = structlog.get_logger(__name__)

PROBE_SECONDS = 60.0


@dataclass(eq=False)
class Session:
    """One open browser with its lease. `connected` is set while the page can send."""

    account_id: int
    held: leases.Held
    driver: Driver
    profile: Path
    opened_at: float = field(default_factory=time.monotonic)
    used_at: float = field(default_factory=time.monotonic)
    link_ends: float | None = None  # monotonic; None once linked
    linked: bool = False  # its profile holds a login worth saving
    saved_at: float | None = None  # monotonic; None: never since it was opened
    known_until: datetime | None = None  # see `profiles.Ready`
    caught_up: bool = False
    reconnects: int = 0  # looks at a page without a socket
    look_again: float | None = None  # monotonic; when to look at it next
    probed_at: float = field(default_factory=time.monotonic)
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
        self._on_event = on_event
        self._drive = drive
        self._sessions: dict[int, Session] = {}
        self._busy: dict[int, bool] = {}  # account -> rung again meanwhile
        self._lock = threading.Condition()
        self._events: queue.SimpleQueue[tuple[Session, Event] | None] = queue.SimpleQueue()
        self._wakes = ThreadPoolExecutor(max_workers=8, thread_name_prefix="wake")
        self._threads: list[threading.Thread] = []

    # --------------------------------------------------------------------------- life cycle

    def start(self) -> None:
        """Start the heartbeat, the consumer of events and the housekeeping."""
        for name, work in (
            ("heartbeat", self._heartbeat),
            ("events", self._consume),
            ("housekeeping", self._keep_house),
        ):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Let what is being sent finish, close every browser, give every lease back."""
        self.stopping.set()
        with self._lock:
            sessions = list(self._sessions.values())
        with ThreadPoolExecutor(max_workers=8) as closers:
            list(closers.map(self._close_on_stop, sessions))
        self._wakes.shutdown(wait=True, cancel_futures=True)
        self._events.put(None)

    def _close_on_stop(self, session: Session) -> None:
        # A send that has begun is finished first: its thread sees `stopping` right after it.
        with self._lock:
            self._lock.wait_for(
                lambda: session.account_id not in self._busy, settings.WHATSAPP_SEND_SECONDS
            )
        self.close(session, reason="worker stops")
        connections.close_all()

    # ------------------------------------------------------------------------------- turns

    @contextlib.contextmanager
    def turn(self, account_id: int) -> Iterator[bool]:
        """One thread at a time per account. Gives False, and remembers the ring, when busy."""
        with self._lock:
            if account_id in self._busy:
                self._busy[account_id] = True
                mine = False
            else:
                self._busy[account_id] = False
                mine = True
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

    def __len__(self) -> int:
        with self._lock:
            return len(self._sessions)

    def profile(self, account_id: int) -> Path:
        return self._profiles_root / str(account_id)

    def claim(self, account_id: int) -> Session | None:
        """Take the lease and register a session, browser not started. None: somebody else's.

        Call it within a `turn`. Raises `NoSlot` and `leases.StillAlive`.
        """
        self._make_room()
        held = leases.take(account_id, self.holder)
        if held is None:
            return None
        profile = self.profile(account_id)
        session: Session

        def on_event(event: Event) -> None:
            self._events.put((session, event))

        driver = self._make_driver(profile=profile, on_event=on_event)
        session = Session(account_id=account_id, held=held, driver=driver, profile=profile)
        with self._lock:
            self._sessions[account_id] = session
        return session

    def _make_room(self) -> None:
        with self._lock:
            if len(self._sessions) < settings.WHATSAPP_MAX_SESSIONS:
                return
            idle = [
                s
                for s in self._sessions.values()
                if s.account_id not in self._busy and s.link_ends is None
            ]
        if not idle:
            raise NoSlot
        self.close(min(idle, key=lambda s: s.used_at), reason="slot needed")

    def close(self, session: Session, *, reason: str, keep_lease: bool = False) -> None:
        """End the browser, then give the lease back. Idempotent."""
        if session.closing.is_set():
            return
        session.closing.set()
        session.driver.close()
        if session.linked and not keep_lease:
            self._save(session)
        with self._lock:
            if self._sessions.get(session.account_id) is session:
                del self._sessions[session.account_id]
        if not keep_lease:
            try:
                leases.release(session.held)
            except DatabaseError:
                log.warning("lease runs out by itself", account_id=session.account_id)
        log.info("session closed", account_id=session.account_id, reason=reason)

    @staticmethod
    def _save(session: Session) -> None:
        """After the browser has ended: another host may go on from this."""
        try:
            profiles.save(session.held, session.profile, ended=True)
        except DatabaseError as error:
            log.warning("profile not saved", account_id=session.account_id, why=str(error))

    # ----------------------------------------------------------------------------- threads

    def _heartbeat(self) -> None:
        while not self.stopping.wait(settings.WHATSAPP_HEARTBEAT_SECONDS):
            try:
                self._beat()
            except Exception:  # whatever it is, the next beat must come
                log.exception("heartbeat failed")

    def _beat(self) -> None:
        with self._lock:
            sessions = [s for s in self._sessions.values() if not s.closing.is_set()]
        lost: set[int] = set()
        try:
            close_old_connections()
            lost = leases.renew([s.held for s in sessions], self.holder)
        except DatabaseError as error:
            log.warning("heartbeat not written", error=type(error).__name__)
        for session in sessions:
            # Before anything else: somebody else may be opening this profile.
            if session.account_id in lost or not session.held.alive:
                self.close(session, reason="lease lost", keep_lease=True)

    def _consume(self) -> None:
        while (item := self._events.get()) is not None:
            session, event = item
            try:
                close_old_connections()
                self._on_event(session, event)
            except DatabaseError as error:
                # The page will be asked again (receipts by look-up, messages by catch-up).
                session.caught_up = False
                log.warning("event not stored", event_kind=type(event).__name__, error=str(error))
            except Exception:
                log.exception("event failed", event_kind=type(event).__name__)

    def _probe(self, now: float) -> None:
        """Look at each browser once a minute: driving asks its page, and its memory is measured."""
        with self._lock:
            due = [s for s in self._sessions.values() if now - s.probed_at > PROBE_SECONDS]
        for session in due:
            session.probed_at = now
            group = session.driver.process_group
            used = processes.memory(group) if group is not None else 0
            if used > settings.WHATSAPP_MEMORY_MB * 2**20:
                log.warning("browser too large", account_id=session.account_id, used=used)
                session.lost = "recycled: it took too much memory"
            self.wake(session.account_id)

    def _keep_house(self) -> None:
        while not self.stopping.wait(1.0):
            now = time.monotonic()
            self._probe(now)
            with self._lock:
                waiting = [
                    s
                    for s in self._sessions.values()
                    if (s.link_ends is not None and now > s.link_ends)
                    or (s.look_again is not None and now > s.look_again)
                    or s.save_due
                ]
            for session in waiting:
                self.wake(session.account_id)
