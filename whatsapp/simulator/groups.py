"""Groups: what a page is told of them, and of every change in them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Literal

from whatsapp.simulator.entities import Group, Packet
from whatsapp.simulator.state import World
from whatsapp.simulator.wids import GROUP_SERVER, phone_wid

Change = Literal["create", "add", "remove", "leave", "promote", "demote", "subject", "announce"]


class GroupError(Exception):
    """A change that WhatsApp would refuse; `status` as in HTTP."""

    def __init__(self, message: str, status: int = 409) -> None:
        super().__init__(message)
        self.status = status


def new_wid() -> str:
    return f"120363{secrets.randbelow(10**12):012d}@{GROUP_SERVER}"


def packet(world: World, group: Group) -> Packet:
    """A group as the page of an account is told of it."""
    directory = world.directory
    owner = group.admins[0] if group.admins else None
    return {
        "id": group.wid,
        "subject": group.subject,
        "desc": group.description,
        "creation": group.creation,
        "announce": group.announce_only,
        "owner": directory.lid(owner) if owner else None,
        "participants": [
            {
                "id": directory.lid(phone),
                "pn": None if phone in directory.hidden else phone_wid(phone),
                "admin": phone in group.admins,
                "superAdmin": phone == owner,
            }
            for phone in group.participants
        ],
    }


def make(world: World, group: Group) -> None:
    """A new group: the pages of all accounts in it are told. Raises `GroupError`."""
    if group.wid in world.groups:
        raise GroupError(f"group: {group.wid} exists already; change it with `edit_group`")
    world.groups[group.wid] = group
    _changed(world, group, "create", group.participants)


def edit(
    world: World,
    group: Group,
    *,
    subject: str | None = None,
    description: str | None = None,
    announce_only: bool | None = None,
) -> None:
    """Another name or description, or who may write."""
    if announce_only is not None:
        group.announce_only = announce_only
        _changed(world, group, "announce", [])
    if subject is not None or description is not None:
        group.subject = group.subject if subject is None else subject
        group.description = group.description if description is None else description
        _changed(world, group, "subject", [])


def join(world: World, group: Group, phone: str, *, admin: bool = False) -> None:
    """Somebody comes in. Raises `GroupError` when they are in already."""
    if phone in group.participants:
        raise GroupError(f"phone: {phone} is in {group.wid} already")
    group.participants.append(phone)
    if admin:
        group.admins.append(phone)
    _changed(world, group, "add", [phone])


def leave(world: World, group: Group, phone: str, *, removed: bool = False) -> None:
    """Somebody goes, or is `removed` by an admin. Raises `GroupError` when they are not in."""
    _require_member(group, phone)
    group.participants.remove(phone)
    if phone in group.admins:
        group.admins.remove(phone)
    _changed(world, group, "remove" if removed else "leave", [phone])


def promote(world: World, group: Group, phone: str, *, admin: bool = True) -> None:
    """Somebody becomes an admin, or stops being one. Raises `GroupError` when they are not in."""
    _require_member(group, phone)
    if admin and phone not in group.admins:
        group.admins.append(phone)
    elif not admin and phone in group.admins:
        group.admins.remove(phone)
    _changed(world, group, "promote" if admin else "demote", [phone])


def _require_member(group: Group, phone: str) -> None:
    if phone not in group.participants:
        raise GroupError(f"phone: {phone} is not in {group.wid}; see `state`", 404)


def _changed(world: World, group: Group, change: Change, phones: Iterable[str]) -> None:
    """Tells the pages of those who are in the group, or were until now."""
    affected = list(phones)
    author = affected[0] if change == "leave" else next(iter(group.admins), None)
    told = {
        "type": "group",
        "id": secrets.token_hex(8).upper(),
        "change": change,
        "group": packet(world, group),
        "participants": [world.directory.lid(phone) for phone in affected],
        "author": world.directory.lid(author) if author else None,
        "t": int(world.now()),
    }
    for device in list(world.devices.values()):
        if device.phone in group.participants or device.phone in affected:
            world.push(device, told)
    world.save()
    world.touch()
