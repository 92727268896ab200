"""`/api/v1/webhooks`: added, changed, tried, read and told again."""

import pytest
from django.utils import timezone

from tests import companies
from whatsapp.models import WebhookDelivery, WebhookEndpoint
from whatsapp.webhooks.outgoing import emit

URL = "/api/v1/webhooks"
GOOD = {"name": "CRM", "url": "https://crm.example/relance", "events": ["message.read"]}


@pytest.fixture
def crm(max_):
    return max_.post(URL, GOOD, format="json").json()


def happen(company, thing="1"):
    emit(
        tenant_id=company.tenant.pk, event="message.read", object_type="message",
        object_id=thing, data={"message": thing}, now=timezone.now(),
    )  # fmt: skip


def test_a_webhook_is_added_and_its_secret_shown_once(max_):
    answer = max_.post(URL, GOOD, format="json")

    assert answer.status_code == 201, answer.json()
    assert answer["Cache-Control"] == "no-store"
    body = answer.json()
    assert body.pop("secret").startswith("whsec_")
    assert max_.get(f"{URL}/{body['id']}").json() == body
    assert max_.get(URL).json()["results"] == [body]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "http://127.0.0.1:99/"}, "url"),
        ({"url": "http://169.254.169.254/"}, "url"),
        ({"url": "https://0x7f.1/"}, "url"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"url": ""}, "url"),
        ({"events": []}, "events"),
        ({"events": ["message.eaten"]}, "events"),
        ({"name": "x" * 81}, "name"),
        ({"secret": "mine"}, "secret"),
    ],
)
def test_a_webhook_that_cannot_be_names_the_field(max_, change, field):
    answer = max_.post(URL, GOOD | change, format="json")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"].startswith(field)
    assert not WebhookEndpoint.objects.exists()


def test_the_same_name_twice_is_refused(max_, crm):
    answer = max_.post(URL, GOOD, format="json")

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "name")


def test_a_webhook_is_changed_and_deleted(max_, crm):
    given = {"url": "https://crm.example/new", "events": ["target.exited"], "active": False}

    changed = max_.put(f"{URL}/{crm['id']}", given, format="json").json()

    assert {name: changed[name] for name in given} == given
    assert max_.delete(f"{URL}/{crm['id']}").status_code == 204
    assert max_.get(f"{URL}/{crm['id']}").status_code == 404


def test_a_new_secret_is_shown_once_and_the_former_one_named_until_when(max_, crm):
    answer = max_.post(f"{URL}/{crm['id']}/secret").json()

    assert answer["secret"] != crm["secret"]
    assert answer["formerUntil"] > timezone.now().isoformat()


def test_the_log_shows_what_waits_and_what_was_given_up(acme, max_, crm):
    happen(acme)
    happen(acme, thing="2")
    WebhookDelivery.objects.filter(object_key="message:2").update(
        state="dead", error="the server answered 500", status=500
    )

    rows = max_.get(f"{URL}/{crm['id']}/deliveries").json()["results"]
    dead = max_.get(f"{URL}/{crm['id']}/deliveries", {"state": "dead"}).json()["results"]

    assert [(row["object"], row["state"]) for row in rows] == [
        ("message:2", "dead"),
        ("message:1", "pending"),
    ]
    assert [(row["status"], row["error"]) for row in dead] == [(500, "the server answered 500")]


def test_dead_letters_and_chosen_ones_are_told_again(acme, max_, crm):
    for thing in "12":
        happen(acme, thing=thing)
    WebhookDelivery.objects.filter(object_key="message:1").update(state="dead")
    WebhookDelivery.objects.filter(object_key="message:2").update(state="delivered")
    replay = f"{URL}/{crm['id']}/replay"

    assert max_.post(replay, {}, format="json").json() == {"replayed": 1}
    second = WebhookDelivery.objects.get(object_key="message:2")
    assert max_.post(replay, {"deliveries": [second.pk]}, format="json").json() == {"replayed": 1}
    assert not WebhookDelivery.objects.exclude(state="pending").exists()


def test_deliveries_of_another_company_are_not_told_again(acme, other, max_, crm):
    eve = companies.client(other.people["eve"])
    happen(acme)
    WebhookDelivery.objects.update(state="dead")
    theirs = WebhookDelivery.objects.get()
    mine = eve.post(URL, GOOD, format="json").json()["id"]

    answer = eve.post(f"{URL}/{mine}/replay", {"deliveries": [theirs.pk]}, format="json")

    assert answer.json() == {"replayed": 0}
    assert eve.post(f"{URL}/{crm['id']}/replay", {}, format="json").status_code == 404
    theirs.refresh_from_db()
    assert theirs.state == "dead"


def test_a_test_event_is_queued_for_this_webhook(max_, crm):
    answer = max_.post(f"{URL}/{crm['id']}/test")

    assert answer.status_code == 202
    assert (answer.json()["type"], answer.json()["state"]) == ("webhook.test", "pending")


@pytest.mark.parametrize("name", ["amina", "vera"])
def test_only_administrators_have_to_do_with_webhooks(acme, name):
    client = companies.client(acme.people[name])

    assert client.get(URL).status_code == 403
    assert client.post(URL, GOOD, format="json").status_code == 403


def test_a_program_needs_the_scope(acme):
    reader = companies.program(acme, "webhooks:read")

    assert reader.get(URL).status_code == 200
    assert reader.post(URL, GOOD, format="json").status_code == 403
