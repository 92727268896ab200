"""Groups: which there are, who is in them, what may be written there and who has read it."""

from __future__ import annotations

import time

import pytest

from tests.contract.media import DOCUMENT
from tests.contract.rig import CALL, Rig, Session, link, new_phone, reopen, sha256, soon, wait_until
from whatsapp.driver import base
from whatsapp.driver.base import Ack, Found, Location


@pytest.fixture
def ana() -> str:
    return new_phone()


@pytest.fixture
def bob() -> str:
    return new_phone()


@pytest.fixture
def group(rig: Rig, linked: Session, ana: str, bob: str) -> str:
    """Of the account, Ana (its admin) and Bob, whose phone nobody sees."""
    return made(rig, linked, [ana, bob], hidden=bob)


def made(rig: Rig, session: Session, members: list[str], **how) -> str:
    """A group that the page has heard of."""
    before = session.last
    group = rig.make_group(session.account, members, **how)
    session.wait_for(base.GroupChanged, lambda e: e.chat_id == group, after=before)
    return group


def info(session: Session, group: str) -> base.GroupInfo:
    return next(one for one in session.driver.groups(deadline=CALL) if one.chat_id == group)


def changes(session: Session, group: str, change) -> None:
    before = session.last
    change()
    session.wait_for(base.GroupChanged, lambda e: e.chat_id == group, after=before)


def test_groups_are_listed_with_what_the_account_may_do_there(rig: Rig, linked: Session):
    group = made(rig, linked, [new_phone(), new_phone()], subject="Clients é🙂")
    ours = made(rig, linked, [new_phone()], admin=True, announce_only=True)

    assert info(linked, group) == base.GroupInfo(
        chat_id=group,
        subject="Clients é🙂",
        description="Who buys",
        size=3,
        admin=False,
        announce_only=False,
        member=True,
    )
    assert (info(linked, ours).admin, info(linked, ours).announce_only) == (True, True)


def test_members_are_known_by_phone_or_by_lid_only(linked: Session, group: str, ana: str, bob: str):
    members = linked.driver.group_members(group, deadline=CALL)
    by_phone = {member.phone: member for member in members}

    assert sorted(by_phone) == sorted(["", ana, linked.account])
    assert (by_phone[ana].admin, by_phone[linked.account].admin) == (True, False)
    assert by_phone[""].name == ""  # nobody has told who that is
    assert all(member.lid.endswith("@lid") for member in members)


def test_members_of_an_unknown_group_cannot_be_asked_for(linked: Session):
    with pytest.raises(base.Permanent) as refused:
        linked.driver.group_members("120363000000000001@g.us", deadline=CALL)

    assert refused.value.code == "not_in_group"


def test_a_post_goes_out_under_the_id_that_was_chosen(rig: Rig, linked: Session, group: str):
    out = linked.driver.prepare(group, deadline=CALL)
    nothing = rig.sent(out.wa_id)
    result = linked.driver.send_text(out, "À tous", not_after=soon(), deadline=CALL)
    sent = rig.sent(out.wa_id)

    assert nothing is None
    assert out.chat_id == group
    assert out.wa_id.startswith(f"true_{group}_")
    assert out.wa_id.endswith(f"_{linked.driver.me().lid}")
    assert result.ack >= Ack.SERVER
    assert sent is not None
    assert (sent.chat, sent.phone, sent.kind, sent.body) == (group, "", "chat", "À tous")
    assert linked.driver.lookup(out.wa_id, deadline=CALL).found is Found.ON_SERVER


def test_the_same_post_twice_is_one(rig: Rig, linked: Session, group: str):
    out = linked.driver.prepare(group, deadline=CALL)
    for _ in range(2):
        linked.driver.send_text(out, "once", not_after=soon(), deadline=CALL)
    sent = rig.sent(out.wa_id)

    assert sent is not None
    assert sent.attempts == 1


def test_a_post_is_found_again_after_a_restart(rig: Rig, profile):
    session = link(rig, profile)
    group = made(rig, session, [new_phone()])
    out = session.send(group, "before the restart")
    again = reopen(rig, session, profile)
    found = again.driver.lookup(out.wa_id, deadline=CALL).found
    never = again.driver.prepare(group, deadline=CALL)
    not_found = again.driver.lookup(never.wa_id, deadline=CALL).found
    result = again.driver.send_text(out, "before the restart", not_after=soon(), deadline=CALL)
    again.driver.close()
    sent = rig.sent(out.wa_id)

    assert (found, not_found) == (Found.ON_SERVER, Found.NOT_FOUND)
    assert result.ack >= Ack.SERVER
    assert sent is not None
    assert sent.copies == 1


