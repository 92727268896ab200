"""The ledger of a broadcast: how far each came, and what its figures say."""

import datetime as dt

import pytest

from accounts.activity import Actor
from campaigns.broadcasts import figures, queueing, running
from campaigns.models import Recipient
from tests.campaigns.broadcasting import arrive, begin, message_of, people, states
from tests.campaigns.conftest import move, to_sending
from tests.factories import HOUR, NOW, make_broadcast, make_contact
from whatsapp import contacts, messages, outbox
from whatsapp.models import Account, Contact

pytestmark = pytest.mark.django_db
MINUTE = dt.timedelta(minutes=1)


def test_the_ledger_follows_each_message_and_its_figures_only_grow(tenant, broadcast):
    a, b, c, d = people(tenant, 4)
    begin(broadcast)
    before = figures.of(broadcast)
    assert (before.recipients, before.queued, before.sent) == (4, 4, 0)
    arrive(a, "sent", "delivered", "read")
    arrive(b, "sent")
    outbox.fail_queued(message_of(c), code="not_on_whatsapp", error="", now=NOW)
    contacts.opt_out(d, reason="stop", now=NOW)

    now = figures.of(broadcast)

    assert states(broadcast) == ["read", "sent", "failed", "opted_out"]
    assert (now.queued, now.sent, now.delivered, now.read) == (4, 2, 1, 1)
    assert (now.failed, now.opted_out, now.waiting, now.skipped) == (1, 1, 0, 0)
    assert message_of(d).state == "cancelled"


def test_a_receipt_for_reading_alone_means_that_it_arrived(tenant, broadcast):
    contact = make_contact(tenant)
    begin(broadcast)
    arrive(contact, "sent", "read")

    assert (figures.of(broadcast).delivered, figures.of(broadcast).read) == (1, 1)


def test_an_uncertain_message_is_shown_as_such_until_somebody_decides(tenant, broadcast):
    contact = make_contact(tenant)
    begin(broadcast)
    message = to_sending(message_of(contact))
    move(message, "uncertain")
    assert states(broadcast) == ["uncertain"]

    outbox.settle(message.pk, sent=True, actor=Actor("user", "olga"), now=NOW)
    assert states(broadcast) == ["sent"]


def test_a_failed_message_that_is_tried_again_counts_as_queued_then_sent(tenant, broadcast):
    contact = make_contact(tenant)
    begin(broadcast)
    outbox.fail_queued(message_of(contact), code="offline", error="", now=NOW)
    assert states(broadcast) == ["failed"]

    assert messages.retry(message_of(contact), now=NOW)
    assert states(broadcast) == ["queued"]
    arrive(contact, "sent")
    assert states(broadcast) == ["sent"]


def test_one_of_a_cancelled_broadcast_cannot_be_tried_again(tenant, broadcast):
    contact = make_contact(tenant)
    begin(broadcast)
    outbox.fail_queued(message_of(contact), code="offline", error="", now=NOW)
    running.cancel(broadcast, now=NOW)

    assert not messages.retry(message_of(contact), now=NOW)


def test_a_message_cancelled_by_hand_is_one_that_was_skipped(tenant, broadcast):
    contact = make_contact(tenant)
    begin(broadcast)
    messages.cancel([message_of(contact).pk], now=NOW)
    queueing.plan(now=NOW)

    row = broadcast.recipients.get()
    assert (row.state, row.reason) == ("skipped", "cancelled")
    broadcast.refresh_from_db()
    assert broadcast.state == "done"


def test_whoever_opts_out_or_loses_their_basis_while_they_wait_leaves(tenant, broadcast, account):
    Account.objects.filter(pk=account.pk).update(daily_limit=0)
    stops, scraped, stays = (
        make_contact(tenant),
        make_contact(tenant, source="group", lawful_basis="consent", lawful_basis_at=NOW),
        make_contact(tenant),
    )
    begin(broadcast)
    contacts.opt_out(stops, reason="stop", now=NOW)
    Contact.objects.filter(pk=scraped.pk).update(lawful_basis="", lawful_basis_at=None)
    Account.objects.filter(pk=account.pk).update(daily_limit=100)

    assert queueing.plan(now=NOW).queued == 1
    assert states(broadcast) == ["opted_out", "skipped", "queued"]
    assert Recipient.objects.get(contact=scraped).reason == "no_lawful_basis"
    assert message_of(stays).state == "queued"


def test_somebody_who_says_stop_after_it_is_one_whom_the_broadcast_lost(tenant, account):
    contact = make_contact(tenant)
    old, new = make_broadcast(accounts=[account]), make_broadcast(accounts=[account])
    for broadcast, at in ((old, NOW - HOUR), (new, NOW)):
        running.start(broadcast, now=at)
        queueing.plan(now=at)
        row = Recipient.objects.get(broadcast=broadcast)
        message = to_sending(row.message, now=at)
        move(message, "sent", now=at)

    contacts.opt_out(contact, reason="stop", now=NOW + MINUTE)

    assert figures.of(old).opted_out == 0
    assert (figures.of(new).opted_out, figures.of(new).sent) == (1, 1)


def test_a_deleted_person_leaves_a_line_without_a_name_and_the_figures_as_they_were(
    tenant, broadcast
):
    from campaigns import people as data

    contact = make_contact(tenant)
    begin(broadcast)
    arrive(contact, "sent")
    before = figures.of(broadcast)

    data.delete(tenant, contact.phone, now=NOW)

    row = broadcast.recipients.get()
    assert (row.contact, row.message) == (None, None)
    assert figures.of(broadcast).sent == before.sent == 1
