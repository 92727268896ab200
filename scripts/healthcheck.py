"""Exits with 0 if the web process of this container answers /healthz, as a proxy would ask it."""

from __future__ import annotations

import http.client
import os
import sys


def main() -> int:
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
