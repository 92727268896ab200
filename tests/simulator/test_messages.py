"""What happens to a message, and what the record says of it."""

from __future__ import annotations

import pytest

from tests.simulator.page_socket import ANA, BOB, ME, Bench, on_bench
from whatsapp.simulator.entities import Packet

GROUP = {"id": "120363000000000001@g.us", "subject": "G", "participants": [ANA, BOB]}


@on_bench
async def test_an_accepted_message_is_acked_delivered_and_recorded_with_times(bench: Bench) -> None:
    page = await bench.linked()

    answer = await page.message(ANA, "hello", "3EB01")
    receipt = await page.next("receipt")
    [message] = await bench.record()

    assert answer["duplicate"] is False
    assert (receipt["ids"], receipt["from"], receipt["ack"]) == (["3EB01"], f"{ANA}@c.us", 2)
    assert (message["account"], message["to"], message["body"]) == (ME, ANA, "hello")
    assert message["key"] == f"true_{ANA}@c.us_3EB01"
    assert message["received"] <= message["acked"] <= message["delivered"]
    assert message["read"] is None
    assert [attempt["outcome"] for attempt in message["attempts"]] == ["accepted"]


@on_bench
async def test_delays_can_be_set_for_all_and_for_one_recipient(bench: Bench) -> None:
    await bench.control(
        "config",
        delivered_after=None,
        recipients={"+44 7700 900123": {"delivered_after": 0, "read_after": 0}},
    )
    page = await bench.linked()

    await page.message(ANA, stanza_id="3EB01")
    await page.message(BOB, stanza_id="3EB02")
    acks = [(r["ids"], r["ack"]) for r in (await page.next("receipt"), await page.next("receipt"))]
    to_ana, to_bob = await bench.record()

    assert acks == [(["3EB02"], 2), (["3EB02"], 3)]
    assert to_ana["delivered"] is None
    assert to_bob["read"] is not None


@on_bench
async def test_the_same_stanza_id_twice_is_one_message_and_two_attempts(bench: Bench) -> None:
    page = await bench.linked()

    await page.message(ANA, stanza_id="3EB01")
    again = await page.message(ANA, stanza_id="3EB01")
    [message] = await bench.record()
    totals = (await bench.control("record"))["totals"]

    assert again["duplicate"] is True
    assert message["deliveries"] == 1
    assert [a["outcome"] for a in message["attempts"]] == ["accepted", "duplicate"]
    assert (totals["messages"], totals["attempts"], totals["duplicates"]) == (1, 2, 1)


@on_bench
async def test_without_dedup_the_same_stanza_id_twice_is_delivered_twice(bench: Bench) -> None:
    await bench.control("config", dedup=False)
    page = await bench.linked()

    await page.message(ANA, stanza_id="3EB01")
    await page.message(ANA, stanza_id="3EB01")
    [message] = await bench.record()

    assert message["deliveries"] == 2
    assert [a["outcome"] for a in message["attempts"]] == ["accepted", "delivered_again"]


@on_bench
async def test_a_nack_can_strike_one_phone_a_number_of_times(bench: Bench) -> None:
    await bench.control("config", nack={"code": 463, "phone": ANA, "times": 1})
    page = await bench.linked()

    to_bob = await page.message(BOB, stanza_id="3EB01")
    first = await page.message(ANA, stanza_id="3EB02")
    second = await page.message(ANA, stanza_id="3EB02")
    _, message = await bench.record()

    assert "t" in to_bob
    assert first["error"]["code"] == 463
    assert "t" in second
    assert [a["outcome"] for a in message["attempts"]] == ["nack:463", "accepted"]
    assert message["deliveries"] == 1


@on_bench
async def test_a_lost_ack_leaves_an_accepted_message_and_a_page_without_an_answer(
    bench: Bench,
) -> None:
    await bench.control("config", ack={"mode": "lost", "times": 1}, delivered_after=0)
    page = await bench.linked()

    await page.start_message(ANA, "hi", "3EB01")
    second = await page.message(ANA, stanza_id="3EB02")
    receipt = await page.next("receipt")
    lost, _ = await bench.record()

    assert "t" in second
    assert receipt["ids"] == ["3EB02"]
    assert lost["received"] is not None
    assert lost["acked"] is None
    assert [a["outcome"] for a in lost["attempts"]] == ["ack_lost"]


@on_bench
async def test_a_cut_in_place_of_the_ack_leaves_the_receipts_for_later(bench: Bench) -> None:
    await bench.control("config", ack={"mode": "cut", "times": 1}, delivered_after=0)
    page = await bench.linked()

    await page.start_message(ANA, "hi", "3EB01")
    await page.closed()
    await bench.until(lambda state: state["totals"]["delivered"] == 1)
    back = await bench.resumed(page.token)
    [message] = await bench.record()

    assert (await back.next("receipt"))["ids"] == ["3EB01"]
    assert (message["acked"], message["deliveries"]) == (None, 1)


@on_bench
async def test_a_swallowed_message_was_never_accepted(bench: Bench) -> None:
    await bench.control("config", ack={"mode": "swallowed", "times": 1})
    page = await bench.linked()

    await page.start_message(ANA, "hi", "3EB01")
    await bench.until(lambda state: state["totals"]["swallowed"] == 1)
    [swallowed] = await bench.record()
    await page.message(ANA, stanza_id="3EB01")
    [taken] = await bench.record()

    assert (swallowed["received"], swallowed["deliveries"]) == (None, 0)
    assert taken["deliveries"] == 1


