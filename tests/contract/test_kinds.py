"""Kinds of message beside texts and files: places, links with our preview, answers."""

from __future__ import annotations

import time

import pytest

from tests.contract.media import DOCUMENT, IMAGE
from tests.contract.rig import CALL, Rig, Session, link, new_phone, sha256, soon, wait_until
from whatsapp.driver import base
from whatsapp.driver.base import Ack, Location


def written(rig: Rig, session: Session, body: str, phone: str) -> base.IncomingMessage:
    """What `phone` wrote to the session's account."""
    stanza = rig.inbound(session.account, phone, body)
    return session.wait_for(base.Incoming, lambda e: stanza in e.message.wa_id).message


def test_a_place_arrives_with_its_name_and_address(rig: Rig, linked: Session):
    phone = new_phone()
    office = Location(48.8566, 2.3522, "Bureau", "1 rue de la Paix, Paris")
    out = linked.driver.prepare(phone, deadline=CALL)
    result = linked.driver.send_location(out, office, not_after=soon(), deadline=CALL)
    sent = rig.sent(out.wa_id)

    assert result.ack >= Ack.SERVER
    assert sent is not None
    assert (sent.phone, sent.kind, sent.location) == (phone, "location", office)


def test_a_place_at_the_edge_of_the_world_without_a_name_arrives(rig: Rig, linked: Session):
    edge = Location(-90.0, 180.0)
    out = linked.driver.prepare(new_phone(), deadline=CALL)
    linked.driver.send_location(out, edge, not_after=soon(), deadline=CALL)
    sent = rig.sent(out.wa_id)

    assert sent is not None
    assert sent.location == edge


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(90.1, 0), (0, -180.5), (float("nan"), 0), (0, float("inf"))]
)
def test_a_place_that_is_not_on_earth_cannot_be_made(latitude, longitude):
    with pytest.raises(ValueError, match="between"):
        Location(latitude, longitude)


def test_a_link_goes_with_our_own_preview(rig: Rig, linked: Session):
    preview = base.LinkPreview(
        "https://example.com/offre", "Votre offre", "Valable jusqu'à demain 🙂", IMAGE.data
    )
    text = "Voici : https://example.com/offre et https://example.org/"
    out = linked.driver.prepare(new_phone(), deadline=CALL)
    result = linked.driver.send_text(out, text, preview=preview, not_after=soon(), deadline=CALL)
    sent = rig.sent(out.wa_id)

    assert result.ack >= Ack.SERVER
    assert sent is not None
    assert (sent.kind, sent.body) == ("chat", text)
    assert sent.preview == (preview.url, preview.title, preview.description, sha256(IMAGE.data))


def test_a_link_without_a_preview_goes_without_one(rig: Rig, linked: Session):
    out = linked.send(new_phone(), "https://example.com/ as it is")
    sent = rig.sent(out.wa_id)

    assert sent is not None
    assert sent.preview is None


@pytest.mark.parametrize("kind", ["text", "file", "place"])
def test_an_answer_quotes_what_it_answers(rig: Rig, linked: Session, kind: str):
    phone = new_phone()
    question = written(rig, linked, "Quand ?", phone)
    out = linked.driver.prepare(phone, deadline=CALL)
    how = {"quote": question.wa_id, "not_after": soon(), "deadline": CALL}
    if kind == "text":
        linked.driver.send_text(out, "Demain", **how)
    elif kind == "file":
        linked.driver.send_media(out, DOCUMENT, "Demain", **how)
    else:
        linked.driver.send_location(out, Location(1, 2, "Là"), **how)
    sent = rig.sent(out.wa_id)

    assert sent is not None
    assert f"_{sent.quoted}" in question.wa_id


def test_our_own_message_can_be_quoted(rig: Rig, linked: Session):
    phone = new_phone()
    first = linked.send(phone, "Bonjour")
    out = linked.driver.prepare(phone, deadline=CALL)
    linked.driver.send_text(
        out, "Vous avez vu ?", quote=first.wa_id, not_after=soon(), deadline=CALL
    )
    sent = rig.sent(out.wa_id)

    assert sent is not None
    assert sent.quoted == first.wa_id.split("_")[2]


def test_a_message_from_before_its_chat_went_by_lid_can_be_quoted(rig: Rig, profile):
    session = link(rig, profile, lid_migrated=True)
    phone = new_phone()
    question = written(rig, session, "Et alors ?", phone)
    kind, _, stanza = question.wa_id.split("_")
    out = session.driver.prepare(phone, deadline=CALL)
    before = f"{kind}_{phone[1:]}@c.us_{stanza}"
    session.driver.send_text(out, "Voilà", quote=before, not_after=soon(), deadline=CALL)
    sent = rig.sent(out.wa_id)
    session.driver.close()

    assert out.chat_id.endswith("@lid")
    assert sent is not None
    assert sent.quoted == stanza


