"""A person's data: handed over in full, deleted for good, and never followed again."""

import datetime as dt
import io
import json
from pathlib import Path

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from PIL import Image

from accounts import activity
from accounts.activity import Actor, Verb
from accounts.models import Activity
from campaigns import people, referrals, tasks
from campaigns.models import Delivery, Payment, Recipient, Referral, Target
from campaigns.rows import Row
from tests import companies, factories
from tests.factories import NOW
from whatsapp import contacts, groups, inbox, media, messages, outbox, retention, suppression
from whatsapp.contents import TextContent
from whatsapp.driver.base import IncomingMessage, Member
from whatsapp.models import (
    Attempt,
    Chat,
    Contact,
    Group,
    GroupMember,
    Incoming,
    Media,
    Message,
    MessageReceipt,
    Suppression,
)

PHONE = "+33639989876"
DIGITS = PHONE[1:]
NAME = "Zénobie Quatremaille"
OLGA = Actor("user", "olga")
PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


def tell(account, body="Merci !", *, sent_at, wa_id="in-1"):
    message = IncomingMessage(
        wa_id=wa_id, chat_id=f"{DIGITS}@c.us", phone=PHONE, lid="777@lid", name=NAME, kind="chat",
        body=body, sent_at=sent_at,
    )  # fmt: skip
    return inbox.store_incoming(account.pk, message, now=sent_at)


def put_into(tenant, *, state="sent"):
    """`PHONE` in every place where a number or a name can be."""
    referrer = factories.make_referrer(tenant)
    referral = factories.make_referral(referrer, phone=PHONE, name=NAME, external_id=f"c-{DIGITS}")
    target = factories.make_target(referral)
    contact = Contact.objects.create(tenant=tenant, phone=PHONE, name=NAME, lid="777@lid")
    message = outbox.queue(
        tenant=tenant, account=target.account, contact=contact, idempotency_key=f"{DIGITS}-1",
        body=f"Bonjour {NAME}, {PHONE}", now=NOW,
    )  # fmt: skip
    fields = {
        "state": state, "sending_at": NOW, "not_after": NOW, "fence": 1, "error": f"to {PHONE}",
        "wa_id": f"true_{DIGITS}@c.us_3EB0", "chat_id": f"{DIGITS}@c.us",
    }  # fmt: skip
    if state == "sent":
        fields["sent_at"] = NOW
    Message.objects.filter(pk=message.pk).update(**fields)
    Attempt.objects.create(
        message=message, account=target.account, number=1, fence=1, worker="w",
        wa_id=f"true_{DIGITS}@c.us_3EB0", usage_day=NOW.date(), intent_at=NOW,
    )  # fmt: skip
    Delivery.objects.create(target=target, number=1, language="fr", message=message)
    Recipient.objects.create(
        broadcast=factories.make_broadcast(accounts=[target.account]), contact=contact,
        account=target.account, due_at=NOW,
    )  # fmt: skip
    tell(target.account, f"Je suis {NAME}", sent_at=NOW)
    Payment.objects.create(tenant=tenant, external_id=f"c-{DIGITS}", paid_at=NOW)
    put_into_group(contact, target.account, message)
    for subject in (referral, contact, target):
        activity.record(tenant_id=tenant.pk, verb=Verb.EXITED, subject=subject, now=NOW)
    user = factories.make_user(tenant)
    for row in (referral, contact):
        LogEntry.objects.create(
            user=user, content_type=ContentType.objects.get_for_model(row), object_id=row.pk,
            object_repr=f"{row} {PHONE}", action_flag=CHANGE, change_message=f"was {PHONE}",
        )  # fmt: skip
    return target


