"""`/api/v1/messages`: files, places, links, answers and posts, now or at a chosen time."""

import datetime as dt
import functools
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from tests import companies
from tests.api.conftest import wrong
from tests.factories import NOW, make_account, make_media
from tests.whatsapp.test_fetching import at, near
from tests.whatsapp.test_fetching import server as server  # a fixture
from tests.whatsapp.test_media import PDF, picture
from whatsapp import previews
from whatsapp.models import Contact, Group, Incoming, Media, Message

pytestmark = pytest.mark.usefixtures("media_folder")
URL = "/api/v1/messages"
ANA = "+33639980100"
BRUNO_IN_MARTINIQUE = "+596696000000"
PLACE = {
    "latitude": 16.2411,
    "longitude": -61.5331,
    "name": "Boutique",
    "address": "Pointe-à-Pitre",
}


@pytest.fixture
def account(acme):
    return make_account(acme.tenant, name="amina", owner=acme.people["amina"], phone="+33639980001")


@pytest.fixture
def post(max_, account):
    """What the API answers to a message to Ana; the body as the test has it."""

    def send(*, status=201, **body):
        to = {} if "groupId" in body else {"to": ANA}
        whole = {"account": account.pk, "idempotencyKey": "k", **to, **body}
        answer = max_.post(URL, json.dumps(whole), content_type="application/json")
        assert answer.status_code == status, answer.json()
        return answer.json()

    return send


def test_a_place_is_queued_and_shown(post, max_):
    made = post(location=PLACE)

    assert (made["kind"], made["location"], made["text"]) == ("location", PLACE, "")
    assert max_.get(URL, {"kind": "location"}).json()["results"][0]["id"] == made["id"]
    assert max_.get(URL, {"kind": "link"}).json()["results"] == []


def test_an_upload_is_stored_once_and_goes_along(post, max_):
    def upload(**more):
        file = SimpleUploadedFile("guide.pdf", PDF, "text/html")
        return max_.post("/api/v1/media", {"file": file, **more}, format="multipart")

    first, second = upload(), upload()
    assert (first.status_code, first.json()) == (201, second.json())
    stored = first.json()
    assert (stored["kind"], stored["mime"], stored["size"]) == (
        "document", "application/pdf", len(PDF),
    )  # fmt: skip

    made = post(text="Le guide", media={"id": stored["id"]})

    assert (made["kind"], made["media"]) == ("media", stored)
    assert Media.objects.count() == 1


