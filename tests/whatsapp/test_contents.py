"""What a message can say besides a text, to people and to groups, from the call to WhatsApp."""

import datetime as dt
import math

import pytest
from django.utils import timezone

from tests.factories import make_account
from tests.whatsapp.conftest import outcome_of
from tests.whatsapp.test_media import PDF, picture
from whatsapp import contacts, media, messages, outbox
from whatsapp.contents import (
    CannotSend,
    LinkContent,
    LocationContent,
    MediaContent,
    Preview,
    TextContent,
)
from whatsapp.driver import base
from whatsapp.models import Contact, Incoming, Message

pytestmark = pytest.mark.usefixtures("media_folder")
ANA = "+33639980100"
ME = "+33639980001"
SHOP = LocationContent(16.2411, -61.5331, name="Boutique", address="Pointe-à-Pitre")


# -------------------------------------------------------------------------------- the kinds


def test_a_place_arrives_with_its_name_and_address(send, linked, world, worker):
    message = send(SHOP)
    worker.drive(linked)

    assert outcome_of(message) == ("sent", "")
    assert (message.kind, message.body) == ("location", "")
    assert world.record[0].location == base.Location(
        16.2411, -61.5331, "Boutique", "Pointe-à-Pitre"
    )


@pytest.mark.parametrize(
    ("filename", "data", "kind"),
    [
        ("day.png", picture(), "image"),
        ("guide.pdf", PDF, "document"),
        ("day.png", picture(), "document"),
    ],
)
def test_a_file_arrives_as_what_it_is_sent_as(send, linked, world, worker, filename, data, kind):
    file = media.store(tenant=linked.tenant, data=data, filename=filename, kind=kind)
    message = send(MediaContent(file, "Le guide"))
    worker.drive(linked)

    assert outcome_of(message) == ("sent", "")
    sent = world.record[0]
    assert (sent.kind, sent.body, sent.media.data, sent.media.filename) == (
        kind, "Le guide", data, filename,
    )  # fmt: skip


def test_a_link_arrives_with_our_own_preview(send, linked, world, worker):
    small = picture("JPEG")
    shown = media.store(tenant=linked.tenant, data=small, filename="preview.jpg", kind="image")
    message = send(
        LinkContent("https://shop.example/offer", "Voici :", Preview("Offer", "-20 %", shown))
    )
    worker.drive(linked)

    assert outcome_of(message) == ("sent", "")
    sent = world.record[0]
    assert sent.body == "Voici :\nhttps://shop.example/offer"
    assert sent.preview == base.LinkPreview("https://shop.example/offer", "Offer", "-20 %", small)


def test_a_link_goes_without_a_picture_that_was_lost_and_without_a_preview_that_was_not_to_be_had(
    send, linked, world, worker
):
    lost = media.store(tenant=linked.tenant, data=picture("JPEG"), filename="a.jpg", kind="image")
    lost.file.storage.delete(lost.file.name)
    send(LinkContent("https://shop.example/a", preview=Preview("Offer", "", lost)), key="1")
    send(LinkContent("https://shop.example/b"), key="2")
    worker.drive(linked)

    first, second = world.record
    assert (first.preview.title, first.preview.thumbnail) == ("Offer", b"")
    assert (second.body, second.preview) == ("https://shop.example/b", None)


def test_a_link_that_is_asked_for_twice_is_one_message_whatever_its_page_says_by_then(send):
    first = send(LinkContent("https://shop.example/a", preview=Preview("Offer")))

    assert send(LinkContent("https://shop.example/a", preview=Preview("Over"))) == first
    with pytest.raises(outbox.IdempotencyConflict):
        send(LinkContent("https://shop.example/b", preview=Preview("Offer")))


def test_the_longest_text_that_whatsapp_takes_arrives_whole(send, linked, world, worker):
    text = "é👩‍👩‍👧" * 10_922 + "fine"
    assert len(text) <= 65_536
    send(TextContent(text))
    worker.drive(linked)

    assert world.record[0].body == text


