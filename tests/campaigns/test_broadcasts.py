"""A broadcast: who gets it, when it is queued, and what stops it."""

import datetime as dt

import pytest

from accounts.activity import Actor
from accounts.models import Activity
from campaigns.broadcasts import queueing, running
from campaigns.models import Recipient
from tests.campaigns.broadcasting import arrive, begin, message_of, people, states
from tests.campaigns.conftest import move, to_sending
from tests.factories import (
    DAY,
    HOUR,
    NOW,
    make_account,
    make_broadcast,
    make_contact,
    make_referral,
    make_referrer,
)
from whatsapp import contacts, outbox
from whatsapp.models import Account, Chat, Contact, Message, Usage

pytestmark = pytest.mark.django_db
MINUTE = dt.timedelta(minutes=1)


# ------------------------------------------------------------------------------ who gets it


def test_everybody_of_the_segment_gets_one_message_in_their_language(tenant, broadcast):
    french = make_contact(tenant, name="Chloé Camara", language="fr")
    english = make_contact(tenant, name="Ben", language="en-gb")
    other = make_contact(tenant, name="Ana", language="pt")

    report = begin(broadcast)

    assert report.queued == 3
    assert message_of(french).body == "Bonjour Chloé"
    assert message_of(english).body == "Hi Ben"
    assert message_of(other).body == "Bonjour Ana"
    assert {m.priority for m in Message.objects.all()} == {outbox.BROADCAST}
    assert {m.origin for m in Message.objects.all()} == {"broadcast"}
    assert list(broadcast.recipients.order_by("pk").values_list("language", flat=True)) == [
        "fr", "en", "fr",
    ]  # fmt: skip
    assert queueing.plan(now=NOW).queued == 0


def test_who_gets_it_is_decided_once_when_it_begins(tenant, broadcast):
    broadcast.segment.rules = {"tagsAny": ["vip"]}
    broadcast.segment.save()
    early = make_contact(tenant, tags=["vip"])
    begin(broadcast)
    make_contact(tenant, tags=["vip"])
    Contact.objects.filter(pk=early.pk).update(tags=[])

    queueing.plan(now=NOW + HOUR)

    assert [r.contact for r in broadcast.recipients.all()] == [early]
    assert broadcast.total == 1


def test_nobody_without_lawful_basis_or_who_opted_out_is_a_recipient(tenant, broadcast):
    people(tenant, 1)
    make_contact(tenant, opted_out_at=NOW)
    make_contact(tenant, source="group")
    make_contact(tenant, phone=broadcast.accounts.get().phone)  # the account's own number

    assert begin(broadcast).queued == 1
    assert broadcast.recipients.count() == 1


def test_somebody_is_written_to_from_the_account_that_talked_with_them_last(tenant):
    accounts = [make_account(tenant) for _ in range(3)]
    known = make_contact(tenant)
    for n, account in enumerate(accounts[:2]):
        Chat.objects.create(
            tenant=tenant, account=account, contact=known, started_at=NOW,
            last_incoming_at=NOW - n * HOUR,
        )  # fmt: skip
    people(tenant, 6)
    begin(make_broadcast(accounts=accounts))

    assert Recipient.objects.get(contact=known).account == accounts[0]
    share = [Recipient.objects.filter(account=account).count() for account in accounts]
    assert sorted(share) == [2, 2, 3]


def test_a_person_known_by_their_lid_alone_gets_it_too(tenant, broadcast):
    make_contact(tenant, phone="", lid="123@lid")
    assert begin(broadcast).queued == 1


def test_a_link_and_a_referrer_are_those_of_the_newest_referral(tenant, account):
    broadcast = make_broadcast(
        accounts=[account], texts={"fr": "{{name}}, de {{referrer}} : {{link}}"}
    )
    referred, stranger = make_contact(tenant, name=""), make_contact(tenant)
    make_referral(
        make_referrer(tenant, account=account, name="Amina"),
        phone=referred.phone, external_id="ref 7", name="Zoé Martin",
    )  # fmt: skip

    report = begin(broadcast)

    assert message_of(referred).body == "Zoé, de Amina : https://pay.example/ref%207"
    assert (report.queued, report.skipped) == (1, 1)
    row = Recipient.objects.get(contact=stranger)
    assert row.state == "skipped"
    assert "{{referrer}}" in row.reason


# ---------------------------------------------------------------------------- when, how many


def test_it_begins_at_its_time_and_not_before(tenant, broadcast):
    people(tenant, 1)
    running.start(broadcast, at=NOW + HOUR, now=NOW)
    assert broadcast.state == "scheduled"

    assert queueing.plan(now=NOW + HOUR - MINUTE).queued == 0
    assert not broadcast.recipients.exists()
    report = queueing.plan(now=NOW + HOUR)

    assert (report.begun, report.queued) == (1, 1)
    broadcast.refresh_from_db()
    assert broadcast.state == "running"


