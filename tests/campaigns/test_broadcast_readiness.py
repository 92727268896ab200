"""A broadcast that is not ready does not begin, and says why; a rehearsal tells what it will do."""

from collections import Counter

import pytest

from campaigns.broadcasts import queueing, readiness, rehearsal, running
from campaigns.models import Broadcast, BroadcastText
from tests.campaigns.broadcasting import begin, people
from tests.factories import HOUR, NOW, make_contact, make_referral, make_referrer
from whatsapp.models import Account, Incoming, Message

pytestmark = pytest.mark.django_db


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


def test_an_account_without_a_pace_is_rehearsed_like_any_other(tenant, broadcast, account):
    """Sixty seconds shared by so many are less than a microsecond each."""
    people(tenant, 3)
    Account.objects.filter(pk=account.pk).update(gap_ms=0, per_minute=2**31 - 1)

    found = rehearsal.rehearse(broadcast, now=NOW)

    assert (found.recipients, found.ends_at - NOW < HOUR) == (3, True)


def test_a_rehearsal_counts_languages_as_sending_chooses_them(tenant, broadcast):
    """Somebody's own, else that of their latest referral, else the default."""
    make_contact(tenant, language="en")
    referrer = make_referrer(tenant)
    for languages in (["en"], ["en", "fr"], []):
        person = make_contact(tenant)
        for language in languages:
            make_referral(referrer, phone=person.phone, language=language)
    found = rehearsal.rehearse(broadcast, now=NOW)
    begin(broadcast)
    sent = Counter(broadcast.recipients.values_list("language", flat=True))
    assert found.languages == sent == {"en": 2, "fr": 2}
