"""One WhatsApp session in a Chromium of its own: Selenium outside, wa-js and `bridge/` inside.

Rooms: `launch.py` starts the processes, `processes.py` ends them, `channel.py` orders what the
page says, `page.py` calls into it, `browser_session.py` keeps the browser; this file is the
`Driver`. No Django here.
"""

from __future__ import annotations

import base64
import dataclasses
import math
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from whatsapp.driver import base, page
from whatsapp.driver.browser_session import QUICK, BrowserSession
from whatsapp.driver.launch import ChromiumConfig
from whatsapp.driver.outcomes import nacked
from whatsapp.driver.page import CallError
from whatsapp.driver.translate import incoming_messages

CHUNK = 3 * 2**20
"""Bytes of a file per WebDriver request; a multiple of 3, so that base64 pieces can be joined."""
MEDIA_KINDS = {
    "image": base.MediaKind.IMAGE,
    "sticker": base.MediaKind.IMAGE,
    "video": base.MediaKind.VIDEO,
    "ptv": base.MediaKind.VIDEO,
    "audio": base.MediaKind.AUDIO,
    "ptt": base.MediaKind.AUDIO,
}
"""WhatsApp's types of files; all others are documents."""


class ChromiumDriver(BrowserSession):
    """`base.Driver` on Chromium."""

    def status(self) -> base.PageState:
        with self._turn(QUICK) as left:
            try:
                return base.PageState(self._raw("status", {}, deadline=left))
            except CallError as failed:
                if failed.code in (page.GONE, page.HUNG):
                    raise page.decide(failed) from failed
                return base.PageState.LOADING

    def qr(self) -> base.QrCode | None:
        text = self._call("qr")
        return self._translator.code(text) if text else None

    def refresh_qr(self) -> None:
        self._call("refreshQr")

    def me(self) -> base.Me:
        said = self._call("me")
        return base.Me(said["phone"], said["lid"], said["name"], said["platform"])

    def number_exists(self, phone: str, *, deadline: float) -> base.NumberInfo | None:
        said = self._call("numberExists", {"phone": phone}, deadline=deadline)
        return base.NumberInfo(said["chat"], said["lid"], said["business"]) if said else None

    def prepare(self, to: str, *, deadline: float) -> base.Outgoing:
        said = self._call("prepare", {"to": to}, deadline=deadline)
        return base.Outgoing(said["chat"], said["id"])

    def lookup(self, wa_id: str, *, deadline: float) -> base.Lookup:
        said = self._call("lookup", {"id": wa_id}, deadline=deadline)
        return base.Lookup(base.Found(said["found"]), said["ack"], said["code"])

    def unread(
        self, *, since: datetime | None = None, deadline: float
    ) -> list[base.IncomingMessage]:
        args = {"since": math.floor(since.timestamp()) if since else None}  # WhatsApp's have no ms
        return incoming_messages(self._call("unread", args, deadline=deadline))

    def download(
        self, wa_id: str, *, limit: int = base.MAX_DOWNLOAD, deadline: float
    ) -> base.MediaFile:
        with self._turn(deadline) as left:
            until = time.monotonic() + left
            try:
                said = self._raw("download", {"id": wa_id, "limit": limit}, deadline=left)
                data = bytearray()
                while len(data) < said["size"]:
                    span = {"id": wa_id, "from": len(data), "to": len(data) + CHUNK}
                    piece = self._raw("piece", span, deadline=until - time.monotonic())
                    data += base64.b64decode(piece)
            except CallError as failed:
                raise page.decide(failed) from failed
        kind = MEDIA_KINDS.get(said["kind"], base.MediaKind.DOCUMENT)
        return base.MediaFile(
            kind, bytes(data), base.storable(said["mime"]), base.storable(said["filename"])
        )

    def groups(self, *, deadline: float) -> list[base.GroupInfo]:
        return [
            base.GroupInfo(
                chat_id=said["chat"],
                subject=base.storable(said["subject"]),
                description=base.storable(said["description"]),
                size=said["size"],
                admin=said["admin"],
                announce_only=said["announceOnly"],
                member=said["member"],
            )
            for said in self._call("groups", deadline=deadline)
        ]

    def group_members(self, chat_id: str, *, deadline: float) -> list[base.Member]:
        return [
            base.Member(said["lid"], said["phone"], base.storable(said["name"]), said["admin"])
            for said in self._call("members", {"chat": chat_id}, deadline=deadline)
        ]

    def typing(self, chat_id: str, *, seconds: float, deadline: float) -> None:
        self._call("typing", {"chat": chat_id, "ms": seconds * 1000}, deadline=deadline)

    def pairing_code(self, phone: str, *, deadline: float) -> str:
        if not re.fullmatch(r"\+[1-9]\d{6,14}", phone):
            raise base.Permanent("bad_number", "a pairing code needs a phone number in E.164")
        code = str(self._call("pairingCode", {"phone": phone}, deadline=deadline))
        letters = code.replace("-", "")
        return f"{letters[:4]}-{letters[4:]}"

    def logout(self, *, deadline: float) -> None:
        until = time.monotonic() + deadline
        with self._turn(deadline) as left:
            try:
                self._raw("logout", {}, deadline=left)
            except CallError as failed:
                if failed.code != page.RELOADED:  # the page reloads itself as its last act
                    raise page.decide(failed) from failed
        if not self._translator.wait_logged_out(until):
            raise base.Retryable("logout_unconfirmed", "the page did not confirm the log-out")

    # ------------------------------------------------------------------------------- sends

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
        args: dict[str, Any] = {"body": text, "quote": quote}
        if preview is not None:
            thumbnail = base64.b64encode(preview.thumbnail).decode()
            args["preview"] = {**dataclasses.asdict(preview), "thumbnail": thumbnail}
        with self._turn(deadline) as left:
            return self._send("sendText", args, out, not_after, time.monotonic() + left)

    def send_location(
        self,
        out: base.Outgoing,
        location: base.Location,
        *,
        quote: str = "",
        not_after: float,
        deadline: float,
    ) -> base.SendResult:
        args = {**dataclasses.asdict(location), "quote": quote}
        with self._turn(deadline) as left:
            return self._send("sendLocation", args, out, not_after, time.monotonic() + left)

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
        args = {
            "kind": media.kind.value,
            "mime": media.mime,
            "filename": media.filename,
            "caption": caption,
            "quote": quote,
        }
        with self._turn(deadline) as left:
            until = time.monotonic() + left
            try:  # the page's CSP blocks fetches, and one request has a limit: in pieces
                for start in range(0, len(media.data), CHUNK):
                    piece = base64.b64encode(media.data[start : start + CHUNK]).decode()
                    put = {"b64": piece, "first": start == 0}
                    self._raw("put", put, deadline=until - time.monotonic())
            except CallError as failed:
                raise page.decide(failed) from failed
            return self._send("sendMedia", args, out, not_after, until)

    def _send(
        self, op: str, args: dict[str, Any], out: base.Outgoing, not_after: float, until: float
    ) -> base.SendResult:
        load, ahead = self._stream.clock() if self._stream else ("", math.inf)
        if not load:
            raise base.Retryable("page_not_ready")
        args |= {"chat": out.chat_id, "id": out.wa_id, "notAfter": not_after * 1000 - ahead}
        try:
            said = self._raw(op, args, load=load, deadline=until - time.monotonic())
        except CallError as failed:
            raise page.decide_send(failed) from failed
        if said["ack"] >= base.Ack.SERVER:
            at = datetime.fromtimestamp(said["t"], UTC) if said.get("t") else None
            return base.SendResult(out.wa_id, said["ack"], at)
        if said["nack"] or said["ack"] < 0:
            raise nacked(str(said["nack"] or ""))
        raise base.Unknown((said["result"] or "no_ack").lower())


class ChromiumFactory:
    """`base.DriverFactory` with one configuration for all accounts."""

    def __init__(self, config: ChromiumConfig) -> None:
        self._config = config

    def __call__(self, *, profile: Path, on_event: base.EventSink) -> base.Driver:
        return ChromiumDriver(self._config, profile=profile, on_event=on_event)
