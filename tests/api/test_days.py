"""The seven days, as administrators write them."""

import json

import pytest

from campaigns import days
from campaigns.models import Campaign, Step, Target, Template
from tests import companies
from whatsapp import media
from whatsapp.fetching import CannotFetch, Fetched
from whatsapp.models import Media

pytestmark = pytest.mark.usefixtures("media_folder")
URL = "/api/relance/admin/messages"
PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"
GUIDE = {"url": "https://files.example/guide.pdf", "type": "document", "language": "both"}
TEXTS = {"fr": "Bonjour {{name}} : {{link}}", "en": "Hi {{name}}: {{link}}"}


@pytest.fixture
def web(monkeypatch):
    """What lies at which address; whoever asks for something else gets 404."""
    pages = {GUIDE["url"]: PDF}
    asked = []

    def fetch(url, *, deadline):
        asked.append(url)
        if url not in pages:
            raise CannotFetch("not_found", "the server answered 404")
        return Fetched(pages[url], url.rpartition("/")[2], "application/octet-stream")

    monkeypatch.setattr(days, "fetch", fetch)
    pages["asked"] = asked
    return pages


def write(client, number=1, **fields):
    return client.post(URL, {"dayNumber": number, **fields}, format="json")


def test_a_day_is_written_and_read_back_in_the_same_words(acme, max_, web):
    written = write(max_, 2, messageTemplate=TEXTS, mediaUrls=[GUIDE], active=True)

    assert written.status_code == 200, written.json()
    day = {"dayNumber": 2, "messageTemplate": TEXTS, "mediaUrls": [GUIDE], "active": True}
    assert written.json() == {"success": True, "message": "Day 2 is saved.", "data": day}
    assert max_.get(URL).json() == {"success": True, "data": [day]}
    assert Campaign.objects.get().active
    assert Media.objects.get().filename == "guide.pdf"


def test_the_seven_days_come_in_order_and_each_is_a_day_after_the_one_before(acme, max_):
    for number in (3, 1, 7, 2, 6, 5, 4):
        write(max_, number, messageTemplate={"fr": f"jour {number}"})

    assert [day["dayNumber"] for day in max_.get(URL).json()["data"]] == [1, 2, 3, 4, 5, 6, 7]
    hours = [s.delay.total_seconds() / 3600 for s in Step.objects.order_by("number")]
    assert hours == [0, 24, 24, 24, 24, 24, 24]


def test_a_day_read_and_sent_back_changes_nothing_and_fetches_nothing(acme, max_, web):
    write(max_, messageTemplate=TEXTS, mediaUrls=[{**GUIDE, "language": "fr"}])
    (before,) = max_.get(URL).json()["data"]
    web["asked"].clear()

    again = max_.post(URL, before, format="json")

    assert again.json()["data"] == before
    assert web["asked"] == []
    assert Template.objects.get(language="en").media is None


def test_a_file_uploaded_in_the_admin_survives_being_read_and_sent_back(acme, max_):
    write(max_, messageTemplate=TEXTS)
    stored = media.store(tenant=acme.tenant, data=PDF, filename="guide.pdf")
    Template.objects.update(media=stored)
    (before,) = max_.get(URL).json()["data"]

    assert max_.post(URL, before, format="json").json()["data"] == before
    assert set(Template.objects.values_list("media", flat=True)) == {stored.pk}


