"""One WebSocket of one page: pairing, the page's calls, and what is pushed to it.

Packets are JSON objects with a `type`.

From the page: `hello {token}`, `code {ref, text}`, `refresh_qr`, `resume`, `got {n}`,
`call {id, op, args}` with the ops `usync`, `groups`, `group`, `seen`, `unpair`, `message`.

To the page: `ref {ref, ttl}`, `idle`, `pair`, `success`, `logged_out {reason}`, `conflict`,
`message`, `receipt`, and `result {id, result | error}`.
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

from whatsapp.simulator.entities import Account, Device, Group, Message, Packet, Waiting
from whatsapp.simulator.media import KINDS, MediaError, examine
from whatsapp.simulator.state import World
from whatsapp.simulator.wids import (
    GROUP_SERVER,
    WidError,
    digits,
    phone_wid,
    server_of,
    with_device,
)

logger = logging.getLogger(__name__)

MAX_PACKET = 32 << 20  # bytes
OUR_DEVICE = 7  # the number in our own device wid, any but 0 (the phone)
_RECEIPT_ACK = {"delivered": 2, "read": 3}


class CallError(Exception):
    """A call of the page is refused. `code` is as in HTTP."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


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
        """A phone scanned this page's code."""
        self._stop_codes()
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
            "groups": [self._group(account, group) for group in account.groups.values()],
            "lidMigrated": account.lid_migrated,
            "resendPending": self.world.behaviour.resend_pending,
        }

    def _group(self, account: Account, group: Group) -> Packet:
        members = dict.fromkeys([account.phone, *group.participants])
        return {
            "id": group.wid,
            "subject": group.subject,
            "creation": group.creation,
            "owner": self.world.directory.lid(group.admins[0]) if group.admins else None,
            "participants": [
                {
                    "id": self.world.directory.lid(phone),
                    "pn": phone_wid(phone),
                    "admin": phone in group.admins,
                    "superAdmin": phone in group.admins[:1],
                }
                for phone in members
            ],
        }

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
        for _ in range(self.pairing.refs):
            ref = "2@" + base64.b64encode(secrets.token_bytes(48)).decode()
            expires = self.world.now() + ttl
            self.world.waiting[ref] = Waiting(ref, expires, since, self.user_agent, self)
            self.send({"type": "ref", "ref": ref, "ttl": int(ttl * 1000)})
            self.world.touch()
            await asyncio.sleep(ttl)
            self.world.waiting.pop(ref, None)
        self.send({"type": "idle"})
        self.world.touch()

    # ------------------------------------------------------------------ calls of the page

    async def _answer(self, packet: Packet) -> None:
        reply: Packet
        try:
            reply = {"result": await self._call(str(packet["op"]), packet.get("args") or {})}
        except CallError as error:
            reply = {"error": {"code": error.code, "text": str(error)}}
        except _NeverAnswered:
            return
        self.send({"type": "result", "id": packet["id"], **reply})

    async def _call(self, op: str, args: dict[str, Any]) -> Any:
        if not self._speaks() or self.device is None:
            raise CallError(401, "not logged in")
        account = self.world.accounts[self.device.phone]
        if op == "usync":
            return self._usync(args)
        if op == "groups":
            return [self._group(account, group) for group in account.groups.values()]
        if op == "group":
            group = account.groups.get(str(args.get("id")))
            if group is None:
                raise CallError(404, "item-not-found")
            return self._group(account, group)
        if op == "seen":
            seen = {"account": account.phone, "chat": args.get("chat"), "at": self.world.now()}
            self.world.seen.append(seen)
            self.world.touch()
            return True
        if op == "unpair":
            self.world.unlink(self.device)
            return {"status": 200}
        if op == "message":
            return await self._message(account, args)
        raise CallError(404, f"unknown op {op}")

    def _usync(self, args: dict[str, Any]) -> Packet | None:
        """Whether a phone, or a LID, is on WhatsApp."""
        directory = self.world.directory
        try:
            phone = directory.phone(args["lid"]) if "lid" in args else digits(str(args["phone"]))
        except WidError:
            return None
        if phone is None or not directory.knows(phone):
            return None
        business = directory.businesses.get(phone)
        return {"pn": phone_wid(phone), "lid": directory.lid(phone), "biz": business}

    # ------------------------------------------------------------------ messages

    async def _message(self, account: Account, args: dict[str, Any]) -> Packet:
        """A page sends a message. Returns `{t}`, or `{error: {code, text}}` for a nack."""
        world = self.world
        chat, stanza_id = str(args["to"]), str(args["id"])
        phone = world.recipient(chat)
        message = world.find(account.phone, chat, stanza_id) or self._new_message(account, args)
        fate = world.behaviour.fate(phone)
        if fate == "swallowed":
            world.note_attempt(message, "swallowed")
            raise _NeverAnswered
        refusal = self._refusal(account, chat, phone)
        if refusal is None and message.received is None and message.type in KINDS:
            try:
                message.media = examine(args["msg"], world.uploads)
            except MediaError as error:
                refusal = CallError(400, f"media: {error}")
        if refusal is not None:
            world.note_attempt(message, f"nack:{refusal.code}")
            return {"error": {"code": refusal.code, "text": str(refusal)}}

        first = message.received is None
        if first or not world.behaviour.dedup:
            message.silent = fate == "lost"
            world.note_delivery(message)
            world.uploads.pop(str(args["msg"].get("directPath")), None)
        again = "duplicate" if world.behaviour.dedup else "delivered_again"
        accepted = "accepted" if fate == "ack" else "ack_lost"
        world.note_attempt(message, accepted if first else again)
        delays = world.behaviour.of(phone).delays
        if first:
            # Not a task of this session: messages travel on when the page is gone.
            world.run(travel(world, message))
        if fate == "cut":
            self.hang_up()
        if fate != "ack":
            raise _NeverAnswered
        if delays.ack_delay:
            await asyncio.sleep(delays.ack_delay)
        world.mark(message, "acked")
        return {"t": int(message.received or world.now()), "duplicate": not first}

    def _new_message(self, account: Account, args: dict[str, Any]) -> Message:
        raw = args["msg"]
        kind, chat = str(args["type"]), str(args["to"])
        location = None
        if kind == "location":
            location = {"lat": raw.get("lat"), "lng": raw.get("lng"), "name": raw.get("loc") or ""}
        body = raw.get("body") if kind == "chat" else raw.get("caption")
        if kind != "chat" and raw.get("isCaptionByUser") is False:
            body = ""  # wa-js gives a document its file name as caption; recipients see none
        message = Message(
            index=len(self.world.messages),
            stanza_id=str(args["id"]),
            key=str(args["key"]),
            account=account.phone,
            chat=chat,
            phone=self.world.recipient(chat),
            type=kind,
            body=str(body or ""),
            media=None,
            location=location,
        )
        self.world.add_message(message)
        return message

    def _refusal(self, account: Account, chat: str, phone: str) -> CallError | None:
        fault = self.world.behaviour.refusal(phone)
        if fault is not None and fault.code is not None:
            return CallError(fault.code, fault.text)
        if server_of(chat) == GROUP_SERVER:
            return None if chat in account.groups else CallError(404, "item-not-found")
        if not phone or not self.world.directory.knows(phone):
            return CallError(404, "not on WhatsApp")
        return None


