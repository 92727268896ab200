"""The contract's rig on `MemoryWhatsApp`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.contract.rig import Sent, Session, sha256
from whatsapp.driver import base
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
        wa_id = self.world.inbound(
            account,
            phone,
            body,
            name=name,
            kind=kind,
            group=group,
            quoted=quoted,
            location=location,
            media=media,
            size=size,
        )
        if gone:
            del self.world.files[wa_id]
        return wa_id.split("_")[2]

    def write_on_phone(self, account: str, to: str, body: str) -> str:
        return self.world.write_on_phone(account, to, body).split("_")[2]

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
        if hidden:
            self.world.person(hidden, hidden=True)
        admins = [account] if admin else members[:1]
        return self.world.make_group(
            subject,
            [account, *members],
            admins=admins,
            announce_only=announce_only,
            description="Who buys",
        ).chat_id

    def leave_group(self, group: str, phone: str) -> None:
        self.world.leave(group, phone)

    def make_admin(self, group: str, phone: str) -> None:
        self.world.promote(group, phone)

    def announce_only(self, group: str) -> None:
        self.world.restrict(group, True)

    def group_receipt(self, wa_id: str, ack: int, phone: str) -> None:
        self.world.receipt(wa_id, ack, member=phone)

    def enter_code(self, phone: str, code: str) -> None:
        self.world.enter_code(phone, code)

    def is_typing(self, account: str, chat_id: str) -> bool:
        return self.world.is_typing(account, chat_id)

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
                preview = one.preview
                return Sent(
                    one.phone,
                    one.kind,
                    one.body,
                    digest,
                    one.attempts,
                    1,
                    chat=one.chat_id,
                    quoted=one.quoted.split("_")[2] if one.quoted else "",
                    location=one.location,
                    preview=(
                        (preview.url, preview.title, preview.description, sha256(preview.thumbnail))
                        if preview
                        else None
                    ),
                )
        return None
