"""The contract's rig on `MemoryWhatsApp`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.contract.rig import Sent, Session, sha256
from whatsapp.driver.base import Ack
from whatsapp.driver.memory import MemoryFactory, MemoryWhatsApp


class MemoryRig:
    name = "memory"
    impatience = 0.1

    def __init__(self) -> None:
        self.world = MemoryWhatsApp()
        self.factory = MemoryFactory(self.world)

    def session(self, profile: Path, *, fast_codes: bool = False) -> Session:
        return Session(lambda sink: self.factory(profile=profile, on_event=sink))

    @contextmanager
    def refusing(self, how: Literal["stuck", "unsupported"], profile: Path) -> Iterator[Session]:
        self.world.boot = how
        try:
            yield self.session(profile)
        finally:
            self.world.boot = "ok"

    def scan(self, session: Session, phone: str, *, name: str, lid_migrated: bool) -> None:
        code = session.driver.qr()
        assert code is not None
        self.world.scan(phone, code=code.text, name=name, lid_migrated=lid_migrated)

    def next_code(self, session: Session) -> None:
        self.world.rotate()

    def codes_run_out(self, session: Session) -> None:
        self.world.run_out()

    def inbound(self, account: str, phone: str, body: str, *, name: str = "Ana") -> None:
        self.world.inbound(account, phone, body, name=name)

    def receipt(self, wa_id: str, ack: int) -> None:
        self.world.receipt(wa_id, ack)

    def drop(self, account: str) -> None:
        self.world.drop(account)

    def offline(self, account: str, cut: bool) -> None:
        self.world.set_offline(account, cut)

    def conflict(self, account: str) -> None:
        self.world.conflict(account)

    def log_out(self, account: str) -> None:
        self.world.log_out(account)

    def absent(self, phone: str) -> None:
        self.world.absent.add(phone)

    def fail(
        self, fate: Literal["lost", "late", "swallowed", "nack"], phone: str, *, code: int = 0
    ) -> None:
        self.world.fail("lost" if fate == "late" else fate, phone=phone, code=code)

    def late_ack(self, wa_id: str) -> None:
        self.world.receipt(wa_id, Ack.SERVER)

    def sent(self, wa_id: str) -> Sent | None:
        for one in self.world.record:
            if one.wa_id == wa_id:
                digest = sha256(one.media.data) if one.media else ""
                return Sent(one.phone, one.kind, one.body, digest, one.attempts, 1)
        return None
