"""An answer, a take-over or a merged contact, and what becomes of follow-ups and broadcasts."""

import pytest
from django.utils import timezone

from accounts.activity import Actor
from campaigns import conversations, explaining, planning, targets, tasks
from campaigns.broadcasts import figures, queueing, running
from campaigns.models import Campaign, Recipient
from tests.campaigns.conftest import move, to_sending
from tests.factories import (
    DAY,
    HOUR,
    NOW,
    fiction_phone,
    make_account,
    make_broadcast,
    make_campaign,
    make_contact,
    make_referral,
    make_referrer,
    make_target,
    make_tenant,
)
from whatsapp import chats, identities, inbox, outbox
from whatsapp.driver.base import IncomingMessage
from whatsapp.models import Contact, Message

pytestmark = pytest.mark.django_db
OLGA = Actor("user", "olga")
PHONE = fiction_phone(700)
_ids = iter(range(1, 1000))


def write(account, phone, text="Merci", *, at=NOW, **fields):
    """Somebody with `phone` writes to the account."""
    message = IncomingMessage(
        wa_id=f"in-{next(_ids)}", chat_id=f"{phone.lstrip('+')}@c.us", phone=phone,
        lid="", name="", kind="text", body=text, sent_at=at, **fields,
    )  # fmt: skip
    assert inbox.store_incoming(account.pk, message, now=at)


@pytest.fixture
def campaign():
    return make_campaign(days=3, pause_on_reply=True)


@pytest.fixture
def target(campaign):
    return make_target(make_referral(make_referrer(campaign.tenant)))


def send_first(target, *, at=NOW):
    planning.plan(now=at)
    message = Message.objects.get(delivery__target=target)
    move(to_sending(message, now=at), "sent", now=at)
    target.refresh_from_db()
    return message


def chat_of(target):
    contact = Contact.objects.get(tenant=target.tenant, phone=target.phone)
    return chats.open_chat(account=target.account, contact=contact, now=NOW)


# --------------------------------------------------------------------- answers in a sequence


def test_an_answer_pauses_a_follow_up_whose_campaign_says_so(target):
    send_first(target)

    write(target.account, target.phone, at=NOW + HOUR)

    target.refresh_from_db()
    assert (target.paused_at, target.paused_by) == (NOW + HOUR, "reply")
    assert planning.plan(now=NOW + 2 * DAY).queued == 0
    assert "because they answered" in explaining.why(target, now=NOW + 2 * HOUR)


def test_somebody_lets_them_go_on_and_the_pause_does_not_burst(target):
    send_first(target)
    write(target.account, target.phone, at=NOW + HOUR)

    targets.resume([target.pk], actor=OLGA, now=NOW + HOUR + DAY)

    target.refresh_from_db()
    assert (target.paused_at, target.paused_by) == (None, "")
    assert target.next_due_at == NOW + 2 * DAY


def test_without_that_switch_an_answer_changes_nothing(target):
    Campaign.objects.update(pause_on_reply=False)
    send_first(target)
    write(target.account, target.phone, at=NOW + HOUR)
    target.refresh_from_db()
    assert target.paused_at is None


def test_who_writes_before_anything_was_sent_has_answered_nothing(target):
    write(target.account, target.phone)
    target.refresh_from_db()
    assert target.paused_at is None


def test_what_they_write_to_another_account_is_no_answer(target):
    send_first(target)
    write(make_account(target.tenant), target.phone, at=NOW + HOUR)
    target.refresh_from_db()
    assert target.paused_at is None


def test_a_stop_ends_it_as_ever(target):
    send_first(target)
    write(target.account, target.phone, "STOP", at=NOW + HOUR)
    target.refresh_from_db()
    assert (target.state, target.exit_reason) == ("exited", "opted_out")


# -------------------------------------------------------------------------------- take-overs


