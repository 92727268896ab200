"""``python -m whatsapp.simulator``: run the simulator until it is interrupted.

The first line on standard output is JSON, ``{"url", "port", "pid", "spki"}``, for programs that
start it with ``--port 0``; `spki` is null without ``--tls``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from whatsapp.simulator.server import HostRefusedError, Options, Simulator, check_host, start
from whatsapp.simulator.tls import self_signed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, shared with ``manage.py simulator``."""
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (127.0.0.1)")
    parser.add_argument("--port", type=int, default=9300, help="0 takes a free one (9300)")
    parser.add_argument(
        "--ref-ttl", type=float, default=20.0, help="seconds that a QR code lives (20)"
    )
    parser.add_argument("--refs", type=int, default=6, help="codes until the page gives up (6)")
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="keep devices and messages there over a restart",
    )
    parser.add_argument(
        "--tls", action="store_true", help="serve https with a key made now; prints its SPKI hash"
    )


def run(given: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM. Returns the exit status."""
    try:
        check_host(given.host)
    except HostRefusedError as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    context, spki = self_signed() if given.tls else (None, None)
    options = Options(
        host=given.host,
        port=given.port,
        ref_ttl=given.ref_ttl,
        refs=given.refs,
        state_file=given.state,
        tls=context,
    )
    try:
        asyncio.run(_serve(options, spki))
    except OSError as error:
        print(f"simulator: --port {given.port}: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(options: Options, spki: str | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    runner, url = await start(Simulator(options))
    print(
        json.dumps({"url": url, "port": urlsplit(url).port, "pid": os.getpid(), "spki": spki}),
        flush=True,
    )
    if sys.stderr.isatty():
        print(f"WhatsApp Web: {url}/   phones: {url}/phone   Ctrl+C ends it", file=sys.stderr)
    try:
        await stopped.wait()
    finally:
        await runner.cleanup()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m whatsapp.simulator", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
