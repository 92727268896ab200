"""One WebSocket of one page: pairing, the page's calls, and what is pushed to it.

Packets are JSON objects with a `type`.

From the page: `hello {token}`, `code {ref, text}`, `refresh_qr`, `resume`, `got {n}`,
`call {id, op, args}` with the ops `link_code`, `usync`, `groups`, `group`, `seen`, `chatstate`,
`unpair`, `message`.

To the page: `ref {ref, ttl}`, `idle`, `code_expired`, `pair`, `success`, `logged_out {reason}`,
`conflict`, `message`, `receipt`, `group`, and `result {id, result | error}`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import secrets
from collections.abc import Coroutine
from typing import Any

from aiohttp import WSMsgType, web

from whatsapp.simulator import groups, outgoing
from whatsapp.simulator.entities import Account, Device, LinkCode, Packet, Waiting
from whatsapp.simulator.outgoing import CallError, NeverAnswered
from whatsapp.simulator.state import World
from whatsapp.simulator.wids import WidError, digits, phone_wid, with_device

logger = logging.getLogger(__name__)

MAX_PACKET = 32 << 20  # bytes
OUR_DEVICE = 7  # the number in our own device wid, any but 0 (the phone)
# WhatsApp's alphabet for codes that people type: none that look alike.
_CODE_LETTERS = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"
_CODE_LENGTH = 8
CHAT_STATES = ("composing", "recording", "paused")


class Pairing:
    """How often QR codes change: `refs` codes of `ref_ttl` seconds, then the page is idle."""

    def __init__(self, *, ref_ttl: float = 20.0, refs: int = 6) -> None:
        self.ref_ttl = ref_ttl
        self.refs = refs


class Session:
    """See the module. Make one for each socket and `run` it."""

    def __init__(self, world: World, pairing: Pairing, user_agent: str) -> None:
        self.world = world
        self.pairing = pairing
        self.user_agent = user_agent
        self.device: Device | None = None
        self._socket = web.WebSocketResponse(max_msg_size=MAX_PACKET, heartbeat=30)
        self._outbox: asyncio.Queue[Packet | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._codes: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ the socket

    def send(self, packet: Packet) -> None:
        self._outbox.put_nowait(packet)

    def hang_up(self) -> None:
        """Close once everything sent so far has gone out. The page sees a lost connection."""
        self._outbox.put_nowait(None)

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        await self._socket.prepare(request)
        self.world.lines.add(self)
        writer = asyncio.create_task(self._write())
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    self._receive(json.loads(message.data))
        finally:
            self.world.lines.discard(self)
            self._stop_codes()
            self._drop_link_code()
            if self.device is not None and self.device.line is self:
                self.device.line = None
                self.device.listening = False
            self.world.touch()
            for task in (writer, *self._tasks):
                task.cancel()
        return self._socket

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError):
            while (packet := await self._outbox.get()) is not None:
                await self._socket.send_json(packet)
            await self._socket.close(code=1012)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _receive(self, packet: Packet) -> None:
        kind = packet.get("type")
        if kind == "hello":
            self._hello(packet.get("token"))
        elif kind == "refresh_qr" and self.device is None:
            self._show_codes()
        elif kind == "code":
            waiting = self.world.waiting.get(str(packet.get("ref")))
            if waiting is not None:
                waiting.text = str(packet.get("text"))
                self.world.touch()
        elif kind == "resume" and self._speaks():
            assert self.device is not None  # noqa: S101 - _speaks() says so
            self.device.resume()
            self.world.touch()
        elif kind == "got" and self.device is not None:
            self.world.confirm(self.device, int(packet["n"]))
        elif kind == "call":
            self._spawn(self._answer(packet))

    def _speaks(self) -> bool:
        """Whether this socket is the one that its device talks through now."""
        return self.device is not None and self.device.line is self

    # ------------------------------------------------------------------ pairing

    def _hello(self, token: str | None) -> None:
        if token is None:
            self._show_codes()
            return
        device = self.world.devices.get(token)
        if device is None:
            self.send({"type": "logged_out", "reason": "unknown_companion"})
            return
        if self.world.is_offline(device.phone):
            self.hang_up()
            return
        self._take(device)
        self.send({"type": "success", **self._introduction(device)})

    def _take(self, device: Device) -> None:
        """Become the socket of `device`; another page that was it is told, and cut off."""
        other = device.line
        if other is not None and other is not self:
            other.send({"type": "conflict"})
            other.hang_up()
        device.line, device.listening = self, False
        self.device = device
        self.world.touch()

    def attach(self, device: Device) -> None:
        """A phone scanned this page's code, or its owner typed it."""
        self._stop_codes()
        self._drop_link_code()
        self._take(device)
        self.send({"type": "pair", "token": device.token, **self._introduction(device)})

    def _introduction(self, device: Device) -> Packet:
        account = self.world.accounts[device.phone]
        return {
            "me": {
                "pn": with_device(phone_wid(account.phone), OUR_DEVICE),
                "lid": with_device(account.lid, OUR_DEVICE),
                "pushname": account.name,
                "platform": "android",
            },
            "contacts": [
                {"pn": phone_wid(phone), "lid": self.world.directory.lid(phone), "name": name}
                for phone, name in account.contacts.items()
            ],
            "groups": self._groups(account),
            "lidMigrated": account.lid_migrated,
            "resendPending": self.world.behaviour.resend_pending,
        }

    def _groups(self, account: Account) -> list[Packet]:
        world = self.world
        return [groups.packet(world, group) for group in world.groups_of(account.phone)]

    def _show_codes(self) -> None:
        self._stop_codes()
        self._codes = self._spawn(self._rotate())

    def _stop_codes(self) -> None:
        if self._codes is not None:
            self._codes.cancel()
        for ref in [ref for ref, w in self.world.waiting.items() if w.line is self]:
            del self.world.waiting[ref]
        self.world.touch()

    async def _rotate(self) -> None:
        since, ttl = self.world.now(), self.pairing.ref_ttl
        shown = 0
        while shown < self.pairing.refs or self._link_code() is not None:
            shown += 1
            ref = "2@" + base64.b64encode(secrets.token_bytes(48)).decode()
            expires = self.world.now() + ttl
            self.world.waiting[ref] = Waiting(ref, expires, since, self.user_agent, self)
            self.send({"type": "ref", "ref": ref, "ttl": int(ttl * 1000)})
            self.world.touch()
            await asyncio.sleep(ttl)
            self.world.waiting.pop(ref, None)
        self.send({"type": "idle"})
        self.world.touch()

    def _link_code(self) -> LinkCode | None:
        """The code that this page shows, if it shows one."""
        return next((c for c in self.world.link_codes.values() if c.line is self), None)

    def _drop_link_code(self) -> None:
        if (shown := self._link_code()) is not None:
            del self.world.link_codes[shown.phone]

    def _give_link_code(self, args: dict[str, Any]) -> Packet:
        """A code to type on the phone that the page's user has named; the last one is void."""
        try:
            phone = digits(str(args.get("phone")))
        except WidError as error:
            raise CallError(400, f"phone: {error}") from error
        if self.device is not None or not self.world.directory.knows(phone):
            raise CallError(404, "phone: not on WhatsApp, or linked already")
        self._drop_link_code()
        code = "".join(secrets.choice(_CODE_LETTERS) for _ in range(_CODE_LENGTH))
        ttl = self.world.behaviour.link_code_ttl
        given = LinkCode(phone, code, self.world.now() + ttl, self)
        self.world.link_codes[phone] = given
        self._spawn(self._expire(given, ttl))
        self.world.touch()
        return {"code": code}

    async def _expire(self, given: LinkCode, ttl: float) -> None:
        await asyncio.sleep(ttl)
        if self.world.link_codes.get(given.phone) is given:
            del self.world.link_codes[given.phone]
            self.send({"type": "code_expired"})
            self.world.touch()

    # ------------------------------------------------------------------ calls of the page

    async def _answer(self, packet: Packet) -> None:
        reply: Packet
        try:
            reply = {"result": await self._call(str(packet["op"]), packet.get("args") or {})}
        except CallError as error:
            reply = {"error": {"code": error.code, "text": str(error)}}
        except NeverAnswered as never:
            if never.cut:
                self.hang_up()
            return
        self.send({"type": "result", "id": packet["id"], **reply})

    async def _call(self, op: str, args: dict[str, Any]) -> Any:
        if op == "link_code":
            return self._give_link_code(args)
        if not self._speaks() or self.device is None:
            raise CallError(401, "not logged in")
        account = self.world.accounts[self.device.phone]
        if op == "usync":
            return self._usync(args)
        if op == "groups":
            return self._groups(account)
        if op == "group":
            group = self.world.groups.get(str(args.get("id")))
            if group is None or account.phone not in group.participants:
                raise CallError(404, "item-not-found")
            return groups.packet(self.world, group)
        if op == "seen":
            self.world.see(account.phone, str(args.get("chat")))
            return True
        if op == "chatstate":
            if args.get("state") not in CHAT_STATES:
                raise CallError(400, f"state: give one of {', '.join(CHAT_STATES)}")
            self.world.note_typing(account.phone, str(args.get("chat")), args["state"])
            return True
        if op == "unpair":
            self.world.unlink(self.device)
            return {"status": 200}
        if op == "message":
            return await outgoing.accept(self.world, account, args)
        raise CallError(404, f"unknown op {op}")

    def _usync(self, args: dict[str, Any]) -> Packet | None:
        """Whether a phone, or a LID, is on WhatsApp. Who knows a phone is told its LID; who knows a
        LID only, the phone only when it is not hidden."""
        directory = self.world.directory
        by_lid = "lid" in args
        try:
            phone = directory.phone(args["lid"]) if by_lid else digits(str(args["phone"]))
        except WidError:
            return None
        if phone is None or not directory.knows(phone):
            return None
        hidden = by_lid and phone in directory.hidden
        if not by_lid and phone in directory.hidden:
            directory.hidden.discard(phone)  # whoever asks for a phone is told its LID
            self.world.save()
        return {
            "pn": None if hidden else phone_wid(phone),
            "lid": directory.lid(phone),
            "biz": directory.businesses.get(phone),
        }