def test_a_chat_that_is_taken_over_pauses_the_follow_up_until_that_ends(target):
    planning.plan(now=NOW)
    chat = chat_of(target)
    chats.take_over(chat, actor=OLGA, now=NOW)

    target.refresh_from_db()
    assert target.paused_by == "takeover"
    assert Message.objects.get(delivery__target=target).due_at == outbox.NEVER
    assert "took their chat over" in explaining.why(target, now=NOW)

    chat.refresh_from_db()
    assert conversations.release(now=chat.taken_over_until - HOUR / 60) == 0
    assert conversations.release(now=chat.taken_over_until) == 1
    target.refresh_from_db()
    assert (target.paused_at, target.paused_by) == (None, "")
    assert Message.objects.get(delivery__target=target).due_at == chat.taken_over_until


def test_giving_the_chat_back_lets_them_go_on_at_once(target):
    send_first(target)
    chat = chat_of(target)
    chats.take_over(chat, actor=OLGA, now=NOW)
    chats.give_back(chat, actor=OLGA, now=NOW + HOUR / 60)
    target.refresh_from_db()
    assert target.paused_at is None


def test_whom_a_person_paused_stays_paused_after_a_take_over(target):
    send_first(target)
    targets.pause([target.pk], actor=OLGA, now=NOW)
    chat = chat_of(target)
    chats.take_over(chat, actor=OLGA, now=NOW)
    chats.give_back(chat, actor=OLGA, now=NOW + HOUR / 60)
    conversations.release(now=NOW + DAY)
    target.refresh_from_db()
    assert (target.paused_at, target.paused_by) == (NOW, "")


def take_over_of(campaign, phone, *, lid=""):
    """An account and a chat with somebody whom nobody follows yet, taken over now."""
    account = make_account(campaign.tenant)
    contact = make_contact(campaign.tenant, phone=phone, lid=lid)
    chat = chats.open_chat(account=account, contact=contact, now=timezone.now())
    chats.take_over(chat, actor=OLGA, now=timezone.now())
    return account


def follow(campaign, account, phone):
    referrer = make_referrer(campaign.tenant, account=account)
    return make_target(make_referral(referrer, phone=phone), next_due_at=timezone.now())


def test_whoever_is_followed_only_since_their_chat_was_taken_over_waits_as_well(campaign):
    account = take_over_of(campaign, PHONE)
    target = follow(campaign, account, PHONE)
    other = follow(campaign, make_account(campaign.tenant), fiction_phone(701))

    tasks.plan()

    target.refresh_from_db()
    assert target.paused_by == "takeover"
    assert Message.objects.get().contact.phone == other.phone
    conversations.release(now=timezone.now() + DAY)
    target.refresh_from_db()
    assert target.paused_at is None


def test_so_does_whoever_s_phone_is_learnt_only_then(campaign):
    account = take_over_of(campaign, "", lid="700@lid")
    target = follow(campaign, account, PHONE)
    identities.find_or_make(
        tenant_id=campaign.tenant_id, phone=PHONE, lid="700@lid", source="inbound",
        now=timezone.now(),
    )  # fmt: skip

    tasks.plan()

    target.refresh_from_db()
    assert target.paused_by == "takeover"
    assert not Message.objects.exists()


def test_whom_somebody_lets_go_on_during_a_take_over_is_not_held_again(target):
    planning.plan(now=NOW)
    chats.take_over(chat_of(target), actor=OLGA, now=NOW)
    targets.resume([target.pk], actor=OLGA, now=NOW + HOUR / 60)

    assert conversations.hold(now=NOW + HOUR / 30) == 0

    target.refresh_from_db()
    assert target.paused_at is None


def test_an_answer_during_a_take_over_outlasts_it(target):
    send_first(target)
    chat = chat_of(target)
    chats.take_over(chat, actor=OLGA, now=NOW)
    write(target.account, target.phone, at=NOW + HOUR / 60)
    chats.give_back(chat, actor=OLGA, now=NOW + HOUR / 30)
    target.refresh_from_db()
    assert target.paused_by == "reply"


