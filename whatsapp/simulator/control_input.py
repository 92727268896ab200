"""Reading requests to the control API: who asks, and what exactly."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
from typing import Any

from aiohttp import web

from whatsapp.simulator.incoming import File
from whatsapp.simulator.media import KINDS, kind_of
from whatsapp.simulator.wids import WidError, digits

READABLE = ("state", "record", "inbound", "config")
# Names under which a browser may reach the control API: other names are DNS tricks.
OUR_NAMES = ("localhost", "127.0.0.1", "[::1]", "web.whatsapp.com")


Answer = dict[str, Any]


class ControlError(Exception):
    """A request that cannot be served; `message` begins with the field that is to blame."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def refuse_strangers(request: web.Request) -> None:
    """Only this machine, and no web page of somebody else's in a browser on this machine."""
    try:
        local = ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        local = False
    if not local:
        raise ControlError("address: the control API answers on this machine only", 403)
    name = request.host.rpartition(":")[0] if ":" in request.host else request.host
    if name not in OUR_NAMES:
        raise ControlError(f"host: call it by one of {', '.join(OUR_NAMES)}", 403)
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        raise ControlError("origin: other sites' pages may not call the control API", 403)


async def read_body(request: web.Request, name: str) -> dict[str, Any]:
    if request.method == "GET":
        if name not in READABLE:
            raise ControlError(f"method: {name} changes things; use POST", 400)
        return {} if name == "config" else dict(request.query)
    if request.method != "POST":
        raise ControlError("method: use POST", 400)
    if not request.can_read_body:
        return {}
    if request.content_type != "application/json":
        raise ControlError("content-type: send application/json", 400)
    try:
        body = json.loads(await request.text())
    except ValueError as error:
        raise ControlError(f"body: not JSON ({error})") from error
    if not isinstance(body, dict):
        raise ControlError("body: send a JSON object")
    return body


def phone_in(body: dict[str, Any], *names: str) -> str:
    for name in names:
        if body.get(name):
            try:
                return digits(str(body[name]))
            except WidError as error:
                raise ControlError(f"{name}: {error}") from error
    raise ControlError(f"{names[0]}: missing; give a phone number such as 33639980001")


def list_in(body: dict[str, Any], name: str) -> list[Any]:
    value = body.get(name) or []
    if not isinstance(value, list):
        raise ControlError(f"{name}: give a list")
    return value


def number_in(body: dict[str, Any], name: str, default: float | None) -> float:
    value = body.get(name, default)
    try:
        number = float(value)  # type: ignore[arg-type]  # None and the rest end as ValueError below
    except (TypeError, ValueError):
        number = -1.0
    if number < 0:
        raise ControlError(f"{name}: give a number, 0 or more")
    return number


def flag_in(body: dict[str, Any], name: str, *, default: bool = False) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise ControlError(f"{name}: give true or false")
    return value


def file_in(body: dict[str, Any]) -> File | None:
    """`media`: `data` (base64), `mimetype`, `filename`; `type` image, video, audio, ptt, document
    or sticker; `size` to claim another one, `gone` when WhatsApp is to have lost it."""
    given = body.get("media")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise ControlError('media: give an object such as {"data": base64, "mimetype": ...}')
    try:
        data = base64.b64decode(str(given.get("data") or ""), validate=True)
    except binascii.Error as error:
        raise ControlError(f"media: data is not base64 ({error})") from error
    mimetype = str(given.get("mimetype") or "application/octet-stream")
    kind = str(given.get("type") or kind_of(mimetype))
    if kind not in KINDS:
        raise ControlError(f"media: type must be one of {', '.join(sorted(KINDS))}")
    return File(
        data=data,
        kind=kind,
        mimetype=mimetype,
        filename=str(given.get("filename") or ""),
        size=int(number_in(given, "size", len(data))),
        gone=flag_in(given, "gone"),
    )


def location_in(body: dict[str, Any]) -> dict[str, Any] | None:
    """`location`: `lat` and `lng` in degrees, `name`, `address`."""
    given = body.get("location")
    if given is None:
        return None
    try:
        lat, lng = float(given["lat"]), float(given["lng"])
    except (TypeError, KeyError, ValueError) as error:
        raise ControlError('location: give an object such as {"lat": 48.85, "lng": 2.35}') from (
            error
        )
    return {
        "lat": lat,
        "lng": lng,
        "name": str(given.get("name") or ""),
        "address": str(given.get("address") or ""),
    }


def failure(error: str, status: int) -> web.Response:
    return web.json_response({"ok": False, "error": error}, status=status)
