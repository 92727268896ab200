"""The Python side of the control API, for tests, the demo and benchmarks.

    control = SimulatorControl("http://127.0.0.1:9300")
    control.scan("33639980001", name="Camille")
    [message] = control.wait_for_messages(1)

Only the standard library is used. Nothing here sleeps: waiting is done by the server, which
answers when something has changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from whatsapp.simulator.client_call import SimulatorControlError
from whatsapp.simulator.client_people import PeopleControl, media
from whatsapp.simulator.record import RecordedMessage

__all__ = ["DeadlineError", "RecordedMessage", "SimulatorControl", "SimulatorControlError", "media"]

_POLL = 20.0  # seconds of one long poll


class DeadlineError(TimeoutError):
    """What was awaited did not happen in time; the message says how far it came."""


class SimulatorControl(PeopleControl):
    """Calls of the control API at `base_url`. Every method may raise `SimulatorControlError`.

    Phones may be written in any usual way. An `https` simulator has a certificate of its own
    making, which is not checked: it is this machine.
    """

    # ------------------------------------------------------------------ the phone

    def scan(
        self,
        phone: str,
        *,
        ref: str | None = None,
        name: str = "Me",
        lid: str | None = None,
        lid_migrated: bool | None = None,
        groups: Iterable[dict[str, Any]] = (),
        contacts: Iterable[dict[str, Any]] = (),
    ) -> str:
        """The phone scans a code: `ref` or its whole text; without it, the newest one.

        A group is ``{"id": "1203..@g.us", "subject", "participants"}`` and what else `make_group`
        takes, a contact of the address book ``{"phone", "name"}``. Returns the token of the linked
        device. Raises status 409 when no page shows that code.
        """
        answer = self.call(
            "scan",
            phone=phone,
            ref=ref,
            name=name,
            lid=lid,
            lid_migrated=lid_migrated,
            groups=list(groups),
            contacts=list(contacts),
        )
        return str(answer["token"])

    def enter_code(
        self,
        phone: str,
        code: str,
        *,
        name: str = "Me",
        lid: str | None = None,
        lid_migrated: bool | None = None,
        groups: Iterable[dict[str, Any]] = (),
        contacts: Iterable[dict[str, Any]] = (),
    ) -> str:
        """The owner of `phone` types the code that a page shows, instead of scanning one. Returns
        the token of the linked device. Raises status 409 when the code is wrong, or too old."""
        answer = self.call(
            "enter_code",
            phone=phone,
            code=code,
            name=name,
            lid=lid,
            lid_migrated=lid_migrated,
            groups=list(groups),
            contacts=list(contacts),
        )
        return str(answer["token"])

    def logout(self, account: str | None = None, *, reason: str | None = None) -> int:
        """The phone removes its linked browsers. Returns how many."""
        return int(self.call("logout", account=account, reason=reason)["devices"])

    # ------------------------------------------------------------------ looking

    def state(self) -> dict[str, Any]:
        return self.call("state")

    def totals(self) -> dict[str, int]:
        """Counts of the record, see `state.World.totals`."""
        counted: dict[str, int] = self.call("record", limit=0)["totals"]
        return counted

    def messages(self, since: int = 0) -> list[RecordedMessage]:
        """The record from index `since` on, refused and swallowed messages included."""
        return [RecordedMessage.from_json(raw) for raw in self._pages("record", since)]

    def inbound_messages(self, since: int = 0) -> list[dict[str, Any]]:
        """What accounts were told of, from index `since` on, see `entities.Inbound`; `from` is the
        author's phone."""
        return list(self._pages("inbound", since))

    def _pages(self, op: str, since: int) -> Iterator[dict[str, Any]]:
        while True:
            answer = self.call(op, since=since)
            yield from answer["messages"]
            if answer["next"] == since:
                return
            since = answer["next"]

    def wait_until(
        self,
        condition: Callable[[dict[str, Any]], bool],
        deadline: float = 10.0,
        *,
        op: str = "state",
    ) -> dict[str, Any]:
        """Return the answer of `op` (state; record or inbound, without messages) as soon as
        `condition` holds for it.

        `deadline` is in seconds from now. Raises `DeadlineError`.
        """
        until = time.monotonic() + deadline
        given: dict[str, Any] = {} if op == "state" else {"limit": 0}
        answer = self.call(op, **given)
        while not condition(answer):
            left = until - time.monotonic()
            if left <= 0:
                raise DeadlineError(f"not within {deadline:g} s; {answer.get('totals')}")
            answer = self.call(
                op, after_revision=answer["revision"], timeout=min(left, _POLL), **given
            )
        return answer

    def wait_for_ref(self, deadline: float = 10.0) -> str:
        """The newest code's ref, once a page shows one."""
        return str(self.wait_until(lambda state: bool(state["refs"]), deadline)["refs"][-1])

    def wait_for_online(self, account: str, deadline: float = 10.0) -> None:
        """Until a page of `account` (digits) is connected and listens."""

        def listens(state: dict[str, Any]) -> bool:
            return any(d["account"] == account and d["listening"] for d in state["devices"])

        self.wait_until(listens, deadline)

    def wait_for_messages(
        self, count: int, deadline: float = 10.0, *, step: str = "messages"
    ) -> list[RecordedMessage]:
        """The accepted messages once there are `count` of them at least.

        `step` waits for that many to be "acked", "delivered" or "read" instead.
        """
        self.wait_until(lambda answer: answer["totals"][step] >= count, deadline, op="record")
        return [message for message in self.messages() if message.accepted]

    # ------------------------------------------------------------------ settings

    def config(self, **settings: Any) -> dict[str, Any]:
        """Change settings, see `behaviour.Behaviour`; None is a value here. Returns all."""
        changed: dict[str, Any] = self._post("config", settings)["config"]
        return changed

    def directory(
        self,
        *,
        mode: str | None = None,
        users: Iterable[dict[str, Any]] = (),
        absent: Iterable[str] = (),
    ) -> dict[str, Any]:
        """Who is on WhatsApp: `mode` "open" or "listed", `users` ``{"phone", "lid", "business",
        "name", "hidden"}`` to add or change, phones that are `absent`."""
        answer = self.call("directory", mode=mode, users=list(users), absent=list(absent))
        listed: dict[str, Any] = answer["directory"]
        return listed

    def reset(self) -> None:
        """Forget accounts, devices, settings and the record."""
        self.call("reset")

    # ------------------------------------------------------------------ the network

    def drop(self, account: str | None = None) -> int:
        """Close sockets. Returns how many."""
        return int(self.call("drop", account=account)["devices"])

    def offline(self, seconds: float, account: str | None = None) -> None:
        """Close sockets and refuse new ones for `seconds`; 0 ends it."""
        self.call("offline", seconds=seconds, account=account)

    def conflict(self, account: str | None = None) -> int:
        """Another browser takes the login over. Returns how many pages were told."""
        return int(self.call("conflict", account=account)["devices"])