@pytest.mark.parametrize(
    ("data", "more", "field", "code"),
    [
        (b"", {}, "file", "empty"),
        (b"MZ" + b"\0" * 100, {}, "file", "not_allowed"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", {}, "file", "not_allowed"),
        (PDF, {"type": "image"}, "type", "wrong_kind"),
        (PDF, {"type": "poem"}, "type", "invalid_choice"),
        (picture() + b"<script>", {}, "file", "mixed"),
    ],
)
def test_an_upload_that_is_not_what_it_seems_is_refused(max_, data, more, field, code):
    file = SimpleUploadedFile("day.png", data, "image/png")
    answer = max_.post("/api/v1/media", {"file": file, **more}, format="multipart")

    assert answer.status_code == 400, answer.json()
    assert wrong(answer.json()) == (field, code)
    assert not Media.objects.exists()


def test_an_upload_that_is_too_large_is_refused(max_):
    film = SimpleUploadedFile("a.png", picture() + b"\0" * (17 * 2**20), "image/png")
    answer = max_.post("/api/v1/media", {"file": film, "type": "image"}, format="multipart")
    assert (answer.status_code, wrong(answer.json())) == (400, ("file", "too_large"))

    announced = max_.generic(
        "POST", "/api/v1/media", b"x", content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(70 * 2**20),
    )  # fmt: skip
    assert announced.status_code == 413


def test_a_link_is_shown_with_what_its_page_says(post, server, monkeypatch):
    page = b"<title>Offer</title><meta name='description' content='-20 %'>"
    server.pages["/offer"] = (200, {"Content-Type": "text/html"}, page)
    monkeypatch.setattr(previews, "Fetcher", functools.partial(near, server))
    url = at(server, "/offer", host="shop.test")

    made = post(text="Voici :", link={"url": url})

    assert made["kind"] == "link"
    assert made["link"] == {"url": url, "title": "Offer", "description": "-20 %"}
    assert made["text"] == f"Voici :\n{url}"


def test_a_link_into_our_own_network_is_sent_without_anybody_looking_there(post, server):
    url = at(server, "/", host="127.0.0.1")
    made = post(link={"url": url})

    assert made["link"] == {"url": url, "title": "", "description": ""}
    assert server.seen == []


def test_an_answer_quotes_by_our_id_and_by_whatsapps(post, account):
    contact = Contact.objects.create(tenant=account.tenant, phone=ANA)
    ours = Message.objects.create(
        tenant=account.tenant, account=account, contact=contact, idempotency_key="x",
        content_hash="h", body="Come", due_at=NOW, state="sent", sent_at=NOW, wa_id="true_a",
    )  # fmt: skip
    Incoming.objects.create(
        account=account, contact=contact, wa_id="false_a", chat_id="c", kind="chat", sent_at=NOW,
        received_at=NOW,
    )  # fmt: skip

    assert post(text="1", quotedMessageId=str(ours.public_id))["quoted"] == "true_a"
    assert post(text="2", quotedMessageId="false_a", idempotencyKey="2")["quoted"] == "false_a"


def test_a_post_to_a_group_is_shown_with_its_name(post, max_, group):
    made = post(groupId=group.pk, text="Bonjour à tous")

    assert (made["to"], made["groupId"], made["groupName"]) == ("", group.pk, "Parents")
    assert max_.get(URL, {"group": group.pk}).json()["results"][0]["id"] == made["id"]


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"location": {**PLACE, "latitude": 90.5}}, "location.latitude", "max_value"),
        ({"location": {**PLACE, "longitude": "nan"}}, "location.longitude", "invalid"),
        ({"location": {**PLACE, "latitude": "-inf"}}, "location.latitude", "invalid"),
        ({"location": {"latitude": 1}}, "location.longitude", "required"),
        ({"location": {**PLACE, "name": "x" * 201}}, "location.name", "max_length"),
        ({"location": PLACE, "text": "Come"}, "text", "not_with_location"),
        ({"location": PLACE, "link": {"url": "https://a.example"}}, "link", "several"),
        ({"link": {"url": "javascript:alert(1)"}}, "link.url", "bad_url"),
        ({"media": {}}, "media.url", "required"),
        ({"media": {"id": 999}}, "media.id", "unknown"),
        ({"media": {"id": 1, "url": "https://a.example/a"}}, "media.url", "required"),
        ({"media": {"url": "http://[::1]/a", "type": "image"}}, "media.url", "private_address"),
        ({"media": {"url": "ftp://a.example/a", "type": "image"}}, "media.url", "bad_url"),
        ({"text": "x", "to": "+33639980001"}, "to", "own_number"),
        ({"text": "x", "to": ""}, "to", "blank"),
        ({"text": "x", "groupId": 1, "to": ANA}, "to", "required"),
        ({"text": "x", "groupId": 999}, "groupId", "unknown"),
        ({"text": "x", "quotedMessageId": "false_b"}, "quotedMessageId", "unknown"),
        (
            {"text": "x", "quotedMessageId": "6f1d1f0e-7a4b-4d0c-9f57-0d9d2a1c8f11"},
            "quotedMessageId",
            "unknown",
        ),
        ({"text": "x", "scheduledAt": "soon"}, "scheduledAt", "invalid"),
        ({"text": "x", "scheduledAt": "2020-01-01T10:00:00Z"}, "scheduledAt", "past"),
        ({"text": "x", "scheduledAt": "2090-01-01T10:00:00Z"}, "scheduledAt", "too_far"),
        ({"text": "x", "scheduledAt": "9999-12-31T23:59:59"}, "scheduledAt", "out_of_range"),
        ({"text": "x", "timezone": "tenant"}, "scheduledAt", "required"),
        ({"text": "x", "timezone": "Mars"}, "timezone", "invalid_choice"),
        (
            {"text": "x", "scheduledAt": "2090-01-01T10:00:00Z", "timezone": "tenant"},
            "timezone",
            "two_clocks",
        ),
    ],
)
def test_what_cannot_be_sent_names_its_field_and_queues_nothing(post, body, field, code):
    assert wrong(post(status=400, **body)) == (field, code)
    assert not Message.objects.exists()


