"""Sends: what goes out, what comes back, and every way it can go wrong."""

from __future__ import annotations

import time

import pytest

from tests.contract.media import AUDIO, DOCUMENT, IMAGE, VIDEO
from tests.contract.rig import CALL, Rig, Session, link, new_phone, sha256, soon, wait_until
from whatsapp.driver import base
from whatsapp.driver.base import Ack, Found


def test_a_number_on_whatsapp_is_found(linked: Session):
    phone = new_phone()
    found = linked.driver.number_exists(phone, deadline=CALL)

    assert found is not None
    assert found.chat_id == f"{phone[1:]}@c.us"


def test_a_number_not_on_whatsapp_is_none_and_cannot_be_prepared(rig: Rig, linked: Session):
    phone = new_phone()
    rig.absent(phone)

    assert linked.driver.number_exists(phone, deadline=CALL) is None
    with pytest.raises(base.NotOnWhatsApp):
        linked.driver.prepare(phone, deadline=CALL)


def test_preparing_sends_nothing_and_gives_a_new_id_each_time(rig: Rig, linked: Session):
    phone = new_phone()
    first = linked.driver.prepare(phone, deadline=CALL)
    second = linked.driver.prepare(phone, deadline=CALL)

    assert first.chat_id == second.chat_id
    assert first.wa_id != second.wa_id
    assert first.wa_id.startswith(f"true_{first.chat_id}_")
    assert rig.sent(first.wa_id) is None
    assert linked.driver.lookup(first.wa_id, deadline=CALL).found is Found.NOT_FOUND


def test_a_text_goes_out_under_the_id_that_was_chosen(rig: Rig, linked: Session):
    phone = new_phone()
    out = linked.driver.prepare(phone, deadline=CALL)
    text = "Bonjour, votre lien : https://example.com/é 🙂\nà demain"
    result = linked.driver.send_text(out, text, not_after=soon(), deadline=CALL)
    sent = rig.sent(out.wa_id)
    lookup = linked.driver.lookup(out.wa_id, deadline=CALL)

    assert result.wa_id == out.wa_id
    assert result.ack >= Ack.SERVER
    assert result.server_time is not None
    assert sent is not None
    assert (sent.phone, sent.kind, sent.body, sent.copies) == (phone, "chat", text, 1)
    assert lookup.found is Found.ON_SERVER


def test_the_same_id_twice_is_one_message(rig: Rig, linked: Session):
    out = linked.driver.prepare(new_phone(), deadline=CALL)
    for _ in range(2):
        result = linked.driver.send_text(out, "once", not_after=soon(), deadline=CALL)
        assert result.ack >= Ack.SERVER
    sent = rig.sent(out.wa_id)

    assert sent is not None
    assert sent.copies == 1


def test_an_id_of_another_chat_is_refused(rig: Rig, linked: Session):
    here = linked.driver.prepare(new_phone(), deadline=CALL)
    there = linked.driver.prepare(new_phone(), deadline=CALL)
    mixed = base.Outgoing(here.chat_id, there.wa_id)
    with pytest.raises(base.Permanent) as refused:
        linked.driver.send_text(mixed, "mixed", not_after=soon(), deadline=CALL)

    assert refused.value.code == "bad_key"
    assert rig.sent(there.wa_id) is None


@pytest.mark.parametrize("file", [IMAGE, VIDEO, AUDIO, DOCUMENT], ids=lambda file: file.kind.value)
def test_a_file_arrives_byte_for_byte_with_its_caption(rig: Rig, linked: Session, file):
    phone = new_phone()
    out = linked.driver.prepare(phone, deadline=CALL)
    result = linked.driver.send_media(out, file, "Légende", not_after=soon(), deadline=CALL)
    sent = rig.sent(out.wa_id)

    assert result.ack >= Ack.SERVER
    assert sent is not None
    assert (sent.phone, sent.kind, sent.body) == (phone, file.kind.value, "Légende")
    assert sent.sha256 == sha256(file.data)