def test_what_is_not_there_cannot_be_quoted_and_nothing_leaves(rig: Rig, linked: Session):
    phone = new_phone()
    elsewhere = linked.send(new_phone(), "to somebody else")
    out = linked.driver.prepare(phone, deadline=CALL)
    for gone in (f"false_{out.chat_id}_3A00000000000000000000", elsewhere.wa_id, "junk"):
        with pytest.raises(base.Permanent) as refused:
            linked.driver.send_text(out, "Oui", quote=gone, not_after=soon(), deadline=CALL)
        assert refused.value.code == "quote_gone"

    assert rig.sent(out.wa_id) is None
    linked.driver.send_text(out, "Oui", not_after=soon(), deadline=CALL)


def test_every_kind_keeps_to_its_window(rig: Rig, linked: Session):
    out = linked.driver.prepare(new_phone(), deadline=CALL)
    late = {"not_after": time.monotonic() - 0.001, "deadline": CALL}
    with pytest.raises(base.TooLate):
        linked.driver.send_location(out, Location(1, 2), **late)
    preview = base.LinkPreview("https://example.com/", "Late")
    with pytest.raises(base.TooLate):
        linked.driver.send_text(out, "https://example.com/", preview=preview, **late)

    assert rig.sent(out.wa_id) is None


def test_a_refused_place_can_be_sent_again_under_the_same_id(rig: Rig, linked: Session):
    phone = new_phone()
    out = linked.driver.prepare(phone, deadline=CALL)
    rig.fail("nack", phone, code=463)
    with pytest.raises(base.Retryable) as refused:
        linked.driver.send_location(out, Location(1, 2), not_after=soon(), deadline=CALL)
    again = linked.driver.send_location(out, Location(1, 2), not_after=soon(), deadline=CALL)
    sent = rig.sent(out.wa_id)

    assert refused.value.code == "nack_463"
    assert again.ack >= Ack.SERVER
    assert sent is not None
    assert sent.copies == 1


def test_a_lost_ack_of_a_preview_is_unknown_and_can_be_looked_up(rig: Rig, linked: Session):
    phone = new_phone()
    out = linked.driver.prepare(phone, deadline=CALL)
    rig.fail("lost", phone)
    preview = base.LinkPreview("https://example.com/", "Lost")
    with pytest.raises(base.Unknown):
        linked.driver.send_text(
            out,
            "https://example.com/",
            preview=preview,
            not_after=soon(),
            deadline=rig.impatience,
        )
    found = linked.driver.lookup(out.wa_id, deadline=CALL).found

    assert found in (base.Found.PENDING, base.Found.ON_SERVER)


def test_nobody_writes_to_themselves(linked: Session):
    with pytest.raises(base.Permanent) as refused:
        linked.driver.prepare(linked.account, deadline=CALL)

    assert refused.value.code == "own_number"


def test_a_text_of_the_greatest_length_arrives_unchanged(rig: Rig, linked: Session):
    text = ("é🙂\U0001f469\u200d\U0001f467 \u05e9\u05dc " * 9000)[:65_536]
    out = linked.send(new_phone(), text)
    sent = rig.sent(out.wa_id)

    assert sent is not None
    assert sent.body == text


def test_somebody_known_by_lid_only_is_written_to_by_it(rig: Rig, linked: Session):
    phone = new_phone()
    rig.make_group(linked.account, [new_phone(), phone], hidden=phone)
    question = written(rig, linked, "Who is there?", phone)
    out = linked.driver.prepare(question.lid, deadline=CALL)
    linked.driver.send_text(out, "We are", not_after=soon(), deadline=CALL)
    sent = rig.sent(out.wa_id)

    assert question.phone == ""
    assert question.lid.endswith("@lid")
    assert out.chat_id == question.chat_id
    assert sent is not None
    assert sent.phone == phone


def test_typing_is_shown_until_the_message_is_there(rig: Rig, linked: Session):
    phone = new_phone()
    chat = written(rig, linked, "Are you there?", phone).chat_id
    linked.driver.typing(chat, seconds=60, deadline=CALL)
    shown = rig.is_typing(linked.account, chat)
    linked.send(phone, "Yes")

    assert shown
    wait_until(lambda: not rig.is_typing(linked.account, chat), "the end of typing")


def test_typing_ends_by_itself_and_on_request(rig: Rig, linked: Session):
    chat = written(rig, linked, "Hello?", new_phone()).chat_id
    linked.driver.typing(chat, seconds=0.3, deadline=CALL)
    wait_until(lambda: not rig.is_typing(linked.account, chat), "the end of typing")
    linked.driver.typing(chat, seconds=60, deadline=CALL)
    linked.driver.typing(chat, seconds=0, deadline=CALL)

    assert not rig.is_typing(linked.account, chat)