def test_files_places_and_answers_go_to_groups_too(rig: Rig, linked: Session, group: str, ana: str):
    stanza = rig.inbound(linked.account, ana, "Où ?", group=group)
    question = linked.wait_for(base.Incoming, lambda e: stanza in e.message.wa_id).message
    how = {"not_after": soon(), "deadline": CALL}
    file = linked.driver.prepare(group, deadline=CALL)
    linked.driver.send_media(file, DOCUMENT, "Plan", **how)
    place = linked.driver.prepare(group, deadline=CALL)
    linked.driver.send_location(place, Location(1.5, 2.5, "Ici"), quote=question.wa_id, **how)
    sent_file, sent_place = rig.sent(file.wa_id), rig.sent(place.wa_id)

    assert sent_file is not None
    assert sent_file.sha256 == sha256(DOCUMENT.data)
    assert sent_place is not None
    assert (sent_place.location, sent_place.quoted) == (Location(1.5, 2.5, "Ici"), stanza)


def test_a_lost_ack_of_a_post_is_unknown_and_pending(rig: Rig, linked: Session, group: str):
    out = linked.driver.prepare(group, deadline=CALL)
    rig.fail("lost", group)
    with pytest.raises(base.Unknown):
        linked.driver.send_text(out, "lost", not_after=soon(), deadline=rig.impatience)

    assert linked.driver.lookup(out.wa_id, deadline=CALL).found in (Found.PENDING, Found.ON_SERVER)


def test_a_post_keeps_to_its_window(rig: Rig, linked: Session, group: str):
    out = linked.driver.prepare(group, deadline=CALL)
    with pytest.raises(base.TooLate):
        linked.driver.send_text(out, "late", not_after=time.monotonic() - 0.001, deadline=CALL)

    assert rig.sent(out.wa_id) is None


def test_each_member_has_receipts_of_their_own(
    rig: Rig, linked: Session, group: str, ana: str, bob: str
):
    out = linked.send(group, "Read me")
    stanza = out.wa_id.split("_")[2]

    def receipt(ack: int) -> base.Receipt:
        return linked.wait_for(
            base.Receipt, lambda e: e.ack == ack and e.wa_ids[0].split("_")[2] == stanza
        )

    rig.group_receipt(out.wa_id, Ack.DELIVERED, ana)
    delivered = receipt(Ack.DELIVERED)
    rig.group_receipt(out.wa_id, Ack.READ, bob)
    read = receipt(Ack.READ)

    assert delivered.participant_phone == ana
    assert read.participant_phone == ""
    assert read.participant.endswith("@lid")
    assert delivered.participant != read.participant


def test_in_a_group_for_announcements_only_admins_write(rig: Rig, linked: Session, ana: str):
    group = made(rig, linked, [ana], announce_only=True)
    with pytest.raises(base.Permanent) as refused:
        linked.driver.prepare(group, deadline=CALL)
    changes(linked, group, lambda: rig.make_admin(group, linked.account))

    assert refused.value.code == "group_read_only"
    assert linked.send(group, "as an admin")


def test_who_has_left_a_group_writes_there_no_more(rig: Rig, linked: Session, ana: str):
    group = made(rig, linked, [ana])
    out = linked.driver.prepare(group, deadline=CALL)
    changes(linked, group, lambda: rig.leave_group(group, linked.account))
    with pytest.raises(base.Permanent) as refused:
        linked.driver.prepare(group, deadline=CALL)
    with pytest.raises(base.Permanent) as refused_late:
        linked.driver.send_text(out, "still?", not_after=soon(), deadline=CALL)

    assert {refused.value.code, refused_late.value.code} == {"not_in_group"}
    assert rig.sent(out.wa_id) is None
    assert all(g.chat_id != group or not g.member for g in linked.driver.groups(deadline=CALL))


def test_a_group_that_was_never_ours_is_refused(linked: Session):
    with pytest.raises(base.Permanent) as refused:
        linked.driver.prepare("120363000000000002@g.us", deadline=CALL)

    assert refused.value.code == "not_in_group"


def test_changes_of_a_group_are_told(rig: Rig, linked: Session, group: str, ana: str):
    changes(linked, group, lambda: rig.announce_only(group))
    announce_only = info(linked, group).announce_only
    changes(linked, group, lambda: rig.leave_group(group, ana))

    assert announce_only
    wait_until(lambda: info(linked, group).size == 2, "a member less")


def test_what_is_said_in_a_group_names_who_said_it(
    rig: Rig, linked: Session, group: str, ana: str, bob: str
):
    def said(phone: str) -> base.IncomingMessage:
        stanza = rig.inbound(linked.account, phone, "bonjour", group=group)
        return linked.wait_for(base.Incoming, lambda e: stanza in e.message.wa_id).message

    of_ana, of_bob = said(ana), said(bob)

    assert of_ana.chat_id == of_bob.chat_id == group
    assert (of_ana.author_phone, of_ana.phone) == (ana, ana)
    assert (of_bob.author_phone, of_bob.phone) == ("", "")
    assert of_bob.author_lid.endswith("@lid")
    assert of_ana.author_lid != of_bob.author_lid
    assert not of_ana.from_me
