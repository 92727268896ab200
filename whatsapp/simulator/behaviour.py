"""How the pretended WhatsApp answers, and how it fails when asked to.

One `Behaviour` holds for the whole simulator; `Behaviour.recipients` overrides the delays and
faults for single phones. Everything is set with ``POST /__sim/config``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from whatsapp.simulator.wids import WidError, digits

Fate = Literal["ack", "lost", "cut", "swallowed"]
"""ack: accepted and acknowledged. lost: accepted, but neither the ack nor a receipt ever reaches
the page. cut: accepted, and the socket is lost in place of the ack; receipts wait for the page.
swallowed: the message never reaches the server, and nobody says so."""


class BehaviourError(ValueError):
    """A setting is unknown or has a wrong value. The message starts with the setting's name."""


@dataclass
class Fault:
    """Something that goes wrong, for every message or only for some.

    `phone` limits it to one recipient (digits), `times` to the next so many messages.
    """

    fate: Fate = "ack"
    code: int | None = None  # a nack: the server refuses with this code
    text: str = ""
    phone: str | None = None
    times: int | None = None

    def take(self, phone: str) -> bool:
        """Whether it strikes a message to `phone` now; counts it when it does."""
        if self.phone is not None and self.phone != phone:
            return False
        if self.times is None:
            return True
        if self.times <= 0:
            return False
        self.times -= 1
        return True

    def describe(self) -> dict[str, Any]:
        """JSON shape, as accepted by `config`."""
        what: dict[str, Any] = (
            {"code": self.code, "text": self.text} if self.code is not None else {"mode": self.fate}
        )
        return what | {"phone": self.phone, "times": self.times}


@dataclass
class Delays:
    """Seconds until things happen; None is never. Each is counted from the step before it."""

    ack_delay: float = 0.0
    delivered_after: float | None = 0.05
    read_after: float | None = None


@dataclass
class Behaviour:
    """See the names' comments; `update` changes it from JSON, `describe` shows it as JSON."""

    delays: Delays = field(default_factory=Delays)
    ack: Fault | None = None  # fate "lost", "cut" or "swallowed"
    nack: Fault | None = None
    dedup: bool = True  # False: the same stanza id twice is delivered twice
    lid_migrated: bool = False  # default for accounts linked from now on
    boot: Literal["ok", "stuck"] = "ok"  # stuck: the page never gets ready
    msg_key: Literal["minified", "plain"] = "minified"
    """Where the page's MsgKey keeps its text: `$1` as in today's client, or `_serialized` as
    whatsapp-web.js 1.34.7 still expects."""
    link_code_ttl: float = 180.0  # seconds a code to link with the phone number holds
    resend_pending: bool = False
    """True: a page that comes back sends again, by itself, what the server never acknowledged."""
    recipients: dict[str, Behaviour] = field(default_factory=dict)

    def of(self, phone: str) -> Behaviour:
        """The behaviour towards one recipient (digits)."""
        return self.recipients.get(phone, self)

    def refusal(self, phone: str) -> Fault | None:
        """The nack that strikes this message, if any. Counts it."""
        for fault in (self.of(phone).nack, self.nack):
            if fault is not None and fault.take(phone):
                return fault
        return None

    def fate(self, phone: str) -> Fate:
        """What happens to this message and its ack. Counts a fault that was limited in number."""
        for fault in (self.of(phone).ack, self.ack):
            if fault is not None and fault.take(phone):
                return fault.fate
        return "ack"

    def update(self, changes: dict[str, Any]) -> None:
        """Apply JSON `changes`; all of them or none. Raises `BehaviourError`."""
        fresh = self._with(changes, nested=False)
        self.__dict__.update(fresh.__dict__)

    def _with(self, changes: dict[str, Any], *, nested: bool) -> Behaviour:
        fresh = replace(self, delays=replace(self.delays), recipients=dict(self.recipients))
        for name, value in changes.items():
            if name in ("ack_delay", "delivered_after", "read_after"):
                setattr(fresh.delays, name, _seconds(name, value, never=name != "ack_delay"))
            elif name == "ack":
                fresh.ack = _ack(value)
            elif name == "nack":
                fresh.nack = _nack(value)
            elif nested:
                raise BehaviourError(
                    f"recipients: {name!r} cannot differ by recipient; "
                    "ack, nack, ack_delay, delivered_after and read_after can"
                )
            elif name in ("dedup", "lid_migrated", "resend_pending"):
                setattr(fresh, name, _flag(name, value))
            elif name == "link_code_ttl":
                fresh.link_code_ttl = _seconds(name, value, never=False) or 0.0
            elif name in ("boot", "msg_key"):
                setattr(fresh, name, _choice(name, value))
            elif name == "recipients":
                fresh.recipients = self._recipients(fresh, value)
            else:
                raise BehaviourError(f"{name}: no such setting; see GET /__sim/config")
        return fresh

    def _recipients(self, base: Behaviour, value: Any) -> dict[str, Behaviour]:
        if not isinstance(value, dict):
            raise BehaviourError("recipients: give an object, phone -> settings, {} for none")
        plain = Behaviour(delays=base.delays)
        overrides = {}
        for phone, changes in value.items():
            try:
                key = digits(phone)
            except WidError as error:
                raise BehaviourError(f"recipients: {error}") from error
            if not isinstance(changes, dict):
                raise BehaviourError(f"recipients: {phone} needs an object of settings")
            overrides[key] = plain._with(changes, nested=True)
        return overrides

    def describe(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "ack_delay": self.delays.ack_delay,
            "delivered_after": self.delays.delivered_after,
            "read_after": self.delays.read_after,
            "ack": self.ack.describe() if self.ack else True,
            "nack": self.nack.describe() if self.nack else None,
            "dedup": self.dedup,
            "lid_migrated": self.lid_migrated,
            "boot": self.boot,
            "msg_key": self.msg_key,
            "link_code_ttl": self.link_code_ttl,
            "resend_pending": self.resend_pending,
        }
        overrides = {}
        for phone, behaviour in self.recipients.items():
            one = behaviour.describe()
            overrides[phone] = {
                key: one[key]
                for key in ("ack_delay", "delivered_after", "read_after", "ack", "nack")
            }
        return shown | {"recipients": overrides}