def test_a_large_file_arrives_whole(rig: Rig, linked: Session):
    data = b"%PDF-1.4\n" + bytes(range(256)) * (16 * 4096)  # 16 MiB
    file = base.MediaFile(base.MediaKind.DOCUMENT, data, "application/pdf", "guide.pdf")
    out = linked.driver.prepare(new_phone(), deadline=CALL)
    linked.driver.send_media(out, file, "", not_after=time.monotonic() + 60, deadline=60)
    sent = rig.sent(out.wa_id)

    assert sent is not None
    assert sent.sha256 == sha256(data)


def test_receipts_come_as_events_in_rising_order(rig: Rig, linked: Session):
    out = linked.send(new_phone(), "read me")
    for ack in (Ack.DELIVERED, Ack.READ):
        rig.receipt(out.wa_id, ack)
        linked.wait_for(base.Receipt, lambda e, a=ack: out.wa_id in e.wa_ids and e.ack == a)
    acks = [e.ack for e in linked.of(base.Receipt) if out.wa_id in e.wa_ids]

    assert acks == [Ack.DELIVERED, Ack.READ]
    assert linked.driver.lookup(out.wa_id, deadline=CALL).ack == Ack.READ


def test_a_message_to_an_account_on_lids_reaches_the_phone(rig: Rig, profile):
    session = link(rig, profile, lid_migrated=True)
    phone = new_phone()
    out = session.send(phone, "by lid")
    rig.inbound(session.account, phone, "answer by lid")
    answer = session.wait_for(base.Incoming).message
    session.driver.close()
    sent = rig.sent(out.wa_id)

    assert out.chat_id.endswith("@lid")
    assert sent is not None
    assert sent.phone == phone
    assert (answer.chat_id, answer.phone) == (out.chat_id, phone)


def test_a_lost_ack_is_unknown_and_the_lookup_does_not_claim_it_was_never_sent(
    rig: Rig, linked: Session
):
    phone = new_phone()
    out = linked.driver.prepare(phone, deadline=CALL)
    rig.fail("lost", phone)
    with pytest.raises(base.Unknown):
        linked.driver.send_text(out, "lost", not_after=soon(), deadline=rig.impatience)
    found = linked.driver.lookup(out.wa_id, deadline=CALL).found
    sent = rig.sent(out.wa_id)

    assert found in (Found.PENDING, Found.ON_SERVER)
    assert sent is not None
    assert sent.copies == 1


def test_a_receipt_settles_a_lost_ack(rig: Rig, linked: Session):
    phone = new_phone()
    out = linked.driver.prepare(phone, deadline=CALL)
    rig.fail("lost", phone)
    with pytest.raises(base.Unknown):
        linked.driver.send_text(out, "lost", not_after=soon(), deadline=rig.impatience)
    rig.receipt(out.wa_id, Ack.DELIVERED)
    linked.wait_for(base.Receipt, lambda e: out.wa_id in e.wa_ids)

    assert linked.driver.lookup(out.wa_id, deadline=CALL).found is Found.ON_SERVER


def test_an_ack_that_comes_too_late_for_the_call_comes_as_an_event(rig: Rig, linked: Session):
    phone = new_phone()
    out = linked.driver.prepare(phone, deadline=CALL)
    rig.fail("late", phone)
    with pytest.raises(base.Unknown):
        linked.driver.send_text(out, "late ack", not_after=soon(), deadline=rig.impatience)
    rig.late_ack(out.wa_id)
    receipt = linked.wait_for(base.Receipt, lambda e: out.wa_id in e.wa_ids)

    assert receipt.ack == Ack.SERVER
    assert linked.driver.lookup(out.wa_id, deadline=CALL).found is Found.ON_SERVER


def test_an_ack_that_the_call_returned_is_no_event_besides(rig: Rig, linked: Session):
    out = linked.send(new_phone(), "acked")
    rig.receipt(out.wa_id, Ack.DELIVERED)
    linked.wait_for(base.Receipt, lambda e: out.wa_id in e.wa_ids)

    assert [e.ack for e in linked.of(base.Receipt) if out.wa_id in e.wa_ids] == [Ack.DELIVERED]