def test_what_is_left_out_stays_and_null_removes_a_text(acme, max_, web):
    write(max_, messageTemplate=TEXTS, mediaUrls=[GUIDE])

    switched_off = write(max_, active=False).json()["data"]
    without_en = write(max_, messageTemplate={"en": None}).json()["data"]
    without_file = write(max_, mediaUrls=[]).json()["data"]

    assert (switched_off["active"], switched_off["messageTemplate"]) == (False, TEXTS)
    assert without_en["messageTemplate"] == {"fr": TEXTS["fr"]}
    assert without_en["mediaUrls"] == [{**GUIDE, "language": "fr"}]
    assert without_file["mediaUrls"] == []
    assert without_file["active"] is False


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"dayNumber": 0}, "dayNumber"),
        ({"dayNumber": 8}, "dayNumber"),
        ({"dayNumber": "two"}, "dayNumber"),
        ({"dayNumber": True}, "dayNumber"),
        ({"dayNumber": 1e400}, ""),
        ({"dayNumber": 10**30}, "dayNumber"),
        ({"dayNumber": None}, "dayNumber"),
        ({"messageTemplate": {"de": "Hallo"}}, "messageTemplate.de"),
        ({"messageTemplate": {"fr": "Bonjour {{prenom}}"}}, "messageTemplate.fr"),
        ({"messageTemplate": {"fr": "Bonjour {{name}"}}, "messageTemplate.fr"),
        ({"messageTemplate": {"fr": "{% load x %}{{ name|upper }}"}}, "messageTemplate.fr"),
        ({"messageTemplate": {"fr": ""}}, "messageTemplate.fr"),
        ({"messageTemplate": {"fr": "  \n "}}, "messageTemplate.fr"),
        ({"messageTemplate": {"fr": "x" * 5000}}, "messageTemplate.fr"),
        ({"messageTemplate": {"fr": "a\x00b"}}, "messageTemplate.fr"),
        ({"messageTemplate": {"fr": "\ud800"}}, "messageTemplate.fr"),
        ({"messageTemplate": {"fr": ["x"]}}, "messageTemplate.fr"),
        ({"messageTemplate": "Bonjour"}, "messageTemplate"),
        ({"messageTemplate": None}, "messageTemplate"),
        ({"messageTemplate": {}}, "messageTemplate"),
        ({"messageTemplate": {"fr": None}}, "messageTemplate"),
        ({"mediaUrls": "x"}, "mediaUrls"),
        ({"mediaUrls": None}, "mediaUrls"),
        ({"mediaUrls": ["x"]}, "mediaUrls[0]"),
        ({"mediaUrls": [{**GUIDE, "url": ""}]}, "mediaUrls[0].url"),
        ({"mediaUrls": [{**GUIDE, "type": "sticker"}]}, "mediaUrls[0].type"),
        ({"mediaUrls": [{**GUIDE, "type": "image"}]}, "mediaUrls[0].type"),
        ({"mediaUrls": [{**GUIDE, "language": "de"}]}, "mediaUrls[0].language"),
        ({"mediaUrls": [{**GUIDE, "language": "en"}]}, "mediaUrls[0].language"),
        ({"mediaUrls": [{**GUIDE, "url": "https://files.example/no"}]}, "mediaUrls[0].url"),
        ({"mediaUrls": [{**GUIDE, "url": "relance:media/999999"}]}, "mediaUrls[0].url"),
        ({"mediaUrls": [GUIDE, {**GUIDE, "language": "fr"}]}, "mediaUrls[1].language"),
        ({"mediaUrls": [GUIDE] * 3}, "mediaUrls"),
        ({"active": "perhaps"}, "active"),
        ({"active": None}, "active"),
    ],
)
def test_a_day_with_a_mistake_is_refused_whole_and_names_the_field(acme, max_, web, change, field):
    body = {"dayNumber": 1, "messageTemplate": {"fr": "Bonjour"}, **change}

    answer = max_.post(URL, json.dumps(body), content_type="application/json")

    assert answer.status_code == 400, answer.json()
    assert answer["Content-Type"] == "application/problem+json"
    if field:
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not Step.objects.exists()
    assert not Media.objects.exists()