@pytest.mark.parametrize(
    ("make", "field", "code"),
    [
        (lambda: TextContent(" \n"), "text", "empty"),
        (lambda: TextContent("x" * 65_537), "text", "too_long"),
        (lambda: TextContent("\ud800"), "text", "unreadable"),
        (lambda: TextContent("a\0b"), "text", "unreadable"),
        (lambda: LocationContent(90.1, 0), "location.latitude", "out_of_range"),
        (lambda: LocationContent(0, -180.1), "location.longitude", "out_of_range"),
        (lambda: LocationContent(math.nan, 0), "location.latitude", "out_of_range"),
        (lambda: LocationContent(0, math.inf), "location.longitude", "out_of_range"),
        (lambda: LocationContent(0, 0, name="x" * 201), "location.name", "too_long"),
        (lambda: LocationContent(0, 0, address="x" * 301), "location.address", "too_long"),
        (lambda: LinkContent("javascript:alert(1)"), "link.url", "bad_url"),
        (lambda: LinkContent("file:///etc/passwd"), "link.url", "bad_url"),
        (lambda: LinkContent("https://"), "link.url", "bad_url"),
        (lambda: LinkContent("https://a.example/a b"), "link.url", "bad_url"),
        (lambda: LinkContent("https://a.example:x/"), "link.url", "bad_url"),
        (lambda: LinkContent("https://a.example/" + "x" * 1000), "link.url", "too_long"),
    ],
)
def test_what_whatsapp_would_not_take_is_refused_with_its_field(make, field, code):
    with pytest.raises(CannotSend) as refused:
        make()

    assert (refused.value.field, refused.value.code) == (field, code)


# ---------------------------------------------------------------------------------- answers


def test_an_answer_quotes_what_the_person_wrote(send, linked, world, worker):
    asked = world.inbound(ME, ANA, "Until when?")
    worker.settle()

    message = send(TextContent("Until Friday"), quoted_wa_id=asked)
    worker.drive(linked)

    assert outcome_of(message) == ("sent", "")
    assert world.record[0].quoted == asked


def test_a_place_quotes_what_we_said_before(send, linked, world, worker):
    before = send(TextContent("Come and see us"), key="1")
    worker.drive(linked)
    before.refresh_from_db()

    send(SHOP, key="2", quoted_wa_id=before.wa_id)
    worker.drive(linked)

    assert world.record[1].quoted == before.wa_id


def test_a_message_of_another_chat_is_not_quoted(send, linked, world, worker):
    asked = world.inbound(ME, "+33639980199", "Until when?")
    worker.settle()
    assert Incoming.objects.filter(wa_id=asked).exists()

    with pytest.raises(CannotSend) as refused:
        send(TextContent("Until Friday"), quoted_wa_id=asked)

    assert (refused.value.field, refused.value.code) == ("quotedMessageId", "unknown")
    assert not Message.objects.exists()


def test_a_quote_that_the_phone_lost_fails_the_answer_with_its_reason(send, linked, world, worker):
    asked = world.inbound(ME, ANA, "Until when?")
    worker.settle()
    message = send(TextContent("Until Friday"), quoted_wa_id=asked)
    for device in world.devices.values():
        device.history.clear()
    worker.drive(linked)

    assert outcome_of(message) == ("failed", "quote_gone")
    assert world.record == []


# ----------------------------------------------------------------------------------- people


def test_a_contact_known_by_lid_alone_is_written_to(send, linked, world, worker):
    ana = world.person(ANA)
    contact = Contact.objects.create(tenant=linked.tenant, lid=ana.lid, source="inbound")
    message = send(TextContent("Bonjour"), to=contact)
    worker.drive(linked)

    assert outcome_of(message) == ("sent", "")
    assert world.record[0].phone == ANA


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"source": "group"}, "no_lawful_basis"),
        ({"opted_out_at": timezone.now()}, "opted_out"),
        ({"lid": "777@lid"}, "own_number"),
    ],
)
def test_whom_nobody_may_write_to_is_refused_as_contact_and_as_number(send, linked, fields, code):
    linked.lid = "777@lid"
    contact = Contact.objects.create(tenant=linked.tenant, phone=ANA, **fields)

    for to in [contact] if code == "own_number" else [contact, ANA]:
        with pytest.raises(CannotSend) as refused:
            send(TextContent("Bonjour"), to=to)
        assert (refused.value.field, refused.value.code) == ("to", code)
    assert not Message.objects.exists()