def put_into_group(contact, account, message):
    """They wrote into a group, we answered there, and they have seen it."""
    group = Group.objects.create(
        tenant=account.tenant, account=account, chat_id="1@g.us", subject="Voisins",
        discovered_at=NOW, refreshed_at=NOW,
    )  # fmt: skip
    GroupMember.objects.create(group=group, contact=contact, seen_at=NOW)
    wrote = IncomingMessage(
        wa_id=f"false_1@g.us_3A_{DIGITS}@c.us", chat_id="1@g.us", phone=PHONE, lid="777@lid",
        name=NAME, kind="chat", body=f"De {NAME}", sent_at=NOW, author=f"{DIGITS}@c.us",
        author_phone=PHONE, author_lid="777@lid",
    )  # fmt: skip
    inbox.store_incoming(account.pk, wrote, now=NOW)
    post = Message.objects.create(
        tenant=account.tenant, account=account, group=group, idempotency_key="post", body="Oui !",
        content_hash="h", due_at=NOW, state="sent", sent_at=NOW, quoted_wa_id=wrote.wa_id,
    )  # fmt: skip
    for participant in (f"{DIGITS}@c.us", "777@lid"):
        MessageReceipt.objects.create(message=post, participant=participant, read_at=NOW)
    MessageReceipt.objects.create(message=post, participant="888@lid", read_at=NOW)
    contacts.record_basis(contact, basis="consent", note=f"{NAME} signed", how="admin", now=NOW)
    chat = Chat.objects.get(contact=contact)
    assert chat.account == message.account


