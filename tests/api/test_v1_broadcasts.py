"""`/api/v1/segments` and `/broadcasts`: written, counted, started, held back, followed."""

import datetime as dt

import pytest
from django.utils import timezone

from campaigns.broadcasts import queueing
from campaigns.models import Broadcast, Recipient
from tests import companies
from tests.factories import make_account, make_broadcast, make_contact, make_media
from whatsapp.models import Message

SEGMENTS, BROADCASTS = "/api/v1/segments", "/api/v1/broadcasts"


@pytest.fixture
def olga(acme):
    return companies.client(acme.people["olga"])


@pytest.fixture
def account(acme):
    return make_account(acme.tenant, linked_at=timezone.now())


@pytest.fixture
def broadcast(account):
    make_contact(account.tenant, name="Zoé Martin")
    return make_broadcast(accounts=[account])


def post(caller, address, body=None):
    return caller.post(address, body or {}, format="json")


def errors(answer):
    return {error["field"]: error["code"] for error in answer.json()["errors"]}


def test_a_broadcast_from_a_segment_to_the_last_receipt(acme, olga, account):
    make_contact(acme.tenant, name="Zoé Martin", tags=["vip"], language="fr")
    make_contact(acme.tenant, name="Ben", tags=["vip"], language="en")
    make_contact(acme.tenant, name="Nobody")

    segment = post(olga, SEGMENTS, {"name": "VIP", "rules": {"tagsAny": ["vip"]}}).json()
    counted = olga.get(f"{SEGMENTS}/{segment['id']}/people").json()
    assert (counted["matching"], counted["reachable"]) == (2, 2)

    made = post(
        olga, BROADCASTS, {"name": "Hello", "segment": segment["id"], "accounts": [account.pk]}
    ).json()
    page = f"{BROADCASTS}/{made['id']}"
    assert [gap["field"] for gap in made["missing"]] == ["texts.fr"]
    for language, text in {"fr": "Bonjour {{name}}", "en": "Hi {{name}}"}.items():
        answer = olga.put(f"{page}/texts/{language}", {"text": text}, format="json")
        assert answer.status_code == 200, answer.json()

    tried = olga.get(f"{page}/rehearsal").json()
    assert tried["languages"] == {"fr": 1, "en": 1}
    assert {sample["text"] for sample in tried["samples"]} == {"Bonjour Zoé", "Hi Ben"}
    assert not Message.objects.exists()

    started = post(olga, f"{page}/start").json()
    assert (started["state"], started["recipients"]) == ("running", 2)
    queueing.plan(now=timezone.now())
    assert olga.get(page).json()["figures"]["queued"] == 2
    assert post(olga, f"{page}/pause").json()["state"] == "paused"
    assert post(olga, f"{page}/resume").json()["state"] == "running"

    ledger = olga.get(f"{page}/recipients?state=queued").json()["results"]
    assert {row["contact"]["name"] for row in ledger} == {"Zoé Martin", "Ben"}
    assert {row["language"] for row in ledger} == {"fr", "en"}
    assert post(olga, f"{page}/cancel").json()["state"] == "cancelled"
    assert olga.get(page).json()["figures"]["skipped"] == 2


def test_it_can_be_scheduled_withdrawn_and_changed(olga, broadcast):
    page = f"{BROADCASTS}/{broadcast.pk}"
    at = (timezone.now() + dt.timedelta(days=1)).isoformat()
    assert post(olga, f"{page}/start", {"startsAt": at}).json()["state"] == "scheduled"

    refused = olga.patch(page, {"name": "Other"}, format="json")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:relance:not_possible")
    assert post(olga, f"{page}/withdraw").json()["state"] == "draft"
    changed = olga.patch(page, {"name": "Other", "startsAt": None, "segment": None}, format="json")
    assert (changed.json()["name"], changed.json()["startsAt"]) == ("Other", None)
    assert changed.json()["missing"][0]["field"] == "segment"
    assert olga.delete(page).status_code == 204


