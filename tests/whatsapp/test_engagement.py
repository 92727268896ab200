"""The score of a contact, and what happened with them."""

import datetime as dt

import pytest

from tests.factories import DAY, NOW, make_account
from whatsapp import contacts, engagement, histories
from whatsapp.models import Contact, Group, GroupMember, Incoming, Message

ZOE = "+33639980100"


@pytest.fixture
def mine(tenant):
    return make_account(tenant)


@pytest.fixture
def zoe(tenant):
    ids = contacts.ensure(tenant_id=tenant.pk, people={ZOE: "Zoé"})
    return Contact.objects.get(pk=ids[ZOE])


def sent(account, contact, *, at=NOW - DAY, state="sent", **fields):
    return Message.objects.create(
        tenant=account.tenant, account=account, contact=contact, content_hash="h", body="Salut",
        idempotency_key=f"k{Message.objects.count()}", due_at=at, state=state, sent_at=at,
        **fields,
    )  # fmt: skip


def answered(account, contact, *, at=NOW, chat="c@c.us", **fields):
    return Incoming.objects.create(
        account=account, contact=contact, wa_id=f"w{Incoming.objects.count()}", chat_id=chat,
        kind="chat", body="Merci", sent_at=at, received_at=at, **fields,
    )  # fmt: skip


def score_of(contact):
    engagement.score([contact.pk], now=NOW)
    contact.refresh_from_db()
    return contact.engagement


def test_whom_nothing_was_sent_to_has_no_score(mine, zoe):
    sent(mine, zoe, state="failed")
    answered(mine, zoe)
    assert score_of(zoe) is None


def test_arriving_counts_a_fifth_reading_two_and_answering_two(mine, zoe):
    for _ in range(3):
        sent(mine, zoe)
    assert score_of(zoe) == 0
    Message.objects.update(delivered_at=NOW)
    assert score_of(zoe) == 20
    Message.objects.update(read_at=NOW)
    assert score_of(zoe) == 60
    answered(mine, zoe)
    assert score_of(zoe) == 100


def test_shares_count_by_message(mine, zoe):
    sent(mine, zoe, delivered_at=NOW, read_at=NOW)
    sent(mine, zoe, delivered_at=NOW)
    assert score_of(zoe) == 40


def test_whoever_answers_has_read_what_came_before(mine, zoe):
    sent(mine, zoe, at=NOW - 2 * DAY)
    sent(mine, zoe, at=NOW)
    answered(mine, zoe, at=NOW - DAY)
    assert score_of(zoe) == 10 + 20 + 40


def test_the_owners_own_words_and_groups_are_no_answers(mine, zoe):
    sent(mine, zoe)
    answered(mine, zoe, from_me=True)
    answered(mine, zoe, chat="1@g.us")
    assert score_of(zoe) == 0


def test_old_messages_leave_the_window_and_take_the_score_along(mine, zoe):
    sent(mine, zoe, at=NOW - engagement.WINDOW + DAY, delivered_at=NOW)
    assert engagement.score_all(now=NOW) == 1
    zoe.refresh_from_db()
    assert zoe.engagement == 20

    assert engagement.score_all(now=NOW + 2 * DAY) == 1

    zoe.refresh_from_db()
    assert zoe.engagement is None


def test_only_those_with_whom_something_happened_are_scored_between_two_nights(mine, tenant, zoe):
    ids = contacts.ensure(tenant_id=tenant.pk, people={"+33639980101": ""})
    quiet = Contact.objects.get(pk=ids["+33639980101"])
    sent(mine, zoe, at=NOW - 5 * DAY, delivered_at=NOW - 5 * DAY, read_at=NOW)
    sent(mine, quiet, at=NOW - 5 * DAY, delivered_at=NOW - 5 * DAY)

    assert engagement.score_changed(since=NOW - dt.timedelta(minutes=20), now=NOW) == 1

    zoe.refresh_from_db()
    quiet.refresh_from_db()
    assert (zoe.engagement, quiet.engagement) == (60, None)


def test_a_history_tells_everything_newest_first_in_pages(mine, tenant, zoe):
    sent(mine, zoe, at=NOW - 2 * DAY, state="read", read_at=NOW)
    answered(mine, zoe, at=NOW - DAY)
    contacts.record_basis(zoe, basis="consent", note="asked", how="admin", now=NOW)
    contacts.edit(zoe, name="Zoé M.", now=NOW + DAY)
    group = Group.objects.create(
        tenant=tenant, account=mine, chat_id="1@g.us", subject="Voisins", discovered_at=NOW,
        refreshed_at=NOW,
    )  # fmt: skip
    GroupMember.objects.create(
        group=group, contact=zoe, seen_at=NOW - 4 * DAY, left_at=NOW - 3 * DAY
    )

    events = histories.of_contact(zoe)

    assert [(event.kind, event.what) for event in events] == [
        ("record", "changed"),
        ("consent", "lawful_basis"),
        ("incoming", "chat"),
        ("message", "read"),
        ("left_group", "left"),
        ("seen_in_group", "member"),
    ]
    assert [event.detail for event in events][:3] == ["name", "admin: consent: asked", "Merci"]
    first = histories.of_contact(zoe, limit=2)
    second = histories.of_contact(zoe, before=first[-1].at, limit=2)
    assert first + second == events[:4]
