"""Segments and broadcasts in the admin: chosen, counted, written, started, held back, followed."""

import datetime as dt

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from accounts.models import Activity
from campaigns.broadcasts import queueing, running
from campaigns.models import Broadcast, Segment
from tests import factories
from tests.factories import make_account, make_broadcast, make_contact
from whatsapp.models import Message


@pytest.fixture
def account(acme):
    return make_account(acme, linked_at=timezone.now())


@pytest.fixture
def broadcast(acme, account):
    make_contact(acme, name="Zoé Martin")
    return make_broadcast(acme, accounts=[account], name="Open day")


def page(broadcast, name="change"):
    return reverse(f"admin:campaigns_broadcast_{name}", args=[broadcast.pk])


RULES = {
    "tagsAny": "", "tagsAll": "", "tagsNone": "", "personas": "", "regions": "", "languages": "",
    "engagementMin": "", "engagementMax": "",
}  # fmt: skip


def texts(*written, initial=0):
    form = {
        "texts-TOTAL_FORMS": len(written), "texts-INITIAL_FORMS": initial,
        "texts-MIN_NUM_FORMS": 0, "texts-MAX_NUM_FORMS": 1000,
    }  # fmt: skip
    for n, fields in enumerate(written):
        form |= {f"texts-{n}-{name}": value for name, value in fields.items()}
    return form


# ------------------------------------------------------------------------------- segments


def test_rules_are_chosen_in_a_form_and_stored_as_rules(manager, acme):
    answer = manager.post(
        reverse("admin:campaigns_segment_add"),
        RULES | {"tenant": acme.pk, "name": "VIP", "tagsAny": "vip, paris", "regions": "fr",
                 "engagementMin": "40", "referral": ["none", "paid"]},
    )  # fmt: skip

    assert answer.status_code == 302, answer.context["errors"]
    segment = Segment.objects.get(name="VIP")
    assert segment.rules == {
        "tagsAny": ["vip", "paris"], "regions": ["FR"], "engagementMin": 40,
        "referral": ["none", "paid"],
    }  # fmt: skip
    shown = manager.get(reverse("admin:campaigns_segment_change", args=[segment.pk]))
    assert 'value="vip, paris"' in shown.content.decode()
    listed = manager.get(reverse("admin:campaigns_segment_changelist")).content.decode()
    assert "vip, paris" in listed


def test_a_rule_that_makes_no_sense_is_marked_at_its_field(manager, acme):
    answer = manager.post(
        reverse("admin:campaigns_segment_add"),
        RULES | {"tenant": acme.pk, "name": "VIP", "regions": "Narnia"},
    )
    assert answer.status_code == 200
    assert "regions" in answer.context["adminform"].form.errors


def test_the_count_follows_the_form(manager, acme, rival):
    make_contact(acme, name="Zoé", tags=["vip"])
    make_contact(acme, tags=["vip"], opted_out_at=timezone.now())
    make_contact(rival, name="of somebody else", tags=["vip"])
    count = reverse("admin:campaigns_segment_count")

    shown = manager.post(count, RULES | {"tenant": acme.pk, "tagsAny": "vip"}).content.decode()
    assert "1 person may be written to" in shown
    assert "1 opted out" in shown
    assert "Zoé" in shown

    stranger = manager.post(count, RULES | {"tenant": rival.pk, "tagsAny": "vip"})
    assert "somebody else" not in stranger.content.decode()
    wrong = manager.post(count, RULES | {"tenant": acme.pk, "engagementMin": "200"})
    assert "cannot be counted" in wrong.content.decode()


# ------------------------------------------------------------------------------ broadcasts


def test_a_broadcast_is_written_with_its_texts_on_one_page(manager, acme, account):
    segment = Segment.objects.create(tenant=acme, name="Everybody")
    answer = manager.post(
        reverse("admin:campaigns_broadcast_add"),
        {
            "tenant": acme.pk, "name": "Open day", "segment": segment.pk, "accounts": [account.pk],
            "default_language": "fr", "starts_at_0": "", "starts_at_1": "", "clock": "tenant",
            **texts(
                {"language": "fr", "body": "Bonjour {{name}}"},
                {"language": "en", "body": "",
                 "file": SimpleUploadedFile("a.txt", b"some text", "text/plain")},
            ),
        },
    )  # fmt: skip

    assert answer.status_code == 302, answer.context["errors"]
    made = Broadcast.objects.get()
    assert list(made.accounts.all()) == [account]
    written = {text.language: (text.kind, text.body) for text in made.texts.all()}
    assert written == {"fr": ("text", "Bonjour {{name}}"), "en": ("media", "")}


def test_mistakes_are_marked_where_they_are(manager, acme, rival, account):
    theirs = Segment.objects.create(tenant=rival, name="Theirs")
    yesterday = timezone.now() - dt.timedelta(days=1)
    answer = manager.post(
        reverse("admin:campaigns_broadcast_add"),
        {
            "tenant": acme.pk, "name": "Open day", "segment": theirs.pk, "accounts": [account.pk],
            "default_language": "xx", "clock": "tenant",
            "starts_at_0": yesterday.strftime("%Y-%m-%d"), "starts_at_1": "10:00:00",
            **texts({"language": "fr", "body": "Bonjour {{nobody}}"}),
        },
    )  # fmt: skip

    assert answer.status_code == 200
    errors = answer.context["adminform"].form.errors
    assert {"segment", "default_language", "starts_at"} <= errors.keys()
    assert "{{nobody}}" in str(answer.context["inline_admin_formsets"][0].formset.errors)