def test_one_to_very_many_begins_with_the_next_round_of_planning(tenant, broadcast, monkeypatch):
    monkeypatch.setattr(running, "AT_ONCE", 1)
    people(tenant, 2)
    running.start(broadcast, now=NOW)
    assert broadcast.state == "scheduled"
    assert queueing.plan(now=NOW).queued == 2


def test_each_gets_it_by_their_own_clock_where_that_is_wanted(account):
    """9:00 UTC is ten o'clock in Paris; it is that at 1:00 in Tokyo and at 18:00 in Los Angeles."""
    tenant = account.tenant
    type(tenant).objects.filter(pk=tenant.pk).update(timezone="Europe/Paris")
    tokyo, paris, angeles = (
        make_contact(tenant, phone=phone)
        for phone in ("+819012345678", "+33639980001", "+12135550123")
    )
    broadcast = make_broadcast(accounts=[account], clock="recipient")
    running.start(broadcast, at=NOW + DAY, now=NOW)

    def got(now):
        queueing.plan(now=now)
        return set(Message.objects.values_list("contact_id", flat=True))

    assert got(NOW + DAY - 9 * HOUR) == set()
    assert got(NOW + DAY - 8 * HOUR) == {tokyo.pk}
    assert got(NOW + DAY) == {tokyo.pk, paris.pk}
    assert got(NOW + DAY + 9 * HOUR) == {tokyo.pk, paris.pk, angeles.pk}


def test_two_minutes_worth_is_queued_at_once_and_more_as_that_goes_out(tenant, broadcast, account):
    Account.objects.filter(pk=account.pk).update(per_minute=15)
    everybody = people(tenant, 40)
    assert begin(broadcast).queued == 30

    for contact in everybody[:4]:
        arrive(contact, "sent")

    assert queueing.plan(now=NOW).queued == 4


def test_no_more_is_queued_than_fits_into_the_day(tenant, broadcast, account):
    Account.objects.filter(pk=account.pk).update(daily_limit=10)
    Usage.objects.create(account=account, day=NOW.date(), count=4)
    people(tenant, 9)

    assert begin(broadcast).queued == 6
    assert queueing.plan(now=NOW).queued == 0
    Message.objects.update(state="cancelled")
    assert queueing.plan(now=NOW + DAY).queued == 3


def test_broadcasts_of_one_account_take_turns(tenant, account):
    Account.objects.filter(pk=account.pk).update(daily_limit=20)
    people(tenant, 30)
    first, second = make_broadcast(accounts=[account]), make_broadcast(accounts=[account])
    for one in (first, second):
        running.start(one, now=NOW)

    queueing.plan(now=NOW)

    assert states(first).count("queued") == states(second).count("queued") == 10


def test_an_account_that_cannot_send_waits_and_the_others_go_on(tenant):
    good, lost = make_account(tenant), make_account(tenant)
    people(tenant, 4)
    broadcast = make_broadcast(accounts=[good, lost])
    running.start(broadcast, now=NOW)
    Account.objects.filter(pk=lost.pk).update(status="logged_out")

    assert queueing.plan(now=NOW).queued == 2
    assert set(Message.objects.values_list("account_id", flat=True)) == {good.pk}
    Account.objects.filter(pk=lost.pk).update(status="connected")
    assert queueing.plan(now=NOW).queued == 2


def test_a_sequence_does_not_lose_its_place_in_the_day_to_a_broadcast(tenant, account):
    from campaigns import planning
    from tests.factories import make_target

    Account.objects.filter(pk=account.pk).update(daily_limit=10)
    make_target(make_referral(make_referrer(tenant, account=account)))
    people(tenant, 12)
    begin(make_broadcast(accounts=[account]))
    assert Message.objects.filter(origin="broadcast").count() == 10

    assert planning.plan(now=NOW).queued == 1


def test_somebody_whose_chat_was_taken_over_gets_it_afterwards(tenant, broadcast, account):
    contact = make_contact(tenant)
    Chat.objects.create(
        tenant=tenant, account=account, contact=contact, started_at=NOW,
        taken_over_until=NOW + HOUR,
    )  # fmt: skip
    report = begin(broadcast)

    assert (report.queued, report.put_off) == (0, 1)
    assert queueing.plan(now=NOW + 2 * HOUR).queued == 1


# ------------------------------------------------------------------------- stop, go and end


