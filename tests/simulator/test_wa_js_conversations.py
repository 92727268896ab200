"""Unmodified wa-js in groups and in two-way chats: what the driver leans on holds."""

from __future__ import annotations

import base64
import hashlib

import pytest
from selenium.webdriver.support.ui import WebDriverWait

from tests.simulator import wa_js_page
from tests.simulator.conftest import ME, LogIn, OpenPage
from tests.simulator.wa_js_page import WaJsPage
from whatsapp.simulator.client import SimulatorControl, SimulatorControlError, media

ANA, BOB, CHLOE = "33639980002", "447700900123", "33639980003"
CHLOE_LID = "100000000000333@lid"
JPEG = b"\xff\xd8\xff\xe0 not much of a picture \xff\xd9"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(bool(wa_js_page.missing()), reason=wa_js_page.missing()),
]

HEARD = (
    "window.heard = [];"
    "WPP.on('chat.new_message', (m) => heard.push({id: String(m.id), chat: String(m.id.remote),"
    "  fromMe: m.id.fromMe, author: m.author ? String(m.author) : null, type: m.type,"
    "  body: m.body, caption: m.caption, name: m.notifyName, lat: m.lat, lng: m.lng, loc: m.loc,"
    "  quoted: m.quotedStanzaID, size: m.size, mimetype: m.mimetype, filename: m.filename}));"
)


def heard(page: WaJsPage, count: int) -> list[dict]:
    """What wa-js has told of since `HEARD` ran, once there are `count` messages."""
    page.wait_for(f"heard.length >= {count}")
    return page.run("return heard")


def download(page: WaJsPage, key: str) -> bytes:
    text = page.run(
        "const blob = await WPP.chat.downloadMedia(A[0]);"
        "return (await WPP.util.blobToBase64(blob)).split(',')[1]",
        key,
    )
    return base64.b64decode(text)


def test_a_group_has_roles_members_without_a_phone_and_receipts_of_each(
    log_in: LogIn, control: SimulatorControl
) -> None:
    page = log_in(contacts=[{"phone": ANA, "name": "Ana"}])
    page.run(HEARD)
    page.run(
        "window.changes = [];"
        "WPP.on('group.participant_changed', (c) => changes.push([c.action, c.participants]));"
        "window.acks = [];"
        "WPP.on('chat.msg_ack_change', (a) => a.sender && acks.push([a.ack, String(a.sender)]))"
    )
    members = [ME, ANA, BOB, {"phone": CHLOE, "lid": CHLOE_LID, "hidden": True}]
    group = control.make_group("Godparents", members, admins=[ANA], description="Who brings whom")
    page.wait_for("WPP.whatsapp.ChatStore.length === 1")

    listed = page.run(
        "return (await WPP.group.getAllGroups()).map((g) => ({id: String(g.id), name: g.name,"
        " desc: g.groupMetadata.desc, size: g.groupMetadata.size}))"
    )
    seen = page.run(
        "return (await WPP.group.getParticipants(A[0])).map((p) => ({lid: String(p.id),"
        " phone: String(WPP.whatsapp.lidPnCache.getPhoneNumber(p.id) || ''), admin: p.isAdmin}))",
        group,
    )
    assert listed == [{"id": group, "name": "Godparents", "desc": "Who brings whom", "size": 4}]
    assert {(one["phone"], one["admin"]) for one in seen} == {
        (f"{ME}@c.us", False),
        (f"{ANA}@c.us", True),
        (f"{BOB}@c.us", False),
        ("", False),
    }
    assert CHLOE_LID in {one["lid"] for one in seen}

    control.config(delivered_after=0, recipients={BOB: {"delivered_after": None}})
    sent = page.send_text(group, "to all of you")
    page.wait_for("acks.length === 2")
    some = page.run("return await WPP.chat.getMessageACK(A[0])", sent["id"])
    control.receipt([sent["id"].split("_")[2]], 3, phone=BOB)
    page.wait_for_ack(sent["id"], 2)
    [message] = control.messages()
    assert (some["ack"], some["deliveryRemaining"]) == (1, 1)
    assert set(message.receipts) == {ANA, BOB, CHLOE}
    assert set(message.receipts[BOB]) == {"delivered", "read"}
    assert message.delivered is not None
    assert message.read is None

    control.receive(CHLOE, "who is it?", group=group, name="Chloé")
    control.edit_group(group, announce_only=True)
    page.wait_for(f"WPP.chat.get({group!r}).canSend === false")
    refused = page.send_text(group, "not mine to say")
    control.promote(group, ME)
    page.wait_for(f"WPP.chat.get({group!r}).canSend")
    admin = page.run("return await WPP.group.iAmAdmin(A[0])", group)
    taken = page.send_text(group, "now it is")
    control.leave(group, CHLOE)
    control.remove(group, ME)
    page.wait_for(f"WPP.chat.get({group!r}).isReadOnly")
    late = page.send_text(group, "wait")
    told = [m for m in page.run("return heard") if not m["fromMe"] and m["type"] == "chat"]

    assert [(m["author"], m["name"], m["body"]) for m in told] == [
        (CHLOE_LID, "Chloé", "who is it?")
    ]
    assert (refused["ack"], taken["ack"], late["ack"]) == (-1, 1, -1)
    assert admin is True
    changes = page.run("return changes")
    assert ["leave", [CHLOE_LID]] in changes
    assert "remove" in {change[0] for change in changes}
    assert page.run("return await WPP.group.iAmMember(A[0])", group) is False
    assert page.run("return (await WPP.group.getAllGroups()).length") == 0
    attempts = [m.attempts[-1].outcome for m in control.messages()]
    assert attempts == ["accepted", "nack:403", "accepted", "nack:403"]


