"""The buttons of the page about the referrer's WhatsApp account, and how it follows by itself."""

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Activity
from tests.pages.conftest import PHONE, linked, say
from tests.visitors import logged_in
from whatsapp import linking, pairing
from whatsapp.driver.base import QrCode
from whatsapp.models import Account

HTMX = {"HX-Request": "true"}


# ------------------------------------------------------------------ buttons


def test_linking_asks_for_a_code_and_makes_the_account(acme, amina):
    referrer = acme.make_referrer("amina", account=False)

    answer = amina.post("/link/", follow=True)

    referrer.refresh_from_db()
    assert referrer.account.status == Account.Status.PENDING
    assert "Your code is being fetched" in answer.content.decode()


def test_linking_twice_keeps_the_attempt(acme, amina):
    referrer = acme.make_referrer("amina")
    amina.post("/link/")
    referrer.account.refresh_from_db()
    asked = referrer.account.link_requested_at

    amina.post("/link/")

    referrer.account.refresh_from_db()
    assert referrer.account.link_requested_at == asked


def test_linking_again_and_again_is_refused_within_a_minute(acme, amina, monkeypatch):
    monkeypatch.setattr("campaigns.pages.views.LINKS_PER_MINUTE", 2)
    acme.make_referrer("amina")

    pages = [amina.post("/link/", follow=True).content.decode() for _ in range(6)]

    assert any("wait a minute" in page for page in pages)


def test_sending_is_paused_and_resumed(acme, amina):
    referrer = acme.make_referrer("amina", **linked())

    amina.post("/sending/", {"paused": "yes"})
    referrer.account.refresh_from_db()
    paused_at = referrer.account.sending_paused_at
    amina.post("/sending/", {"paused": "no"})
    referrer.account.refresh_from_db()

    assert paused_at is not None
    assert referrer.account.sending_paused_at is None


def test_new_people_are_paused_and_taken_in_again(acme, amina):
    referrer = acme.make_referrer("amina", **linked())

    paused = amina.post("/enrolment/", {"paused": "yes"}, follow=True).content.decode()
    referrer.refresh_from_db()
    was_paused = referrer.enrolment_paused
    amina.post("/enrolment/", {"paused": "no"})
    referrer.refresh_from_db()

    assert "No new people are taken in" in paused
    assert (was_paused, referrer.enrolment_paused) == (True, False)


@pytest.mark.parametrize("path", ["/sending/", "/enrolment/"])
@pytest.mark.parametrize("given", ["", "maybe", "\x00", "yes" * 10_000])
def test_a_button_that_nobody_made_changes_nothing_and_says_so(acme, amina, path, given):
    referrer = acme.make_referrer("amina", **linked())

    page = amina.post(path, {"paused": given}, follow=True).content.decode()

    referrer.refresh_from_db()
    assert "Nothing was changed" in page
    assert (referrer.enrolment_paused, referrer.account.sending_paused_at) == (False, None)


def test_what_somebody_does_here_is_in_the_activity_log(acme, amina):
    acme.make_referrer("amina", account=False)

    for path, given in [
        ("/link/", {}),
        ("/sending/", {"paused": "yes"}),
        ("/enrolment/", {"paused": "yes"}),
        ("/enrolment/", {"paused": "yes"}),
        ("/disconnect/", {}),
    ]:
        amina.post(path, given)

    done = Activity.objects.exclude(verb="logged_in").order_by("id")
    assert list(done.values_list("verb", flat=True)) == [
        "account_created", "link_requested", "account_paused", "enrolment_paused", "disconnected",
    ]  # fmt: skip
    assert {line.user for line in done} == {acme.people["amina"]}
    assert {line.address for line in done} == {"127.0.0.1"}


def test_disconnecting_asks_first(acme, amina):
    referrer = acme.make_referrer("amina", **linked())

    question = amina.get("/disconnect/").content.decode()
    referrer.account.refresh_from_db()

    assert "Disconnect your WhatsApp?" in question
    assert referrer.account.status == "connected"


def test_disconnecting_has_the_device_logged_out(acme, amina):
    referrer = acme.make_referrer("amina", **linked())

    page = amina.post("/disconnect/", follow=True).content.decode()

    referrer.account.refresh_from_db()
    assert referrer.account.status == "disconnected"
    assert referrer.account.logout_requested_at is not None
    assert "Disconnecting" in page


def test_there_is_nothing_to_disconnect_before_linking(acme, amina):
    acme.make_referrer("amina", account=False)

    assert amina.get("/disconnect/").url == "/"
    assert amina.post("/disconnect/", follow=True).status_code == 200


def test_an_attempt_to_link_can_be_cancelled(acme, amina):
    referrer = acme.make_referrer("amina", status="pending", link_requested_at=timezone.now())

    assert "Cancel" in say(amina)
    amina.post("/disconnect/")

    referrer.account.refresh_from_db()
    assert referrer.account.status == "disconnected"


