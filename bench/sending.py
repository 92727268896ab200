"""One text and one start of the browser, beside whatsapp-web.js 1.34.7 unmodified.

    python -m bench.sending [--sends 120] [--starts 7] [--messages 100]

Both sides are on one simulator, run the same Chromium and take turns; what counts is the median of
the ratios of turns. Times are taken around the call itself: ours in Python, theirs in node.

A send of ours returns when WhatsApp's server has acknowledged the message: that is what lets the
outbox say "sent". `sendMessage` can be asked for the same (`waitUntilMsgSent`), and that is the
call it is compared with. By itself it returns when the page has the message in its own database
and has begun to send; that is printed too. The id of a message of ours is chosen before (`prepare`,
one more call into the page), because it must be written down before the message may leave; with it
is printed as well.

The durable path (claim, limiter, intent, send, finish) is measured by bench.main_job's own means.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench import scratch  # first: sets Django up
from bench.figures import verdict

# isort: split
from django.conf import settings

from bench import main_job
from bench.browsers import Ours, Peer, chromium, tls_simulator
from whatsapp.driver.chromium import ChromiumDriver
from whatsapp.simulator.process import SimulatorProcess

CHATS = [f"+4477009001{number:02d}" for number in range(20)]
MINE, THEIRS = "+33639980001", "+33639980002"
WARM_UP = 2 * len(CHATS)  # turns: chats become known, both engines compile
BODY = "Bonjour Zoé, c'est Amina. Ton abonnement n'est pas encore actif."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sends", type=int, default=120, help="turns of one text each")
    parser.add_argument("--starts", type=int, default=7, help="turns of one start each, 5 or more")
    parser.add_argument("--messages", type=int, default=100, help="through the durable path")
    given = parser.parse_args()
    main_job.say_if_busy()
    met = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relance-bench-")))
        simulator = stack.enter_context(tls_simulator())
        # Receipts would come amid the other side's turn.
        simulator.control.config(delivered_after=None)
        ours = stack.enter_context(Ours(simulator, folder / "ours", binary=chromium()))
        peer = stack.enter_context(Peer(simulator, folder, binary=chromium()))
        if given.starts:
            met.append(compare_starts(ours, peer, given.starts))
        if given.sends:
            met.append(compare_sends(ours, peer, given.sends))
    if given.messages:
        met.append(durable_path(given.messages))
    return int(not all(met))


def compare_starts(ours: Ours, peer: Peer, turns: int) -> bool:
    """From nothing, on an empty profile, until a QR code is there. The first turn warms the disk's
    cache up and does not count; who begins a turn changes."""
    own, theirs = [], []
    for turn in range(turns + 1):
        times = {}
        for side in (ours, peer) if turn % 2 else (peer, ours):
            name = f"start-{turn}"
            times[side] = side.open(name)
            side.close(name)
        if turn:
            own.append(times[ours])
            theirs.append(times[peer])
    show("start to QR code: open()", own)
    show("start to QR code: Client.initialize()", theirs)
    ratio = median_ratio(own, theirs)
    return verdict("start to QR code / whatsapp-web.js", ratio, "<= 0.80", met=ratio <= 0.8)


def compare_sends(ours: Ours, peer: Peer, turns: int) -> bool:
    """Texts to chats both know, one each in a turn; who begins a turn changes."""
    ours.open("send")
    driver = ours.link("send", MINE)
    peer.open("send")
    peer.link("send", THEIRS)
    times: dict[str, list[float]] = {way: [] for way in ("bare", "whole", "acked", "early")}
    for turn in range(turns + WARM_UP):
        phone = CHATS[turn % len(CHATS)]
        text = f"{BODY} {turn}"
        ways = list(times)
        first = turn % len(ways)
        for way in ways[first:] + ways[:first]:
            if way in ("bare", "whole"):
                took = send(driver, phone, text, whole=way == "whole")
            else:
                took = peer.send(
                    *("send", phone, text),
                    linkPreview=False,
                    sendSeen=False,
                    waitUntilMsgSent=way == "acked",
                )
            if turn >= WARM_UP:
                times[way].append(took)
    show("text: send_text, returns when acknowledged", times["bare"])
    show("text: prepare and send_text", times["whole"])
    show("text: sendMessage, asked to wait for that", times["acked"])
    show("text: sendMessage by itself, does not wait", times["early"])
    for what, top, bottom in (
        ("prepare and send_text / sendMessage, waiting", "whole", "acked"),
        ("send_text / sendMessage, not waiting", "bare", "early"),
    ):
        verdict(what, median_ratio(times[top], times[bottom]), "-", met=True)
    ratio = median_ratio(times["bare"], times["acked"])
    return verdict("send_text / sendMessage", ratio, "<= 1.30", met=ratio <= 1.3)


def send(driver: ChromiumDriver, phone: str, text: str, *, whole: bool) -> float:
    """One text, in ms; `whole` counts the choice of its id too."""
    began = time.perf_counter()
    out = driver.prepare(phone, deadline=20)
    if not whole:
        began = time.perf_counter()
    driver.send_text(out, text, not_after=time.monotonic() + 20, deadline=20)
    return (time.perf_counter() - began) * 1000


def durable_path(messages: int) -> bool:
    """As in bench.main_job, on an account linked for it."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relance-bench-")))
        simulator = stack.enter_context(SimulatorProcess())
        settings.WHATSAPP_SESSION_PATH = folder / "profiles"
        settings.WHATSAPP_WEB_URL = f"{simulator.url}/"
        stack.enter_context(scratch.database())
        stack.callback(scratch.run, main_job.OTHERS_OUT)
        [person, *_] = main_job.make_people()
        linked = main_job.linked_session(person, simulator.control)
        pool, session = stack.enter_context(linked)
        return main_job.compare_sends(pool, session, messages)


def median_ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(own / other for own, other in zip(ours, theirs, strict=True))


def show(what: str, times: list[float]) -> None:
    verdict(f"{what}, median", statistics.median(times), "-", met=True, unit="ms")


if __name__ == "__main__":
    sys.exit(main())