def test_answers_name_the_message_they_answer_in_both_directions(
    log_in: LogIn, control: SimulatorControl
) -> None:
    page = log_in()
    page.run(HEARD)

    first = page.send_text(f"{ANA}@c.us", "Coming on Friday?")["id"]
    control.receive(ANA, "Which one?", account=ME, quoted=first)
    theirs = heard(page, 2)[1]
    asked = page.run("return (await WPP.chat.getQuotedMsg(A[0])).body", theirs["id"])
    answer = page.send_text(f"{ANA}@c.us", "The 13th", quotedMsg=theirs["id"])["id"]
    control.receive(ANA, "Fine", account=ME, quoted=answer)
    last = heard(page, 4)[3]
    _, recorded = control.messages()

    assert theirs["quoted"] == first.split("_")[2]
    assert asked == "Coming on Friday?"
    assert recorded.quoted is not None
    assert (recorded.quoted.id, recorded.quoted.body) == (theirs["id"].split("_")[2], "Which one?")
    assert recorded.quoted.author == f"{ANA}@c.us"
    assert last["quoted"] == answer.split("_")[2]
    with pytest.raises(SimulatorControlError, match="quoted: no message 3EB0"):
        control.receive(ANA, "To what?", account=ME, quoted="3EB0")


def test_whatever_people_send_arrives_and_files_can_be_downloaded(
    log_in: LogIn, open_page: OpenPage, control: SimulatorControl
) -> None:
    page = log_in()
    page.run(HEARD)
    long, odd = "é" * 65_536, "👩‍👩‍👧‍👦 🇫🇷 \u202eשלום\u202c مرحبا"
    voice = bytes(range(256)) * 2_000

    control.receive(ANA, long, account=ME)
    control.receive(ANA, odd, account=ME)
    control.receive(ANA, "a photo", account=ME, media=media(JPEG, "image/jpeg"))
    control.receive(ANA, account=ME, media=media(voice, "audio/ogg", kind="ptt"))
    control.receive(ANA, account=ME, media=media(b"%PDF", "application/pdf", filename="a.pdf"))
    control.receive(ANA, account=ME, media=media(b"lost", "image/png", gone=True))
    place = {"lat": 48.8566, "lng": 2.3522, "name": "Hôtel de Ville", "address": "75004 Paris"}
    control.receive(ANA, account=ME, location=place)
    control.receive(ANA, "?", account=ME, type="hologram")
    told = heard(page, 8)

    assert [m["body"] for m in told[:2]] == [long, odd]
    assert [m["type"] for m in told] == [
        *("chat", "chat", "image", "ptt", "document", "image", "location", "hologram"),
    ]
    photo, note, document, lost, location = told[2:7]
    assert (photo["caption"], photo["size"], photo["mimetype"]) == (
        "a photo",
        len(JPEG),
        "image/jpeg",
    )
    assert document["filename"] == "a.pdf"
    assert download(page, photo["id"]) == JPEG
    assert download(page, note["id"]) == voice
    assert (location["lat"], location["lng"]) == (48.8566, 2.3522)
    assert location["loc"] == "Hôtel de Ville\n75004 Paris"
    gone = page.run(
        "try { await WPP.chat.downloadMedia(A[0]); return 'there' }"
        "catch (error) { return error.code }",
        lost["id"],
    )
    assert gone == "media_not_found"

    page.kill()
    control.wait_until(lambda state: not state["devices"][0]["online"])
    control.write_on_phone(ME, ANA, "from my phone")
    page = open_page()
    page.wait_for_main()
    page.wait_for("WPP.whatsapp.ChatStore.getModelsArray()[0].unreadCount === 0")
    stored = page.run(
        "return (await WPP.chat.getMessages(A[0], {count: 20}))"
        ".map((m) => [m.id.fromMe, m.type, m.body])",
        f"{ANA}@c.us",
    )
    assert stored[-1] == [True, "chat", "from my phone"]
    assert len(stored) == 9
    assert download(page, note["id"]) == voice  # its key is in the database, too


