"""Exits with 0 if what this container runs is alive. Standard library only: it runs every minute.

A worker or beat, told by HEARTBEAT_FILE: the file was renewed within --max-age seconds. The web
process: it answers /healthz, asked as a proxy would.
"""

from __future__ import annotations

import argparse
import http.client
import os
import sys
import time
from pathlib import Path


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--max-age", type=float, default=60.0)
    wanted = arguments.parse_args()
    if file := os.environ.get("HEARTBEAT_FILE"):
        return heartbeat(Path(file), wanted.max_age)
    return web()


def heartbeat(file: Path, max_age: float) -> int:
    try:
        age = time.monotonic() - float(file.read_text())
    except (OSError, ValueError) as problem:
        print(f"no heartbeat: {problem}", file=sys.stderr)
        return 1
    # One from before this machine was started lies in the future.
    if not -1 <= age <= max_age:
        print(f"the last heartbeat is {age:.0f} s old", file=sys.stderr)
        return 1
    print(f"heartbeat {age:.0f} s ago")
    return 0


def web() -> int:
    # Any other Host is refused, and without the header HTTPS=true answers with a redirect.
    host = os.environ.get("ALLOWED_HOSTS", "").split(",")[0].strip().lstrip(".") or "localhost"
    headers = {
        "Host": "localhost" if host == "*" else host,
        "X-Forwarded-Proto": "https",
    }
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=4)
    try:
        connection.request("GET", "/healthz", headers=headers)
        status = connection.getresponse().status
    except OSError as problem:
        print(f"no answer: {problem}", file=sys.stderr)
        return 1
    print(f"/healthz: {status}")
    return status != http.client.OK


if __name__ == "__main__":
    sys.exit(main())