def test_a_contact_of_another_company_is_unknown(send, linked):
    elsewhere = make_account().tenant
    theirs = Contact.objects.create(tenant=elsewhere, phone=ANA)

    with pytest.raises(CannotSend, match="no such contact"):
        send(TextContent("Bonjour"), to=theirs)


def test_a_basis_that_was_withdrawn_meanwhile_cancels_what_is_queued(send, linked, world, worker):
    contact = Contact.objects.create(
        tenant=linked.tenant, phone=ANA, source="group", lawful_basis="consent",
        lawful_basis_at=timezone.now(),
    )  # fmt: skip
    message = send(TextContent("Bonjour"), to=contact)
    Contact.objects.update(lawful_basis="", lawful_basis_at=None)
    worker.drive(linked)

    assert outcome_of(message) == ("cancelled", "no_lawful_basis")
    assert world.record == []


def test_a_number_that_became_our_own_fails_with_that_reason(linked, world, worker, write):
    message = write(linked, ME)
    worker.drive(linked)

    assert outcome_of(message) == ("failed", "own_number")


# --------------------------------------------------------------------------------- schedule


def test_a_message_with_a_time_waits_for_it(send, linked, world, worker):
    later = timezone.now() + dt.timedelta(hours=3)
    message = send(SHOP, due_at=later)
    worker.drive(linked)

    assert outcome_of(message) == ("queued", "")
    assert message.due_at == message.scheduled_for == later


def test_a_message_is_moved_while_it_waits_and_goes_out_then(send, linked, world, worker):
    message = send(SHOP, due_at=timezone.now() + dt.timedelta(hours=3))

    assert messages.move(message, due_at=timezone.now(), now=timezone.now())
    worker.drive(linked)
    assert outcome_of(message) == ("sent", "")
    assert not messages.move(message, due_at=timezone.now(), now=timezone.now())


def test_a_message_is_not_moved_into_the_past_and_not_out_of_a_pause(send, linked):
    now = timezone.now()
    message = send(SHOP, due_at=now + dt.timedelta(hours=3))

    with pytest.raises(CannotSend) as refused:
        messages.move(message, due_at=now - dt.timedelta(hours=1), now=now)
    assert refused.value.code == "past"
    outbox.hold_back([message.pk])
    assert not messages.move(message, due_at=now, now=now)


def test_a_pause_that_ends_early_leaves_a_message_its_time(send, linked, world, worker):
    now = timezone.now()
    later = now + dt.timedelta(hours=3)
    message = send(SHOP, due_at=later)
    outbox.hold_back([message.pk])
    outbox.let_go([message.pk], now=now)

    message.refresh_from_db()
    assert message.due_at == later


def test_the_same_call_for_another_time_is_another_message(send):
    now = timezone.now()
    first = send(SHOP, due_at=now + dt.timedelta(hours=3))
    zone = dt.timezone(dt.timedelta(hours=5))

    assert send(SHOP, due_at=(now + dt.timedelta(hours=3)).astimezone(zone)) == first
    with pytest.raises(outbox.IdempotencyConflict):
        send(SHOP, due_at=now + dt.timedelta(hours=4))


def test_an_opt_out_cancels_what_is_planned(send, linked):
    message = send(SHOP, due_at=timezone.now() + dt.timedelta(hours=3))
    contacts.opt_out(message.contact, reason="stop", now=timezone.now())

    assert outcome_of(message) == ("cancelled", "opted_out")
