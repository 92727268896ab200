"""A person's data: handed over in full, deleted for good, and never followed again."""

import datetime as dt
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.activity import Actor
from accounts.models import Activity
from campaigns import people, referrals, tasks
from campaigns.models import Referral, Target
from campaigns.rows import Row
from tests import companies, factories
from tests.factories import NOW
from tests.security.person import DIGITS, NAME, PHONE, picture_from, places, put_into, tell
from whatsapp import groups, inbox, media, messages, outbox, retention, suppression
from whatsapp.contents import TextContent
from whatsapp.driver.base import IncomingMessage, Member
from whatsapp.models import Contact, Group, Incoming, Media, Message, MessageReceipt, Suppression

OLGA = Actor("user", "olga")
PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


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
