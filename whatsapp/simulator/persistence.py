"""How a `World` outlives its process: what `state` keeps in the state file, and reads again.

The file has what is: accounts, devices, groups, directory, settings. The journal beside it has
what was said, see `journal`.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whatsapp.simulator.entities import Account, Device, Group, Inbound, Message, Typing
from whatsapp.simulator.journal import Journal

if TYPE_CHECKING:
    from whatsapp.simulator.state import World


def save(world: World, file: Path) -> None:
    """Write the state file, whole or not at all."""
    kept = {
        "accounts": [asdict(a) for a in world.accounts.values()],
        "devices": [
            {"token": d.token, "phone": d.phone, "linked_at": d.linked_at}
            for d in world.devices.values()
        ],
        "groups": [asdict(group) for group in world.groups.values()],
        "blocked": sorted(world.blocked),
        "directory": world.directory.describe(),
        "config": world.behaviour.describe(),
    }
    fresh = file.with_name(file.name + ".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(kept), encoding="utf-8")
    os.replace(fresh, file)  # noqa: PTH105 - whole or not at all


def load(world: World, file: Path) -> None:
    """Read the state file into an empty `world`."""
    kept = json.loads(file.read_text(encoding="utf-8"))
    world.directory.restore(kept["directory"])
    for raw in kept["accounts"]:
        world.accounts[raw["phone"]] = Account(**raw)
    for raw in kept["devices"]:
        world.devices[raw["token"]] = Device(**raw)
    for raw in kept["groups"]:
        world.groups[raw["wid"]] = Group(**raw)
    world.blocked = {(person, account) for person, account in kept["blocked"]}
    world.behaviour.update(kept["config"])


def replay(world: World, journal: Journal) -> None:
    """What was said before; of a message the last line counts, with the receipts after it."""
    messages: dict[int, dict[str, Any]] = {}
    for kind, data in journal.read():
        if kind == "message":
            messages[data["index"]] = data
        elif kind == "receipt":
            index, phone, step, at = data
            messages[index]["receipts"][phone][step] = at
        elif kind == "inbound":
            world.keep_inbound(Inbound.from_journal(data))
        elif kind == "seen":
            world.mark_seen(*data)
        elif kind == "typing":
            world.typing.append(Typing(**data))
        elif kind == "upload":
            world.uploads[data[0]] = base64.b64decode(data[1])
        elif data[0] in world.devices:  # push, got
            device = world.devices[data[0]]
            if kind == "push":
                device.push(data[1])
            else:
                world.confirm(device, *data[1:])
    for raw in messages.values():
        world.add_message(Message.from_journal(raw))
