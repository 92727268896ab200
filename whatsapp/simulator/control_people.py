"""The control API's ops for people: who write, read, block, and are in groups together."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from whatsapp.simulator import groups, incoming, outgoing
from whatsapp.simulator.control_input import (
    Answer,
    ControlError,
    file_in,
    flag_in,
    list_in,
    location_in,
    number_in,
    phone_in,
)
from whatsapp.simulator.entities import Account, Group, Message, Step
from whatsapp.simulator.state import World
from whatsapp.simulator.wids import GROUP_SERVER, WidError, server_of

_STEPS: dict[Any, tuple[Step, ...]] = {
    2: ("delivered",),
    3: ("delivered", "read"),
    4: ("delivered", "read", "played"),
}


class People:
    """One method for each op, as in `control.Control`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ops: dict[str, Callable[[dict[str, Any]], Awaitable[Answer]]] = {
            "receive": self.receive,
            "write_on_phone": self.write_on_phone,
            "receipt": self.receipt,
            "read_all": self.read_all,
            "block": self.block,
            "lock_new_chats": self.lock_new_chats,
            "make_group": self.make_group,
            "edit_group": self.edit_group,
            "join": self.join,
            "leave": self.leave,
            "remove": self.remove,
            "promote": self.promote,
            "demote": self.demote,
        }

    # ------------------------------------------------------------------ writing

    async def receive(self, body: dict[str, Any]) -> Answer:
        """Somebody (`from`) writes to `account`, or in a `group`. See `_writing` for what."""
        author = phone_in(body, "from")
        if body.get("group"):
            return self._write_in(self._group(body), author, body)
        if body.get("account"):
            accounts = [self.account(body)]
        else:
            phones = {device.phone for device in self.world.devices.values()}
            accounts = [self.world.accounts[phone] for phone in sorted(phones)]
        if not accounts:
            raise ControlError("account: no device is linked; scan a code first", 404)
        for account in accounts:
            if (author, account.phone) in self.world.blocked:
                raise ControlError(f"from: {author} has blocked {account.phone}", 409)
        writing = self._writing(author, body)
        with _quote_in_body():
            for account in accounts:
                incoming.write_to_account(self.world, account, writing)
        return {"id": writing.stanza_id}

    async def write_on_phone(self, body: dict[str, Any]) -> Answer:
        """The owner of `account` writes on their phone, `to` somebody or to a group."""
        account = self.account(body)
        if server_of(str(body.get("to"))) == GROUP_SERVER:
            return self._write_in(self._group({"group": body["to"]}), account.phone, body)
        to = phone_in(body, "to")
        writing = self._writing(account.phone, body)
        with _quote_in_body():
            incoming.write_on_phone(self.world, account, to, writing)
        return {"id": writing.stanza_id}

    def _write_in(self, group: Group, author: str, body: dict[str, Any]) -> Answer:
        if not group.may_write(author):
            why = "is not in" if author not in group.participants else "is no admin of"
            raise ControlError(f"from: {author} {why} {group.wid}, and may not write there", 409)
        writing = self._writing(author, body)
        with _quote_in_body():
            incoming.write_in_group(self.world, group.wid, writing)
        return {"id": writing.stanza_id}

    def _writing(self, author: str, body: dict[str, Any]) -> incoming.Writing:
        """`body` (text or caption), `id`, `name`, `type`, `media`, `location`, `quoted`."""
        file, location = file_in(body), location_in(body)
        kind = file.kind if file else "location" if location else "chat"
        quoted = str(body.get("quoted") or "")
        return incoming.Writing(
            stanza_id=str(body.get("id") or "3A" + secrets.token_hex(9).upper()),
            author=author,
            type=str(body.get("type") or kind),
            body=str(body.get("body") or ""),
            name=str(body.get("name") or ""),
            file=file,
            location=location,
            quoted=quoted.split("_")[2] if quoted.count("_") >= 2 else quoted,
        )

    # ------------------------------------------------------------------ reading

    async def receipt(self, body: dict[str, Any]) -> Answer:
        """A receipt for messages: `ids` (stanza ids) and `ack` 2 delivered, 3 read, 4 played; of
        all recipients, or of the member `phone` only."""
        if body.get("ack") not in _STEPS:
            raise ControlError("ack: give 2 (delivered), 3 (read) or 4 (played)")
        ids = {str(i) for i in list_in(body, "ids")}
        found = [m for m in self._accepted(body) if m.stanza_id in ids]
        if not found:
            raise ControlError("ids: no accepted message has one of these ids; see `record`", 404)
        for message in found:
            self._tell(message, _STEPS[body["ack"]], self._readers(message, body))
        return {"messages": len(found)}

    async def read_all(self, body: dict[str, Any]) -> Answer:
        """The recipients, or `phone` only, read everything they got (from `account`)."""
        unread = [m for m in self._accepted(body) if m.read is None]
        for message in unread:
            self._tell(message, _STEPS[3], self._readers(message, body))
        return {"messages": len(unread)}

    def _accepted(self, body: dict[str, Any]) -> list[Message]:
        account = phone_in(body, "account") if body.get("account") else None
        reader = phone_in(body, "phone") if body.get("phone") else None
        return [
            message
            for message in self.world.messages
            if message.received is not None
            and account in (None, message.account)
            and (reader is None or reader in self.world.receivers(message))
        ]

    def _readers(self, message: Message, body: dict[str, Any]) -> list[str]:
        return [phone_in(body, "phone")] if body.get("phone") else self.world.receivers(message)

    def _tell(self, message: Message, steps: Iterable[Step], readers: list[str]) -> None:
        for step in steps:
            for phone in readers:
                self.world.mark_receiver(message, phone, step)
        outgoing.push_receipts(self.world, message, step, readers)

    # ------------------------------------------------------------------ distrust

    async def block(self, body: dict[str, Any]) -> Answer:
        """`phone` blocks `account`: what it sends is taken and never delivered. `blocked` false
        ends it."""
        pair = (phone_in(body, "phone"), self.account(body).phone)
        blocked = flag_in(body, "blocked", default=True)
        (self.world.blocked.add if blocked else self.world.blocked.discard)(pair)
        self._changed()
        return {}

    async def lock_new_chats(self, body: dict[str, Any]) -> Answer:
        """For `seconds` (0 ends it) WhatsApp refuses what `account` writes to people who never
        wrote to it, with 463."""
        account = self.account(body)
        account.new_chats_locked_until = self.world.now() + number_in(body, "seconds", None)
        self._changed()
        return {"until": account.new_chats_locked_until}

    # ------------------------------------------------------------------ groups

    async def make_group(self, body: dict[str, Any]) -> Answer:
        """A new group: `subject`, `participants`, `admins`, `group` (its id), `announce_only`,
        `description`. See `group_of` for participants."""
        group = self.group_of(body | {"id": body.get("group") or groups.new_wid()})
        if not group.participants:
            raise ControlError("participants: give some phones")
        groups.make(self.world, group)
        return {"group": group.wid}

    async def edit_group(self, body: dict[str, Any]) -> Answer:
        """Another `subject` or `description`, or who may write (`announce_only`)."""
        announce = body.get("announce_only")
        groups.edit(
            self.world,
            self._group(body),
            subject=None if body.get("subject") is None else str(body["subject"]),
            description=None if body.get("description") is None else str(body["description"]),
            announce_only=None if announce is None else flag_in(body, "announce_only"),
        )
        return {}

    async def join(self, body: dict[str, Any]) -> Answer:
        """`phone` comes into `group`; as an `admin`, or `hidden`, if asked."""
        group, phone = self._group(body), self._person(body)
        groups.join(self.world, group, phone, admin=flag_in(body, "admin"))
        return {}

    async def leave(self, body: dict[str, Any]) -> Answer:
        """`phone` leaves `group`."""
        groups.leave(self.world, self._group(body), phone_in(body, "phone"))
        return {}

    async def remove(self, body: dict[str, Any]) -> Answer:
        """An admin removes `phone` from `group`."""
        groups.leave(self.world, self._group(body), phone_in(body, "phone"), removed=True)
        return {}

    async def promote(self, body: dict[str, Any]) -> Answer:
        """`phone` becomes an admin of `group`."""
        groups.promote(self.world, self._group(body), phone_in(body, "phone"))
        return {}

    async def demote(self, body: dict[str, Any]) -> Answer:
        """`phone` is an admin of `group` no more."""
        groups.promote(self.world, self._group(body), phone_in(body, "phone"), admin=False)
        return {}

    def group_of(self, raw: Any) -> Group:
        """The group that is described, not yet made. A participant is a phone, or an object
        `{"phone", "lid", "name", "admin", "hidden"}`."""
        if not isinstance(raw, dict):
            raise ControlError('groups: give objects such as {"id": "1203..@g.us", "subject": ...}')
        wid = str(raw.get("id") or "")
        if server_of(wid) != GROUP_SERVER:
            raise ControlError("group: an id looks like 120363000000000001@g.us")
        admins = [self._person({"phone": phone}) for phone in list_in(raw, "admins")]
        members = []
        for entry in list_in(raw, "participants"):
            given = entry if isinstance(entry, dict) else {"phone": entry}
            members.append(self._person(given))
            if flag_in(given, "admin") or flag_in(given, "superAdmin"):
                admins.append(members[-1])
        return Group(
            wid=wid,
            subject=str(raw.get("subject") or "Group"),
            participants=list(dict.fromkeys([*members, *admins])),
            admins=list(dict.fromkeys(admins)),
            creation=int(number_in(raw, "creation", int(self.world.now()))),
            description=str(raw.get("description") or ""),
            announce_only=flag_in(raw, "announce_only"),
        )

    def _person(self, given: dict[str, Any]) -> str:
        directory = self.world.directory
        wid = str(given.get("phone") or given.get("pn") or given.get("id") or "")
        try:
            phone = directory.phone(wid)
        except WidError as error:
            raise ControlError(f"participants: {error}") from error
        if phone is None:
            raise ControlError(f"participants: unknown LID {wid}; add it with `directory` first")
        hidden = flag_in(given, "hidden") if "hidden" in given else None
        directory.add(phone, lid=given.get("lid"), name=given.get("name"), hidden=hidden)
        return phone

    # ------------------------------------------------------------------ reading requests

    def account(self, body: dict[str, Any]) -> Account:
        phone = phone_in(body, "account")
        if phone not in self.world.accounts:
            raise ControlError(f"account: {phone} was never linked here; see `state`", 404)
        return self.world.accounts[phone]

    def _group(self, body: dict[str, Any]) -> Group:
        group = self.world.groups.get(str(body.get("group")))
        if group is None:
            raise ControlError(f"group: there is no group {body.get('group')}; see `state`", 404)
        return group

    def _changed(self) -> None:
        self.world.save()
        self.world.touch()


@contextlib.contextmanager
def _quote_in_body() -> Iterator[None]:
    try:
        yield
    except incoming.UnknownQuoteError as error:
        raise ControlError(
            f"quoted: no message {error} in this chat; see `record` and `state`", 404
        ) from error
