"""WhatsApp without a browser, for tests that need breadth: same contract, no waiting.

`MemoryWhatsApp` is the outside world, shared by the `MemoryDriver`s of any number of accounts.
In-process only. Where it differs from Chromium: nothing takes time (a lost ack raises `Unknown`
at once instead of after the deadline) and there are no processes.
"""

# ruff: noqa: ARG002 - deadlines have no meaning here

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from whatsapp.driver import base
from whatsapp.driver.base import PageState
from whatsapp.driver.memory_session import MemorySession
from whatsapp.driver.memory_state import Device, Sent, Steps, Typing
from whatsapp.driver.memory_world import MemoryWhatsApp
from whatsapp.driver.outcomes import nacked

__all__ = ["MemoryDriver", "MemoryFactory", "MemoryWhatsApp", "Sent", "Steps"]


class MemoryDriver(MemorySession):
    """`base.Driver` in memory."""

    def status(self) -> PageState:
        with self._turn():
            return self._state

    def qr(self) -> base.QrCode | None:
        with self._turn():
            return self._code

    def refresh_qr(self) -> None:
        with self._turn():
            if self._state in (PageState.QR, PageState.QR_IDLE):
                self.show_code()

    def me(self) -> base.Me:
        with self._turn():
            device = self._world.devices.get(self.profile)
            if device is None:
                raise base.SessionLost("not_linked")
            me = self._world.person(device.account)
            return base.Me(me.phone, me.lid, me.name, "android")

    def number_exists(self, phone: str, *, deadline: float) -> base.NumberInfo | None:
        with self._turn():
            self._ready()
            return self._find(phone)

    def prepare(self, to: str, *, deadline: float) -> base.Outgoing:
        with self._turn():
            device = self._ready()
            chat = to if to.endswith("@g.us") else self._chat(device, to)
            self._writable(device, chat)
            if chat in device.busy:
                raise base.Retryable("chat_busy")
            return base.Outgoing(chat, self._world.new_id(chat, device.account))

    def _chat(self, device: Device, to: str) -> str:
        """The chat with a person."""
        if to.endswith("@lid"):
            person = self._world.person_at(to)
        else:
            person = self._world.person(to) if self._find(to) else None
        if person is None:
            raise base.NotOnWhatsApp
        if person.phone == device.account:
            raise base.Permanent("own_number")
        return self._world.chat_of(device.account, person)

    def _writable(self, device: Device, chat: str) -> None:
        if not chat.endswith("@g.us"):
            return
        group = self._world.groups.get(chat)
        if group is None or device.account not in group.members:
            raise base.Permanent("not_in_group")
        if not group.writes(device.account):
            raise base.Permanent("group_read_only")

    def send_text(
        self,
        out: base.Outgoing,
        text: str,
        *,
        quote: str = "",
        preview: base.LinkPreview | None = None,
        not_after: float,
        deadline: float,
    ) -> base.SendResult:
        return self._send(out, not_after, kind="chat", body=text, quoted=quote, preview=preview)

    def send_media(
        self,
        out: base.Outgoing,
        media: base.MediaFile,
        caption: str,
        *,
        quote: str = "",
        not_after: float,
        deadline: float,
    ) -> base.SendResult:
        kind = media.kind.value
        return self._send(out, not_after, kind=kind, body=caption, media=media, quoted=quote)

    def send_location(
        self,
        out: base.Outgoing,
        location: base.Location,
        *,
        quote: str = "",
        not_after: float,
        deadline: float,
    ) -> base.SendResult:
        return self._send(out, not_after, kind="location", body="", location=location, quoted=quote)

    def typing(self, chat_id: str, *, seconds: float, deadline: float) -> None:
        with self._turn():
            account = self._ready().account
            self._world.typed.append(Typing(account, chat_id, seconds))
            self._world.composing[account, chat_id] = self._world.monotonic() + seconds

    def lookup(self, wa_id: str, *, deadline: float) -> base.Lookup:
        with self._turn():
            device = self._world.devices.get(self.profile)
            if device is None:
                raise base.SessionLost("not_linked")
            if wa_id not in device.messages:
                return base.Lookup(base.Found.NOT_FOUND)
            ack, code = device.messages[wa_id]
            if ack >= base.Ack.SERVER:
                return base.Lookup(base.Found.ON_SERVER, ack)
            found = base.Found.PENDING if ack == base.Ack.CLOCK else base.Found.FAILED
            return base.Lookup(found, ack, code)

    def unread(
        self, *, since: datetime | None = None, deadline: float
    ) -> list[base.IncomingMessage]:
        with self._turn():
            device = self._ready()
            talking = {device.history[wa_id].chat_id for wa_id in device.unread}
            messages = [
                message
                for message in device.history.values()
                if message.wa_id not in self._given
                and (
                    message.sent_at >= since
                    if since
                    else message.wa_id in device.unread
                    or (message.from_me and message.chat_id in talking)
                )
            ]
            device.unread.clear()
            self._given.update(message.wa_id for message in messages)
            return sorted(messages, key=lambda message: message.sent_at)

    def download(
        self, wa_id: str, *, limit: int = base.MAX_DOWNLOAD, deadline: float
    ) -> base.MediaFile:
        with self._turn():
            message = self._ready().history.get(wa_id)
            announced = message.media if message else None
            if announced and announced.size > limit:
                raise base.Permanent("media_too_large")
            if announced is None or wa_id not in self._world.files:
                raise base.Permanent("media_gone")
            file = self._world.files[wa_id]
            if len(file.data) > limit:
                raise base.Permanent("media_too_large")
            return file

    def groups(self, *, deadline: float) -> list[base.GroupInfo]:
        with self._turn():
            me = self._ready().account
            return [
                base.GroupInfo(
                    chat_id=group.chat_id,
                    subject=group.subject,
                    description=group.description,
                    size=len(group.members),
                    admin=group.members.get(me, False),
                    announce_only=group.announce_only,
                    member=me in group.members,
                )
                for group in self._world.groups.values()
                if me in {*group.members, *group.former}
            ]

    def group_members(self, chat_id: str, *, deadline: float) -> list[base.Member]:
        with self._turn():
            me = self._ready().account
            group = self._world.groups.get(chat_id)
            if group is None or me not in group.members:
                raise base.Permanent("not_in_group")
            people = [(self._world.person(phone), admin) for phone, admin in group.members.items()]
            return [
                base.Member(one.lid, "" if one.hidden else one.phone, one.name, admin)
                for one, admin in people
            ]

    def pairing_code(self, phone: str, *, deadline: float) -> str:
        with self._turn():
            if self.profile in self._world.devices:
                raise base.Permanent("already_linked")
            if not re.fullmatch(r"\+[1-9]\d{6,14}", phone):
                raise base.Permanent("bad_number")
            return self._world.new_pairing_code(phone, self)

    def logout(self, *, deadline: float) -> None:
        with self._turn():
            self._world.unlink(self._ready(), "user_initiated")

    # ---------------------------------------------------------------------------- inside

    def _find(self, phone: str) -> base.NumberInfo | None:
        if phone in self._world.absent:
            return None
        return base.NumberInfo(f"{phone[1:]}@c.us", self._world.person(phone).lid)

    def _send(self, out: base.Outgoing, not_after: float, **content: Any) -> base.SendResult:
        """The same order of checks as `dispatch` in bridge/sending.js."""
        world = self._world
        with self._turn():
            device = self._ready()
            known, _ = device.messages.get(out.wa_id, (-9, ""))
            if known >= base.Ack.SERVER:
                return base.SendResult(out.wa_id, known, world.now())
            if out.chat_id in device.busy:
                raise base.Retryable("chat_busy")
            if not out.wa_id.startswith(f"true_{out.chat_id}_"):
                raise base.Permanent("bad_key")
            self._writable(device, out.chat_id)
            quoted = content.get("quoted", "")
            # A person's chat may have been theirs by phone then, and be theirs by LID now.
            key = quoted.split("_")
            if quoted and "_".join([key[0], out.chat_id, *key[2:]]) not in device.history:
                raise base.Permanent("quote_gone")
            self._hook("sending", out)
            if world.monotonic() > not_after:
                raise base.TooLate
            person = None if out.chat_id in world.groups else world.person_at(out.chat_id)
            phone = person.phone if person else ""
            fault = world.fault(phone or out.chat_id)
            device.messages[out.wa_id] = (base.Ack.CLOCK, "")
            if fault and fault.fate in ("hang", "die"):
                self.lose("page_hung" if fault.fate == "hang" else "browser_gone")
                raise base.Unknown(self._lost)
            if fault and fault.fate == "swallowed":
                device.busy[out.chat_id] = out.wa_id
                raise base.Unknown("timeout")
            if fault and fault.fate == "nack":
                device.messages[out.wa_id] = (base.Ack.FAILED, f"nack_{fault.code}")
                raise nacked(str(fault.code))
            if phone and not world.accepts_cold(device.account, phone):
                device.messages[out.wa_id] = (base.Ack.FAILED, "nack_463")
                raise nacked("463")
            sent = world.accept(
                Sent(out.wa_id, device.account, phone, chat_id=out.chat_id, **content)
            )
            world.remember(device, sent)
            self._given.add(sent.wa_id)
            self._hook("accepted", out)
            if fault and fault.fate == "lost":
                device.busy[out.chat_id] = out.wa_id
                raise base.Unknown("timeout")
            device.messages[out.wa_id] = (base.Ack.SERVER, "")  # no event: the call returns it
            if sent.attempts == 1:
                world.travel(sent)
            self._hook("acked", out)
            return base.SendResult(sent.wa_id, base.Ack.SERVER, world.now())

    def _hook(self, point: str, out: base.Outgoing) -> None:
        if point in self._world.hooks:
            self._world.hooks[point](out)


class MemoryFactory:
    """`base.DriverFactory` on one world."""

    def __init__(self, world: MemoryWhatsApp) -> None:
        self.world = world

    def __call__(self, *, profile: Path, on_event: base.EventSink) -> base.Driver:
        return MemoryDriver(self.world, profile=profile, on_event=on_event)
