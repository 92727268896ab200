"""The Python side of the control API, for tests, the demo and benchmarks.

    control = SimulatorControl("http://127.0.0.1:9300")
    control.scan("33639980001", name="Camille")
    [message] = control.wait_for_messages(1)

Only the standard library is used. Nothing here sleeps: waiting is done by the server, which
answers when something has changed.
"""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

REQUEST_TIMEOUT = 10.0  # seconds for an answer, beyond what a long poll may take
_POLL = 20.0  # seconds of one long poll


class SimulatorControlError(Exception):
    """The simulator refused: `message` is its explanation, `status` as in HTTP (400, 404, 409).

    `status` 0: it could not be reached.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class DeadlineError(TimeoutError):
    """What was awaited did not happen in time; the message says how far it came."""


@dataclass(frozen=True, slots=True)
class RecordedMedia:
    """The file a recipient got: `sha256` of its bytes in hex, `size` in bytes."""

    sha256: str
    size: int
    mimetype: str
    filename: str


@dataclass(frozen=True, slots=True)
class RecordedAttempt:
    """One try to send: epoch seconds, and an outcome (see `entities.Attempt`)."""

    at: float
    outcome: str


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """A message in the record, see `entities.Message`. `account` and `to` are digits; times are
    epoch seconds, None for what has not happened; `to` is empty for a group."""

    index: int
    id: str
    key: str
    account: str
    chat: str
    to: str
    type: str
    body: str
    media: RecordedMedia | None
    location: dict[str, Any] | None
    received: float | None
    acked: float | None
    delivered: float | None
    read: float | None
    deliveries: int
    silent: bool
    attempts: tuple[RecordedAttempt, ...]

    @property
    def accepted(self) -> bool:
        """Whether WhatsApp took it, be it that the page knows or not."""
        return self.received is not None

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> RecordedMessage:
        media = raw["media"]
        return cls(
            **{
                **raw,
                "media": None if media is None else RecordedMedia(**media),
                "attempts": tuple(RecordedAttempt(**a) for a in raw["attempts"]),
            }
        )


class SimulatorControl:
    """Calls of the control API at `base_url`. Every method may raise `SimulatorControlError`.

    Phones may be written in any usual way. An `https` simulator has a certificate of its own
    making, which is not checked: it is this machine.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._context: ssl.SSLContext | None = None
        if self.base_url.startswith("https"):
            self._context = ssl.create_default_context()
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE

    def call(self, op: str, **body: Any) -> dict[str, Any]:
        """Any op; None values are left out. Returns the answer."""
        return self._post(op, {name: value for name, value in body.items() if value is not None})

    def _post(self, op: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - our own base_url
            f"{self.base_url}/__sim/{op}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        patience = REQUEST_TIMEOUT + float(body.get("timeout") or 0)
        try:
            with urllib.request.urlopen(  # noqa: S310 - our own base_url
                request, timeout=patience, context=self._context
            ) as answer:
                read: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise SimulatorControlError(_explanation(error), error.code) from error
        except (OSError, ValueError) as error:
            raise SimulatorControlError(f"{self.base_url}: {error}", 0) from error
        return read

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

        A group is ``{"id": "1203..@g.us", "subject", "participants": [phones]}``, a contact
        ``{"phone", "name"}``. Returns the token of the linked device. Raises status 409 when no
        page shows that code.
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
        found: list[RecordedMessage] = []
        while True:
            answer = self.call("record", since=since)
            found += [RecordedMessage.from_json(raw) for raw in answer["messages"]]
            if answer["next"] == since:
                return found
            since = answer["next"]

    def inbound_messages(self) -> list[dict[str, Any]]:
        """What was sent to accounts: id, account, from, chat, body, at, got."""
        listed: list[dict[str, Any]] = self.state()["inbound"]
        return listed

    def wait_until(
        self,
        condition: Callable[[dict[str, Any]], bool],
        deadline: float = 10.0,
        *,
        op: str = "state",
    ) -> dict[str, Any]:
        """Return the answer of `op` (state or record) as soon as `condition` holds for it.

        `deadline` is in seconds from now. Raises `DeadlineError`.
        """
        until = time.monotonic() + deadline
        given: dict[str, Any] = {"limit": 0} if op == "record" else {}
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
        """Who is on WhatsApp: `mode` "open" or "listed", `users` ``{"phone", "lid",
        "business"}`` to add, phones that are `absent`."""
        answer = self.call("directory", mode=mode, users=list(users), absent=list(absent))
        listed: dict[str, Any] = answer["directory"]
        return listed

    def reset(self) -> None:
        """Forget accounts, devices, settings and the record."""
        self.call("reset")

    # ------------------------------------------------------------------ other people

    def inbound(
        self,
        sender: str,
        body: str,
        *,
        account: str | None = None,
        group: str | None = None,
        name: str | None = None,
        stanza_id: str | None = None,
    ) -> str:
        """`sender` (a phone) writes `body` to `account`. Returns the stanza id."""
        answer = self.call(
            "inbound",
            account=account,
            body=body,
            group=group,
            name=name,
            id=stanza_id,
            **{"from": sender},
        )
        return str(answer["id"])

    def receipt(self, stanza_ids: Iterable[str], ack: int, *, account: str | None = None) -> int:
        """A receipt (2 delivered, 3 read, 4 played). Returns how many messages it was for."""
        answer = self.call("receipt", ids=list(stanza_ids), ack=ack, account=account)
        return int(answer["messages"])

    def read_all(self, account: str | None = None) -> int:
        """Recipients read all they got. Returns how many messages that were."""
        return int(self.call("read_all", account=account)["messages"])

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


def _explanation(error: urllib.error.HTTPError) -> str:
    text = error.read().decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:200] or str(error)