def _seconds(name: str, value: Any, *, never: bool) -> float | None:
    if value is None and never:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise BehaviourError(
            f"{name}: give seconds, 0 or more" + (", or null for never" if never else "")
        )
    return float(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BehaviourError(f"{name}: give true or false")
    return value


def _choice(name: str, value: Any) -> Any:
    allowed = {"boot": ("ok", "stuck"), "msg_key": ("minified", "plain")}[name]
    if value not in allowed:
        raise BehaviourError(f"{name}: give one of {', '.join(allowed)}")
    return value


def _limits(name: str, value: dict[str, Any]) -> dict[str, Any]:
    times, phone = value.get("times"), value.get("phone")
    if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 0):
        raise BehaviourError(f"{name}: times must be a number of messages, or null for all")
    try:
        return {"times": times, "phone": None if phone is None else digits(str(phone))}
    except WidError as error:
        raise BehaviourError(f"{name}: {error}") from error


def _ack(value: Any) -> Fault | None:
    fates: dict[Any, Fate] = {True: "ack", False: "swallowed", "lost": "lost"}
    fates |= {"ack": "ack", "cut": "cut", "swallowed": "swallowed"}
    given = value if isinstance(value, dict) else {"mode": value}
    mode = given.get("mode")
    if not isinstance(mode, bool | str) or mode not in fates:
        raise BehaviourError(
            'ack: give true, "lost" (accepted, the ack never arrives), "cut" (accepted, then the '
            "socket is lost), false (never reaches the server), or "
            '{"mode": one of these, "phone": ..., "times": ...}'
        )
    if fates[mode] == "ack":
        return None
    return Fault(fate=fates[mode], **_limits("ack", given))


def _nack(value: Any) -> Fault | None:
    if value is None:
        return None
    given = value if isinstance(value, dict) else {"code": value}
    code = given.get("code")
    if isinstance(code, bool) or not isinstance(code, int) or not 400 <= code <= 599:
        raise BehaviourError(
            "nack: give a code from 400 to 599 such as 463, null for none, or "
            '{"code": 463, "phone": ..., "times": ...}'
        )
    return Fault(code=code, text=str(given.get("text", "")), **_limits("nack", given))