def test_a_file_of_another_company_is_unknown(post, other):
    theirs = make_media(other.tenant)

    assert wrong(post(status=400, media={"id": theirs.pk})) == ("media.id", "unknown")


def test_a_group_that_the_account_left_is_refused(post, group):
    Group.objects.update(role="left")

    assert wrong(post(status=400, groupId=group.pk, text="x")) == ("group", "not_in_group")


def tomorrow_at_ten() -> str:
    return (timezone.now() + dt.timedelta(days=1)).strftime("%Y-%m-%dT10:00:00")


@pytest.mark.parametrize(
    ("clock", "hour"),
    [({}, 10), ({"timezone": "tenant"}, 10), ({"timezone": "recipient"}, 15)],
)
def test_ten_oclock_is_the_companys_or_the_recipients(acme, post, max_, clock, hour):
    """Ten in Martinique is three in the afternoon in Paris, in winter, four in summer."""
    wall = tomorrow_at_ten()
    made = post(text="x", to=BRUNO_IN_MARTINIQUE, scheduledAt=wall, **clock)

    due = dt.datetime.fromisoformat(made["scheduledAt"]).astimezone(acme.tenant.zone)
    summer = due.dst() and hour == 15
    assert (due.strftime("%Y-%m-%d"), due.hour) == (wall[:10], hour + bool(summer))
    assert made["dueAt"] == made["scheduledAt"]
    assert max_.get(URL, {"scheduled": True}).json()["results"][0]["id"] == made["id"]
    assert max_.get(URL, {"scheduled": False}).json()["results"] == []


def test_a_group_has_no_clock_of_its_own(post, group):
    clock = {"scheduledAt": tomorrow_at_ten(), "timezone": "recipient"}

    answer = post(status=400, groupId=group.pk, text="x", **clock)

    assert wrong(answer) == ("timezone", "group")


def test_a_planned_message_is_moved_and_cancelled(acme, post, max_):
    made = post(text="x", scheduledAt=tomorrow_at_ten())
    address = f"{URL}/{made['id']}"
    later = (timezone.now() + dt.timedelta(days=3)).strftime("%Y-%m-%dT18:30:00")

    moved = max_.patch(address, {"scheduledAt": later}, format="json")

    due = dt.datetime.fromisoformat(moved.json()["dueAt"]).astimezone(acme.tenant.zone)
    assert due.strftime("%Y-%m-%dT%H:%M:%S") == later
    assert max_.post(f"{address}/cancel").json()["state"] == "cancelled"
    refused = max_.patch(address, {"scheduledAt": later}, format="json")
    assert (refused.status_code, wrong(refused.json())) == (409, ("state", "cancelled"))


@pytest.mark.parametrize(
    "body", [{}, {"scheduledAt": None}, {"scheduledAt": "2020-01-01T10:00:00"}]
)
def test_a_message_is_moved_only_to_a_time_to_come(post, max_, body):
    made = post(text="x", scheduledAt=tomorrow_at_ten())

    answer = max_.patch(f"{URL}/{made['id']}", body, format="json")

    assert (answer.status_code, wrong(answer.json())[0]) == (400, "scheduledAt")


def test_a_viewer_moves_nothing_and_uploads_nothing(acme, post):
    vera = companies.client(acme.people["vera"])
    made = post(text="x", scheduledAt=tomorrow_at_ten())

    body = {"scheduledAt": tomorrow_at_ten()}
    assert vera.patch(f"{URL}/{made['id']}", body, format="json").status_code == 403
    file = SimpleUploadedFile("guide.pdf", PDF)
    assert vera.post("/api/v1/media", {"file": file}, format="multipart").status_code == 403
