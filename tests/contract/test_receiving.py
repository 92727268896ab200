"""Incoming messages, and the events' order."""

from __future__ import annotations

from tests.contract.rig import CALL, Rig, Session, link, new_phone, reopen, wait_until
from whatsapp.driver import base
from whatsapp.driver.base import PageState


def test_an_answer_comes_as_an_event_with_its_author(rig: Rig, linked: Session):
    phone = new_phone()
    rig.inbound(linked.account, phone, "Oui, merci", name="Ana")
    event = linked.wait_for(base.Incoming, lambda e: e.message.body == "Oui, merci")
    message = event.message

    assert (message.phone, message.name, message.kind) == (phone, "Ana", "chat")
    assert message.wa_id.startswith(f"false_{message.chat_id}_")
    assert abs((event.at - message.sent_at).total_seconds()) < 60
    assert message.sent_at.tzinfo is not None


def test_what_came_as_an_event_is_not_unread_again(rig: Rig, linked: Session):
    phone = new_phone()
    rig.inbound(linked.account, phone, "seen as event")
    linked.wait_for(base.Incoming, lambda e: e.message.body == "seen as event")
    unread = linked.driver.unread(deadline=CALL)

    assert "seen as event" not in [message.body for message in unread]


def test_messages_that_came_while_nobody_listened_are_caught_up_once(rig: Rig, profile):
    first = link(rig, profile)
    first.driver.close()
    ana, bob = new_phone(), new_phone()
    for phone, body in ((ana, "STOP"), (bob, "hello"), (ana, "really")):
        rig.inbound(first.account, phone, body)
    again = reopen(rig, first, profile)

    caught: list[base.IncomingMessage] = []

    def all_there() -> bool:
        caught.extend(again.driver.unread(deadline=CALL))
        return len(caught) + len(again.of(base.Incoming)) >= 3

    wait_until(all_there, "three messages")
    caught.extend(again.driver.unread(deadline=CALL))
    again.driver.close()
    all_messages = [*caught, *(e.message for e in again.of(base.Incoming))]

    assert sorted((m.phone, m.body) for m in all_messages) == sorted(
        [(ana, "STOP"), (bob, "hello"), (ana, "really")]
    )


def test_our_own_messages_are_no_incoming_ones(linked: Session):
    out = linked.send(new_phone(), "from us")

    assert out.wa_id not in [e.message.wa_id for e in linked.of(base.Incoming)]
    assert out.wa_id not in [m.wa_id for m in linked.driver.unread(deadline=CALL)]


def test_a_broken_connection_mends_itself(rig: Rig, linked: Session):
    before = linked.last
    rig.drop(linked.account)
    lost = linked.wait_for(base.Disconnected, after=before)
    linked.wait_for(base.Ready, after=lost.seq)

    assert linked.driver.status() is PageState.CONNECTED
    assert linked.send(new_phone(), "after the drop")


def test_events_are_numbered_without_gaps_and_come_in_order(rig: Rig, linked: Session):
    for number in range(20):
        rig.inbound(linked.account, new_phone(), f"burst {number}")
    linked.wait_for(base.Incoming, lambda e: e.message.body == "burst 19")
    with_body = [e.message.body for e in linked.of(base.Incoming) if "burst" in e.message.body]

    assert [event.seq for event in linked.events] == list(range(1, len(linked.events) + 1))
    assert with_body == [f"burst {number}" for number in range(20)]