def test_what_makes_no_sense_is_refused_by_the_field(olga, acme, other, broadcast):
    past = (timezone.now() - dt.timedelta(hours=1)).isoformat()
    foreign = make_account(other.tenant)
    page = f"{BROADCASTS}/{broadcast.pk}"

    def wrong(answer):
        assert answer.status_code == 400, answer.json()
        return errors(answer)

    assert wrong(post(olga, BROADCASTS, {"name": "a", "accounts": [foreign.pk]})) == {
        "accounts": "unknown"
    }
    theirs = make_broadcast(other.tenant).segment
    assert wrong(post(olga, BROADCASTS, {"name": "a", "segment": theirs.pk})) == {
        "segment": "unknown"
    }
    assert wrong(post(olga, BROADCASTS, {"name": broadcast.name})) == {"name": "taken"}
    assert wrong(post(olga, BROADCASTS, {"name": "a", "startsAt": past})) == {"startsAt": "past"}
    assert wrong(post(olga, f"{page}/start", {"startsAt": past})) == {"startsAt": "past"}
    assert wrong(post(olga, BROADCASTS, {"name": "a", "defaultLanguage": "xx"})) == {
        "defaultLanguage": "language"
    }
    assert wrong(olga.put(f"{page}/texts/fr", {"text": "{{nobody}}"}, format="json")) == {
        "text": "template"
    }
    assert wrong(olga.put(f"{page}/texts/fr", {"text": " "}, format="json")) == {"text": "empty"}
    nowhere = {"location": {"latitude": 91, "longitude": 0}}
    assert wrong(olga.put(f"{page}/texts/fr", nowhere, format="json")) == {
        "location.latitude": "max_value"
    }
    assert wrong(post(olga, SEGMENTS, {"name": "a", "rules": {"regions": ["XX"]}})) == {
        "rules.regions": "unknown"
    }
    assert "rules.tags" in wrong(post(olga, f"{SEGMENTS}/preview", {"rules": {"tags": ["vip"]}}))


def test_one_that_is_not_ready_says_what_is_missing(olga, broadcast, account):
    account.status = "logged_out"
    account.save()
    Broadcast.objects.filter(pk=broadcast.pk).update(default_language="de")

    answer = post(olga, f"{BROADCASTS}/{broadcast.pk}/start")

    assert answer.status_code == 409
    assert errors(answer) == {"accounts": "not_linked", "texts.de": "missing"}


def test_a_picture_and_a_place_need_no_words(olga, broadcast, acme):
    address = f"{BROADCASTS}/{broadcast.pk}/texts/fr"

    media = {"media": {"id": make_media(acme.tenant).pk}}
    assert olga.put(address, media, format="json").json()["kind"] == "media"
    shop = {"latitude": 16.24, "longitude": -61.53, "name": "Shop"}
    place = olga.put(address, {"location": shop}, format="json").json()

    assert (place["kind"], place["media"]) == ("location", None)
    post(olga, f"{BROADCASTS}/{broadcast.pk}/start")
    queueing.plan(now=timezone.now())
    message = Message.objects.get()
    assert (message.kind, message.content) == ("location", shop | {"address": ""})


def test_a_text_can_be_removed(olga, broadcast):
    address = f"{BROADCASTS}/{broadcast.pk}/texts/en"
    assert olga.delete(address).status_code == 204
    assert olga.delete(address).status_code == 404


def test_a_segment_is_changed_as_a_whole_and_kept_while_it_is_used(olga, broadcast):
    page = f"{SEGMENTS}/{broadcast.segment_id}"
    changed = olga.patch(page, {"rules": {"tagsAny": ["vip"]}}, format="json").json()
    assert changed["rules"] == {"tagsAny": ["vip"]}
    assert olga.delete(page).json()["type"] == "urn:relance:in_use"


def test_agents_see_no_broadcast_viewers_see_and_change_none(acme, broadcast):
    page = f"{BROADCASTS}/{broadcast.pk}"
    amina, vera = (companies.client(acme.people[name]) for name in ("amina", "vera"))
    assert amina.get(page).status_code == 403
    assert vera.get(page).status_code == 200
    assert post(vera, f"{page}/start").status_code == 403
    reader = companies.program(acme, "campaigns:read")
    assert reader.get(f"{page}/recipients").status_code == 200
    assert post(reader, f"{page}/start").status_code == 403


def test_another_companys_broadcast_does_not_exist(other, broadcast):
    eve = companies.client(other.people["eve"])
    for way in ("", "/recipients", "/rehearsal"):
        assert eve.get(f"{BROADCASTS}/{broadcast.pk}{way}").status_code == 404
    assert post(eve, f"{BROADCASTS}/{broadcast.pk}/start").status_code == 404


def test_a_page_of_the_ledger_and_a_broadcast_take_few_queries(
    olga, broadcast, account, django_assert_max_num_queries
):
    for _ in range(30):
        contact = make_contact(account.tenant)
        Recipient.objects.create(
            broadcast=broadcast, contact=contact, account=account, due_at=timezone.now()
        )
    for way in ("", "/recipients", "/rehearsal"):
        with django_assert_max_num_queries(32):
            assert olga.get(f"{BROADCASTS}/{broadcast.pk}{way}").status_code == 200
