"""`/api/v1/messages`: listed, sent directly, tried again, cancelled, settled."""

import datetime as dt
import json

import pytest
from django.utils import timezone

from accounts.models import Activity
from tests import companies
from tests.factories import (
    NOW,
    make_account,
    make_campaign,
    make_referral,
    make_referrer,
    make_target,
)
from whatsapp import attachments
from whatsapp.fetching import CannotFetch, Fetched
from whatsapp.models import Contact, Media, Message

URL = "/api/v1/messages"
PHONE = "+33639980100"


@pytest.fixture
def body(account):
    return {"account": account.pk, "to": PHONE, "text": "Bonjour", "idempotencyKey": "k1"}


def make_message(account, state="queued", **fields):
    contact, _ = Contact.objects.get_or_create(tenant=account.tenant, phone=PHONE)
    n = Message.objects.count()
    fields = {"sent_at": NOW if state in Message.ARRIVED else None} | fields
    return Message.objects.create(
        tenant=account.tenant, account=account, contact=contact, idempotency_key=f"m{n}",
        content_hash="h", body=f"text {n}", due_at=NOW, state=state, **fields,
    )  # fmt: skip


def test_a_message_is_sent_directly_and_read_back(acme, max_, body):
    answer = max_.post(URL, body, format="json")

    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert (made["to"], made["text"], made["state"], made["target"]) == (
        PHONE, "Bonjour", "queued", None,
    )  # fmt: skip
    assert max_.get(f"{URL}/{made['id']}").json() == made
    assert max_.get(URL).json()["results"][0]["id"] == made["id"]


def test_the_key_may_stand_in_the_header_and_sends_once(acme, max_, body):
    del body["idempotencyKey"]

    def send(**changes):
        return max_.post(URL, body | changes, format="json", headers={"Idempotency-Key": "k"})

    assert send().json()["id"] == send().json()["id"]
    conflict = send(text="Bonsoir")
    assert (conflict.status_code, conflict.json()["type"]) == (
        409, "urn:relance:idempotency_conflict",
    )  # fmt: skip
    assert Message.objects.get().body == "Bonjour"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"idempotencyKey": ""}, "idempotencyKey"),
        ({"idempotencyKey": "target:1:step:1"}, "idempotencyKey"),
        ({"idempotencyKey": "x" * 201}, "idempotencyKey"),
        ({"idempotencyKey": "a\x00"}, "idempotencyKey"),
        ({"account": 10**30}, "account"),
        ({"account": 999_999}, "account"),
        ({"to": "nobody"}, "to"),
        ({"to": ""}, "to"),
        ({"text": " "}, "text"),
        ({"text": "x" * 65_537}, "text"),
        ({"text": "\ud800"}, "text"),
        ({"text": ["x"]}, "text"),
        ({"media": {"url": "https://x.example/a"}}, "media.type"),
        ({"media": "https://x.example/a"}, "media"),
        ({"media": {"url": "http://127.0.0.1/a", "type": "image"}}, "media.url"),
        ({"dueAt": "tomorrow"}, "dueAt"),
        ({"\ud800": 1}, "\\ud800"),
    ],
)
def test_what_cannot_be_sent_names_the_field_and_queues_nothing(acme, max_, body, changes, field):
    answer = max_.post(URL, json.dumps(body | changes), content_type="application/json")

    assert answer.status_code == 400, answer.json()
    assert answer.json()["errors"][0]["field"] == field
    assert not Message.objects.exists()


def test_a_header_that_is_no_key_is_refused(acme, max_, body):
    for key in ("x" * 300, "é"):
        answer = max_.post(URL, body, format="json", headers={"Idempotency-Key": key})
        assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


