"""Somebody known by phone, and by LID as another: what is done to one holds for the other."""

import datetime as dt

import pytest
from django.utils import timezone

from campaigns import people
from tests import companies, factories
from tests.factories import NOW
from tests.security.person import DIGITS, NAME, PHONE, places, put_into
from whatsapp import groups, inbox, outbox, suppression
from whatsapp.driver.base import IncomingMessage, Member
from whatsapp.models import Contact, Group, Message

LID = "777@lid"


@pytest.fixture
def acme(db):
    return companies.acme()


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
