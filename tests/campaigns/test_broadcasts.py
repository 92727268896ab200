"""A broadcast: who gets it, when it is queued, what stops it, and what its ledger says."""

import datetime as dt

import pytest

from accounts.activity import Actor
from accounts.models import Activity
from campaigns.broadcasts import figures, queueing, readiness, rehearsal, running
from campaigns.models import Broadcast, BroadcastText, Recipient
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
    make_tenant,
)
from whatsapp import contacts, messages, outbox
from whatsapp.models import Account, Chat, Contact, Incoming, Message, Usage

pytestmark = pytest.mark.django_db
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def account(tenant):
    return make_account(tenant)


@pytest.fixture
def broadcast(account):
    """To everybody of the company, from its one account."""
    return make_broadcast(accounts=[account])


def people(tenant, count, **fields):
    return [make_contact(tenant, **fields) for _ in range(count)]


def begin(broadcast, *, now=NOW):
    running.start(broadcast, now=now)
    return queueing.plan(now=now)


def states(broadcast):
    return list(broadcast.recipients.order_by("pk").values_list("state", flat=True))


def message_of(contact):
    return Message.objects.get(contact=contact)


def arrive(contact, *ways, now=NOW):
    """As far as `ways` say: sent, then delivered, read."""
    message = to_sending(message_of(contact), now=now)
    times = {"delivered": {"delivered_at": now}, "read": {"read_at": now}}
    for way in ways:
        message.refresh_from_db()
        assert outbox.move(
            message, to=way, when=[message.state], now=now,
            **({"sent_at": now} if way == "sent" else times.get(way, {})),
        )  # fmt: skip
    return message


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


# ------------------------------------------------------------------------------- readiness


def codes(broadcast):
    with pytest.raises(readiness.NotReady) as refused:
        running.start(broadcast, now=NOW)
    return [(gap.field, gap.code) for gap in refused.value.gaps]


def test_an_empty_segment_is_refused_before_anything_is_sent(tenant, broadcast):
    assert codes(broadcast) == [("segment", "empty")]
    make_contact(tenant, opted_out_at=NOW)
    assert codes(broadcast) == [("segment", "nobody_reachable")]


def test_everything_that_is_missing_is_said_at_once(tenant, broadcast, account):
    people(tenant, 1)
    Account.objects.filter(pk=account.pk).update(status="logged_out")
    BroadcastText.objects.filter(language="fr").delete()
    BroadcastText.objects.filter(language="en").update(body="Hi {{nobody}}")

    assert codes(broadcast) == [
        ("accounts", "not_linked"), ("texts.fr", "missing"), ("texts.en", "template"),
    ]  # fmt: skip

    Broadcast.objects.filter(pk=broadcast.pk).update(segment=None)
    broadcast.accounts.clear()
    assert codes(broadcast)[:2] == [("segment", "missing"), ("accounts", "missing")]


def test_a_link_without_a_payment_link_is_refused(broadcast, tenant):
    people(tenant, 1)
    tenant.payment_link = ""
    tenant.save()
    BroadcastText.objects.filter(language="en").update(body="{{link}}")
    assert codes(broadcast) == [("texts.en", "template")]


def test_a_start_in_the_past_is_refused(tenant, broadcast):
    people(tenant, 1)
    with pytest.raises(running.StartsInThePast):
        running.start(broadcast, at=NOW - HOUR, now=NOW)
    broadcast.refresh_from_db()
    assert broadcast.state == "draft"


def test_one_that_is_not_ready_at_its_time_is_a_draft_again_with_the_reason(tenant, broadcast):
    contact = make_contact(tenant)
    running.start(broadcast, at=NOW + HOUR, now=NOW)
    contact.delete()

    assert queueing.plan(now=NOW + HOUR).begun == 0
    broadcast.refresh_from_db()
    assert broadcast.state == "draft"
    assert "nobody" in broadcast.state_reason


# ------------------------------------------------------------------------------ rehearsing


def heard(account, contact, chat_id):
    Incoming.objects.create(
        account=account, contact=contact, wa_id=f"in-{contact.pk}", chat_id=chat_id, kind="chat",
        sent_at=NOW, received_at=NOW,
    )  # fmt: skip


def test_a_rehearsal_counts_new_chats_as_sending_does(tenant, broadcast, account):
    stranger, posted, wrote, got = people(tenant, 4)
    heard(account, posted, "1@g.us")  # what they write into a group begins no chat
    heard(account, wrote, f"{wrote.phone[1:]}@c.us")
    Message.objects.create(
        tenant=tenant, account=account, contact=got, idempotency_key="k", body="x", due_at=NOW,
        state="sent", sent_at=NOW, wa_id="w", fence=1, not_after=NOW, sending_at=NOW,
    )  # fmt: skip

    (share,) = rehearsal.rehearse(broadcast, now=NOW).shares

    assert (share.recipients, share.new_chats) == (4, 2), (stranger, posted)


# -------------------------------------------------------------------------------- tracking


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