def test_a_file_goes_along(acme, max_, body, monkeypatch, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    pdf = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"

    def fetch(url, *, deadline):
        if not url.endswith("guide.pdf"):
            raise CannotFetch("not_found", "the server answered 404")
        return Fetched(pdf, "guide.pdf", "application/pdf")

    monkeypatch.setattr(attachments, "fetch", fetch)
    guide = {"url": "https://files.example/guide.pdf", "type": "document"}

    made = max_.post(URL, body | {"media": guide}, format="json").json()
    missing = max_.post(
        URL, body | {"media": guide | {"url": "https://files.example/x"}}, format="json"
    )

    assert (made["kind"], made["media"]["filename"]) == ("media", "guide.pdf")
    assert missing.json()["errors"][0]["field"] == "media.url"
    assert Media.objects.count() == 1


def test_an_agent_sends_from_their_own_account_only(acme, body):
    amina = companies.client(acme.people["amina"])
    bruno = make_account(acme.tenant, name="bruno")
    make_message(bruno)

    assert amina.post(URL, body, format="json").status_code == 201
    refused = amina.post(URL, body | {"account": bruno.pk}, format="json")
    assert refused.json()["errors"][0]["field"] == "account"
    assert len(amina.get(URL).json()["results"]) == 1


def test_the_list_is_filtered_by_all_that_people_ask_for(acme, max_, account):
    campaign = make_campaign(acme.tenant, days=2)
    referrer = make_referrer(acme.tenant, account=make_account(acme.tenant))
    target = make_target(make_referral(referrer), campaign=campaign)
    step = make_message(target.account, "delivered")
    target.deliveries.create(number=2, language="fr", message=step)
    old = make_message(account, "failed")
    Message.objects.filter(pk=old.pk).update(created_at=timezone.now() - dt.timedelta(days=9))
    queued = make_message(account)

    def ask(**query):
        return [row["id"] for row in max_.get(URL, query).json()["results"]]

    assert ask(state=["failed", "queued"]) == [str(queued.public_id), str(old.public_id)]
    assert ask(account=account.pk, state="queued") == [str(queued.public_id)]
    assert ask(step=2) == ask(target=target.pk) == [str(step.public_id)]
    since = (timezone.now() - dt.timedelta(days=1)).isoformat()
    assert str(old.public_id) not in ask(since=since)
    assert ask(until=since) == [str(old.public_id)]
    assert len(ask(contact="06 39 98 01 00")) == 3
    assert ask(contact="06 39 98 01 01") == []


def test_a_failed_message_is_tried_again(acme, max_, account):
    message = make_message(account, "failed", error_code="nack_401", wa_id="wa")

    answer = max_.post(f"{URL}/{message.public_id}/retry")

    assert (answer.status_code, answer.json()["state"]) == (200, "queued")
    again = max_.post(f"{URL}/{message.public_id}/retry")
    assert (again.status_code, again.json()["errors"][0]["field"]) == (409, "state")
    assert Activity.objects.filter(verb="retried", actor_name="max").count() == 1


def test_a_queued_message_is_cancelled_and_a_sent_one_is_not(acme, max_, account):
    queued, sent = make_message(account), make_message(account, "sent")

    assert max_.post(f"{URL}/{queued.public_id}/cancel").json()["state"] == "cancelled"
    assert max_.post(f"{URL}/{sent.public_id}/cancel").status_code == 409


@pytest.mark.parametrize(("sent", "state"), [(True, "sent"), (False, "queued")])
def test_an_uncertain_message_is_settled_by_a_person(acme, max_, account, sent, state):
    message = make_message(account, "uncertain", wa_id="wa", sending_at=NOW)

    answer = max_.post(f"{URL}/{message.public_id}/settle", {"sent": sent}, format="json")

    assert answer.json()["state"] == state
    assert Activity.objects.filter(verb="settled", actor_name="max").exists()
    again = max_.post(f"{URL}/{message.public_id}/settle", {"sent": sent}, format="json")
    assert again.status_code == 409


def test_a_viewer_reads_and_changes_nothing(acme, account, body):
    vera = companies.client(acme.people["vera"])
    message = make_message(account)

    assert vera.get(f"{URL}/{message.public_id}").status_code == 200
    assert vera.post(URL, body, format="json").status_code == 403
    for verb in ("retry", "cancel", "settle"):
        assert vera.post(f"{URL}/{message.public_id}/{verb}").status_code == 403


def test_a_page_of_messages_takes_a_fixed_number_of_queries(
    acme, max_, account, django_assert_max_num_queries
):
    for _ in range(20):
        make_message(account)
    with django_assert_max_num_queries(3):
        assert len(max_.get(URL).json()["results"]) == 20
