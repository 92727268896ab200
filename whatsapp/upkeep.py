"""What goes on beside the work of a browser worker, on three threads of its own.

* The heartbeat renews every lease in one statement, until the last browser has ended.
* One consumer takes the events of all browsers and writes them down, in order (`events.py`).
* Housekeeping asks no database: it closes browsers whose lease is over, wakes accounts whose time
  has come, and looks at each browser once a minute.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections

from accounts import poison
from accounts.database import is_away
from whatsapp import leases, processes
from whatsapp.driver.base import Event

if TYPE_CHECKING:
    from whatsapp.sessions import Session, SessionPool

log = structlog.get_logger(__name__)

PROBE_SECONDS = 60.0
RETRY_SECONDS = 1.0


class Upkeep:
    """The threads of one `SessionPool`. `on_event` stores one event."""

    def __init__(self, pool: SessionPool, on_event: Callable[[Session, Event], None]) -> None:
        self._pool = pool
        self._on_event = on_event
        self._events: queue.SimpleQueue[tuple[Session, Event] | None] = queue.SimpleQueue()
        self._done = threading.Event()
        self._threads: list[threading.Thread] = []
        self.beaten_at = time.monotonic()  # the last heartbeat that PostgreSQL took

    def start(self) -> None:
        for name, work in (
            ("heartbeat", self._heartbeat),
            ("events", self._consume),
            ("housekeeping", self._keep_house),
        ):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Store what is queued, then end the threads. Every browser has ended."""
        self._done.set()
        self._events.put(None)
        for thread in self._threads:
            thread.join(timeout=5)

    def hear(self, session: Session, event: Event) -> None:
        self._events.put((session, event))

    # --------------------------------------------------------------------------- heartbeat

    def _heartbeat(self) -> None:
        while not self._done.wait(settings.WHATSAPP_HEARTBEAT_SECONDS):
            try:
                self.beat()
            except Exception:  # whatever it is, the next beat must come
                log.exception("heartbeat failed")

    def beat(self) -> None:
        """Renew the leases of all sessions; close those that somebody else holds now."""
        sessions = self._pool.all()
        try:
            close_old_connections()
            lost = leases.renew([s.held for s in sessions], self._pool.holder)
            for session in sessions:
                with poison.apart("browser not noted", account_id=session.account_id):
                    _note_browser(session)
        except DatabaseError as error:
            log.warning("heartbeat not written", error=type(error).__name__)
            return
        self.beaten_at = time.monotonic()
        for session in sessions:
            if session.account_id in lost:
                # Before anything else: somebody else may be opening this profile.
                self._pool.close_soon(session, reason="lease lost", keep_lease=True)

    # ------------------------------------------------------------------------------ events

    def _consume(self) -> None:
        while (item := self._events.get()) is not None:
            self.store(*item)

    def store(self, session: Session, event: Event) -> None:
        """Write one event down; while PostgreSQL is away, wait for it: none may be lost."""
        while True:
            try:
                close_old_connections()
                self._on_event(session, event)
            except Exception as error:
                if is_away(error):
                    log.warning("event waits", event_kind=type(event).__name__, error=str(error))
                    if not self._done.wait(RETRY_SECONDS):
                        continue
                else:
                    log.exception("event failed", event_kind=type(event).__name__)
            return

    # ------------------------------------------------------------------------ housekeeping

    def _keep_house(self) -> None:
        while not self._done.wait(1.0):
            try:
                self.keep_house(time.monotonic())
            except Exception:
                log.exception("housekeeping failed")

    def keep_house(self, now: float) -> None:
        """One round at `now` (monotonic)."""
        for session in self._pool.all():
            if not session.closing.is_set():
                with poison.apart("housekeeping failed", account_id=session.account_id):
                    self._keep(session, now)

    def _keep(self, session: Session, now: float) -> None:
        if now > session.held.until:
            # PostgreSQL may be out of reach for us only: somebody may take the account.
            self._pool.close_soon(session, reason="lease over", keep_lease=True)
        elif now - session.probed_at > PROBE_SECONDS:
            self._probe(session, now)
        elif session.opened and not session.memory:
            session.memory = _memory(session)
        elif (
            (session.link_ends is not None and now > session.link_ends)
            or (session.look_again is not None and now > session.look_again)
            or session.save_due
        ):
            self._pool.wake(session.account_id)

    def _probe(self, session: Session, now: float) -> None:
        """Driving asks the page, which notices one that hangs; its memory is measured here."""
        session.probed_at = now
        session.memory = _memory(session)
        if session.memory > settings.WHATSAPP_MEMORY_MB * 2**20:
            log.warning("browser too large", account_id=session.account_id, used=session.memory)
            session.lost = "recycled: it took too much memory"
        self._pool.wake(session.account_id)


def _note_browser(session: Session) -> None:
    """Before the page is usable, so that a take-over finds the browser all the same."""
    group = session.driver.process_group
    if group != session.noted_group and leases.record_browser(session.held, group):
        session.noted_group = group
    used = session.memory
    if used != session.noted_memory and leases.record_memory(session.held, used):
        session.noted_memory = used


def _memory(session: Session) -> int:
    group = session.driver.process_group
    return processes.memory(group) if group is not None else 0