def test_a_swallowed_message_is_unknown_and_pending(rig: Rig, linked: Session):
    phone = new_phone()
    out = linked.driver.prepare(phone, deadline=CALL)
    rig.fail("swallowed", phone)
    with pytest.raises(base.Unknown):
        linked.driver.send_text(out, "swallowed", not_after=soon(), deadline=rig.impatience)
    sent = rig.sent(out.wa_id)

    assert linked.driver.lookup(out.wa_id, deadline=CALL).found is Found.PENDING
    assert sent is None or sent.copies == 0


def test_behind_a_message_without_an_answer_nothing_more_goes_into_the_chat(
    rig: Rig, linked: Session
):
    # WhatsApp would queue it and send it at a time of its own, whatever `not_after` says.
    phone = new_phone()
    first = linked.driver.prepare(phone, deadline=CALL)
    second = linked.driver.prepare(phone, deadline=CALL)
    rig.fail("swallowed", phone)
    with pytest.raises(base.Unknown):
        linked.driver.send_text(first, "stuck", not_after=soon(), deadline=rig.impatience)
    with pytest.raises(base.Retryable) as refused:
        linked.driver.send_text(second, "behind", not_after=soon(), deadline=CALL)

    assert refused.value.code == "chat_busy"
    assert rig.sent(second.wa_id) is None


def test_the_lock_on_cold_chats_is_retryable_with_the_same_id(rig: Rig, linked: Session):
    phone = new_phone()
    out = linked.driver.prepare(phone, deadline=CALL)
    rig.fail("nack", phone, code=463)
    with pytest.raises(base.Retryable) as refused:
        linked.driver.send_text(out, "cold", not_after=soon(), deadline=CALL)
    lookup = linked.driver.lookup(out.wa_id, deadline=CALL)
    result = linked.driver.send_text(out, "cold", not_after=soon(), deadline=CALL)
    sent = rig.sent(out.wa_id)

    assert refused.value.code == "nack_463"
    assert (lookup.found, lookup.code) == (Found.FAILED, "nack_463")
    assert result.ack >= Ack.SERVER
    assert sent is not None
    assert sent.copies == 1


def test_a_refused_file_can_be_sent_again_under_the_same_id(rig: Rig, linked: Session):
    phone = new_phone()
    out = linked.driver.prepare(phone, deadline=CALL)
    rig.fail("nack", phone, code=503)
    with pytest.raises(base.Retryable):
        linked.driver.send_media(out, DOCUMENT, "", not_after=soon(), deadline=CALL)
    result = linked.driver.send_media(out, DOCUMENT, "", not_after=soon(), deadline=CALL)

    assert result.ack >= Ack.SERVER


def test_any_other_refusal_is_permanent(rig: Rig, linked: Session):
    phone = new_phone()
    rig.fail("nack", phone, code=479)
    with pytest.raises(base.Permanent) as refused:
        linked.send(phone, "refused")

    assert refused.value.code == "nack_479"


def test_too_late_means_not_sent(rig: Rig, linked: Session):
    out = linked.driver.prepare(new_phone(), deadline=CALL)
    with pytest.raises(base.TooLate):
        linked.driver.send_text(out, "late", not_after=time.monotonic() - 0.001, deadline=CALL)
    with pytest.raises(base.TooLate):
        linked.driver.send_media(
            out, DOCUMENT, "late", not_after=time.monotonic() - 0.001, deadline=CALL
        )

    assert rig.sent(out.wa_id) is None


def test_offline_is_retryable_because_nothing_left(rig: Rig, profile):
    session = link(rig, profile)
    out = session.driver.prepare(new_phone(), deadline=CALL)
    rig.offline(session.account, True)
    lost = session.wait_for(base.Disconnected)
    state = session.driver.status()
    with pytest.raises(base.Retryable) as refused:
        session.driver.send_text(out, "offline", not_after=soon(), deadline=CALL)
    rig.offline(session.account, False)
    session.wait_for(base.Ready, after=lost.seq)
    nothing = rig.sent(out.wa_id)
    session.driver.send_text(out, "online", not_after=soon(), deadline=CALL)
    session.driver.close()

    assert state is base.PageState.RECONNECTING
    assert refused.value.code == "offline"
    assert not isinstance(refused.value, base.SessionLost)
    assert nothing is None
    wait_until(lambda: rig.sent(out.wa_id) is not None, "sent after the network came back")
