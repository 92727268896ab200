"""The control API: play the phone, the recipients and the bad network. JSON, loopback only.

``POST /__sim/<op>`` with a JSON object; ``state``, ``record`` and ``config`` also answer GET.
Answers are ``{"ok": true, ...}`` or ``{"ok": false, "error": "<field>: what is wrong, how to
mend"}`` with status 400 (wrong input), 403 (not from this machine), 404 (no such thing) or
409 (not possible now). docs/reference/simulator.md has the table.

``account`` is the phone of an account; where it may be left out, all accounts are meant.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from whatsapp.simulator.behaviour import BehaviourError
from whatsapp.simulator.control_input import (
    ControlError,
    failure,
    list_in,
    number_in,
    phone_in,
    read_body,
    refuse_strangers,
)
from whatsapp.simulator.entities import Device, Group, Inbound, Message
from whatsapp.simulator.sessions import Session, push_receipts
from whatsapp.simulator.state import World
from whatsapp.simulator.wids import GROUP_SERVER, WidError, phone_wid, server_of

MAX_WAIT = 60.0  # seconds that one long poll may take
PAGE_SIZE = 1000  # messages in one answer of `record`

Answer = dict[str, Any]


class Control:
    """See the module; one method for each op."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._ops: dict[str, Callable[[dict[str, Any]], Awaitable[Answer]]] = {
            "scan": self.scan,
            "state": self.state,
            "record": self.record,
            "config": self.config,
            "directory": self.directory,
            "inbound": self.inbound,
            "receipt": self.receipt,
            "read_all": self.read_all,
            "drop": self.drop,
            "offline": self.offline,
            "conflict": self.conflict,
            "logout": self.logout,
            "reset": self.reset,
        }

    async def handle(self, request: web.Request) -> web.Response:
        try:
            refuse_strangers(request)
            name = request.match_info["op"]
            op = self._ops.get(name)
            if op is None:
                raise ControlError(
                    f"op: no such op {name!r}; there are {', '.join(self._ops)}", 404
                )
            answer = await op(await read_body(request, name))
        except ControlError as error:
            return failure(str(error), error.status)
        except BehaviourError as error:
            return failure(str(error), 400)
        return web.json_response({"ok": True, **answer})

    # ------------------------------------------------------------------ the phone

    async def scan(self, body: dict[str, Any]) -> Answer:
        """A phone scans a code: `phone` (or `pn`), `ref` (a ref or a code's whole text; without
        it the newest code), `name`, `lid`, `lid_migrated`, `groups`, `contacts`."""
        phone = phone_in(body, "phone", "pn")
        migrated = body.get("lid_migrated")
        if migrated is not None and not isinstance(migrated, bool):
            raise ControlError("lid_migrated: give true or false")
        waiting = self.world.waiting
        if body.get("ref"):
            ref = str(body["ref"]).split(",")[0]
            if ref not in waiting:
                raise ControlError("ref: no page shows this code (any more); take a new one", 409)
        elif waiting:
            ref = next(reversed(waiting))
        else:
            raise ControlError("ref: no page shows a code now; open one and wait for its code", 409)
        line = waiting[ref].line
        assert isinstance(line, Session)  # noqa: S101 - the only Line there is
        device = self.world.link(
            phone,
            name=str(body.get("name") or "Me"),
            lid=body.get("lid"),
            groups=[self._group(phone, raw) for raw in list_in(body, "groups")],
            contacts=self._contacts(list_in(body, "contacts")),
            lid_migrated=migrated,
        )
        line.attach(device)
        return {"token": device.token, "account": phone}

    def _group(self, me: str, raw: Any) -> Group:
        if not isinstance(raw, dict):
            raise ControlError('groups: give objects such as {"id": "1203..@g.us", "subject": ...}')
        wid = str(raw.get("id") or "")
        if server_of(wid) != GROUP_SERVER:
            raise ControlError("groups: id must look like 120363000000000001@g.us")
        members, admins = [me], []
        for entry in raw.get("participants") or []:
            given = entry if isinstance(entry, dict) else {"phone": entry}
            person = self._person(given)
            members.append(person)
            if given.get("admin") or given.get("superAdmin"):
                admins.append(person)
        return Group(
            wid=wid,
            subject=str(raw.get("subject") or "Group"),
            participants=list(dict.fromkeys(members)),
            admins=admins,
            creation=int(raw.get("creation") or self.world.now()),
        )

    def _person(self, given: dict[str, Any]) -> str:
        wid = str(given.get("phone") or given.get("pn") or given.get("id") or "")
        try:
            phone = self.world.directory.phone(wid)
        except WidError as error:
            raise ControlError(f"participants: {error}") from error
        if phone is None:
            raise ControlError(f"participants: unknown LID {wid}; add it with `directory` first")
        return phone

    def _contacts(self, raw: list[Any]) -> dict[str, str]:
        contacts = {}
        for entry in raw:
            if not isinstance(entry, dict):
                raise ControlError('contacts: give objects such as {"phone": ..., "name": ...}')
            phone = phone_in(entry, "phone", "pn")
            self.world.directory.add(phone, lid=entry.get("lid"))
            contacts[phone] = str(entry.get("name") or "")
        return contacts

    async def logout(self, body: dict[str, Any]) -> Answer:
        """The phone removes its linked devices (of `account`), for `reason`."""
        devices = self._devices(body)
        for device in devices:
            self.world.unlink(device)
            if device.line is not None:
                reason = str(body.get("reason") or "unknown_companion")
                device.line.send({"type": "logged_out", "reason": reason})
        return {"devices": len(devices)}

    # ------------------------------------------------------------------ looking

    async def state(self, body: dict[str, Any]) -> Answer:
        """What is going on now. With `after_revision` it waits for a change, for `timeout` s."""
        await self._wait(body)
        world = self.world
        return {
            "revision": world.revision,
            "now": world.now(),
            "waiting": [
                {
                    "ref": w.ref,
                    "text": w.text,
                    "since": w.since,
                    "expires_at": w.expires_at,
                    "user_agent": w.user_agent,
                }
                for w in world.waiting.values()
            ],
            "refs": list(world.waiting),
            "accounts": [
                {
                    "phone": a.phone,
                    "lid": a.lid,
                    "name": a.name,
                    "lid_migrated": a.lid_migrated,
                    "groups": list(a.groups),
                }
                for a in world.accounts.values()
            ],
            "devices": [
                {
                    "token": d.token,
                    "account": d.phone,
                    "linked_at": d.linked_at,
                    "online": d.line is not None,
                    "listening": d.listening,
                    "queued": len(d.pending),
                }
                for d in world.devices.values()
            ],
            "directory": world.directory.describe(),
            "config": world.behaviour.describe(),
            "sockets": len(world.lines),
            "offline": world.is_offline(),
            "seen": world.seen,
            "inbound": [m.describe() for m in world.inbound],
            "totals": world.totals(),
        }

    async def record(self, body: dict[str, Any]) -> Answer:
        """Every message that a page tried to send, from index `since` on, at most `limit`.

        `next` is the index to go on from. With `after_revision` it waits for a change first.
        """
        await self._wait(body)
        since = int(number_in(body, "since", 0))
        limit = min(int(number_in(body, "limit", PAGE_SIZE)), PAGE_SIZE)
        part = self.world.messages[since : since + limit]
        return {
            "revision": self.world.revision,
            "now": self.world.now(),
            "messages": [m.describe() for m in part],
            "next": since + len(part),
            "totals": self.world.totals(),
        }

    async def _wait(self, body: dict[str, Any]) -> None:
        if body.get("after_revision") is not None:
            seconds = min(number_in(body, "timeout", 10), MAX_WAIT)
            await self.world.changed_after(int(number_in(body, "after_revision", 0)), seconds)

    # ------------------------------------------------------------------ settings

    async def config(self, body: dict[str, Any]) -> Answer:
        """Change settings (see `behaviour`); answers with all of them."""
        self.world.behaviour.update(body)
        self.world.save()
        self.world.touch()
        return {"config": self.world.behaviour.describe()}

    async def directory(self, body: dict[str, Any]) -> Answer:
        """`mode` open or listed; `users` to add: phone, lid, business; `absent` phones."""
        directory = self.world.directory
        mode = body.get("mode", directory.mode)
        if mode not in ("open", "listed"):
            raise ControlError("mode: give open (every number exists) or listed (only those added)")
        users = [(phone_in(user, "phone", "pn"), user) for user in list_in(body, "users")]
        absent = {phone_in({"absent": phone}, "absent") for phone in list_in(body, "absent")}
        directory.mode = mode
        for phone, user in users:
            directory.add(
                phone, lid=user.get("lid"), business=user.get("business") or user.get("biz")
            )
        directory.absent |= absent
        self.world.save()
        self.world.touch()
        return {"directory": directory.describe()}

    async def reset(self, _body: dict[str, Any]) -> Answer:
        """Forget everything: accounts, devices, settings, record. Pages are cut off."""
        self.world.forget()
        self.world.save()
        self.world.touch()
        return {}

    # ------------------------------------------------------------------ other people

    async def inbound(self, body: dict[str, Any]) -> Answer:
        """Somebody (`from`) writes `body` to `account`; in a `group` when one is named."""
        author = phone_in(body, "from")
        accounts = {d.phone for d in self._devices(body)}
        if not accounts:
            raise ControlError("account: no device is linked; scan a code first", 404)
        stanza_id = str(body.get("id") or "3A" + secrets.token_hex(9).upper())
        for phone in accounts:
            self._deliver(phone, author, stanza_id, body)
        self.world.touch()
        return {"id": stanza_id}

    def _deliver(self, phone: str, author: str, stanza_id: str, body: dict[str, Any]) -> None:
        world, account = self.world, self.world.accounts[phone]
        lid = world.directory.lid(author)
        chat = str(body["group"]) if body.get("group") else world.chat_with(account, author)
        if body.get("group") and chat not in account.groups:
            raise ControlError(f"group: {phone} is in no group {chat}", 404)
        now = world.now()
        message = {
            "id": stanza_id,
            "type": str(body.get("type") or "chat"),
            "body": str(body.get("body") or ""),
            "from": chat,
            "author": lid if body.get("group") else None,
            "pn": phone_wid(author),
            "lid": lid,
            "t": int(now),
            "notifyName": str(body.get("name") or account.contacts.get(author) or "Somebody"),
        }
        text = str(body.get("body") or "")
        world.add_inbound(Inbound(stanza_id, phone, author, chat, text, now))
        for device in world.devices_of(phone):
            world.push(device, {"type": "message", "msg": message})

    async def receipt(self, body: dict[str, Any]) -> Answer:
        """A receipt for messages: `ids` (stanza ids) and `ack` 2 delivered, 3 read, 4 played."""
        ack = body.get("ack")
        if ack not in (2, 3, 4):
            raise ControlError("ack: give 2 (delivered), 3 (read) or 4 (played)")
        ids = {str(i) for i in list_in(body, "ids")}
        account = phone_in(body, "account") if body.get("account") else None
        found = [
            m
            for m in self.world.messages
            if m.stanza_id in ids and m.received is not None and account in (None, m.account)
        ]
        if not found:
            raise ControlError("ids: no accepted message has one of these ids; see `record`", 404)
        for message in found:
            self._receive(message, ack)
        return {"messages": len(found)}

    async def read_all(self, body: dict[str, Any]) -> Answer:
        """The recipients read everything they got (from `account`)."""
        account = phone_in(body, "account") if body.get("account") else None
        unread = [
            m
            for m in self.world.messages
            if m.received is not None and m.read is None and account in (None, m.account)
        ]
        for message in unread:
            self._receive(message, 3)
        return {"messages": len(unread)}

    def _receive(self, message: Message, ack: int) -> None:
        self.world.mark(message, "delivered")
        if ack >= 3:
            self.world.mark(message, "read")
        push_receipts(self.world, self.world.accounts[message.account], message, ack)

    # ------------------------------------------------------------------ the network

    async def drop(self, body: dict[str, Any]) -> Answer:
        """Close the sockets (of `account`); pages come back by themselves."""
        devices = [d for d in self._devices(body) if d.line is not None]
        for device in devices:
            if device.line is not None:
                device.line.hang_up()
        return {"devices": len(devices)}

    async def offline(self, body: dict[str, Any]) -> Answer:
        """Close the sockets (of `account`) and refuse new ones for `seconds`; 0 ends it."""
        seconds = number_in(body, "seconds", None)
        account = phone_in(body, "account") if body.get("account") else ""
        devices = self._devices(body)
        self.world.offline_until[account] = self.world.now() + seconds
        if seconds > 0:
            lines = {d.line for d in devices if d.line} if account else set(self.world.lines)
            for line in lines:
                line.hang_up()
        self.world.touch()
        return {"until": self.world.offline_until[account]}

    async def conflict(self, body: dict[str, Any]) -> Answer:
        """Another browser took over the login (of `account`): the page is told and cut off."""
        online = [d for d in self._devices(body) if d.line is not None]
        for device in online:
            if device.line is not None:
                device.line.send({"type": "conflict"})
                device.line.hang_up()
        return {"devices": len(online)}

    def _devices(self, body: dict[str, Any]) -> list[Device]:
        if not body.get("account"):
            return self.world.devices_of(None)
        phone = phone_in(body, "account")
        if phone not in self.world.accounts:
            raise ControlError(f"account: {phone} was never linked here; see `state`", 404)
        return self.world.devices_of(phone)
