"""A simulator with a state file that is killed, and started again on the same file.

The first one is left as it stands, sockets open, while a second one reads what it wrote: nothing
is written at an orderly end only.
"""

from __future__ import annotations

import pytest

from tests.simulator.page_socket import ANA, ME, told_over_a_kill
from whatsapp.simulator.server import Options, Simulator


@pytest.fixture
def file(tmp_path):
    return tmp_path / "simulator.json"


def test_it_knows_every_message_it_had_accepted_and_takes_none_twice(file):
    async def before(bench):
        page = await bench.linked()
        await page.message(ANA, "hello", "3EB01")
        await page.next("receipt")
        return page.token

    async def after(bench, token):
        page = await bench.resumed(token)
        again = await page.message(ANA, "hello", "3EB01")
        [message] = await bench.record()
        totals = (await bench.control("record"))["totals"]

        assert again["duplicate"] is True
        assert (message["body"], message["deliveries"]) == ("hello", 1)
        assert [a["outcome"] for a in message["attempts"]] == ["accepted", "duplicate"]
        assert (totals["messages"], totals["delivered"], totals["duplicates"]) == (1, 1, 1)

    told_over_a_kill(file, before, after)


def test_what_a_page_had_not_confirmed_comes_again_and_what_it_had_does_not(file):
    async def before(bench):
        page = await bench.linked()
        await page.socket.close()
        await bench.until(lambda state: not state["devices"][0]["online"])
        for body in ("first", "second"):
            await bench.control("receive", **{"from": ANA}, body=body, account=ME)
        back = await bench.resumed(page.token)
        await back.confirm(await back.next("message"))
        await bench.until(lambda state: state["devices"][0]["queued"] == 1)
        return page.token

    async def after(bench, token):
        page = await bench.resumed(token)
        message = await page.next("message")
        inbound = (await bench.control("inbound"))["messages"]

        assert message["msg"]["body"] == "second"
        assert [m["got"] is not None for m in inbound] == [True, False]

    told_over_a_kill(file, before, after)


def test_what_was_on_its_way_still_arrives_and_settings_hold(file):
    async def before(bench):
        await bench.control("config", delivered_after=0.3, dedup=False)
        page = await bench.linked()
        await page.message(ANA, "hello", "3EB01")
        return page.token

    async def after(bench, token):
        page = await bench.resumed(token)
        receipt = await page.next("receipt")
        config = (await bench.control("state"))["config"]

        assert (receipt["ids"], receipt["ack"]) == (["3EB01"], 2)
        assert (config["delivered_after"], config["dedup"]) == (0.3, False)

    told_over_a_kill(file, before, after)


def test_a_line_that_the_kill_cut_in_two_is_passed_over(file):
    async def before(bench):
        page = await bench.linked()
        await page.message(ANA, "hello", "3EB01")
        with file.with_name("simulator.json.journal").open("ab") as journal:
            journal.write(b'["message", {"index": 7')
        return page.token

    async def after(bench, token):
        page = await bench.resumed(token)
        await page.message(ANA, "and again", "3EB02")
        third = Simulator(Options(state_file=file))

        assert [m.body for m in third.world.messages] == ["hello", "and again"]

    told_over_a_kill(file, before, after)


def test_without_its_state_file_it_begins_anew_whatever_the_journal_says(file):
    async def before(bench):
        page = await bench.linked()
        await page.message(ANA, "hello", "3EB01")
        file.unlink()
        return page.token

    async def after(bench, token):
        assert await bench.record() == []

    told_over_a_kill(file, before, after)