# ------------------------------------------------------------------------ answers to broadcasts


def make_sent(account, contact, *, at=NOW):
    broadcast = make_broadcast(accounts=[account])
    running.start(broadcast, now=at)
    queueing.plan(now=at)
    row = Recipient.objects.get(broadcast=broadcast, contact=contact)
    move(to_sending(row.message, now=at), "sent", now=at)
    return broadcast


def test_an_answer_belongs_to_the_newest_broadcast_or_to_the_one_it_quotes():
    account = make_account(make_tenant())
    contact = make_contact(account.tenant)
    old, new = make_sent(account, contact), make_sent(account, contact, at=NOW + HOUR)

    write(account, contact.phone, at=NOW + 2 * HOUR)
    assert (figures.of(old).replied, figures.of(new).replied) == (0, 1)

    quoted = Recipient.objects.get(broadcast=old).message.wa_id
    write(account, contact.phone, at=NOW + 3 * HOUR, quoted=quoted)
    assert (figures.of(old).replied, figures.of(new).replied) == (1, 1)


def test_an_answer_after_weeks_or_a_stop_is_no_reply():
    account = make_account(make_tenant())
    contact = make_contact(account.tenant)
    broadcast = make_sent(account, contact)
    write(account, contact.phone, at=NOW + 8 * DAY)
    assert figures.of(broadcast).replied == 0

    newer = make_sent(account, contact, at=NOW + 9 * DAY)
    write(account, contact.phone, "STOP", at=NOW + 9 * DAY + HOUR)
    assert (figures.of(newer).replied, figures.of(newer).opted_out) == (0, 1)


# -------------------------------------------------------------------------------------- merges


@pytest.fixture
def two_who_are_one():
    account = make_account(make_tenant())
    kept = make_contact(account.tenant)
    gone = make_contact(account.tenant, phone="", lid="777@lid")
    return account, kept, gone


@pytest.mark.parametrize("sent", ["kept", "gone"])
def test_of_two_lines_of_one_person_the_one_that_came_further_counts(two_who_are_one, sent):
    account, kept, gone = two_who_are_one
    broadcast = make_broadcast(accounts=[account])
    running.start(broadcast, now=NOW)
    queueing.plan(now=NOW)
    first = kept if sent == "kept" else gone
    move(to_sending(Message.objects.get(contact=first)), "sent")

    identities.merge(kept=kept, gone=gone, now=NOW)

    theirs = broadcast.recipients.get(contact=kept)
    nobodys = broadcast.recipients.get(contact=None)
    assert theirs.state == "sent"
    assert (nobodys.state, nobodys.reason) == ("skipped", "merged")
    assert sorted(Message.objects.values_list("state", flat=True)) == ["cancelled", "sent"]
    assert broadcast.recipients.count() == 2


def test_whoever_is_merged_while_they_wait_gets_it_once(two_who_are_one):
    account, kept, gone = two_who_are_one
    type(account).objects.filter(pk=account.pk).update(daily_limit=0)
    broadcast = make_broadcast(accounts=[account])
    running.start(broadcast, now=NOW)
    queueing.plan(now=NOW)

    identities.merge(kept=kept, gone=gone, now=NOW)
    type(account).objects.filter(pk=account.pk).update(daily_limit=100)

    assert queueing.plan(now=NOW).queued == 1
    assert Message.objects.get().contact == kept


def test_somebody_in_one_ledger_only_keeps_their_line(two_who_are_one):
    account, kept, gone = two_who_are_one
    kept.tags = ["vip"]
    kept.save()
    broadcast = make_broadcast(accounts=[account], rules={"tagsNone": ["vip"]})
    running.start(broadcast, now=NOW)

    identities.merge(kept=kept, gone=gone, now=NOW)

    assert queueing.plan(now=NOW).queued == 1
    assert broadcast.recipients.get().contact == kept
