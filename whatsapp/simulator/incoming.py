"""What people write, in their own apps: to an account, in a group, or on an account's own phone."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from whatsapp.simulator.entities import Account, Inbound, Message, Quoted
from whatsapp.simulator.media import MediaFacts, encrypt, hash_of
from whatsapp.simulator.state import World
from whatsapp.simulator.wids import GROUP_SERVER, phone_wid, server_of

# What a message says of itself that arrives as it was sent.
_FORWARDED = (
    *("body", "mimetype", "filename", "size", "filehash", "encFilehash", "mediaKey"),
    *("mediaKeyTimestamp", "directPath", "width", "height", "lat", "lng", "loc"),
    *("subtype", "title", "description", "canonicalUrl", "matchedText", "thumbnail"),
    *("quotedStanzaID", "quotedParticipant", "quotedMsg"),
)


@dataclass(frozen=True)
class File:
    """What somebody attaches. `kind` as in `media.KINDS`; `size` is what the message claims, in
    bytes; of one that is `gone` WhatsApp has no copy (any more)."""

    data: bytes
    kind: str
    mimetype: str
    filename: str
    size: int
    gone: bool = False


@dataclass(frozen=True)
class Writing:
    """What somebody writes. `body` is the caption where there is a `file`; `quoted` the stanza id
    of the message that it answers; `location` has `lat`, `lng`, `name`, `address`."""

    stanza_id: str
    author: str
    type: str
    body: str
    name: str = ""
    file: File | None = None
    location: dict[str, Any] | None = None
    quoted: str = ""


class UnknownQuoteError(Exception):
    """There is no message with that stanza id in the account's chats."""


def write_to_account(world: World, account: Account, writing: Writing) -> None:
    """A person writes to `account`. Raises `UnknownQuoteError`."""
    _push(world, account, writing, world.chat_with(account, writing.author), to=account.phone)


def write_in_group(world: World, wid: str, writing: Writing) -> None:
    """A member writes in a group: all accounts in it get it, the author's own too, as theirs.
    Raises `UnknownQuoteError`."""
    for phone in world.groups[wid].participants:
        if phone in world.accounts:
            _push(world, world.accounts[phone], writing, wid, to="")


def write_on_phone(world: World, account: Account, to: str, writing: Writing) -> None:
    """The owner of `account` writes to the phone `to` in their own app; the pages see it. Raises
    `UnknownQuoteError`."""
    _push(world, account, writing, world.chat_with(account, to), to=to)
    if to in world.accounts and to != account.phone:
        write_to_account(world, world.accounts[to], writing)


def forward(
    world: World, account: Account, author: Account, message: Message, raw: dict[str, Any]
) -> None:
    """`message`, which a page of `author` sent as `raw`, arrives at `account`."""
    in_group = server_of(message.chat) == GROUP_SERVER
    fields = {name: raw[name] for name in _FORWARDED if raw.get(name) is not None}
    if message.type != "chat":
        fields["caption"] = message.body
    inbound = Inbound(
        id=message.stanza_id,
        account=account.phone,
        phone=author.phone,
        chat=message.chat if in_group else world.chat_with(account, author.phone),
        body=message.body,
        at=world.now(),
        type=message.type,
        to="" if in_group else account.phone,
        name=author.name,
        media=message.media,
        location=message.location,
        quoted=message.quoted,
    )
    _tell(world, account, inbound, fields)


def _push(world: World, account: Account, writing: Writing, chat: str, *, to: str) -> None:
    quoted, fields = _quote(world, account, chat, writing.quoted)
    facts, media_fields = _attach(world, writing.file)
    fields |= media_fields
    if writing.file is not None:
        fields |= {"body": "", "caption": writing.body}
    if writing.location is not None:
        place = writing.location
        words = "\n".join(filter(None, [place["name"], place["address"]]))
        fields |= {"body": "", "lat": place["lat"], "lng": place["lng"], "loc": words}
    inbound = Inbound(
        id=writing.stanza_id,
        account=account.phone,
        phone=writing.author,
        chat=chat,
        body=writing.body,
        at=world.now(),
        type=writing.type,
        to=to,
        from_me=writing.author == account.phone,
        name=writing.name or world.directory.names.get(writing.author, ""),
        media=facts,
        location=writing.location,
        quoted=quoted,
    )
    _tell(world, account, inbound, fields)


def _tell(world: World, account: Account, inbound: Inbound, fields: dict[str, Any]) -> None:
    """The account's pages get it, with `fields` as they name them."""
    directory = world.directory
    lid = directory.lid(inbound.phone)
    message: dict[str, Any] = {
        "id": inbound.id,
        "type": inbound.type,
        "body": inbound.body,
        "from": inbound.chat,
        "fromMe": inbound.from_me,
        "author": lid if server_of(inbound.chat) == GROUP_SERVER else None,
        "lid": lid,
        "pn": None if inbound.phone in directory.hidden else phone_wid(inbound.phone),
        "t": int(inbound.at),
        "notifyName": inbound.name or "Somebody",
        **fields,
    }
    world.add_inbound(inbound)
    for device in world.devices_of(account.phone):
        world.push(device, {"type": "message", "msg": message})
    world.touch()


def _quote(
    world: World, account: Account, chat: str, stanza_id: str
) -> tuple[Quoted | None, dict[str, Any]]:
    """The message that is answered, and the fields that say so in the answer."""
    if not stanza_id:
        return None, {}
    sent = world.find(account.phone, chat, stanza_id)
    got = world.find_inbound(account.phone, stanza_id)
    if sent is None and got is None:
        raise UnknownQuoteError(stanza_id)
    kind, body = (sent.type, sent.body) if sent else (got.type, got.body) if got else ("", "")
    if sent is not None or (got is not None and got.from_me):
        by_lid = not chat.endswith("@c.us")
        author = account.lid if by_lid else phone_wid(account.phone)
    else:
        assert got is not None  # noqa: S101 - one of the two is there
        author = world.directory.lid(got.phone) if server_of(chat) == GROUP_SERVER else chat
    words = {"body": body} if kind == "chat" else {"caption": body}
    return Quoted(stanza_id, author, body), {
        "quotedStanzaID": stanza_id,
        "quotedParticipant": author,
        "quotedMsg": {"type": kind, **words},
    }


def _attach(world: World, file: File | None) -> tuple[MediaFacts | None, dict[str, Any]]:
    """Encrypt and upload, as the author's app does."""
    if file is None:
        return None, {}
    sealed = encrypt(file.data, kind=file.kind)
    path = "/v/" + secrets.token_hex(12)
    if not file.gone:
        world.keep_upload(path, sealed.body)
    facts = MediaFacts(
        sha256=hashlib.sha256(file.data).hexdigest(),
        size=len(file.data),
        mimetype=file.mimetype,
        filename=file.filename,
    )
    return facts, {
        "mimetype": file.mimetype,
        "filename": file.filename or None,
        "size": file.size,
        "filehash": hash_of(file.data),
        "encFilehash": hash_of(sealed.body),
        "mediaKey": base64.b64encode(sealed.media_key).decode(),
        "mediaKeyTimestamp": int(world.now()),
        "directPath": path,
    }