def test_the_page_says_what_is_missing_and_the_question_refuses(manager, acme):
    broadcast = make_broadcast(acme, accounts=[])
    assert "Missing before" in manager.get(page(broadcast)).content.decode()

    asked = manager.post(page(broadcast, "start"))

    assert "something is missing" in asked.content.decode()
    broadcast.refresh_from_db()
    assert broadcast.state == "draft"


def test_a_dry_run_shows_who_how_many_and_until_when(manager, broadcast):
    shown = manager.get(page(broadcast, "rehearse")).content.decode()
    assert "Bonjour Zoé" in shown
    assert "be through" in shown
    assert not Message.objects.exists()


def test_it_is_started_paused_resumed_and_cancelled_after_a_question(manager, broadcast, acme):
    asked = manager.get(page(broadcast, "start"))
    assert asked.status_code == 200
    assert broadcast.recipients.count() == 0

    for act, state in {
        "start": "running", "pause": "paused", "resume": "running", "cancel": "cancelled",
    }.items():  # fmt: skip
        assert manager.get(page(broadcast, act)).status_code == 200
        assert manager.post(page(broadcast, act)).status_code == 302
        broadcast.refresh_from_db()
        assert broadcast.state == state
    lines = Activity.objects.filter(tenant=acme, verb__startswith="broadcast_")
    assert set(lines.values_list("actor_kind", flat=True)) == {"user"}


def test_only_the_buttons_that_are_legal_are_there(manager, broadcast):
    def buttons():
        shown = manager.get(page(broadcast)).content.decode()
        acts = ("start", "withdraw", "pause", "resume", "cancel")
        return {act for act in acts if page(broadcast, act) in shown}

    assert buttons() == {"start"}
    running.start(broadcast, now=timezone.now())
    assert buttons() == {"pause", "cancel"}
    running.pause(broadcast, now=timezone.now())
    assert buttons() == {"resume", "cancel"}
    assert manager.post(page(broadcast, "start")).status_code == 403


def test_the_page_of_one_that_runs_shows_its_figures_and_leads_to_its_ledger(manager, broadcast):
    running.start(broadcast, now=timezone.now())
    queueing.plan(now=timezone.now())

    shown = manager.get(page(broadcast)).content.decode()
    live = manager.get(page(broadcast, "live")).content.decode()

    for part in (shown, live):
        assert "1 of 1 recipient" in part
        assert "hx-trigger" in part
    answer = manager.get(page(broadcast))
    for _label, count, address in answer.context["shown"]:
        listed = manager.get(address)
        assert listed.status_code == 200
        assert listed.context["cl"].result_count == count


def test_what_was_begun_cannot_be_changed_or_deleted_any_more(manager, broadcast):
    running.start(broadcast, now=timezone.now())
    changed = manager.post(page(broadcast), {"name": "Other"})
    assert changed.status_code == 403
    assert manager.post(page(broadcast, "delete"), {"post": "yes"}).status_code == 403
    broadcast.refresh_from_db()
    assert broadcast.name == "Open day"


def test_another_companys_broadcast_is_nobodys_business(manager, rival):
    theirs = make_broadcast(rival)
    factories.make_contact(rival)
    for name in ("rehearse", "start", "cancel", "live"):
        assert manager.get(page(theirs, name)).status_code in {403, 404}
        assert manager.post(page(theirs, name)).status_code in {403, 404, 405}
    theirs.refresh_from_db()
    assert theirs.state == "draft"


def test_a_dry_run_is_offered_while_it_may_still_begin(manager, broadcast):
    rehearse = page(broadcast, "rehearse")
    assert rehearse in manager.get(page(broadcast)).content.decode()
    running.start(broadcast, now=timezone.now())
    assert rehearse not in manager.get(page(broadcast)).content.decode()


def test_the_ledger_of_one_broadcast_does_not_repeat_its_name(manager, broadcast):
    running.start(broadcast, now=timezone.now())
    ledger = reverse("admin:campaigns_recipient_changelist")
    own = manager.get(f"{ledger}?broadcast__id__exact={broadcast.pk}").content.decode()
    assert "Zoé Martin" in own
    assert "column-broadcast" not in own
    assert "column-broadcast" in manager.get(ledger).content.decode()


def test_the_ledger_says_in_words_why_somebody_got_nothing(manager, acme, broadcast, account):
    running.start(broadcast, now=timezone.now())
    line = broadcast.recipients.get()
    for reason, words in [
        ("not_on_whatsapp", "this number is not on WhatsApp"),
        ("broadcast_cancelled", "the broadcast was cancelled"),
        ("merged", "two contacts turned out to be one person"),
        ("deleted", "the person’s data was deleted"),
        ("text: {{link}} has no value", "text: {{link}} has no value"),
    ]:
        broadcast.recipients.update(state="skipped", reason=reason)
        for address in (
            reverse("admin:campaigns_recipient_changelist"),
            reverse("admin:campaigns_recipient_change", args=[line.pk]),
        ):
            assert words in manager.get(address).content.decode(), (reason, address)
