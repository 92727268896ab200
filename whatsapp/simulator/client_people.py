"""The people of the simulator: who write, read, block, and are in groups together."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from whatsapp.simulator.client_call import Caller


def media(
    data: bytes,
    mimetype: str,
    *,
    filename: str | None = None,
    kind: str | None = None,
    size: int | None = None,
    gone: bool = False,
) -> dict[str, Any]:
    """A file for `PeopleControl.receive`. `kind` is image, video, audio, ptt, document or sticker,
    by default what the MIME type says; `size` makes the message claim another size (bytes); of one
    that is `gone` WhatsApp has no copy."""
    given = {
        "data": base64.b64encode(data).decode(),
        "mimetype": mimetype,
        "filename": filename,
        "type": kind,
        "size": size,
        "gone": gone,
    }
    return {name: value for name, value in given.items() if value is not None}


class PeopleControl(Caller):
    """Ops about people. A group is named by its id, `1203...@g.us`."""

    # ------------------------------------------------------------------ writing

    def receive(
        self,
        sender: str,
        body: str = "",
        *,
        account: str | None = None,
        group: str | None = None,
        name: str | None = None,
        stanza_id: str | None = None,
        quoted: str | None = None,
        media: dict[str, Any] | None = None,
        location: dict[str, Any] | None = None,
        type: str | None = None,  # noqa: A002 - the protocol's word
    ) -> str:
        """`sender` (a phone) writes `body` to `account` (all of them if left out), or as a member
        of `group`. Returns the stanza id.

        `name` is the push name; `quoted` the stanza id or key of the message that is answered;
        `media` from `media()`, with `body` as its caption; `location` ``{"lat", "lng", "name",
        "address"}``; `type` any type of message that WhatsApp might invent.
        """
        answer = self.call(
            "receive",
            account=account,
            body=body,
            group=group,
            name=name,
            id=stanza_id,
            quoted=quoted,
            media=media,
            location=location,
            type=type,
            **{"from": sender},
        )
        return str(answer["id"])

    def write_on_phone(
        self,
        account: str,
        to: str,
        body: str = "",
        *,
        quoted: str | None = None,
        media: dict[str, Any] | None = None,
        location: dict[str, Any] | None = None,
    ) -> str:
        """The owner of `account` writes on their own phone, `to` a phone or a group. Its linked
        pages show it. Returns the stanza id."""
        answer = self.call(
            "write_on_phone",
            account=account,
            to=to,
            body=body,
            quoted=quoted,
            media=media,
            location=location,
        )
        return str(answer["id"])

    # ------------------------------------------------------------------ reading

    def receipt(
        self,
        stanza_ids: Iterable[str],
        ack: int,
        *,
        account: str | None = None,
        phone: str | None = None,
    ) -> int:
        """A receipt (2 delivered, 3 read, 4 played) of all recipients, or of `phone` only. Returns
        how many messages it was for."""
        answer = self.call("receipt", ids=list(stanza_ids), ack=ack, account=account, phone=phone)
        return int(answer["messages"])

    def read_all(self, account: str | None = None, *, phone: str | None = None) -> int:
        """Recipients, or `phone` only, read all they got. Returns how many messages that were."""
        return int(self.call("read_all", account=account, phone=phone)["messages"])

    # ------------------------------------------------------------------ distrust

    def block(self, phone: str, account: str, *, blocked: bool = True) -> None:
        """`phone` blocks `account`: WhatsApp takes what it sends, and never delivers it."""
        self.call("block", phone=phone, account=account, blocked=blocked)

    def lock_new_chats(self, account: str, seconds: float) -> float:
        """Refuse (463) what `account` writes to people who never wrote to it, for so long; 0 ends
        it. Returns until when, in epoch seconds."""
        return float(self.call("lock_new_chats", account=account, seconds=seconds)["until"])

    # ------------------------------------------------------------------ groups

    def make_group(
        self,
        subject: str,
        participants: Iterable[str | dict[str, Any]],
        *,
        admins: Iterable[str] = (),
        announce_only: bool = False,
        description: str = "",
        group: str | None = None,
    ) -> str:
        """A new group of `participants`, accounts among them, and `admins`. Returns its id.

        A participant is a phone, or ``{"phone", "lid", "name", "admin", "hidden"}``; of a `hidden`
        one pages know the LID only. With `announce_only` none but admins may write.
        """
        answer = self.call(
            "make_group",
            subject=subject,
            participants=list(participants),
            admins=list(admins),
            announce_only=announce_only,
            description=description,
            group=group,
        )
        return str(answer["group"])

    def edit_group(
        self,
        group: str,
        *,
        subject: str | None = None,
        description: str | None = None,
        announce_only: bool | None = None,
    ) -> None:
        """Another name or description, or who may write."""
        self.call(
            "edit_group",
            group=group,
            subject=subject,
            description=description,
            announce_only=announce_only,
        )

    def join(
        self, group: str, phone: str, *, admin: bool = False, hidden: bool | None = None
    ) -> None:
        """`phone` comes into the group."""
        self.call("join", group=group, phone=phone, admin=admin, hidden=hidden)

    def leave(self, group: str, phone: str) -> None:
        """`phone` leaves the group."""
        self.call("leave", group=group, phone=phone)

    def remove(self, group: str, phone: str) -> None:
        """An admin removes `phone` from the group."""
        self.call("remove", group=group, phone=phone)

    def promote(self, group: str, phone: str) -> None:
        """`phone` becomes an admin."""
        self.call("promote", group=group, phone=phone)

    def demote(self, group: str, phone: str) -> None:
        """`phone` is an admin no more."""
        self.call("demote", group=group, phone=phone)