@pytest.mark.parametrize("path", ["/link/", "/sending/", "/enrolment/", "/disconnect/"])
def test_forms_of_other_sites_are_refused(acme, path):
    acme.make_referrer("amina", **linked())
    client = Client(enforce_csrf_checks=True)
    client.force_login(acme.people["amina"])

    assert client.post(path, {"paused": "yes"}).status_code == 403
    assert Account.objects.get().status == "connected"


@pytest.mark.parametrize("path", ["/link/", "/sending/", "/enrolment/", "/disconnect/"])
def test_somebody_who_only_looks_changes_nothing(acme, path):
    referrer = acme.make_referrer("vera", **linked())
    vera = logged_in(acme.people["vera"])

    page = vera.post(path, {"paused": "yes"}, follow=True).content.decode()

    referrer.refresh_from_db()
    assert "not change anything" in page
    assert "<button id=" not in page
    assert (referrer.enrolment_paused, referrer.account.sending_paused_at) == (False, None)
    assert referrer.account.status == "connected"


# ------------------------------------------------------------------ following by itself


def test_a_part_that_has_not_changed_is_not_sent_again(acme, amina):
    acme.make_referrer("amina", **linked())
    seen = amina.get("/account/").content.decode().partition("?seen=")[2].partition('"')[0]

    assert amina.get(f"/account/?seen={seen}").status_code == 204
    amina.post("/sending/", {"paused": "yes"})
    assert amina.get(f"/account/?seen={seen}").status_code == 200


def test_each_new_code_changes_the_part(acme, amina):
    referrer = acme.make_referrer("amina", status="pending", link_requested_at=timezone.now())
    pages = []
    for seq in (1, 2, 2):
        linking.publish_qr(referrer.account, QrCode(text=f"2@{seq}", seq=seq))
        pages.append(amina.get("/account/").content.decode().partition("?seen=")[2][:16])

    assert pages[0] != pages[1] == pages[2]


def test_a_part_in_another_language_is_another_part(acme, amina):
    acme.make_referrer("amina", **linked())
    english = amina.get("/account/", headers={"Accept-Language": "en"}).content.decode()
    french = amina.get("/account/", headers={"Accept-Language": "fr"}).content.decode()

    assert english.partition("?seen=")[2][:16] != french.partition("?seen=")[2][:16]


def test_a_button_pressed_through_htmx_answers_with_the_part(acme, amina):
    acme.make_referrer("amina", **linked())

    answer = amina.post("/sending/", {"paused": "yes"}, headers=HTMX)

    body = answer.content.decode()
    assert answer.status_code == 200
    assert "<html" not in body
    assert 'data-announce="Sending is paused' in body


@pytest.mark.parametrize("path", ["/account/", "/people/"])
def test_a_part_takes_eight_queries_at_most(acme, amina, path, django_assert_max_num_queries):
    acme.make_referrer("amina", **linked())

    with django_assert_max_num_queries(8):
        assert amina.get(path).status_code == 200


def test_parts_are_never_kept_by_caches(acme, amina):
    acme.make_referrer("amina", **linked())

    assert "no-store" in amina.get("/account/")["Cache-Control"]


# ------------------------------------------------------------------- a code to type in


def pending(acme) -> Account:
    account = acme.make_referrer("amina").account
    linking.request(account, now=timezone.now())
    account.refresh_from_db()
    linking.publish_qr(account, QrCode(text="2@code", seq=1))
    return account


def test_who_cannot_scan_asks_for_a_code_and_is_shown_it_beside_the_other(acme, amina):
    account = pending(acme)
    assert "Type a code in on the phone" in say(amina)

    answer = amina.post("/link/", {"phone": "06 39 98 01 42"}, headers=HTMX)

    assert "Your code is being fetched" in answer.content.decode()
    account.refresh_from_db()
    assert account.link_phone == PHONE
    pairing.publish(account, "H7KD-93QX")
    page = say(amina)
    assert "H7KD-93QX" in page
    assert "QR code to link WhatsApp" in page
    assert PHONE not in page


def test_a_number_that_is_none_is_refused_with_how_to_write_it(acme, amina):
    account = pending(acme)
    answer = amina.post("/link/", {"phone": "call me"}, headers=HTMX)
    assert "write it with its country code" in answer.content.decode()
    account.refresh_from_db()
    assert account.link_phone == ""


def test_a_number_that_gets_no_code_is_told_to_scan(acme, amina):
    account = pending(acme)
    amina.post("/link/", {"phone": PHONE})
    account.refresh_from_db()
    pairing.publish(account, "", error="bad_number")
    assert "scan the code above instead" in say(amina)
