"""Processes of this machine, told apart from later ones that got the same number."""

from __future__ import annotations

import functools
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from whatsapp.driver.processes import command_line, group_members
from whatsapp.driver.processes import end_group as end_process_group


@functools.cache
def machine() -> tuple[str, str]:
    """(host, boot id): process ids mean the same only where both are equal.

    Containers on one kernel share the boot id: the PID namespace is part of the host.
    """
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    namespace = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    return f"{socket.gethostname()}/{namespace}", boot_id


@dataclass(frozen=True, slots=True)
class Stat:
    state: str
    group: int
    started: int  # clock ticks since boot


def stat(pid: int) -> Stat | None:
    """What the kernel says of a process, None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(state=fields[0], group=int(fields[2]), started=int(fields[19]))


def is_running(pid: int, started: int | None) -> bool:
    """Whether this very process lives (a zombie does not)."""
    found = stat(pid)
    return (
        found is not None and found.state != "Z" and (started is None or found.started == started)
    )


def memory(group: int) -> int:
    """Bytes a process group takes, shared pages counted in parts (PSS); 0 when it is gone."""
    total = 0
    for pid in group_members(group):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        pss = next((line for line in text.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
        total += int(pss.split()[1]) * 1024
    return total


def end_group(group: int, started: int | None) -> bool:
    """Kill a process group whose leader began at `started`; True when nothing of it runs.

    A leader that began at another time means the number was given to somebody else: left alone.
    """
    leader = stat(group)
    if leader is not None and started is not None and leader.started != started:
        return True
    return end_process_group(group, grace=0)


def end_browsers(profile: Path) -> bool:
    """Kill every browser that runs on `profile`, each with its process group; True when none does.

    For whoever holds the account's lease: one that was still being opened is in no lease.
    """
    argument = f"--user-data-dir={profile.absolute()}".encode()
    groups = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or argument not in command_line(int(entry.name)).split(b"\0"):
            continue
        if (found := stat(int(entry.name))) is not None and found.group != os.getpgrp():
            groups.add(found.group)
    ended = [end_process_group(group, grace=0) for group in groups]
    return all(ended)