def test_what_the_owner_writes_on_the_phone_shows_on_the_page_and_answers_come_back(
    log_in: LogIn, control: SimulatorControl
) -> None:
    page = log_in()
    page.run(HEARD)
    group = control.make_group("Ops", [ME, ANA])
    page.wait_for("WPP.whatsapp.ChatStore.length === 1")

    control.receive(ANA, "Hello?", account=ME)
    heard(page, 2)
    control.write_on_phone(ME, ANA, "Yes, I am here")
    control.write_on_phone(ME, group, "and here")
    told = [m for m in heard(page, 4) if m["type"] == "chat"]

    assert [(m["fromMe"], m["body"]) for m in told] == [
        (False, "Hello?"),
        (True, "Yes, I am here"),
        (True, "and here"),
    ]
    assert told[1]["id"].startswith(f"true_{ANA}@c.us_")
    assert told[2]["id"].startswith(f"true_{group}_")
    assert [m["from_me"] for m in control.inbound_messages()] == [False, True, True]
    assert control.messages() == []


def test_typing_reading_previews_and_places_reach_the_other_side(
    log_in: LogIn, control: SimulatorControl
) -> None:
    page = log_in()
    control.receive(ANA, "Hello?", account=ME)
    page.wait_for("WPP.whatsapp.ChatStore.length === 1")
    ana = f"{ANA}@c.us"

    page.run("await WPP.chat.markIsComposing(A[0], 50)", ana)
    page.run("await WPP.chat.markIsRead(A[0])", ana)
    text = "See https://example.org/spring today"
    preview = {
        "title": "Spring",
        "description": "What is new",
        "canonicalUrl": "https://example.org/spring",
        "matchedText": "https://example.org/spring",
        "thumbnail": base64.b64encode(JPEG).decode(),
        "doNotPlayInline": True,
    }
    page.send_text(ana, text, linkPreview=preview)
    page.run(
        "await WPP.chat.sendLocationMessage(A[0], {lat: 48.8566, lng: 2.3522,"
        " name: 'Hôtel de Ville', address: '75004 Paris', waitForAck: true})",
        ana,
    )
    state = control.state()
    link, place = control.messages()

    assert [(t["to"], t["state"]) for t in state["typing"]] == [
        (ANA, "composing"),
        (ANA, "paused"),
    ]
    assert [seen["chat"] for seen in state["seen"]] == [ana]
    assert control.inbound_messages()[0]["seen"] is not None
    assert (link.body, link.type) == (text, "chat")
    assert link.preview is not None
    assert (link.preview.url, link.preview.title) == ("https://example.org/spring", "Spring")
    assert link.preview.description == "What is new"
    assert link.preview.thumbnail_sha256 == hashlib.sha256(JPEG).hexdigest()
    assert place.location == {
        "lat": 48.8566,
        "lng": 2.3522,
        "name": "Hôtel de Ville",
        "address": "75004 Paris",
    }
    assert page.complaints() == []


def test_a_phone_is_linked_by_typing_the_code_that_the_page_shows(
    open_page: OpenPage, control: SimulatorControl
) -> None:
    page = open_page()
    page.wait_for_code()
    ask = "return await WPP.conn.genLinkDeviceCodeForPhoneNumber(A[0])"

    control.config(link_code_ttl=0.05)
    short_lived = page.run(ask, ME)
    control.wait_until(lambda state: not state["link_codes"])
    with pytest.raises(SimulatorControlError, match="no page shows a code"):
        control.enter_code(ME, short_lived)
    control.config(link_code_ttl=60)
    code = page.run(ask, f"+{ME}")
    shown = WebDriverWait(page.driver, 5, poll_frequency=0.05).until(
        lambda driver: driver.execute_script(
            "return (document.querySelector('.link-code') || {}).textContent"
        )
    )
    with pytest.raises(SimulatorControlError, match="not the one"):
        control.enter_code(ME, "ZZZZZZZZ")
    with pytest.raises(SimulatorControlError, match="no page shows a code"):
        control.enter_code(BOB, code)
    control.enter_code(ME, f"{code[:4]}-{code[4:]}".lower(), name="Camille")
    page.wait_for_main()

    assert len(code) == 8
    assert shown == f"{code[:4]}-{code[4:]}"
    assert page.run("return String(WPP.conn.getMyUserId())") == f"{ME}@c.us"
    assert control.state()["link_codes"] == []


def test_people_may_lock_new_chats_or_block_an_account(
    log_in: LogIn, control: SimulatorControl
) -> None:
    page = log_in()
    control.receive(ANA, "Hello?", account=ME)
    page.wait_for("WPP.whatsapp.ChatStore.length === 1")

    control.lock_new_chats(ME, 60)
    cold = page.send_text(f"{BOB}@c.us", "cold")
    reply = page.send_text(f"{ANA}@c.us", "an answer")
    control.lock_new_chats(ME, 0)
    warm = page.send_text(f"{BOB}@c.us", "no longer locked")
    control.block(CHLOE, ME)
    page.send_text(f"{CHLOE}@c.us", "nobody will read this")
    control.wait_for_messages(2, step="delivered")
    outcomes = {m.body: m.attempts[-1].outcome for m in control.messages()}
    ignored = control.messages()[-1]

    assert (cold["ack"], reply["ack"], warm["ack"]) == (-1, 1, 1)
    assert outcomes["cold"] == "nack:463"
    assert (ignored.accepted, ignored.deliveries, ignored.delivered) == (True, 0, None)
    with pytest.raises(SimulatorControlError, match="has blocked"):
        control.receive(CHLOE, "?", account=ME)
