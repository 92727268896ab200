"""The control API: who may call it, what it says about mistakes, waiting and settings."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from tests.simulator.page_socket import ANA, BOB, ME, Bench, on_bench
from whatsapp.simulator.control_input import ControlError, refuse_strangers
from whatsapp.simulator.server import HostRefusedError, check_host


def request_from(address: str, **headers: str) -> Any:
    sent = {"Host": "127.0.0.1:9300", **headers}
    return make_mocked_request("POST", "/__sim/reset", headers=sent).clone(remote=address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "::1"])
def test_it_answers_this_machine(address: str) -> None:
    refuse_strangers(request_from(address))


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "2001:db8::1", ""])
def test_it_refuses_other_machines(address: str) -> None:
    with pytest.raises(ControlError, match="this machine only") as refused:
        refuse_strangers(request_from(address))

    assert refused.value.status == 403


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://example.org"}, {"Host": "evil.example:9300"}, {"Origin": "null"}],
)
def test_it_refuses_web_pages_of_others_in_a_local_browser(headers: dict[str, str]) -> None:
    with pytest.raises(ControlError):
        refuse_strangers(request_from("127.0.0.1", **headers))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_the_simulator_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(HostRefusedError, match="--host"):
        check_host(host)


@pytest.mark.parametrize(
    ("op", "body", "status", "field"),
    [
        ("nonsense", {}, 404, "op:"),
        ("scan", {}, 400, "phone:"),
        ("scan", {"phone": "12"}, 400, "phone:"),
        ("scan", {"phone": ME}, 409, "ref:"),
        ("scan", {"phone": ME, "lid_migrated": "yes"}, 400, "lid_migrated:"),
        ("config", {"ack_delay": -1}, 400, "ack_delay:"),
        ("config", {"nack": 12}, 400, "nack:"),
        ("config", {"ack": "maybe"}, 400, "ack:"),
        ("config", {"boot": "slowly"}, 400, "boot:"),
        ("config", {"dedup": "no"}, 400, "dedup:"),
        ("config", {"colour": "red"}, 400, "colour:"),
        ("config", {"recipients": {"x": {}}}, 400, "recipients:"),
        ("config", {"recipients": {ANA: {"dedup": False}}}, 400, "recipients:"),
        ("directory", {"mode": "closed"}, 400, "mode:"),
        ("directory", {"users": [{"phone": "me"}]}, 400, "phone:"),
        ("receive", {"from": ANA, "body": "x"}, 404, "account:"),
        ("receive", {"body": "x"}, 400, "from:"),
        ("receipt", {"ids": ["x"], "ack": 9}, 400, "ack:"),
        ("receipt", {"ids": ["x"], "ack": 2}, 404, "ids:"),
        ("drop", {"account": BOB}, 404, "account:"),
        ("offline", {}, 400, "seconds:"),
        ("record", {"since": "x"}, 400, "since:"),
    ],
)
def test_a_mistake_is_answered_with_the_field_to_blame(
    op: str, body: dict[str, Any], status: int, field: str
) -> None:
    @on_bench
    async def story(bench: Bench) -> None:
        answered, answer = await bench.ask(op, **body)
        assert (answered, answer["ok"]) == (status, False)
        assert answer["error"].startswith(field)

    story()


@on_bench
async def test_a_wrong_setting_changes_nothing(bench: Bench) -> None:
    await bench.ask("config", dedup=False, read_after="soon")

    assert (await bench.control("config"))["config"]["dedup"] is True


@on_bench
async def test_settings_read_back_can_be_given_again(bench: Bench) -> None:
    changes: dict[str, Any] = {
        "nack": {"code": 463, "text": "cold", "phone": ANA, "times": 3},
        "ack": {"mode": "lost", "phone": None, "times": None},
        "delivered_after": None,
        "recipients": {BOB: {"read_after": 1.5}},
    }

    first = (await bench.control("config", **changes))["config"]
    await bench.control("reset")
    second = (await bench.control("config", **first))["config"]

    assert first == second
    assert second["nack"] == changes["nack"]
    assert second["recipients"][BOB]["read_after"] == 1.5


@on_bench
async def test_get_reads_but_does_not_change(bench: Bench) -> None:
    read = await bench.client.get("/__sim/state")
    changed = await bench.client.get("/__sim/reset")
    form = await bench.client.post("/__sim/reset", data={"a": "b"})

    assert (read.status, changed.status, form.status) == (200, 400, 400)


@on_bench
async def test_a_long_poll_answers_when_something_happens(bench: Bench) -> None:
    page = await bench.linked()
    revision = (await bench.control("record"))["revision"]

    waiting = asyncio.create_task(
        bench.control("record", after_revision=revision, timeout=30, limit=0)
    )
    await page.message(ANA)
    answer = await asyncio.wait_for(waiting, 5)

    assert answer["totals"]["attempts"] == 1


@on_bench
async def test_a_long_poll_gives_up_after_its_timeout(bench: Bench) -> None:
    revision = (await bench.control("state"))["revision"]

    answer = await bench.control("state", after_revision=revision, timeout=0.05)

    assert answer["revision"] == revision


@on_bench
async def test_the_record_can_be_read_in_pages(bench: Bench) -> None:
    page = await bench.linked()
    for number in range(5):
        await page.message(ANA, stanza_id=f"3EB0{number}")

    first = await bench.control("record", limit=3)
    rest = await bench.control("record", since=first["next"])

    assert [m["id"] for m in first["messages"] + rest["messages"]] == [
        f"3EB0{number}" for number in range(5)
    ]
    assert [m["index"] for m in rest["messages"]] == [3, 4]


@on_bench
async def test_a_reset_forgets_everything_and_cuts_the_pages(bench: Bench) -> None:
    page = await bench.linked()
    await page.message(ANA)
    await bench.control("config", dedup=False)

    await bench.control("reset")
    await page.closed()
    state = await bench.control("state")

    assert (state["accounts"], state["devices"], state["totals"]["attempts"]) == ([], [], 0)
    assert state["config"]["dedup"] is True
    assert await (await bench.connect(page.token)).next("logged_out")
