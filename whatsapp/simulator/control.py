"""The control API: play the phone, the recipients and the bad network. JSON, loopback only.

``POST /__sim/<op>`` with a JSON object; ``state``, ``record``, ``inbound`` and ``config`` also
answer GET.
Answers are ``{"ok": true, ...}`` or ``{"ok": false, "error": "<field>: what is wrong, how to
mend"}`` with status 400 (wrong input), 403 (not from this machine), 404 (no such thing) or
409 (not possible now). docs/reference/simulator.md has the table.

``account`` is the phone of an account; where it may be left out, all accounts are meant.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

from aiohttp import web

from whatsapp.simulator import conversations
from whatsapp.simulator.behaviour import BehaviourError
from whatsapp.simulator.control_input import (
    Answer,
    ControlError,
    failure,
    flag_in,
    list_in,
    number_in,
    phone_in,
    read_body,
    refuse_strangers,
)
from whatsapp.simulator.control_people import People
from whatsapp.simulator.entities import Device, Inbound, Line, Message
from whatsapp.simulator.groups import GroupError
from whatsapp.simulator.sessions import Session
from whatsapp.simulator.state import World

MAX_WAIT = 60.0  # seconds that one long poll may take
PAGE_SIZE = 1000  # messages in one answer of `record` or `inbound`
LATEST = 100  # entries of what pages said of their users, in `state`


class Control:
    """See the module; one method for each op, those about people in `control_people`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.people = People(world)
        self._ops: dict[str, Callable[[dict[str, Any]], Awaitable[Answer]]] = {
            "scan": self.scan,
            "enter_code": self.enter_code,
            "state": self.state,
            "phone": self.phone,
            "record": self.record,
            "inbound": self.inbound,
            "config": self.config,
            "directory": self.directory,
            "drop": self.drop,
            "offline": self.offline,
            "conflict": self.conflict,
            "logout": self.logout,
            "reset": self.reset,
            **self.people.ops,
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
        except (ControlError, GroupError) as error:
            return failure(str(error), error.status)
        except BehaviourError as error:
            return failure(str(error), 400)
        return web.json_response({"ok": True, **answer})

    # ------------------------------------------------------------------ the phone

    async def scan(self, body: dict[str, Any]) -> Answer:
        """A phone scans a code: `phone` (or `pn`), `ref` (a ref or a code's whole text; without
        it the newest code), and what `_link` reads."""
        phone, migrated = phone_in(body, "phone", "pn"), _migrated_in(body)
        waiting = self.world.waiting
        if body.get("ref"):
            ref = str(body["ref"]).split(",")[0]
            if ref not in waiting:
                raise ControlError("ref: no page shows this code (any more); take a new one", 409)
        elif waiting:
            ref = next(reversed(waiting))
        else:
            raise ControlError("ref: no page shows a code now; open one and wait for its code", 409)
        return self._link(phone, waiting[ref].line, body, migrated)

    async def enter_code(self, body: dict[str, Any]) -> Answer:
        """The owner of `phone` types the `code` that a page shows, and what `_link` reads."""
        phone, migrated = phone_in(body, "phone"), _migrated_in(body)
        shown = self.world.link_codes.get(phone)
        if shown is None:
            raise ControlError(
                f"phone: no page shows a code for {phone} (any more); ask for one there", 409
            )
        typed = str(body.get("code") or "").replace("-", "").replace(" ", "").upper()
        if typed != shown.code:
            raise ControlError("code: not the one that the page shows; look again", 409)
        return self._link(phone, shown.line, body, migrated)

    def _link(self, phone: str, line: Line, body: dict[str, Any], migrated: bool | None) -> Answer:
        """`phone` links the page behind `line`: `name`, `lid`, `lid_migrated`, `groups`,
        `contacts`."""
        for raw in list_in(body, "groups"):
            group = self.people.group_of(raw)
            known = self.world.groups.setdefault(group.wid, group)
            members = [phone, *group.participants, *known.participants]
            known.participants = list(dict.fromkeys(members))
        device = self.world.link(
            phone,
            name=str(body.get("name") or "Me"),
            lid=body.get("lid"),
            contacts=self._contacts(list_in(body, "contacts")),
            lid_migrated=migrated,
        )
        assert isinstance(line, Session)  # noqa: S101 - the only Line there is
        line.attach(device)
        return {"token": device.token, "account": phone}

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
            **self._links(),
            "directory": world.directory.describe(),
            "config": world.behaviour.describe(),
            "sockets": len(world.lines),
            "offline": world.is_offline(),
            "groups": [asdict(group) for group in world.groups.values()],
            "blocked": [{"phone": person, "account": a} for person, a in sorted(world.blocked)],
            "seen": world.seen[-LATEST:],
            "typing": [asdict(t) for t in world.typing[-LATEST:]],
            "totals": world.totals(),
        }

    async def phone(self, body: dict[str, Any]) -> Answer:
        """What `phone` shows: its conversations, and the lines of the one whose id is `open`."""
        await self._wait(body)
        listed: list[conversations.Conversation] = []
        if body.get("phone"):
            listed = conversations.conversations(self.world, phone_in(body, "phone"))
        shown = next((c for c in listed if c.id == body.get("open")), None)
        return {
            **self._links(),
            "phones": conversations.phones(self.world),
            "conversations": [c.describe() for c in listed],
            "lines": [asdict(line) for line in shown.lines] if shown else [],
        }

    def _links(self) -> Answer:
        """Codes that are shown, accounts, and the browsers that are linked to them."""
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
            "link_codes": [
                {"phone": c.phone, "expires_at": c.expires_at} for c in world.link_codes.values()
            ],
            "accounts": [
                {
                    "phone": a.phone,
                    "lid": a.lid,
                    "name": a.name,
                    "lid_migrated": a.lid_migrated,
                    "groups": [group.wid for group in world.groups_of(a.phone)],
                    "new_chats_locked_until": a.new_chats_locked_until,
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
        }

    async def record(self, body: dict[str, Any]) -> Answer:
        """Every message that a page tried to send, from index `since` on, at most `limit`.

        `next` is the index to go on from. With `after_revision` it waits for a change first.
        """
        return await self._page(body, self.world.messages)

    async def inbound(self, body: dict[str, Any]) -> Answer:
        """Every message that accounts were told of; pages as `record`."""
        return await self._page(body, self.world.inbound)

    async def _page(self, body: dict[str, Any], rows: Sequence[Message | Inbound]) -> Answer:
        await self._wait(body)
        since = int(number_in(body, "since", 0))
        limit = min(int(number_in(body, "limit", PAGE_SIZE)), PAGE_SIZE)
        part = rows[since : since + limit]
        return {
            "revision": self.world.revision,
            "now": self.world.now(),
            "messages": [row.describe() for row in part],
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
        """`mode` open or listed; `users` to add: phone, lid, business, name, hidden; `absent`
        phones."""
        directory = self.world.directory
        mode = body.get("mode", directory.mode)
        if mode not in ("open", "listed"):
            raise ControlError("mode: give open (every number exists) or listed (only those added)")
        users = [(phone_in(user, "phone", "pn"), user) for user in list_in(body, "users")]
        absent = {phone_in({"absent": phone}, "absent") for phone in list_in(body, "absent")}
        directory.mode = mode
        for phone, user in users:
            directory.add(
                phone,
                lid=user.get("lid"),
                business=user.get("business") or user.get("biz"),
                name=user.get("name"),
                hidden=flag_in(user, "hidden") if "hidden" in user else None,
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


def _migrated_in(body: dict[str, Any]) -> bool | None:
    return flag_in(body, "lid_migrated") if body.get("lid_migrated") is not None else None
