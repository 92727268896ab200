"""Chat agents: from a message that came in to its answer in the queue, beside the agent's own time.

    python -m bench.agents [--messages 300]

A Celery worker of its own asks; messages are stored as a browser worker stores them, 20 a second,
each of another person. Once with keyword rules, once with a webhook that thinks for 200 ms.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench import scratch  # first: sets Django up
from bench.figures import verdict

# isort: split
from django.db.models import F
from django.utils import timezone

from accounts.models import Tenant
from demo.processes import Supervisor, this_database, worker
from whatsapp import inbox
from whatsapp.driver.base import IncomingMessage
from whatsapp.models import Account, AgentRule, AgentTurn, ChatAgent

EVERY = 0.05  # seconds between two messages
THINKS = 0.2  # seconds that the webhook takes
GOAL = 300  # milliseconds
PATIENCE = 60


@contextlib.contextmanager
def thinking_webhook() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(THINKS)
            body = json.dumps({"texts": ["12"]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def write(account: Account, messages: int, *, first: int) -> None:
    """Somebody else asks what it costs, `messages` times."""
    began = time.monotonic()
    for number in range(first, first + messages):
        now = timezone.now()
        phone = f"+3363998{number:04d}"
        message = IncomingMessage(
            wa_id=f"false_{phone[1:]}@c.us_{number:08X}",
            chat_id=f"{phone[1:]}@c.us",
            phone=phone,
            lid="",
            name="Zoé",
            kind="chat",
            body="C’est combien ?",
            sent_at=now,
        )
        inbox.store_incoming(account.pk, message, now=now)
        time.sleep(max(0, began + (number - first + 1) * EVERY - time.monotonic()))


def measure(agent: ChatAgent, messages: int) -> list[float]:
    """Milliseconds of each: received until queued, without what the agent took."""
    until = time.monotonic() + PATIENCE
    turns = AgentTurn.objects.filter(agent=agent)
    while turns.filter(state="answered").count() < messages:
        assert time.monotonic() < until, "not every message was answered"
        time.sleep(0.1)
    rows = turns.annotate(
        whole=F("ended_at") - F("incoming__received_at"), agents=F("heard_at") - F("asked_at")
    )
    return [
        (whole - agents).total_seconds() * 1000
        for whole, agents in rows.values_list("whole", "agents")
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=300, help="of each kind of agent")
    messages = parser.parse_args().messages
    met = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relance-bench-")))
        url = stack.enter_context(thinking_webhook())
        stack.enter_context(scratch.database())
        environment = {
            **os.environ,
            "DATABASE_URL": this_database(),
            "RELANCE_WEBHOOK_ALLOW_LOCAL": "1",
            "LOG_LEVEL": "WARNING",
        }
        supervisor = stack.enter_context(Supervisor(logs=folder / "log", environment=environment))
        supervisor.start(worker("agents", queues="outside", pool="threads", concurrency=8))
        supervisor.wait_ready()
        tenant = Tenant.objects.create(slug="bench", name="Bench")
        for index, (kind, config) in enumerate({"rules": {}, "webhook": {"url": url}}.items()):
            agent = ChatAgent(tenant=tenant, name=kind, kind=kind, config=config)
            agent.seal_secret(b"s" * 32)
            agent.save()
            AgentRule.objects.create(agent=agent, keywords=["combien"], answer="12 €")
            account = Account.objects.create(
                tenant=tenant, name=kind, agent=agent, status="connected",
                phone=f"+33639989{index:03d}", linked_at=timezone.now(),
            )  # fmt: skip
            write(account, messages, first=index * messages)
            took = sorted(measure(agent, messages))
            p95 = took[int(len(took) * 0.95)]
            what = f"{kind}: received to queued, p95 of {messages}"
            met.append(verdict(what, p95, f"< {GOAL} ms", met=p95 < GOAL, unit="ms"))
            print(f"     median {statistics.median(took):.0f} ms, worst {took[-1]:.0f} ms")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
