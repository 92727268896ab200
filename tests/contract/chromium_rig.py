"""The contract's rig on Chromium and the simulator."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from tests.contract.rig import Sent, Session
from whatsapp.driver.chromium import ChromiumDriver
from whatsapp.driver.launch import ChromiumConfig
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

    def inbound(self, account: str, phone: str, body: str, *, name: str = "Ana") -> None:
        self.control.receive(phone, body, account=account, name=name)

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
        once = {"phone": phone, "times": 1}
        if fate == "nack":
            self.control.config(nack={"code": code, **once})
        else:
            self.control.config(ack={"mode": fate, **once})

    def late_ack(self, wa_id: str) -> None:
        """It comes by itself."""

    def sent(self, wa_id: str) -> Sent | None:
        for one in self.control.messages():
            if one.key == wa_id:
                digest = one.media.sha256 if one.media else ""
                return Sent(
                    f"+{one.to}", one.type, one.body, digest, len(one.attempts), one.deliveries
                )
        return None
