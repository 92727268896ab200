"""The outside world of `memory`: phones, recipients, the network, WhatsApp's server.

A test scans codes, lets people answer, breaks things, and reads `record`. Everything happens
synchronously in the calling thread, in an order a test can rely on; where a test wants to hold
receipts back it passes `later` (see `Steps`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from whatsapp.driver import base
from whatsapp.driver.memory_state import Device, Fate, Fault, Page, Sent
from whatsapp.driver.memory_talk import Talk

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"
"""Of the codes that are typed in on a phone."""


class MemoryWhatsApp(Talk):
    """See the module. Every method may be called from any thread.

    Rooms: `memory_state` (people, devices, the lock), `memory_talk` (messages, groups, receipts);
    here linking, the network and the server.
    """

    def __init__(
        self,
        *,
        delivered: bool = False,
        read: bool = False,
        later: Callable[[Callable[[], None]], None] | None = None,
        **clocks: Any,
    ) -> None:
        """`clocks`: `now` and `monotonic`, where a test has its own."""
        super().__init__(**clocks)
        self.delivered = delivered  # each accepted message gets these receipts by itself
        self.read = read
        self.waiting: dict[str, Page] = {}  # code text -> the page that shows it
        self.pairing: dict[str, tuple[str, Page]] = {}  # phone -> code to type in, its page
        self.faults: list[Fault] = []
        self.boot: Literal["ok", "stuck", "broken", "unsupported"] = "ok"
        self.hooks: dict[str, Callable[[base.Outgoing], None]] = {}
        """Called at ``sending`` (nothing left yet), ``accepted`` (the server has it, the page
        does not know) and ``acked``; may raise to play a crash at that point."""
        self._later = later or (lambda step: step())

    # -------------------------------------------------------------- what a test does to it

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
            self._link(page, phone, name, lid_migrated)

    def enter_code(
        self, phone: str, code: str, *, name: str = "Me", lid_migrated: bool | None = None
    ) -> None:
        """The owner of `phone` types in a code. Raises `LookupError` when it is not the one."""
        with self.acting():
            expected, page = self.pairing.get(phone, ("", None))
            if page is None or code.replace("-", "") != expected.replace("-", ""):
                raise LookupError("no page waits for this code of this phone")
            self._link(page, phone, name, lid_migrated)

    def _link(self, page: Page, phone: str, name: str, lid_migrated: bool | None) -> None:
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

    def drop(self, account: str) -> None:
        """The socket breaks and comes back."""
        self.set_offline(account, True)
        self.set_offline(account, False)

    def set_offline(self, account: str, offline: bool) -> None:
        """The network of the account's pages is cut, or restored."""
        with self.acting():
            for device in self.devices_of(account):
                if device.offline != offline:
                    device.offline = offline
                    if offline:
                        device.busy.clear()
                    if device.page:
                        device.page.network(up=not offline)

    def conflict(self, account: str) -> None:
        """Another window takes the login over."""
        with self.acting():
            for device in self.devices_of(account):
                if device.page:
                    device.page.conflicted()

    def log_out(self, account: str, reason: str = "unknown_companion") -> None:
        """The phone removes its linked devices."""
        with self.acting():
            for device in self.devices_of(account):
                self.unlink(device, reason)

    def kill(self, account: str, reason: str = "browser_gone") -> None:
        """The browsers of the account die (``browser_gone``) or hang (``page_hung``)."""
        with self.acting():
            for device in self.devices_of(account):
                if device.page:
                    device.page.lose(reason)

    def fail(
        self, fate: Fate, *, phone: str | None = None, times: int | None = 1, code: int = 0
    ) -> None:
        """Let the next `times` messages (to `phone`) fail; `code` belongs to ``nack``."""
        with self.lock:
            self.faults.append(Fault(fate, phone, times, code))

    # ------------------------------------------------------------- what the drivers ask of it

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
        if (sent.phone, sent.account) in self.blocked:
            return
        for wanted, ack in ((self.delivered, base.Ack.DELIVERED), (self.read, base.Ack.READ)):
            if wanted:
                self._later(partial(self.receipt, sent.wa_id, ack))

    def new_code(self) -> str:
        return f"2@{self.number():044d},noise,identity,secret"

    def new_pairing_code(self, phone: str, page: Page) -> str:
        number, letters = self.number() * 7919, ""
        for _ in range(8):
            number, digit = divmod(number, len(ALPHABET))
            letters += ALPHABET[digit]
        code = f"{letters[:4]}-{letters[4:]}"
        self.forget_pairing(page)
        self.pairing[phone] = (code, page)
        return code

    def forget_pairing(self, page: Page) -> None:
        for phone, (_, waiting) in list(self.pairing.items()):
            if waiting is page:
                del self.pairing[phone]
