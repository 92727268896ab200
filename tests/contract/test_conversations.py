"""What people write, whatever it is, and what our own owner writes on the phone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contract.media import AUDIO, DOCUMENT, IMAGE, VIDEO
from tests.contract.rig import CALL, Rig, Session, link, new_phone, reopen, wait_until
from whatsapp.driver import base
from whatsapp.driver.base import Location, MediaFile, MediaInfo, MediaKind


def heard(rig: Rig, session: Session, phone: str = "", **what) -> base.IncomingMessage:
    """Something that somebody wrote, as the session told it."""
    stanza = rig.inbound(session.account, phone or new_phone(), **what)
    return session.wait_for(base.Incoming, lambda e: stanza in e.message.wa_id).message


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f469\u200d\U0001f469\u200d\U0001f467\U0001f3f3\ufe0f\u200d\U0001f308\U0001f1eb\U0001f1f7",
        "\u05e9\u05dc\u05d5\u05dd \u200f\u0645\u0631\u062d\u0628\u0627\u200f mixed",
        "e\u0301\u200b\ufeff\u202e",
        'quo"tes \\ and\nlines\r\n\ttabs </script>',
        "long " * 13_000 + "long"[:4],
        "🙂" * 32_768,
    ],
    ids=["emoji", "right-to-left", "marks", "syntax", "long", "long-emoji"],
)
def test_any_text_comes_as_it_was_written(rig: Rig, linked: Session, text: str):
    assert heard(rig, linked, body=text).body == text


def test_a_nul_never_comes(rig: Rig, linked: Session):
    assert heard(rig, linked, body="a\0b\0").body == "ab"


def test_a_type_nobody_has_heard_of_is_a_message_all_the_same(rig: Rig, linked: Session):
    message = heard(rig, linked, body="what is this", kind="hologram")

    assert (message.kind, message.body) == ("hologram", "what is this")
    assert (message.media, message.location) == (None, None)


def test_a_place_comes_as_one(rig: Rig, linked: Session):
    place = Location(-33.8568, 151.2153, "Opéra", "Bennelong Point\nSydney")
    message = heard(rig, linked, location=place)

    assert (message.kind, message.location, message.body) == ("location", place, "")


@pytest.mark.parametrize("sent", [IMAGE, VIDEO, AUDIO], ids=lambda file: file.kind.value)
def test_a_file_is_announced_and_fetched_whole(rig: Rig, linked: Session, sent: MediaFile):
    message = heard(rig, linked, body="Voici", media=sent)
    file = linked.driver.download(message.wa_id, deadline=CALL)

    assert (message.kind, message.body) == (sent.kind.value, "Voici")
    assert message.media == MediaInfo(sent.mime, sent.filename, len(sent.data))
    assert file == sent


def test_a_file_of_a_group_is_fetched_too(rig: Rig, linked: Session):
    ana = new_phone()
    group = rig.make_group(linked.account, [ana])
    message = heard(rig, linked, ana, group=group, media=DOCUMENT)

    assert message.media is not None
    assert message.media.filename == DOCUMENT.filename
    assert linked.driver.download(message.wa_id, deadline=CALL) == DOCUMENT


def test_a_large_file_is_fetched_in_pieces(rig: Rig, linked: Session):
    data = b"%PDF-1.4\n" + bytes(range(256)) * (4 * 4096) + b"end"  # 4 MiB and some
    message = heard(rig, linked, media=MediaFile(MediaKind.DOCUMENT, data, "application/pdf", "b"))

    assert linked.driver.download(message.wa_id, deadline=60).data == data


@pytest.mark.parametrize("announced", [None, 10], ids=["honestly", "with a lie"])
def test_a_file_above_the_ceiling_is_refused(rig: Rig, linked: Session, announced):
    message = heard(rig, linked, media=DOCUMENT, size=announced)
    with pytest.raises(base.Permanent) as refused:
        linked.driver.download(message.wa_id, limit=20, deadline=CALL)

    assert refused.value.code == "media_too_large"


def test_a_file_that_is_announced_as_too_large_is_not_even_fetched(rig: Rig, linked: Session):
    message = heard(rig, linked, media=DOCUMENT, size=2**31, gone=True)
    with pytest.raises(base.Permanent) as refused:
        linked.driver.download(message.wa_id, deadline=CALL)

    assert refused.value.code == "media_too_large"


def test_a_file_that_is_gone_is_said_to_be(rig: Rig, linked: Session):
    file = replace(DOCUMENT, data=DOCUMENT.data + b"% gone")  # a page keeps what it has seen
    message = heard(rig, linked, media=file, gone=True)
    with pytest.raises(base.Permanent) as refused:
        linked.driver.download(message.wa_id, deadline=CALL)

    assert refused.value.code == "media_gone"


def test_what_has_no_file_cannot_be_fetched(rig: Rig, linked: Session):
    text = heard(rig, linked, body="no file")
    for wa_id in (text.wa_id, f"false_{text.chat_id}_3A00000000000000000000"):
        with pytest.raises(base.Permanent) as refused:
            linked.driver.download(wa_id, deadline=CALL)
        assert refused.value.code == "media_gone"


def test_an_answer_names_the_message_that_it_answers(rig: Rig, linked: Session):
    phone = new_phone()
    out = linked.send(phone, "Ça va ?")
    to_us = heard(rig, linked, phone, body="Oui", quoted=out.wa_id)
    to_itself = heard(rig, linked, phone, body="Très bien", quoted=to_us.wa_id)

    assert to_us.quoted == out.wa_id
    assert to_itself.quoted == to_us.wa_id


def test_an_answer_in_a_group_names_the_message_that_it_answers(rig: Rig, linked: Session):
    ana, bob = new_phone(), new_phone()
    group = rig.make_group(linked.account, [ana, bob])
    wait_until(
        lambda: group in [g.chat_id for g in linked.driver.groups(deadline=CALL)], "the group"
    )
    out = linked.send(group, "Qui vient ?")
    to_us = heard(rig, linked, ana, group=group, body="Moi", quoted=out.wa_id)
    to_ana = heard(rig, linked, bob, group=group, body="Moi aussi", quoted=to_us.wa_id)

    assert to_us.quoted == out.wa_id
    assert to_ana.quoted == to_us.wa_id


def test_what_the_owner_writes_on_the_phone_is_told(rig: Rig, linked: Session):
    phone = new_phone()
    stanza = rig.write_on_phone(linked.account, phone, "I call you")
    message = linked.wait_for(base.Incoming, lambda e: stanza in e.message.wa_id).message

    assert message.from_me
    assert message.wa_id.startswith("true_")
    assert (message.phone, message.body) == (phone, "I call you")


def test_what_the_owner_writes_in_a_group_is_told(rig: Rig, linked: Session):
    group = rig.make_group(linked.account, [new_phone()])
    stanza = rig.write_on_phone(linked.account, group, "to all")
    message = linked.wait_for(base.Incoming, lambda e: stanza in e.message.wa_id).message

    assert message.from_me
    assert (message.chat_id, message.author_phone) == (group, linked.account)


def test_all_since_some_time_is_caught_up_read_or_not(rig: Rig, profile):
    session = link(rig, profile)
    ana, bob = new_phone(), new_phone()
    before = heard(rig, session, ana, body="before")
    out = session.send(bob, "ours")
    group = rig.make_group(session.account, [ana])
    session.driver.close()
    missed = {
        rig.inbound(session.account, ana, "missed"),
        rig.write_on_phone(session.account, ana, "answered on the phone"),
        rig.inbound(session.account, ana, "in the group", group=group),
        rig.write_on_phone(session.account, bob, "never unread"),
    }
    again = reopen(rig, session, profile)
    since = before.sent_at - timedelta(seconds=1)
    caught: dict[str, base.IncomingMessage] = {}

    def all_there() -> bool:
        for message in again.driver.unread(since=since, deadline=CALL):
            assert message.wa_id not in caught
            caught[message.wa_id.split("_")[2]] = message
        caught.update({e.message.wa_id.split("_")[2]: e.message for e in again.of(base.Incoming)})
        return missed <= set(caught)

    wait_until(all_there, "what was missed")
    more = again.driver.unread(since=since, deadline=CALL)
    again.driver.close()
    stanzas = {one.wa_id.split("_")[2] for one in (before,)} | missed

    assert more == []
    assert stanzas <= set(caught)
    # Its sender knows it by its id.
    assert {m.wa_id for m in caught.values() if m.from_me and m.body == "ours"} <= {out.wa_id}


def test_the_last_word_of_each_chat_is_there_after_a_restart(rig: Rig, profile):
    session = link(rig, profile)
    ana, bob = new_phone(), new_phone()
    first = heard(rig, session, ana, body="first")
    said = {m.wa_id for m in (first, heard(rig, session, ana, body="last of Ana"))}
    said |= {heard(rig, session, bob, body="last of Bob").wa_id}
    again = reopen(rig, session, profile)
    since = first.sent_at - timedelta(seconds=1)
    caught = [message.wa_id for message in again.driver.unread(since=since, deadline=CALL)]
    again.driver.close()

    assert sorted(caught) == sorted(said)


def test_what_was_before_is_not_caught_up(rig: Rig, profile):
    session = link(rig, profile)
    ana = new_phone()
    old = heard(rig, session, body="another chat")
    before = heard(rig, session, ana, body="before")
    later: list[base.IncomingMessage] = []

    def a_second_later() -> bool:  # WhatsApp's times have no fractions
        later.append(heard(rig, session, ana, body="later"))
        return later[-1].sent_at >= before.sent_at + timedelta(seconds=1)

    wait_until(a_second_later, "another second")
    again = reopen(rig, session, profile)
    caught = again.driver.unread(since=later[-1].sent_at, deadline=CALL)
    again.driver.close()
    ids = {message.wa_id for message in caught}

    assert later[-1].wa_id in ids
    assert not ids & {old.wa_id, before.wa_id}
