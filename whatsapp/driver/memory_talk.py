"""Conversations in the world of `memory`: what people write and read, alone and in groups."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from whatsapp.driver import base
from whatsapp.driver.memory_state import Device, Group, Person, Sent, Typing, World


class Talk(World):
    """See the module. Phones are E.164; `group` is a group's chat id."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.files: dict[str, base.MediaFile] = {}  # wa_id -> what can be downloaded
        self.typed: list[Typing] = []
        self.composing: dict[tuple[str, str], float] = {}  # account, chat -> until (monotonic)
        self.blocked: set[tuple[str, str]] = set()  # who, which account
        self.cold_locked: set[str] = set()  # accounts that may write only to who wrote to them
        self.wrote: set[tuple[str, str]] = set()  # account, who

    # ------------------------------------------------------------------------------ groups

    def make_group(
        self,
        subject: str,
        members: Iterable[str],
        *,
        admins: Iterable[str] = (),
        description: str = "",
        announce_only: bool = False,
    ) -> Group:
        """A group of these phones, accounts among them; `admins` are members, too."""
        with self.acting():
            group = Group(f"{120363 * 10**12 + self.number()}@g.us", subject, description)
            group.announce_only = announce_only
            admins = list(admins)
            for phone in [*members, *admins]:
                self.person(phone)
                group.members[phone] = phone in admins
            self.groups[group.chat_id] = group
            self._group_changed(group)
            return group

    def join(self, chat_id: str, phone: str) -> None:
        with self.acting():
            group = self.groups[chat_id]
            self.person(phone)
            group.members.setdefault(phone, False)
            group.former.discard(phone)
            self._group_changed(group)

    def leave(self, chat_id: str, phone: str) -> None:
        """Somebody goes, or is removed: pages cannot tell the difference."""
        with self.acting():
            group = self.groups[chat_id]
            del group.members[phone]
            group.former.add(phone)
            self._group_changed(group)

    def promote(self, chat_id: str, phone: str, *, admin: bool = True) -> None:
        with self.acting():
            self.groups[chat_id].members[phone] = admin
            self._group_changed(self.groups[chat_id])

    def restrict(self, chat_id: str, announce_only: bool) -> None:
        """From now on only admins write, or everybody."""
        with self.acting():
            self.groups[chat_id].announce_only = announce_only
            self._group_changed(self.groups[chat_id])

    def _group_changed(self, group: Group) -> None:
        for device in self.devices.values():
            page = device.listener
            if page and device.account in {*group.members, *group.former}:
                page.emit(base.GroupChanged, chat_id=group.chat_id)

    # ---------------------------------------------------------------------------- messages

    def inbound(
        self,
        account: str,
        phone: str,
        body: str = "",
        *,
        name: str = "",
        kind: str = "",
        lid_only: bool = False,
        group: str = "",
        quoted: str = "",
        location: base.Location | None = None,
        media: base.MediaFile | None = None,
        size: int | None = None,
        sent_at: datetime | None = None,
    ) -> str:
        """`phone` writes to `account`, or into `group` as this account sees it; returns the id.

        It waits where nobody is there. `kind` follows from the content where it is not said;
        `size` is what is announced of a file that has another; `lid_only` hides the phone in
        this one message.
        """
        with self.acting():
            sender = self.person(phone)
            hidden = lid_only or sender.hidden
            chat = group or (sender.lid if hidden else self.chat_of(account, sender))
            author = self._author(account, sender) if group else ""
            known = "" if hidden else phone
            self.wrote.add((account, phone))
            return self._arrive(
                account,
                from_me=False,
                media=media,
                size=size,
                wa_id=f"false_{chat}_3A{self.number():018X}" + (f"_{author}" if author else ""),
                chat_id=chat,
                phone=known,
                lid=sender.lid,
                name=name or sender.name,
                kind=kind or _kind(location, media),
                body=body,
                sent_at=sent_at or self.now(),
                author=author,
                author_phone=known if group else "",
                author_lid=sender.lid if group else "",
                quoted=quoted,
                location=location,
            )

    def write_on_phone(
        self,
        account: str,
        to: str,
        body: str = "",
        *,
        quoted: str = "",
        location: base.Location | None = None,
        media: base.MediaFile | None = None,
        sent_at: datetime | None = None,
    ) -> str:
        """The owner of `account` writes to `to`, a phone or a group, on the phone itself."""
        with self.acting():
            me = self.person(account)
            group = to if to.endswith("@g.us") else ""
            other = me if group else self.person(to)
            chat = group or self.chat_of(account, other)
            for device in self.devices_of(account):
                device.unread -= {i for i in device.unread if device.history[i].chat_id == chat}
            return self._arrive(
                account,
                from_me=True,
                media=media,
                wa_id=self.new_id(chat, account).replace("_3EB0", "_3A00", 1),
                chat_id=chat,
                phone="" if other.hidden else other.phone,
                lid=other.lid,
                name=me.name,
                kind=_kind(location, media),
                body=body,
                sent_at=sent_at or self.now(),
                author=self._author(account, me) if group else "",
                author_phone=account if group else "",
                author_lid=me.lid if group else "",
                quoted=quoted,
                location=location,
            )

    def is_typing(self, account: str, chat_id: str) -> bool:
        """Whether the other side of the chat sees "typing…" now."""
        return self.composing.get((account, chat_id), 0.0) > self.monotonic()

    def _author(self, account: str, person: Person) -> str:
        return self.chat_of(account, person)

    def _arrive(
        self,
        account: str,
        *,
        media: base.MediaFile | None,
        size: int | None = None,
        **values: Any,
    ) -> str:
        if media is not None:
            self.files[values["wa_id"]] = media
            announced = len(media.data) if size is None else size
            values["media"] = base.MediaInfo(media.mime, media.filename, announced)
        values["body"] = base.storable(values["body"])
        message = base.IncomingMessage(**values)
        for device in self.devices_of(account):
            device.history[message.wa_id] = message
            if page := device.listener:
                page.emit(base.Incoming, message=message)
            elif not message.from_me:
                device.unread.add(message.wa_id)
        return message.wa_id

    def read_on_phone(self, account: str, chat_id: str) -> None:
        """The owner opens a chat on the phone: nothing in it counts as unread any more."""
        with self.acting():
            for device in self.devices_of(account):
                device.unread -= {i for i in device.unread if device.history[i].chat_id == chat_id}

    def remember(self, device: Device, sent: Sent) -> None:
        """A page keeps what it sent: the next session on its profile finds it again."""
        self.composing.pop((sent.account, sent.chat_id), None)
        person = None if sent.chat_id in self.groups else self.person_at(sent.chat_id)
        me = self.person(device.account)
        other = person or me
        device.history[sent.wa_id] = base.IncomingMessage(
            wa_id=sent.wa_id,
            chat_id=sent.chat_id,
            phone="" if other.hidden else other.phone,
            lid=other.lid,
            name=me.name,
            kind=sent.kind,
            body=sent.body,
            sent_at=self.now(),
            author="" if person else self._author(device.account, me),
            author_phone="" if person else me.phone,
            author_lid="" if person else me.lid,
            from_me=True,
            quoted=sent.quoted,
            location=sent.location,
        )

    # ---------------------------------------------------------------------------- receipts

    def receipt(self, wa_id: str, ack: int, *, member: str = "") -> None:
        """The recipient's phone says delivered (2), read (3) or played (4).

        In a group `member` says so, or every member where none is named.
        """
        with self.acting():
            for sent in self.record:
                if sent.wa_id != wa_id:
                    continue
                if group := self.groups.get(sent.chat_id):
                    others = [phone for phone in group.members if phone != sent.account]
                    for phone in [member] if member else others:
                        self._group_receipt(sent, phone, others, ack)
                    continue
                sent.ack = max(sent.ack, ack)
                for device in self.devices_of(sent.account):
                    self.tell_ack(device, wa_id, ack)

    def _group_receipt(self, sent: Sent, phone: str, others: list[str], ack: int) -> None:
        if sent.acks.get(phone, 0) >= ack:
            return
        sent.acks[phone] = ack
        sent.ack = max(sent.ack, min(sent.acks.get(one, base.Ack.SERVER) for one in others))
        member = self.person(phone)
        # As WhatsApp has it: the key carries the receiver in place of the author.
        key = "_".join([*sent.wa_id.split("_")[:3], member.lid])
        for device in self.devices_of(sent.account):
            known = device.messages.get(sent.wa_id)
            if known and known[0] < sent.ack:
                device.messages[sent.wa_id] = (sent.ack, "")
            if page := device.listener:
                page.emit(
                    base.Receipt,
                    wa_ids=(key,),
                    ack=int(ack),
                    participant=self._author(sent.account, member),
                    participant_phone="" if member.hidden else phone,
                )

    def tell_ack(self, device: Device, wa_id: str, ack: int) -> None:
        """An ack reaches one page. Those away see it by `lookup` only, as with Chromium."""
        if device.messages.get(wa_id, (ack, ""))[0] >= ack or wa_id not in device.messages:
            return
        device.messages[wa_id] = (ack, "")
        for chat, busy in list(device.busy.items()):
            if busy == wa_id:
                del device.busy[chat]
        if page := device.listener:
            page.emit(base.Receipt, wa_ids=(wa_id,), ack=int(ack))

    def block(self, phone: str, account: str) -> None:
        """`phone` wants nothing more of `account`: its messages are taken and never arrive."""
        self.blocked.add((phone, account))

    def lock_cold_chats(self, account: str, *, locked: bool = True) -> None:
        """WhatsApp refuses (463) what this account writes to people who never wrote to it."""
        (self.cold_locked.add if locked else self.cold_locked.discard)(account)

    def accepts_cold(self, account: str, phone: str) -> bool:
        return account not in self.cold_locked or (account, phone) in self.wrote


def _kind(location: base.Location | None, media: base.MediaFile | None) -> str:
    if location is not None:
        return "location"
    return media.kind.value if media else "chat"
