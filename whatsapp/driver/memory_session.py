"""The life of a session in memory: codes, states, the order of its events."""

# ruff: noqa: ARG002 - deadlines have no meaning here

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from whatsapp.driver import base
from whatsapp.driver.base import PageState
from whatsapp.driver.memory_state import Device
from whatsapp.driver.memory_world import MemoryWhatsApp

log = structlog.get_logger(__name__)


class MemorySession:
    """`profile` names the device and is never written to."""

    process_group: int | None = None

    def __init__(self, world: MemoryWhatsApp, *, profile: Path, on_event: base.EventSink) -> None:
        self.profile = profile
        self._world = world
        self._on_event = on_event
        self._state = PageState.LOADING
        self._opened = False
        self._lost = "browser_gone"  # until it is opened
        self._code: base.QrCode | None = None
        self._codes = 0
        self._seq = 0
        self._events: deque[base.Event] = deque()
        self._giving_out = threading.RLock()
        self._given: set[str] = set()  # ids of messages that this session told of, or sent

    # ------------------------------------------------- called by the world, its lock held

    def emit(self, kind: type[base.Event], **values: Any) -> None:
        if not self._opened:
            return
        if kind is base.Incoming:
            self._given.add(values["message"].wa_id)
        self._seq += 1
        self._events.append(kind(seq=self._seq, at=self._world.now(), **values))
        self._world.deliver_soon(self)

    def give_out(self) -> None:
        """Deliver what is queued, in order, one at a time; without the world's lock."""
        with self._giving_out:
            while self._events:
                event = self._events.popleft()
                try:
                    self._on_event(event)
                except Exception:
                    log.exception("event_failed", kind=type(event).__name__)

    def linked(self) -> None:
        self._forget_code()
        self.emit(base.Linked)
        self._enter_main()

    def unlinked(self, reason: str) -> None:
        self.emit(base.LoggedOut, reason=reason)
        self.show_code()

    def show_code(self) -> None:
        self._forget_code()
        self._codes += 1
        self._code = base.QrCode(self._world.new_code(), self._codes)
        self._world.waiting[self._code.text] = self
        self._state = PageState.QR
        self.emit(base.QrChanged, code=self._code)

    def hide_code(self) -> None:
        self._forget_code()
        self._state = PageState.QR_IDLE
        self.emit(base.QrIdle)

    def network(self, *, up: bool) -> None:
        if up:
            self._enter_main()
        elif self._state is PageState.CONNECTED:
            self._state = PageState.RECONNECTING
            self.emit(base.Disconnected)

    def conflicted(self) -> None:
        self._state = PageState.CONFLICT
        self.emit(base.Conflict)

    def lose(self, reason: str) -> None:
        if not self._lost:
            self.emit(base.BrowserLost, reason=reason)
            self._lost = reason

    def _enter_main(self) -> None:
        if self._device().offline:
            self._state = PageState.RECONNECTING
            return
        self._state = PageState.CONNECTED
        self.emit(base.Ready)

    def _forget_code(self) -> None:
        if self._code:
            self._world.waiting.pop(self._code.text, None)
        self._code = None
        self._world.forget_pairing(self)

    # ------------------------------------------------------------------------------- life

    def open(self, *, deadline: float) -> PageState:
        with self._world.acting():
            if self._world.boot == "broken":
                raise base.Retryable("browser_failed")
            if self._world.boot == "stuck":
                raise base.Retryable("page_not_ready")
            if self._world.boot == "unsupported":
                raise base.Retryable("unsupported_browser")
            device = self._world.devices.get(self.profile)
            if device and device.page:
                raise base.Retryable("profile_in_use")
            self._opened, self._lost = True, ""
            if device is None:
                self.show_code()
            else:
                device.page = self
                self._enter_main()
            if self._state not in (PageState.QR, PageState.CONNECTED):
                self._shut()
                raise base.Retryable("page_not_ready")
            return self._state

    def close(self) -> None:
        with self._world.acting():
            self._shut()

    def _shut(self) -> None:
        self._forget_code()
        device = self._world.devices.get(self.profile)
        if device and device.page is self:
            device.page = None
            device.busy.clear()
        self._opened, self._lost = False, self._lost or "browser_gone"
        self._events.clear()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        with self._world.acting():
            if self._lost:
                raise base.SessionLost(self._lost)
            yield

    def _device(self) -> Device:
        return self._world.devices[self.profile]

    def _ready(self) -> Device:
        if self._state is PageState.CONNECTED:
            return self._device()
        if self._state is PageState.RECONNECTING:
            raise base.Retryable("offline")
        lost = self._state in (PageState.QR, PageState.QR_IDLE)
        raise base.SessionLost("not_linked" if lost else self._state.value)