def places(*needles):
    """table.column of every row of every table that holds one of `needles` in any column."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = 'public' ORDER BY 1, 2"
        )
        for table, column in cursor.fetchall():
            for needle in needles:
                cursor.execute(
                    f'SELECT count(*) FROM "{table}" WHERE "{column}"::text ILIKE %s',  # noqa: S608
                    [f"%{needle}%"],
                )
                if cursor.fetchone()[0]:
                    found.append(f"{table}.{column}")
    return found


@pytest.fixture
def acme(db):
    return companies.acme()


def test_after_deleting_the_number_and_the_name_are_in_no_table_and_no_file(acme, settings):
    put_into(acme.tenant)
    assert len(places(DIGITS, NAME)) > 15

    done = people.delete(acme.tenant, PHONE, actor=OLGA, now=timezone.now())

    assert places(DIGITS, NAME, "777@lid") == []
    assert MessageReceipt.objects.get().participant == "888@lid"
    assert (done.messages, done.incoming, done.referrals, done.targets) == (1, 2, 1, 1)
    assert done.in_flight == 0
    for file in Path(settings.MEDIA_ROOT).rglob("*"):
        assert file.is_dir() or DIGITS.encode() not in file.read_bytes()
    (line,) = Activity.objects.filter(verb="person_deleted")
    assert (line.actor_name, line.subject_name) == ("olga", "")


def test_the_same_number_at_another_company_stays(acme):
    other = companies.other()
    put_into(acme.tenant)
    put_into(other.tenant)

    people.delete(acme.tenant, PHONE, now=timezone.now())

    assert Contact.objects.get().tenant == other.tenant
    assert Referral.objects.get().tenant == other.tenant
    assert not suppression.suppressed(other.tenant, [PHONE])


def test_other_people_stay(acme):
    target = put_into(acme.tenant)
    neighbour = factories.make_target(factories.make_referral(target.referral.referrer))

    people.delete(acme.tenant, PHONE, now=timezone.now())

    assert list(Target.objects.all()) == [neighbour]
    assert neighbour.state == "active"


def test_what_is_being_sent_is_deleted_when_that_is_over(acme):
    put_into(acme.tenant, state="sending")

    done = people.delete(acme.tenant, PHONE, now=timezone.now())

    assert done.in_flight == 1
    message = Message.objects.get(state="sending")
    tasks.finish_deletions()
    assert message.contact.messages.exists()  # still under way
    assert Activity.objects.filter(verb="person_deleted").count() == 1
    assert outbox.move(message, to="sent", when=["sending"], now=NOW, sent_at=NOW)
    tasks.finish_deletions()
    assert places(DIGITS, NAME) == []
    assert not Suppression.objects.exclude(unfinished=None).exists()


def picture_from(account, *, wa_id="in-1"):
    """They have sent a picture, and it was fetched."""
    drawn = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(drawn, "PNG")
    stored = media.store(tenant=account.tenant, data=drawn.getvalue(), filename="me.png")
    Media.objects.filter(pk=stored.pk).update(created_at=NOW)
    Incoming.objects.filter(account=account, wa_id=wa_id).update(
        media=stored, media_state="stored", content={"filename": "me.png"}
    )
    return Path(stored.file.path)


def test_the_pictures_they_sent_are_deleted_and_those_of_the_company_stay(
    acme, django_capture_on_commit_callbacks
):
    target = put_into(acme.tenant)
    theirs = picture_from(target.account)
    ours = media.store(tenant=acme.tenant, data=PDF, filename="offer.pdf")
    Media.objects.filter(pk=ours.pk).update(created_at=NOW - dt.timedelta(days=1))
    tell(target.account, "", sent_at=NOW, wa_id="in-2")
    Incoming.objects.filter(wa_id="in-2").update(media=ours, media_state="stored")
    assert theirs.exists()

    with django_capture_on_commit_callbacks(execute=True):
        people.delete(acme.tenant, PHONE, now=timezone.now())

    assert not theirs.exists()
    assert list(Media.objects.all()) == [ours]
    assert Path(ours.file.path).exists()


def test_deleting_twice_and_deleting_a_stranger_do_no_harm(acme):
    put_into(acme.tenant)
    people.delete(acme.tenant, PHONE, now=timezone.now())

    again = people.delete(acme.tenant, PHONE, now=timezone.now())

    assert (again.contacts, again.messages, again.referrals) == (0, 0, 0)
    assert Suppression.objects.count() == 2  # the phone and the LID


def test_somebody_known_by_lid_alone_is_handed_over_and_deleted_by_it(acme):
    account = factories.make_account(acme.tenant)
    stranger = IncomingMessage(
        wa_id="false_777@lid_3A", chat_id="777@lid", phone="", lid="777@lid", name=NAME,
        kind="chat", body="Bonjour", sent_at=NOW,
    )  # fmt: skip
    inbox.store_incoming(account.pk, stranger, now=NOW)
    max_ = companies.client(acme.people["max"])

    exported = max_.post("/api/v1/people/export", {"lid": "777@lid"}, format="json").json()
    deleted = max_.post("/api/v1/people/delete", {"lid": "777@lid"}, format="json").json()

    assert (len(exported["contacts"]), len(exported["incoming"])) == (1, 1)
    assert (deleted["contacts"], deleted["incoming"]) == (1, 1)
    assert places("777@lid", NAME) == []
    both = max_.post("/api/v1/people/delete", {"lid": "777@lid", "phone": PHONE}, format="json")
    assert both.status_code == 400


def test_a_group_brings_nobody_back_who_was_deleted_by_phone_or_by_lid(acme):
    target = put_into(acme.tenant)
    people.delete(acme.tenant, PHONE, now=timezone.now())

    found = groups.store_members(
        Group.objects.get(),
        [Member(lid="777@lid", phone="", name=NAME, admin=False)],
        now=timezone.now(),
    )

    assert (found.members, found.skipped) == (1, 1)
    assert not Contact.objects.filter(tenant=target.tenant).exists()


# ------------------------------------------------------------------------------ never again


def test_no_import_follows_a_deleted_person(acme):
    referrer = factories.make_referrer(acme.tenant, external_id="amina")
    people.delete(acme.tenant, PHONE, now=timezone.now())
    row = Row(
        row=2, external_id="new-id", referrer=referrer.external_id, name=NAME,
        phone="06 39 98 98 76", registered_at=NOW.isoformat(),
    )  # fmt: skip

    report = referrals.import_rows(acme.tenant, [row], now=NOW)

    assert (report.created, report.refused) == (0, 1)
    (finding,) = report.findings
    assert (finding.field, finding.code) == ("phone", "suppressed")
    assert DIGITS not in str(finding)
    assert not Referral.objects.exists()
    suppression.allow(acme.tenant, PHONE)
    assert referrals.import_rows(acme.tenant, [row], now=NOW).created == 1


def test_nobody_writes_to_a_deleted_person_directly(acme):
    account = factories.make_account(acme.tenant)
    people.delete(acme.tenant, PHONE, now=timezone.now())

    with pytest.raises(messages.CannotSend) as refused:
        messages.send_direct(
            account=account, to=PHONE, content=TextContent("Bonjour"), idempotency_key="k", now=NOW
        )

    assert (refused.value.field, refused.value.code) == ("to", "suppressed")
    assert not Contact.objects.exists()


def test_old_messages_that_the_page_tells_again_are_not_stored_again(acme):
    target = put_into(acme.tenant)
    account = target.account
    now = timezone.now()
    people.delete(acme.tenant, PHONE, now=now)

    assert not tell(account, sent_at=now - dt.timedelta(days=1))
    assert not Incoming.objects.exists()
    assert tell(account, "Bonjour ?", sent_at=now + dt.timedelta(days=1), wa_id="in-2")
    contact = Contact.objects.get()
    assert contact.opt_out_reason == "asked to be forgotten"


def test_the_hash_cannot_be_made_by_trying_out_numbers_without_the_companys_key(acme):
    other = companies.other()
    for tenant in (acme.tenant, other.tenant):
        suppression.suppress(tenant, PHONE, now=NOW)

    hashes = set(Suppression.objects.values_list("phone_hash", flat=True))
    assert len(hashes) == 2
    assert PHONE not in str(hashes)


# ----------------------------------------------------------------------------- handing over


def test_an_export_holds_everything_and_is_recorded_without_the_number(acme, capsys):
    put_into(acme.tenant)
    other = companies.other()
    put_into(other.tenant)

    call_command("person", "export", tenant="acme", phone="06 39 98 98 76")

    found = json.loads(capsys.readouterr().out)
    assert {name: len(rows) for name, rows in found.items()} == {
        "contacts": 1, "consent": 1, "groups": 1, "chats": 1, "referrals": 1, "targets": 1,
        "payments": 1, "messages": 1, "receipts": 2, "broadcasts": 1, "attempts": 1, "incoming": 2,
        "turns": 0, "webhooks": 0, "activity": 3,
    }  # fmt: skip
    assert found["messages"][0]["body"] == f"Bonjour {NAME}, {PHONE}"
    (line,) = Activity.objects.filter(verb="person_exported")
    assert DIGITS not in str(vars(line))


def test_the_command_asks_before_it_deletes(acme):
    with pytest.raises(CommandError, match="--yes"):
        call_command("person", "delete", tenant="acme", phone=PHONE)
    with pytest.raises(CommandError, match="there is no tenant"):
        call_command("person", "delete", tenant="nobody", phone=PHONE)
    with pytest.raises(CommandError, match="--phone"):
        call_command("person", "delete", tenant="acme", phone="x")


def test_administrators_export_and_delete_over_the_api(acme):
    put_into(acme.tenant)
    max_ = companies.client(acme.people["max"])

    exported = max_.post("/api/v1/people/export", {"phone": PHONE}, format="json")
    deleted = max_.post("/api/v1/people/delete", {"phone": PHONE}, format="json")

    assert exported.status_code == 200
    assert exported.json()["contacts"][0]["phone"] == PHONE
    assert exported["Cache-Control"] == "no-store"
    assert deleted.json()["messages"] == 1
    assert places(DIGITS) == []
    refused = companies.client(acme.people["amina"]).post(
        "/api/v1/people/delete", {"phone": PHONE}, format="json"
    )
    assert refused.status_code == 403


@pytest.mark.parametrize("phone", [None, "", "abc", "+1", "\x00", ["+33639980000"], "9" * 61])
def test_a_number_that_is_none_is_named(acme, phone):
    for what in ("export", "delete"):
        answer = companies.client(acme.people["max"]).post(
            f"/api/v1/people/{what}", {"phone": phone}, format="json"
        )
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "phone"


# --------------------------------------------------------------------------------- retention


def test_texts_are_forgotten_after_the_setting_and_facts_stay(acme, settings):
    settings.MESSAGE_DAYS = 30
    put_into(acme.tenant)
    now = NOW + dt.timedelta(days=29)
    assert retention.forget_texts(now=now) == 0

    assert retention.forget_texts(now=NOW + dt.timedelta(days=31), batch=1) == 4

    facts = set(Message.objects.values_list("body", "state", "sent_at"))
    assert facts == {("", "sent", NOW)}
    assert set(Incoming.objects.values_list("body", flat=True)) == {""}


def test_places_and_files_that_came_in_are_forgotten_with_the_texts(
    acme, settings, django_capture_on_commit_callbacks
):
    settings.MESSAGE_DAYS = 30
    target = put_into(acme.tenant)
    file = picture_from(target.account)
    Incoming.objects.filter(chat_id="1@g.us").update(
        body="", content={"latitude": 1.5, "longitude": 2.5, "name": "", "address": NAME}
    )

    with django_capture_on_commit_callbacks(execute=True):
        retention.forget_texts(now=NOW + dt.timedelta(days=31), batch=1)

    facts = set(Incoming.objects.values_list("media", "media_state"))
    assert facts == {(None, "")}
    assert list(Incoming.objects.values_list("content", flat=True)) == [{}, {}]
    assert not file.exists()
    assert not Media.objects.exists()


def test_texts_of_what_is_not_over_stay(acme, settings):
    settings.MESSAGE_DAYS = 30
    put_into(acme.tenant, state="sending")
    Incoming.objects.all().delete()
    Message.objects.filter(state="sent").delete()

    assert retention.forget_texts(now=NOW + dt.timedelta(days=400)) == 0


# ------------------------------------------------- somebody of whom two things are known


LID = "777@lid"


@pytest.fixture
def two(acme):
    """One person whom nobody knows to be one: by phone, and by LID; written to by both."""
    account = factories.make_account(acme.tenant)
    by_phone = Contact.objects.create(tenant=acme.tenant, phone=PHONE, source="import")
    by_lid = Contact.objects.create(tenant=acme.tenant, lid=LID, source="inbound")
    for contact in (by_phone, by_lid):
        outbox.queue(
            tenant=acme.tenant, account=account, contact=contact, idempotency_key=f"k{contact.pk}",
            body="x", now=NOW,
        )  # fmt: skip
    return account


def from_group(account, now):
    group, _ = Group.objects.get_or_create(
        tenant=account.tenant, account=account, chat_id="1@g.us",
        defaults={"discovered_at": NOW, "refreshed_at": NOW},
    )  # fmt: skip
    groups.store_members(group, [Member(lid=LID, phone=PHONE, name="Z", admin=False)], now=now)


def from_message(account, now, **fields):
    said = {"chat_id": LID, "phone": PHONE, "lid": LID} | fields
    message = IncomingMessage(
        wa_id="in-9", name="Z", kind="chat", body="Salut", sent_at=now, **said
    )
    assert inbox.store_incoming(account.pk, message, now=now)


def from_a_post(account, now):
    from_message(account, now, chat_id="1@g.us", author_phone=PHONE, author_lid=LID)


def from_the_owner(account, now):
    from_message(account, now, from_me=True)


@pytest.mark.parametrize("known_as", [LID, PHONE])
@pytest.mark.parametrize("learn", [from_group, from_message, from_a_post, from_the_owner])
def test_who_was_deleted_by_one_is_not_written_to_by_the_other(two, known_as, learn):
    tenant, now = two.tenant, timezone.now()
    people.delete(tenant, known_as, now=now)
    assert Message.objects.get().state == "queued", "nobody knows that it is theirs"

    learn(two, now + dt.timedelta(minutes=1))

    assert Message.objects.get().error_code == "opted_out"
    assert not Contact.objects.may_be_written_to().exists()
    assert set(suppression.suppressed(tenant, [PHONE, LID])) == {PHONE, LID}


def test_deleting_by_both_while_something_is_being_sent_does_no_harm(acme):
    put_into(acme.tenant, state="sending")
    for known_as in (PHONE, LID, PHONE):
        people.delete(acme.tenant, known_as, now=timezone.now())
    Message.objects.update(state="sent", sent_at=NOW)

    assert people.finish_deletions(now=timezone.now()) == 1

    assert places(DIGITS, NAME, LID) == []


def test_a_deletion_is_finished_though_the_person_turned_out_to_be_another_contact(two):
    being_sent = Message.objects.get(contact__lid=LID)
    Message.objects.filter(pk=being_sent.pk).update(
        state="sending", wa_id="w", fence=1, not_after=NOW, sending_at=NOW
    )
    people.delete(two.tenant, LID, now=timezone.now())
    from_message(two, timezone.now() + dt.timedelta(minutes=1))
    Message.objects.filter(pk=being_sent.pk).update(state="sent", sent_at=NOW)

    assert people.finish_deletions(now=timezone.now()) == 1

    assert places(DIGITS, LID) == []