def test_a_mistake_in_a_change_leaves_the_day_as_it_was(acme, max_, web):
    write(max_, messageTemplate=TEXTS, mediaUrls=[GUIDE])
    (before,) = max_.get(URL).json()["data"]

    refused = write(
        max_, messageTemplate={"fr": "neuf", "en": "{{nope}}"}, mediaUrls=[], active=False
    )

    assert refused.status_code == 400
    assert max_.get(URL).json()["data"] == [before]


def test_a_page_is_no_picture_whatever_its_address_says(acme, max_, web):
    url = "https://files.example/day2.png"
    web[url] = b"<!doctype html><title>404</title>"

    answer = write(max_, messageTemplate=TEXTS, mediaUrls=[{**GUIDE, "url": url}])

    (error,) = answer.json()["errors"]
    assert (error["field"], error["code"]) == ("mediaUrls[0].url", "not_allowed")
    assert "HTML" in error["message"]


@pytest.mark.parametrize("url", ["http://127.0.0.1/x.png", "http://169.254.169.254/", "ftp://x/y"])
def test_an_address_inside_our_network_is_refused(acme, max_, url):
    answer = write(max_, messageTemplate=TEXTS, mediaUrls=[{**GUIDE, "url": url}])

    (error,) = answer.json()["errors"]
    assert (error["field"], error["code"]) in {
        ("mediaUrls[0].url", "private_address"),
        ("mediaUrls[0].url", "bad_url"),
    }


def test_another_companys_file_cannot_be_named(acme, max_, other):
    theirs = media.store(tenant=other.tenant, data=PDF, filename="secret.pdf")
    wish = {**GUIDE, "url": f"relance:media/{theirs.pk}"}

    answer = write(max_, messageTemplate=TEXTS, mediaUrls=[wish])

    assert answer.json()["errors"][0]["code"] == "not_found"


def test_a_company_sees_and_changes_its_own_days_only(acme, max_, other):
    write(max_, messageTemplate=TEXTS)
    eve = companies.client(other.people["eve"])

    assert eve.get(URL).json()["data"] == []
    assert eve.delete(f"{URL}/1").status_code == 404
    write(eve, messageTemplate={"fr": "autre"})
    assert max_.get(URL).json()["data"][0]["messageTemplate"] == TEXTS


def test_a_day_nobody_was_sent_is_deleted_and_one_in_use_is_switched_off(acme, max_):
    write(max_, 1, messageTemplate=TEXTS)
    write(max_, 2, messageTemplate=TEXTS)

    assert max_.delete(f"{URL}/2").json()["data"] == {"dayNumber": 2, "deleted": True}
    referrer = acme.make_referrer("amina")
    follow(acme, referrer)
    assert max_.delete(f"{URL}/1").json()["data"] == {"dayNumber": 1, "deleted": False}

    (day,) = max_.get(URL).json()["data"]
    assert (day["dayNumber"], day["active"], day["messageTemplate"]) == (1, False, TEXTS)


def follow(acme, referrer):
    from django.utils import timezone

    from campaigns.models import Referral

    now = timezone.now()
    referral = Referral.objects.create(
        tenant=acme.tenant, external_id="ref-1", referrer=referrer, phone="+33639980001",
        registered_at=now,
    )  # fmt: skip
    return Target.objects.create(
        tenant=acme.tenant, campaign=Campaign.objects.get(), referral=referral,
        account=referrer.account, phone=referral.phone, slot_at=now, next_due_at=now,
        enrolled_at=now,
    )  # fmt: skip


@pytest.mark.parametrize("day", ["0", "8", "1", "99999999999999999999999999", "x", "-1", "1.5"])
def test_a_day_that_is_not_there_cannot_be_deleted(acme, max_, day):
    assert max_.delete(f"{URL}/{day}").status_code == 404


def test_a_campaign_of_the_same_name_that_is_off_is_left_alone(acme, max_):
    Campaign.objects.create(tenant=acme.tenant, name="Relance")

    assert write(max_, messageTemplate=TEXTS).status_code == 200

    assert Campaign.objects.get(active=True).name == "Relance 2"