@on_bench
async def test_a_message_to_somebody_who_is_not_on_whatsapp_is_refused(bench: Bench) -> None:
    await bench.control("directory", mode="listed", users=[{"phone": ANA}])
    page = await bench.linked()

    assert (await page.message(BOB))["error"]["code"] == 404
    assert await page.call("usync", phone=f"+{BOB}") is None
    assert (await page.call("usync", phone=f"+{ANA}"))["pn"] == f"{ANA}@c.us"


@on_bench
async def test_with_an_open_directory_all_phones_exist_but_the_absent(bench: Bench) -> None:
    await bench.control("directory", absent=[BOB])
    page = await bench.linked()

    assert await page.call("usync", phone=f"+{BOB}") is None
    ana = await page.call("usync", phone=f"+{ANA}")
    assert (await page.call("usync", lid=ana["lid"]))["pn"] == f"{ANA}@c.us"
    assert await page.call("usync", phone=ana["lid"].partition("@")[0]) is None


@on_bench
async def test_a_lid_chat_is_recorded_under_the_phone(bench: Bench) -> None:
    await bench.control("directory", users=[{"phone": ANA, "lid": "100000000000777@lid"}])
    page = await bench.linked(lid_migrated=True)

    await page.message("100000000000777@lid", stanza_id="3EB01")
    await bench.control("receive", **{"from": ANA}, body="back", account=ME)
    inbound = await page.next("message")
    [message] = await bench.record()

    assert (message["to"], message["chat"]) == (ANA, "100000000000777@lid")
    assert inbound["msg"]["from"] == "100000000000777@lid"


@on_bench
async def test_a_group_message_brings_a_receipt_from_each_other_member(bench: Bench) -> None:
    page = await bench.linked(groups=[GROUP])

    await page.message(str(GROUP["id"]), stanza_id="3EB01")
    receivers = {(await page.next("receipt"))["participant"] for _ in range(2)}
    listed = await page.call("groups")

    directory = bench.simulator.world.directory
    assert receivers == {directory.lid(ANA), directory.lid(BOB)}
    assert len(listed[0]["participants"]) == 3
    assert (await page.message("120363000000000099@g.us"))["error"]["code"] == 404


@on_bench
async def test_what_arrives_while_a_device_is_away_waits_until_it_listens_again(
    bench: Bench,
) -> None:
    page = await bench.linked()
    await page.message(ANA, stanza_id="3EB01")
    await page.confirm(await page.next("receipt"))
    await page.socket.close()
    await bench.until(lambda state: not state["devices"][0]["online"])

    await bench.control("receive", **{"from": ANA}, body="first", account=ME)
    await bench.control("read_all", account=ME)
    back = await bench.resumed(page.token)
    message, receipt = await back.next("message"), await back.next("receipt")
    await back.confirm(message)
    await back.confirm(receipt)
    await bench.until(lambda state: state["devices"][0]["queued"] == 0)

    assert message["msg"]["body"] == "first"
    assert receipt["ack"] == 3
    assert (await bench.control("inbound"))["messages"][0]["got"] is not None


@on_bench
async def test_what_a_page_did_not_confirm_is_sent_again(bench: Bench) -> None:
    page = await bench.linked()
    await bench.control("receive", **{"from": ANA}, body="hello", account=ME)
    first = await page.next("message")
    await page.socket.close()

    again = await (await bench.resumed(page.token)).next("message")

    assert again["msg"]["id"] == first["msg"]["id"]


@on_bench
async def test_a_dropped_socket_may_come_back_at_once(bench: Bench) -> None:
    page = await bench.linked()

    await bench.control("drop", account=ME)
    await page.closed()

    assert (await bench.resumed(page.token)).token == page.token


@on_bench
async def test_an_offline_network_cuts_and_refuses_sockets_until_it_ends(bench: Bench) -> None:
    page = await bench.linked()

    await bench.control("offline", seconds=60)
    await page.closed()
    refused = await bench.client.get("/ws/chat")
    await bench.control("offline", seconds=0)

    assert refused.status == 503
    assert (await bench.resumed(page.token)).token == page.token


@on_bench
async def test_one_account_can_be_offline_alone(bench: Bench) -> None:
    mine, other = await bench.linked(), await bench.linked(BOB)

    await bench.control("offline", seconds=60, account=ME)
    await mine.closed()
    await (await bench.connect(mine.token)).closed()

    assert "t" in await other.message(ANA)


@on_bench
async def test_a_message_travels_on_when_the_page_that_sent_it_is_gone(bench: Bench) -> None:
    await bench.control("config", delivered_after=0.2)
    page = await bench.linked()

    await page.message(ANA)
    await page.socket.close()
    await bench.until(lambda state: state["totals"]["delivered"] == 1)

    [receipt] = bench.simulator.world.devices[page.token or ""].pending.values()
    assert receipt["type"] == "receipt"


@pytest.mark.parametrize("op", ["message", "usync", "groups"])
def test_a_page_that_is_not_logged_in_may_not_call(op: str) -> None:
    @on_bench
    async def story(bench: Bench) -> None:
        page = await bench.connect()
        await page.next("ref")
        assert await page.call(op) == {"refused": 401}

    story()


class OtherLine:
    """The socket of another page."""

    def send(self, packet: Packet) -> None: ...

    def hang_up(self) -> None: ...


@on_bench
async def test_a_page_whose_login_was_taken_over_cannot_send_any_more(bench: Bench) -> None:
    page = await bench.linked()

    # What the old page had already written when another one took over must not count.
    bench.simulator.world.devices[page.token or ""].line = OtherLine()

    assert await page.message(ANA) == {"refused": 401}
    assert await bench.record() == []