class _NeverAnswered(Exception):
    """The page gets no answer to its call."""


async def travel(world: World, message: Message) -> None:
    """The way of an accepted message to its recipient; receipts come back unless it is silent."""
    delays = world.behaviour.of(message.phone).delays
    await asyncio.sleep(delays.ack_delay)
    for step, seconds in (
        ("delivered", delays.delivered_after),
        ("read", delays.read_after),
    ):
        if seconds is None:
            return
        await asyncio.sleep(seconds)
        world.mark(message, "delivered" if step == "delivered" else "read")
        if not message.silent:
            push_receipts(world, world.accounts[message.account], message, _RECEIPT_ACK[step])


def push_receipts(world: World, account: Account, message: Message, ack: int) -> None:
    """Tell the account's pages that `message` was delivered (2), read (3) or played (4).

    A group message gives one receipt for each other participant, with its LID.
    """
    receivers: list[str | None] = [None]
    group = account.groups.get(message.chat)
    if group is not None:
        receivers = [world.directory.lid(p) for p in group.participants if p != account.phone]
    for device in world.devices_of(account.phone):
        for receiver in receivers:
            world.push(
                device,
                {
                    "type": "receipt",
                    "ids": [message.stanza_id],
                    "from": message.chat,
                    "ack": ack,
                    "ts": int(world.now()),
                    "participant": receiver,
                },
            )
