"""What pages send: accepted or refused, recorded, passed on; receipts come back.

A chat is with one person or with a group. The members of a group each have delays and faults of
their own, as any recipient (`Behaviour.recipients`).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Any

from whatsapp.simulator import incoming
from whatsapp.simulator.entities import Account, Message, Packet, Preview, Quoted, Step
from whatsapp.simulator.media import KINDS, MediaError, examine
from whatsapp.simulator.state import World
from whatsapp.simulator.wids import GROUP_SERVER, server_of

_RECEIPT_ACK: dict[Step, int] = {"delivered": 2, "read": 3, "played": 4}
NEW_CHATS_LOCKED = 463


class CallError(Exception):
    """A call of the page is refused. `code` is as in HTTP, and 463."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class NeverAnswered(Exception):
    """The page gets no answer to its call; with `cut` its socket is lost instead."""

    def __init__(self, *, cut: bool = False) -> None:
        super().__init__()
        self.cut = cut


async def accept(world: World, account: Account, args: dict[str, Any]) -> Packet:
    """A page of `account` sends a message: `{id, key, to, type, msg}`.

    Returns `{t, duplicate}`, or `{error: {code, text}}` for a nack. Raises `NeverAnswered`.
    """
    chat, stanza_id = str(args["to"]), str(args["id"])
    phone = world.recipient(chat)
    message = world.find(account.phone, chat, stanza_id)
    if message is None:
        message = _new_message(world, account, args)
        world.add_message(message)
    fate = world.behaviour.fate(phone)
    if fate == "swallowed":
        world.note_attempt(message, "swallowed")
        raise NeverAnswered
    refusal = _refusal(world, account, chat, phone)
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
        world.note_acceptance(message)
    again = "duplicate" if world.behaviour.dedup else "delivered_again"
    accepted = "accepted" if fate == "ack" else "ack_lost"
    world.note_attempt(message, accepted if first else again)
    if first:
        if not _tell_accounts(world, account, message, args["msg"]):
            world.uploads.pop(str(args["msg"].get("directPath")), None)
        # Not a task of the page's session: messages travel on when the page is gone.
        world.run(travel(world, message))
    if fate != "ack":
        raise NeverAnswered(cut=fate == "cut")
    if delay := world.behaviour.of(phone).delays.ack_delay:
        await asyncio.sleep(delay)
    world.mark(message, "acked")
    return {"t": int(message.received or world.now()), "duplicate": not first}


def _tell_accounts(world: World, author: Account, message: Message, raw: dict[str, Any]) -> int:
    """Whoever is an account here gets it on their pages, too. Returns how many."""
    told = [
        world.accounts[phone]
        for phone in world.receivers(message)
        if phone in world.accounts
        and phone != author.phone
        and (phone, author.phone) not in world.blocked
    ]
    for account in told:
        incoming.forward(world, account, author, message, raw)
    return len(told)


def _new_message(world: World, account: Account, args: dict[str, Any]) -> Message:
    raw = args["msg"]
    kind, chat = str(args["type"]), str(args["to"])
    location = None
    if kind == "location":
        name, _, address = str(raw.get("loc") or "").partition("\n")
        location = {
            "lat": raw.get("lat"),
            "lng": raw.get("lng"),
            "name": name,
            "address": address,
        }
    body = raw.get("body") if kind == "chat" else raw.get("caption")
    if kind != "chat" and raw.get("isCaptionByUser") is False:
        body = ""  # wa-js gives a document its file name as caption; recipients see none
    group = world.groups.get(chat)
    members = group.participants if group else []
    return Message(
        index=len(world.messages),
        stanza_id=str(args["id"]),
        key=str(args["key"]),
        account=account.phone,
        chat=chat,
        phone=world.recipient(chat),
        type=kind,
        body=str(body or ""),
        media=None,
        location=location,
        quoted=_quoted(raw),
        preview=_preview(raw),
        receipts={phone: {} for phone in members if phone != account.phone},
    )


def _quoted(raw: dict[str, Any]) -> Quoted | None:
    if not raw.get("quotedStanzaID"):
        return None
    answered = raw.get("quotedMsg") or {}
    words = answered.get("body") if answered.get("type") == "chat" else answered.get("caption")
    return Quoted(
        id=str(raw["quotedStanzaID"]),
        author=str(raw.get("quotedParticipant") or ""),
        body=str(words or ""),
    )


def _preview(raw: dict[str, Any]) -> Preview | None:
    if raw.get("subtype") != "url":
        return None
    try:
        thumbnail = base64.b64decode(str(raw.get("thumbnail") or ""), validate=True)
    except binascii.Error:
        thumbnail = b""
    return Preview(
        url=str(raw.get("canonicalUrl") or raw.get("matchedText") or ""),
        title=str(raw.get("title") or ""),
        description=str(raw.get("description") or ""),
        thumbnail_sha256=hashlib.sha256(thumbnail).hexdigest() if thumbnail else "",
        thumbnail_size=len(thumbnail),
    )


def _refusal(world: World, account: Account, chat: str, phone: str) -> CallError | None:
    fault = world.behaviour.refusal(phone)
    if fault is not None and fault.code is not None:
        return CallError(fault.code, fault.text)
    if server_of(chat) == GROUP_SERVER:
        group = world.groups.get(chat)
        if group is None:
            return CallError(404, "item-not-found")
        if account.phone not in group.participants:
            return CallError(403, "not a member of the group")
        return None if group.may_write(account.phone) else CallError(403, "only admins may write")
    if not phone or not world.directory.knows(phone):
        return CallError(404, "not on WhatsApp")
    locked = world.now() < account.new_chats_locked_until
    if locked and not world.has_written(phone, account.phone):
        return CallError(NEW_CHATS_LOCKED, "new chats are locked for a while")
    return None


async def travel(world: World, message: Message) -> None:
    """The way of an accepted message to its recipients; receipts come back unless it is silent."""
    await asyncio.sleep(world.behaviour.of(message.phone).delays.ack_delay)
    receivers = world.receivers(message)
    await asyncio.gather(*(_reach(world, message, phone) for phone in receivers))


async def _reach(world: World, message: Message, phone: str) -> None:
    if (phone, message.account) in world.blocked:
        return
    delays = world.behaviour.of(phone).delays
    steps: tuple[tuple[Step, float | None], ...] = (
        ("delivered", delays.delivered_after),
        ("read", delays.read_after),
    )
    for step, seconds in steps:
        if world.has_come_to(message, phone, step):
            continue  # before a restart
        if seconds is None:
            return
        await asyncio.sleep(seconds)
        world.mark_receiver(message, phone, step)
        if not message.silent:
            push_receipts(world, message, step, [phone])


def push_receipts(world: World, message: Message, step: Step, phones: Iterable[str]) -> None:
    """Tell the account's pages that `message` came to `step` with these recipients.

    In a group each receipt names its member, by LID.
    """
    for device in world.devices_of(message.account):
        for phone in phones:
            world.push(
                device,
                {
                    "type": "receipt",
                    "ids": [message.stanza_id],
                    "from": message.chat,
                    "ack": _RECEIPT_ACK[step],
                    "ts": int(world.now()),
                    "participant": world.directory.lid(phone) if message.receipts else None,
                },
            )
