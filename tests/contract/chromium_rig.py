"""The contract's rig on Chromium and the simulator."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from tests.contract.rig import Sent, Session
from whatsapp.driver import base
from whatsapp.driver.chromium import ChromiumDriver
from whatsapp.driver.launch import ChromiumConfig
from whatsapp.simulator.client import media as attached
from whatsapp.simulator.process import SimulatorProcess

ROOT = Path(__file__).parents[2]
WA_JS = ROOT / "node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js"
AGES = 10**6
"""Seconds; longer than any run."""


class ChromiumRig:
    name = "chromium"
    impatience = 1.0

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._fast: SimulatorProcess | None = None
        self.simulator = stack.enter_context(SimulatorProcess())
        self.control = self.simulator.control
        # Receipts come when a test says so.
        self.control.config(delivered_after=None)
        self.config = ChromiumConfig(
            url=f"{self.simulator.url}/", wa_js=WA_JS, binary=os.environ.get("CHROMIUM", "")
        )

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator[ChromiumRig]:
        with ExitStack() as stack:
            yield cls(stack, folder)

    def session(self, profile: Path, *, fast_codes: bool = False) -> Session:
        config = self.config
        if fast_codes:
            if self._fast is None:
                codes = ("--ref-ttl", "1.5", "--refs", "4")
                self._fast = self._stack.enter_context(SimulatorProcess(*codes))
            config = dataclasses.replace(config, url=f"{self._fast.url}/")
        return self.session_with(config, profile)

    def session_with(self, config: ChromiumConfig, profile: Path) -> Session:
        return Session(lambda sink: ChromiumDriver(config, profile=profile, on_event=sink))

    @contextmanager
    def refusing(self, how: Literal["stuck", "unsupported"], profile: Path) -> Iterator[Session]:
        if how == "unsupported":
            agent = "Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/156.0.0.0 Safari/537.36"
            yield self.session_with(dataclasses.replace(self.config, user_agent=agent), profile)
            return
        self.control.config(boot="stuck")
        try:
            yield self.session(profile)
        finally:
            self.control.config(boot="ok")

    def scan(self, session: Session, phone: str, *, name: str, lid_migrated: bool) -> None:
        code = session.driver.qr()
        assert code is not None
        self.control.scan(phone, ref=code.text, name=name, lid_migrated=lid_migrated)

    def next_code(self, session: Session) -> None:
        """It comes by itself."""

    def codes_run_out(self, session: Session) -> None:
        """They do by themselves."""

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
        file = media and attached(
            media.data, media.mime, filename=media.filename, size=size, gone=gone
        )
        return self.control.receive(
            phone,
            body,
            account=account,
            group=group or None,
            name=name,
            quoted=quoted or None,
            media=file,
            location=_place(location) if location else None,
            type=kind or None,
        )

    def write_on_phone(self, account: str, to: str, body: str) -> str:
        return self.control.write_on_phone(account, to, body)

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
        people = [{"phone": phone, "hidden": phone == hidden} for phone in members]
        return self.control.make_group(
            subject,
            [{"phone": account}, *people],
            admins=[account] if admin else members[:1],
            announce_only=announce_only,
            description="Who buys",
        )

    def leave_group(self, group: str, phone: str) -> None:
        self.control.leave(group, phone)

    def make_admin(self, group: str, phone: str) -> None:
        self.control.promote(group, phone)

    def announce_only(self, group: str) -> None:
        self.control.edit_group(group, announce_only=True)

    def group_receipt(self, wa_id: str, ack: int, phone: str) -> None:
        self.control.receipt([wa_id.split("_")[2]], int(ack), phone=phone)

    def enter_code(self, phone: str, code: str) -> None:
        self.control.enter_code(phone, code)

    def is_typing(self, account: str, chat_id: str) -> bool:
        mine = [
            one["state"]
            for one in self.control.state()["typing"]
            if (f"+{one['account']}", one["chat"]) == (account, chat_id)
        ]
        return bool(mine) and mine[-1] == "composing"

    def receipt(self, wa_id: str, ack: int) -> None:
        self.control.receipt([wa_id.split("_")[2]], int(ack))

    def drop(self, account: str) -> None:
        self.control.drop(account)

    def offline(self, account: str, cut: bool) -> None:
        self.control.offline(AGES if cut else 0, account)

    def conflict(self, account: str) -> None:
        self.control.conflict(account)

    def log_out(self, account: str) -> None:
        self.control.logout(account)

    def absent(self, phone: str) -> None:
        self.control.directory(absent=[phone])

    def fail(
        self, fate: Literal["lost", "late", "swallowed", "nack"], phone: str, *, code: int = 0
    ) -> None:
        if fate == "late":
            self.control.config(recipients={phone: {"ack_delay": 1.5 * self.impatience}})
            return
        once = {"times": 1} if phone.endswith("@g.us") else {"phone": phone, "times": 1}
        if fate == "nack":
            self.control.config(nack={"code": code, **once})
        else:
            self.control.config(ack={"mode": fate, **once})

    def late_ack(self, wa_id: str) -> None:
        """It comes by itself."""

    def sent(self, wa_id: str) -> Sent | None:
        for one in self.control.messages():
            if one.key == wa_id:
                preview = one.preview
                return Sent(
                    f"+{one.to}" if one.to else "",
                    one.type,
                    one.body,
                    one.media.sha256 if one.media else "",
                    len(one.attempts),
                    one.deliveries,
                    chat=one.chat,
                    quoted=one.quoted.id if one.quoted else "",
                    location=_location(one.location) if one.location else None,
                    preview=(
                        (preview.url, preview.title, preview.description, preview.thumbnail_sha256)
                        if preview
                        else None
                    ),
                )
        return None


def _place(location: base.Location) -> dict[str, Any]:
    return {
        "lat": location.latitude,
        "lng": location.longitude,
        "name": location.name,
        "address": location.address,
    }


def _location(place: dict[str, Any]) -> base.Location:
    return base.Location(place["lat"], place["lng"], place["name"], place["address"])


def group_of(session: Session) -> int:
    group = session.driver.process_group
    assert group is not None
    return group
