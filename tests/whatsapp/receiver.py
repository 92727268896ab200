"""Somebody else's system: an HTTP server that takes webhooks, or does not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
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
        """As our documentation tells receivers to check it, word for word."""
        guide = (REPOSITORY / "docs/how-to/webhooks.md").read_text()
        documented: dict[str, Any] = {}
        exec(guide.partition("```python\n")[2].partition("```")[0], documented)  # noqa: S102
        return bool(documented["is_ours"](self.headers, self.body, secret))


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
