"""The process table: whose processes run, and how many browsers an account has at any moment."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import defaultdict
from pathlib import Path

EVERY = 0.25  # seconds between two looks


def command_lines() -> dict[int, bytes]:
    """Process id -> command line, words separated by NUL; zombies have none."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if line := (entry / "cmdline").read_bytes():
                    found[int(entry.name)] = line
    return found


def ours(directory: Path) -> dict[int, str]:
    """Processes that name `directory` on their command line or in their environment, and
    processes that work in it; never this one."""
    wanted = os.fsencode(directory)
    found = {}
    for pid, line in command_lines().items():
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            process = Path(f"/proc/{pid}")
            if (
                wanted in line
                or wanted in (process / "environ").read_bytes()
                or os.fsencode((process / "cwd").readlink()).startswith(wanted)
            ):
                found[pid] = line.replace(b"\0", b" ").decode(errors="replace")
    return found


def browsers(directory: Path) -> dict[int, int]:
    """Main processes of Chromium on profiles below `directory`: process id -> account id."""
    profile = re.compile(rb"--user-data-dir=" + re.escape(os.fsencode(directory)) + rb"/.*?(\d+)\0")
    found = {}
    for pid, line in command_lines().items():
        if b"--type=" not in line and (match := profile.search(line + b"\0")):
            found[pid] = int(match[1])
    return found


def chromedrivers(directory: Path) -> list[int]:
    """Drivers of those browsers."""
    return [
        pid for pid, line in ours(directory).items() if line.split(" ")[0].endswith("chromedriver")
    ]


def children(parent: int) -> list[int]:
    """Processes that `parent` has started and that run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, its_parent = _state(int(entry.name))
                if its_parent == parent and state != "Z":
                    found.append(int(entry.name))
    return found


def _state(pid: int) -> tuple[str, int]:
    """The letter of its state, and its parent. Raises `OSError` when it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[1])


class Watch:
    """Looks at the process table now and then; `most` is what invariant B is about."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.most: dict[int, int] = defaultdict(int)  # account id -> browsers at one moment
        self._last: dict[int, set[int]] = defaultdict(set)  # groups of the look before
        self.seen_two: list[str] = []  # when that was, and which they were

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def look(self) -> None:
        groups: dict[int, dict[int, str]] = defaultdict(dict)
        found = browsers(self._directory)
        for pid, account in found.items():
            with contextlib.suppress(OSError):
                state, parent = _state(pid)
                if parent not in found:
                    groups[account][os.getpgid(pid)] = f"{pid} {state}"
        for account, theirs in groups.items():
            # What a browser forks has its command line until it becomes a program of its own, and
            # may have left its group by then: only a group that is there twice is a browser.
            stayed = theirs.keys() & self._last[account]
            self._last[account] = set(theirs)
            self.most[account] = max(self.most[account], len(stayed))
            if len(stayed) > 1:
                at = time.strftime("%H:%M:%S", time.gmtime())
                self.seen_two.append(f"two browsers: account {account} at {at}: {theirs}")

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            self.look()
