"""Retell's chat API on loopback: real HTTP, its paths, shapes and status codes, its own memory."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "key_of_acme"


@dataclass
class Retell:
    """`chats` by id, as Retell would show them; a test may set what comes next."""

    url: str = ""
    agent_id: str = "agent_1"
    chats: dict[str, dict[str, Any]] = field(default_factory=dict)
    says: Callable[[str], list[dict[str, Any]]] = lambda text: [
        {"role": "agent", "content": f"You said: {text}"}
    ]
    broken: tuple[int, bytes, str] | None = None  # status, body, content type of every answer
    delay: float = 0.0  # seconds before each answer
    trickle: float = 0.0  # seconds between its bytes

    def create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        if asked.get("agent_id") != self.agent_id:
            return 404, {"status": "error", "message": "Agent not found"}
        chat = {
            "chat_id": f"chat_{len(self.chats) + 1}",
            "agent_id": self.agent_id,
            "chat_status": "ongoing",
            "start_timestamp": int(time.time() * 1000),
            "retell_llm_dynamic_variables": asked.get("retell_llm_dynamic_variables", {}),
            "metadata": asked.get("metadata", {}),
            "message_with_tool_calls": [],
        }
        self.chats[chat["chat_id"]] = chat
        return 201, chat

    def complete(self, asked: dict[str, Any]) -> tuple[int, Any]:
        chat = self.chats.get(asked["chat_id"])
        if chat is None:
            return 404, {"status": "error", "message": "Chat not found"}
        if chat["chat_status"] != "ongoing":
            return 400, {"status": "error", "message": "Chat already ended"}
        messages = self.says(asked["content"])
        chat["message_with_tool_calls"] += [{"role": "user", "content": asked["content"]}]
        chat["message_with_tool_calls"] += messages
        return 201, {"messages": messages}

    def end(self, chat_id: str) -> tuple[int, Any]:
        if chat_id not in self.chats:
            return 404, {"status": "error", "message": "Chat not found"}
        self.chats[chat_id]["chat_status"] = "ended"
        return 204, None


@contextmanager
def listening() -> Iterator[Retell]:
    retell = Retell()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            routes = {"/create-chat": retell.create, "/create-chat-completion": retell.complete}
            route = routes.get(self.path)
            self.say(*(route(asked) if route else (404, {"message": "no such route"})))

        def do_PATCH(self) -> None:
            found = re.fullmatch(r"/end-chat/(\w+)", self.path)
            self.say(*(retell.end(found[1]) if found else (404, {"message": "no such route"})))

        def say(self, status: int, said: Any) -> None:
            body, kind = b"" if said is None else json.dumps(said).encode(), "application/json"
            if self.headers["Authorization"] != f"Bearer {KEY}":
                status, body = 401, b'{"status": "error", "message": "Invalid API key"}'
            if retell.broken is not None:
                status, body, kind = retell.broken
            time.sleep(retell.delay)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if not retell.trickle:
                self.wfile.write(body)
                return
            for byte in body:
                try:
                    self.wfile.write(bytes([byte]))
                except OSError:
                    return
                time.sleep(retell.trickle)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    retell.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield retell
    finally:
        server.shutdown()
        server.server_close()