def test_a_pause_holds_back_what_is_queued_and_going_on_lets_it_go(tenant, broadcast):
    people(tenant, 25)
    begin(broadcast)
    running.pause(broadcast, now=NOW)

    assert {m.due_at for m in Message.objects.all()} == {outbox.NEVER}
    assert queueing.plan(now=NOW + HOUR).queued == 0
    running.resume(broadcast, now=NOW + HOUR)

    assert {m.due_at for m in Message.objects.all()} == {NOW + HOUR}
    assert Message.objects.count() == 25


def test_a_message_that_comes_back_during_a_pause_waits_as_well(tenant, broadcast):
    contact = make_contact(tenant)
    begin(broadcast)
    message = to_sending(message_of(contact))
    running.pause(broadcast, now=NOW)

    move(message, "queued", due_at=NOW + MINUTE)

    assert message_of(contact).due_at == outbox.NEVER
    running.resume(broadcast, now=NOW + HOUR)
    assert message_of(contact).due_at == NOW + HOUR


def test_a_cancelled_broadcast_reaches_nobody_more(tenant, broadcast):
    Account.objects.update(per_minute=1)
    everybody = people(tenant, 25)
    begin(broadcast)
    arrive(everybody[0], "sent")
    flying = to_sending(message_of(everybody[1]))

    spared = running.cancel(broadcast, now=NOW)

    assert spared == 23
    assert states(broadcast) == ["sent", "queued", *["skipped"] * 23]
    assert not Message.objects.filter(state="queued").exists()
    move(flying, "queued", due_at=NOW)  # refused before it left
    flying.refresh_from_db()
    assert flying.state == "cancelled"
    queueing.plan(now=NOW)
    assert states(broadcast)[1] == "skipped"


def test_a_large_one_is_cancelled_at_once_and_its_ledger_is_written_by_planning(
    tenant, broadcast, monkeypatch
):
    monkeypatch.setattr(running, "AT_ONCE", 2)
    Account.objects.update(per_minute=1)
    everybody = people(tenant, 25)
    begin(broadcast)
    contacts.opt_out(everybody[24], reason="stop", now=NOW)

    spared = running.cancel(broadcast, now=NOW)

    assert spared == 24
    assert states(broadcast) == [*["skipped"] * 20, *["waiting"] * 4, "opted_out"]
    assert not Message.objects.filter(state="queued").exists()
    report = queueing.plan(now=NOW + HOUR)
    assert (report.queued, report.skipped) == (0, 4)
    assert states(broadcast) == [*["skipped"] * 24, "opted_out"]
    rows = broadcast.recipients.filter(state="skipped")
    assert set(rows.values_list("reason", "ended_at")) == {("broadcast_cancelled", NOW)}
    assert queueing.plan(now=NOW + HOUR).skipped == 0


def test_a_broadcast_is_done_when_nobody_waits_any_more(tenant, broadcast):
    first, second = people(tenant, 2)
    begin(broadcast)
    arrive(first, "sent")
    assert queueing.plan(now=NOW).done == 0
    outbox.fail_queued(message_of(second), code="not_on_whatsapp", error="x", now=NOW)

    assert queueing.plan(now=NOW + MINUTE).done == 1
    broadcast.refresh_from_db()
    assert (broadcast.state, broadcast.ended_at) == ("done", NOW + MINUTE)


def test_only_what_its_state_allows_can_be_done(tenant, broadcast):
    people(tenant, 1)
    for act in (running.pause, running.resume, running.withdraw, running.cancel):
        with pytest.raises(running.NotPossible, match="draft"):
            act(broadcast, now=NOW)
    running.start(broadcast, now=NOW)
    for act in (running.start, running.resume, running.withdraw):
        with pytest.raises(running.NotPossible):
            act(broadcast, now=NOW)
    running.cancel(broadcast, now=NOW)
    for act in (running.start, running.pause, running.resume, running.cancel):
        with pytest.raises(running.NotPossible):
            act(broadcast, now=NOW)


def test_a_scheduled_one_can_be_withdrawn_and_changed(tenant, broadcast):
    people(tenant, 1)
    running.start(broadcast, at=NOW + HOUR, now=NOW)
    running.withdraw(broadcast, now=NOW)
    assert broadcast.state == "draft"
    assert queueing.plan(now=NOW + HOUR).begun == 0


def test_each_decision_is_in_the_activity_log(tenant, broadcast):
    people(tenant, 1)
    olga = Actor("user", "olga")
    running.start(broadcast, actor=olga, now=NOW)
    running.pause(broadcast, actor=olga, now=NOW)
    running.resume(broadcast, actor=olga, now=NOW)
    running.cancel(broadcast, actor=olga, now=NOW)

    rows = Activity.objects.filter(subject_type="campaigns.broadcast").order_by("pk")
    assert [(row.verb, row.actor_name) for row in rows] == [
        (f"broadcast_{verb}", "olga")
        for verb in ("scheduled", "started", "paused", "resumed", "cancelled")
    ]
