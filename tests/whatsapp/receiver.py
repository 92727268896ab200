"""Somebody else's system: an HTTP server that takes webhooks, or does not."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Call"], int]


@dataclass(frozen=True)
class Call:
    """One call, as it came; `body` are the signed bytes."""

    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """As a receiver checks it: docs/how-to/webhooks.md."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode()
        made = base64.b64encode(hmac.digest(key, signed + self.body, "sha256")).decode()
        fresh = abs(time.time() - int(self.headers["webhook-timestamp"])) < 300
        given = self.headers["webhook-signature"].split(" ")
        return fresh and any(hmac.compare_digest(f"v1,{made}", one) for one in given)


@dataclass
class Receiver:
    """`calls` as they came; `answer` says with which status the next ones are met."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    answer: Answer = lambda call: 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def types(self) -> list[str]:
        return [call.said["type"] for call in self.calls]


@contextmanager
def listening() -> Iterator[Receiver]:
    """A receiver on loopback until the end of the block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            call = Call({name.lower(): value for name, value in self.headers.items()}, body)
            receiver.calls.append(call)
            self.send_response(receiver.answer(call))
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(receiver.body)))
            self.end_headers()
            self.wfile.write(receiver.body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/relance"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
