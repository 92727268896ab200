"""Memory of linked accounts, beside whatsapp-web.js 1.34.7 unmodified on the same Chromium.

    python -m bench.sessions [--accounts 10] [--heap 40]

One side after the other links the accounts, sends a text from each, rests, and is weighed: the sum
of the proportional set sizes (a page shared by n processes counts by an n-th in each) of

* ours: all processes of all browsers, a chromedriver each, and this whole Python process, which
  holds the drivers (without Django, as the peer's process is without a framework; a worker that
  has it takes some 50 MB more, once);
* theirs: all processes of all browsers, and the one node process that holds all the clients.

The simulator's page is small where WhatsApp's is not, so every page gets `--heap` MB of numbers
besides, on both sides; 0 weighs without.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.browsers import (
    MARK,
    Ours,
    Peer,
    chromium,
    headless_shell,
    processes,
    pss,
    tls_simulator,
)
from bench.figures import verdict
from whatsapp.simulator.process import SimulatorProcess

MEGABYTE = 1 << 20
REST = 10.0  # seconds before the first weighing
TO = "+447700900123"
BALLAST = """(() => {
  globalThis.ballast = Array.from({length: %d}, () => new Array(131072).fill(0.5));
  return globalThis.ballast.length;
})()"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--accounts", type=int, default=10)
    parser.add_argument("--heap", type=int, default=40, help="MB of numbers in each page")
    given = parser.parse_args()
    return int(not compare(given.accounts, BALLAST % given.heap if given.heap else ""))


def compare(accounts: int, ballast: str) -> bool:
    with (
        tempfile.TemporaryDirectory(prefix="relance-bench-") as folder,
        tls_simulator() as simulator,
    ):
        theirs = weigh_peer(simulator, Path(folder), accounts, ballast)
        full = weigh_ours(simulator, Path(folder), chromium(), accounts, ballast)
        shell = weigh_ours(simulator, Path(folder), headless_shell(), accounts, ballast)
    for what, size in (
        ("whatsapp-web.js", theirs),
        ("our driver", full),
        ("our driver, chromium-headless-shell", shell),
    ):
        verdict(f"{what}, each of {accounts}", size / accounts, "-", met=True, unit="MB")
    met = [
        verdict("ours / theirs, same binary", full / theirs, "<= 0.85", met=full <= 0.85 * theirs),
        verdict("headless shell / theirs", shell / theirs, "<= 0.50", met=shell <= 0.5 * theirs),
    ]
    return all(met)


def weigh_peer(simulator: SimulatorProcess, folder: Path, accounts: int, ballast: str) -> float:
    with Peer(simulator, folder, binary=chromium()) as peer:
        for number in range(accounts):
            name = f"peer-{number}"
            peer.open(name)
            peer.link(name, f"+3363998{1000 + number}")
            peer.send(name, TO, "Bonjour", waitUntilMsgSent=True, linkPreview=False)
            if ballast:
                peer.evaluate(name, ballast)
        return weigh(lambda: processes(peer.process.pid, peer.mark))


def weigh_ours(
    simulator: SimulatorProcess, folder: Path, binary: str, accounts: int, ballast: str
) -> float:
    kind = Path(binary).name
    mark = f"{kind}-{os.getpid()}"
    with Ours(simulator, folder / kind, binary=binary, mark=mark) as ours:
        for number in range(accounts):
            name = f"ours-{number}"
            ours.open(name)
            driver = ours.link(name, f"+3363998{(2000 if 'shell' in kind else 3000) + number}")
            out = driver.prepare(TO, deadline=20)
            driver.send_text(out, "Bonjour", not_after=time.monotonic() + 20, deadline=20)
            if ballast:
                ours.evaluate(name, ballast)

        def everything() -> set[int]:
            groups = [driver.process_group or 0 for driver in ours.drivers.values()]
            return {os.getpid()}.union(*(processes(g, f"{MARK}={mark}") for g in groups))

        return weigh(everything)


def weigh(which: Callable[[], set[int]]) -> float:
    """In MB; the median of some looks."""
    time.sleep(REST)
    looks = []
    for _ in range(3):
        looks.append(pss(which()) / MEGABYTE)
        time.sleep(2)
    return statistics.median(looks)


if __name__ == "__main__":
    sys.exit(main())
