"""What one phone shows: its conversations, and one of them in full. For the page /phone.

A phone belongs to an account's owner, to somebody else, or to both: then it shows both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from whatsapp.simulator.entities import Inbound, Message
from whatsapp.simulator.state import World
from whatsapp.simulator.wids import GROUP_SERVER, phone_wid, server_of

MOST_SHOWN = 200  # messages of one conversation
TYPING_LASTS = 25.0  # seconds, unless the page says that it is over


@dataclass(frozen=True)
class Line:
    """One message as this phone shows it. `ack` of a message that is `mine`: 1 sent, 2 delivered, 3
    read; `read` whether this phone's owner has seen one that is not."""

    id: str
    chat: str
    author: str
    at: float
    mine: bool
    type: str
    body: str
    ack: int = 0
    read: bool = True
    name: str = ""
    media: dict[str, Any] | None = None
    location: dict[str, Any] | None = None
    quoted: dict[str, Any] | None = None
    preview: dict[str, Any] | None = None


@dataclass
class Conversation:
    """With a person or in a group; `id` is the wid, of a person always the phone's. `typing` is
    what the account at the other end does now: composing, recording, or nothing."""

    id: str
    title: str
    may_write: bool = True
    typing: str = ""
    lines: list[Line] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        """JSON shape, without `lines`; with the `last` one, and how many are `unread`."""
        return {
            "id": self.id,
            "title": self.title,
            "may_write": self.may_write,
            "typing": self.typing,
            "last": asdict(self.lines[-1]) if self.lines else None,
            "unread": sum(not line.read for line in self.lines),
        }


def phones(world: World) -> list[dict[str, Any]]:
    """Everybody who has something to show: owners of accounts first."""
    others = dict.fromkeys(message.phone for message in world.messages if message.phone)
    others |= dict.fromkeys(inbound.phone for inbound in world.inbound)
    others |= dict.fromkeys(p for group in world.groups.values() for p in group.participants)
    return [
        {"phone": account.phone, "name": account.name, "owner": True}
        for account in world.accounts.values()
    ] + [
        {"phone": phone, "name": name_of(world, phone), "owner": False}
        for phone in others
        if phone not in world.accounts
    ]


def name_of(world: World, phone: str) -> str:
    """What somebody calls themselves, or an account calls them, or ""."""
    if phone in world.accounts:
        return world.accounts[phone].name
    books = (account.contacts.get(phone, "") for account in world.accounts.values())
    return world.directory.names.get(phone) or next(filter(None, books), "")


def conversations(world: World, phone: str) -> list[Conversation]:
    """Those of `phone`, the latest first; with every account, also where nobody wrote yet."""
    found: dict[str, Conversation] = {}
    for group in world.groups_of(phone):
        found[group.wid] = Conversation(group.wid, group.subject, group.may_write(phone))
    for other in world.accounts:
        if other != phone:
            found[phone_wid(other)] = Conversation(phone_wid(other), name_of(world, other) or other)
    seen = set()
    for line in sorted(_lines(world, phone), key=lambda line: line.at):
        if (line.chat, line.id) in seen:
            continue
        seen.add((line.chat, line.id))
        if line.chat not in found:
            found[line.chat] = _other(world, line.chat)
        found[line.chat].lines.append(line)
    for chat, state in _typing(world, phone).items():
        if chat in found:
            found[chat].typing = state
    ordered = sorted(found.values(), key=lambda c: c.lines[-1].at if c.lines else 0, reverse=True)
    for conversation in ordered:
        del conversation.lines[:-MOST_SHOWN]
    return ordered


def _typing(world: World, phone: str) -> dict[str, str]:
    """What accounts do in the chats of `phone`, by chat."""
    now: dict[str, str] = {}
    since = world.now() - TYPING_LASTS
    for one in reversed(world.typing):
        if one.at < since:
            break
        in_group = server_of(one.chat) == GROUP_SERVER
        chat = one.chat if in_group else phone_wid(one.account) if one.to == phone else ""
        if chat and one.account != phone and chat not in now:
            now[chat] = one.state
    return {chat: state for chat, state in now.items() if state != "paused"}


def _other(world: World, chat: str) -> Conversation:
    """With somebody who is no account, or in a group that the phone has left."""
    if server_of(chat) == GROUP_SERVER:
        group = world.groups.get(chat)
        return Conversation(chat, group.subject if group else "Group", may_write=False)
    phone = chat.partition("@")[0]
    return Conversation(chat, name_of(world, phone) or phone)


def _lines(world: World, phone: str) -> Iterator[Line]:
    for message in world.messages:
        if message.received is None:
            continue
        if message.account == phone:
            chat = phone_wid(message.phone) if message.phone else message.chat
            yield _sent(world, message, chat, mine=True)
        elif phone == message.phone and message.deliveries:
            read = message.read is not None
            yield _sent(world, message, phone_wid(message.account), mine=False, read=read)
        elif phone in message.receipts:
            read = "read" in message.receipts[phone]
            yield _sent(world, message, message.chat, mine=False, read=read)
    for inbound in world.inbound:
        in_group = server_of(inbound.chat) == GROUP_SERVER
        if in_group:
            group = world.groups.get(inbound.chat)
            if phone in (inbound.account, inbound.phone) or (group and phone in group.participants):
                yield _told(world, inbound, inbound.chat, mine=inbound.phone == phone)
        elif inbound.phone == phone:
            yield _told(world, inbound, phone_wid(inbound.to), mine=True)
        elif inbound.to == phone:
            yield _told(world, inbound, phone_wid(inbound.phone), mine=False)


def _sent(world: World, message: Message, chat: str, *, mine: bool, read: bool = True) -> Line:
    return Line(
        id=message.stanza_id,
        chat=chat,
        author=message.account,
        at=message.received or 0.0,
        mine=mine,
        type=message.type,
        body=message.body,
        ack=3 if message.read else 2 if message.delivered else 1,
        read=read,
        name=name_of(world, message.account),
        media=asdict(message.media) if message.media else None,
        location=message.location,
        quoted=asdict(message.quoted) if message.quoted else None,
        preview=asdict(message.preview) if message.preview else None,
    )


def _told(world: World, inbound: Inbound, chat: str, *, mine: bool) -> Line:
    return Line(
        id=inbound.id,
        chat=chat,
        author=inbound.phone,
        at=inbound.at,
        mine=mine,
        type=inbound.type,
        body=inbound.body,
        ack=3 if inbound.seen else 2 if inbound.got else 1,
        name=inbound.name or name_of(world, inbound.phone),
        media=asdict(inbound.media) if inbound.media else None,
        location=inbound.location,
        quoted=asdict(inbound.quoted) if inbound.quoted else None,
    )
