"""A page without a browser: its socket, driven by a test, and the simulator in the same process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, overload

from aiohttp import ClientWebSocketResponse, WSMsgType
from aiohttp.test_utils import TestClient, TestServer

from whatsapp.simulator.server import Options, Simulator

ME, ANA, BOB = "33639980001", "33639980002", "447700900123"
PATIENCE = 5.0  # seconds for one packet


class Page:
    """One socket. `packets` of other kinds than the one awaited are kept for later."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.token: str | None = None
        self._kept: list[dict[str, Any]] = []
        self._calls = 0

    async def send(self, **packet: Any) -> None:
        await self.socket.send_json(packet)

    async def next(self, kind: str, **wanted: Any) -> dict[str, Any]:
        """The next packet of this `type`, with these fields."""

        def fits(packet: dict[str, Any]) -> bool:
            return packet["type"] == kind and all(packet.get(k) == v for k, v in wanted.items())

        for packet in self._kept:
            if fits(packet):
                self._kept.remove(packet)
                return packet
        while True:
            message = await self.socket.receive(PATIENCE)
            assert message.type is WSMsgType.TEXT, f"closed while waiting for {kind}"
            packet = json.loads(message.data)
            if fits(packet):
                found: dict[str, Any] = packet
                return found
            self._kept.append(packet)

    async def closed(self) -> None:
        """Until the server has cut the socket."""
        while True:
            message = await self.socket.receive(PATIENCE)
            if message.type is not WSMsgType.TEXT:
                return
            self._kept.append(json.loads(message.data))

    async def start_call(self, op: str, **args: Any) -> int:
        self._calls += 1
        await self.send(type="call", id=self._calls, op=op, args=args)
        return self._calls

    async def call(self, op: str, **args: Any) -> Any:
        """The result of a call; a refused one gives `{"refused": code}`."""
        answer = await self.next("result", id=await self.start_call(op, **args))
        return answer["result"] if "result" in answer else {"refused": answer["error"]["code"]}

    async def start_message(self, chat: str, body: str, stanza_id: str, **more: Any) -> int:
        return await self.start_call("message", **message(chat, body, stanza_id, **more))

    async def message(self, chat: str, body: str = "hi", stanza_id: str = "3EB0A", **m: Any) -> Any:
        return await self.call("message", **message(chat, body, stanza_id, **m))

    async def confirm(self, packet: dict[str, Any]) -> None:
        await self.send(type="got", n=packet["n"])


def message(chat: str, body: str, stanza_id: str, **more: Any) -> dict[str, Any]:
    """The arguments of the page's call `message`."""
    wid = chat if "@" in chat else f"{chat}@c.us"
    kind = more.get("type", "chat")
    return {
        "id": stanza_id,
        "key": f"true_{wid}_{stanza_id}",
        "to": wid,
        "type": kind,
        "msg": {"type": kind, "body": body, **more},
    }


class Bench:
    """The simulator, its control API and as many pages as a test wants."""

    def __init__(self, simulator: Simulator, client: TestClient[Any, Any]) -> None:
        self.simulator = simulator
        self.client = client

    async def ask(self, op: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """Status and answer of a control call."""
        async with self.client.post(f"/__sim/{op}", json=body) as answer:
            return answer.status, await answer.json()

    async def control(self, op: str, **body: Any) -> dict[str, Any]:
        """The answer of a control call that succeeds."""
        status, answer = await self.ask(op, **body)
        assert (status, answer["ok"]) == (200, True), answer
        return answer

    async def connect(self, token: str | None = None) -> Page:
        page = Page(await self.client.ws_connect("/ws/chat"))
        page.token = token
        await page.send(type="hello", token=token)
        return page

    async def linked(self, phone: str = ME, **scan: Any) -> Page:
        """A page that a phone has scanned and that listens."""
        page = await self.connect()
        ref = (await page.next("ref"))["ref"]
        await self.control("scan", phone=phone, ref=ref, **scan)
        page.token = (await page.next("pair"))["token"]
        await self._listen(page)
        return page

    async def resumed(self, token: str | None) -> Page:
        """The page of a device that comes back."""
        page = await self.connect(token)
        await page.next("success")
        await self._listen(page)
        return page

    async def _listen(self, page: Page) -> None:
        await page.send(type="resume")
        await self.until(
            lambda state: any(d["token"] == page.token and d["listening"] for d in state["devices"])
        )

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The state of the simulator once `condition` holds for it."""
        state = await self.control("state")
        async with asyncio.timeout(PATIENCE):
            while not condition(state):
                state = await self.control("state", after_revision=state["revision"], timeout=1)
        return state

    async def record(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = (await self.control("record"))["messages"]
        return messages


Story = Callable[[Bench], Awaitable[None]]


Test = Callable[[], None]


@overload
def on_bench(story: Story, /) -> Test: ...


@overload
def on_bench(**options: Any) -> Callable[[Story], Test]: ...


def on_bench(story: Story | None = None, /, **options: Any) -> Test | Callable[[Story], Test]:
    """Makes a test out of ``async def test_..(bench)``; options are the simulator's."""
    if story is None:
        return lambda given: _test_of(given, options)
    return _test_of(story, {})


def _test_of(story: Story, options: dict[str, Any]) -> Test:
    async def tell() -> None:
        simulator = Simulator(Options(**options))
        async with TestClient(TestServer(simulator.app(), host="127.0.0.1")) as client:
            await story(Bench(simulator, client))

    def test() -> None:
        asyncio.run(tell())

    test.__name__ = story.__name__
    test.__doc__ = story.__doc__
    return test


Half = Callable[[Bench], Awaitable[str | None]]


def told_over_a_kill(
    file: Path, before: Half, after: Callable[[Bench, str], Awaitable[None]]
) -> None:
    """`before` on one simulator, gives the device's token; `after` on the next, with that. The
    first is left as it stands, sockets open."""

    def bench() -> tuple[Simulator, TestClient[Any, Any]]:
        simulator = Simulator(Options(state_file=file))
        return simulator, TestClient(TestServer(simulator.app(), host="127.0.0.1"))

    async def tell() -> None:
        first, killed = bench()
        async with killed:
            token = await before(Bench(first, killed))
            second, going_on = bench()
            async with going_on:
                await after(Bench(second, going_on), token or "")

    asyncio.run(tell())
