"""Groups, two-way chats and locks as the server knows them; over a kill, too."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.page_socket import ANA, BOB, ME, Bench, on_bench, told_over_a_kill

SOMEBODY = "33639980003"
OPS = "120363000000000001@g.us"
PICTURE = {"data": "AAEC", "mimetype": "image/png"}


@on_bench
async def test_members_are_named_by_lid_and_the_phone_of_a_hidden_one_is_not_told(
    bench: Bench,
) -> None:
    page = await bench.linked()
    members = [ME, {"phone": ANA, "admin": True}, {"phone": BOB, "hidden": True}]
    await bench.control("make_group", subject="Ops", participants=members, group=OPS)

    told = await page.next("group", change="create")
    lid = bench.simulator.world.directory.lid
    hidden = await page.call("usync", lid=lid(BOB))
    await bench.control("receive", **{"from": BOB}, body="hi", account=ME)
    unknown = (await page.next("message"))["msg"]
    asked = await page.call("usync", phone=f"+{BOB}")
    await bench.control("receive", **{"from": BOB}, body="hi again", account=ME)
    known = (await page.next("message"))["msg"]

    assert [(m["id"], m["pn"], m["admin"]) for m in told["group"]["participants"]] == [
        (lid(ME), f"{ME}@c.us", False),
        (lid(ANA), f"{ANA}@c.us", True),
        (lid(BOB), None, False),
    ]
    assert (hidden["lid"], hidden["pn"]) == (lid(BOB), None)
    assert (unknown["from"], unknown["pn"]) == (lid(BOB), None)
    assert (asked["lid"], asked["pn"]) == (lid(BOB), f"{BOB}@c.us")
    assert (known["from"], known["pn"]) == (f"{BOB}@c.us", f"{BOB}@c.us")


@on_bench
async def test_each_member_has_delays_of_their_own_and_the_last_one_counts(bench: Bench) -> None:
    await bench.control("config", delivered_after=0, recipients={BOB: {"delivered_after": None}})
    page = await bench.linked()
    await bench.control("make_group", subject="Ops", participants=[ME, ANA, BOB], group=OPS)

    await page.message(OPS, "all", "3EB01")
    await page.next("receipt", participant=bench.simulator.world.directory.lid(ANA))
    [waiting] = await bench.record()
    await bench.control("read_all", phone=BOB)
    [delivered] = await bench.record()
    await bench.control("receipt", ids=["3EB01"], ack=4)
    [played] = await bench.record()

    assert waiting["receipts"][BOB] == {}
    assert (waiting["delivered"], waiting["read"]) == (None, None)
    assert (delivered["delivered"] is not None, delivered["read"]) == (True, None)
    assert set(delivered["receipts"][BOB]) == {"delivered", "read"}
    assert None not in (played["read"], played["played"])


@on_bench
async def test_only_those_who_may_write_in_a_group_can(bench: Bench) -> None:
    page = await bench.linked()
    await bench.control(
        "make_group",
        subject="News",
        participants=[ME, ANA],
        admins=[BOB],
        announce_only=True,
        group=OPS,
    )

    member = await page.message(OPS, stanza_id="3EB01")
    await bench.control("promote", group=OPS, phone=ME)
    admin = await page.message(OPS, stanza_id="3EB02")
    await bench.control("leave", group=OPS, phone=ME)
    gone = await page.message(OPS, stanza_id="3EB03")
    status, refused = await bench.ask("receive", **{"from": ANA}, body="x", group=OPS)
    _, stranger = await bench.ask("receive", **{"from": SOMEBODY}, body="x", group=OPS)

    assert [a.get("error", {}).get("code") for a in (member, admin, gone)] == [403, None, 403]
    assert (status, refused["error"]) == (
        409,
        f"from: {ANA} is no admin of {OPS}, and may not write there",
    )
    assert stranger["error"].startswith(f"from: {SOMEBODY} is not in {OPS}")
    assert await page.call("groups") == []


@on_bench
async def test_every_account_in_a_group_gets_what_a_member_or_an_owner_writes(
    bench: Bench,
) -> None:
    camille, bob = await bench.linked(ME), await bench.linked(BOB)
    await bench.control("make_group", subject="Ops", participants=[ME, BOB, ANA], group=OPS)

    await bench.control("receive", **{"from": ANA}, body="to you all", group=OPS)
    first = [(await page.next("message"))["msg"] for page in (camille, bob)]
    await bench.control("write_on_phone", account=ME, to=OPS, body="thanks")
    mine, theirs = [(await page.next("message"))["msg"] for page in (camille, bob)]
    await bench.control("write_on_phone", account=ME, to=BOB, body="just you")
    own, private = [(await page.next("message"))["msg"] for page in (camille, bob)]

    assert [m["body"] for m in first] == ["to you all"] * 2
    assert (mine["fromMe"], theirs["fromMe"]) == (True, False)
    assert mine["id"] == theirs["id"]
    assert (own["from"], own["fromMe"]) == (f"{BOB}@c.us", True)
    assert (private["from"], private["fromMe"], private["body"]) == (
        f"{ME}@c.us",
        False,
        "just you",
    )


@on_bench
async def test_what_a_page_sends_to_another_account_arrives_on_that_one_s_page(
    bench: Bench,
) -> None:
    camille, bob = await bench.linked(ME, name="Camille"), await bench.linked(BOB)
    await bench.control("make_group", subject="Ops", participants=[ME, BOB, ANA], group=OPS)

    await camille.message(BOB, "hello", "3EB01")
    private = (await bob.next("message"))["msg"]
    await bench.control("receive", **{"from": ANA}, body="who?", group=OPS, id="3AA1")
    await bob.next("message")
    answer = {"quotedStanzaID": "3AA1", "quotedMsg": {"type": "chat", "body": "who?"}}
    await camille.message(OPS, "me", "3EB02", **answer)
    shared = (await bob.next("message"))["msg"]
    told = (await bench.control("inbound", since=1))["messages"]

    assert (private["from"], private["body"]) == (f"{ME}@c.us", "hello")
    assert private["notifyName"] == "Camille"
    assert (shared["from"], shared["id"], shared["quotedStanzaID"]) == (OPS, "3EB02", "3AA1")
    assert [(m["account"], m["from"], m["body"]) for m in told[-1:]] == [(BOB, ME, "me")]
    assert told[-1]["quoted"]["body"] == "who?"


@pytest.mark.parametrize(
    ("op", "body", "status", "field"),
    [
        ("receive", {"from": ANA, "group": OPS}, 404, "group:"),
        ("receive", {"from": ANA, "account": ME, "media": "x"}, 400, "media:"),
        ("receive", {"from": ANA, "account": ME, "media": {"data": "?"}}, 400, "media: data"),
        ("receive", {"from": ANA, "account": ME, "media": {**PICTURE, "type": "x"}}, 400, "media:"),
        ("receive", {"from": ANA, "account": ME, "media": {**PICTURE, "size": -1}}, 400, "size:"),
        ("receive", {"from": ANA, "account": ME, "location": {"lat": "N"}}, 400, "location:"),
        ("receive", {"from": ANA, "account": ME, "quoted": "3EB0"}, 404, "quoted:"),
        ("receive", {"from": ANA, "account": BOB}, 404, "account:"),
        ("write_on_phone", {"account": ME}, 400, "to:"),
        ("write_on_phone", {"account": ME, "to": OPS}, 404, "group:"),
        ("receipt", {"ids": [], "ack": 2, "phone": "x"}, 400, "phone:"),
        ("block", {"phone": ANA, "account": ME, "blocked": "yes"}, 400, "blocked:"),
        ("lock_new_chats", {"account": ME}, 400, "seconds:"),
        ("make_group", {"group": "x", "participants": [ME]}, 400, "group:"),
        ("make_group", {"participants": []}, 400, "participants:"),
        ("make_group", {"participants": ["99@lid"]}, 400, "participants:"),
        ("edit_group", {"group": OPS}, 404, "group:"),
        ("join", {"group": OPS, "phone": ANA}, 404, "group:"),
        ("enter_code", {"phone": ANA, "code": "x"}, 409, "phone:"),
    ],
)
def test_a_mistake_about_people_is_answered_with_the_field_to_blame(
    op: str, body: dict[str, Any], status: int, field: str
) -> None:
    @on_bench
    async def story(bench: Bench) -> None:
        await bench.linked()
        answered, answer = await bench.ask(op, **body)
        assert (answered, answer["ok"]) == (status, False)
        assert answer["error"].startswith(field)

    story()


@on_bench
async def test_a_group_is_made_once_and_entered_and_left_once(bench: Bench) -> None:
    await bench.control("make_group", subject="Ops", participants=[ANA], group=OPS)

    again = await bench.ask("make_group", participants=[ANA], group=OPS)
    joined = await bench.ask("join", group=OPS, phone=ANA)
    left = await bench.ask("leave", group=OPS, phone=BOB)

    assert [(status, answer["error"].partition(":")[0]) for status, answer in (again, joined)] == [
        (409, "group"),
        (409, "phone"),
    ]
    assert left[0] == 404


def test_groups_locks_blocks_and_what_was_said_in_both_directions_outlive_a_kill(tmp_path):
    async def before(bench):
        await bench.control("config", delivered_after=0, recipients={BOB: {"delivered_after": 0.3}})
        page = await bench.linked(contacts=[{"phone": ANA, "name": "Ana"}])
        members = [ME, {"phone": ANA, "admin": True, "hidden": True}, BOB]
        await bench.control("make_group", subject="Ops", participants=members, group=OPS)
        await bench.control("receive", **{"from": BOB}, body="hello", account=ME, media=PICTURE)
        got = await page.next("message")
        await page.confirm(got)
        await page.call("seen", chat=f"{BOB}@c.us")
        await page.call("chatstate", chat=f"{BOB}@c.us", state="composing")
        quote = {"quotedStanzaID": got["msg"]["id"], "quotedMsg": {"type": "chat", "body": "hello"}}
        link = {"subtype": "url", "title": "Spring", "matchedText": "https://example.org"}
        await page.message(OPS, "an answer", "3EB01", **quote, **link)
        await page.next("receipt", participant=bench.simulator.world.directory.lid(ANA))
        await bench.control("block", phone=SOMEBODY, account=ME)
        await bench.control("lock_new_chats", account=ME, seconds=600)
        return page.token

    async def after(bench, token):
        page = await bench.resumed(token)
        state = await bench.control("state")
        [group], [inbound] = state["groups"], (await bench.control("inbound"))["messages"]
        await bench.until(lambda state: state["totals"]["delivered"] == 1)
        [message] = await bench.record()
        path = next(iter(bench.simulator.world.uploads))
        reply = await page.message(BOB, stanza_id="3EB02")
        cold = await page.message("33639980009", stanza_id="3EB03")

        assert (group["admins"], group["participants"]) == ([ANA], [ME, ANA, BOB])
        assert ANA in bench.simulator.world.directory.hidden
        assert (inbound["body"], inbound["type"], inbound["media"]["size"]) == ("hello", "image", 3)
        assert None not in (inbound["got"], inbound["seen"])
        assert [t["state"] for t in state["typing"]] == ["composing"]
        assert state["blocked"] == [{"phone": SOMEBODY, "account": ME}]
        assert set(message["receipts"]) == {ANA, BOB}
        assert (message["quoted"]["body"], message["preview"]["title"]) == ("hello", "Spring")
        assert (await bench.client.get(path)).status == 200
        assert (await bench.client.get("/v/unknown")).status == 410
        assert "t" in reply
        assert cold["error"]["code"] == 463

    told_over_a_kill(tmp_path / "simulator.json", before, after)
