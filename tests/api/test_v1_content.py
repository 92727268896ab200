"""`/api/v1/campaigns`, `/steps`, `/templates`: written by pieces, switched on when complete."""

import pytest
from django.utils import timezone

from accounts.activity import Actor
from accounts.models import Activity
from campaigns import authoring
from campaigns.models import Campaign, Step, Template
from tests import companies
from tests.factories import make_campaign, make_referral, make_referrer, make_target
from whatsapp import attachments
from whatsapp.fetching import Fetched
from whatsapp.models import Media

URL = "/api/v1/campaigns"
MAX = Actor("user", "max")
PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


@pytest.fixture
def campaign(acme):
    return make_campaign(acme.tenant, days=2, languages=("fr",), active=False)


def put(client, step, language, **body):
    return client.put(f"/api/v1/steps/{step}/templates/{language}", body, format="json")


def test_a_campaign_is_written_piece_by_piece_and_switched_on(acme, max_):
    made = max_.post(URL, {"name": "Relance"}, format="json").json()
    assert (made["active"], made["defaultLanguage"], made["firstDelaySeconds"]) == (
        False, "fr", 3600,
    )  # fmt: skip
    too_early = max_.post(f"{URL}/{made['id']}/activate")
    assert (too_early.status_code, too_early.json()["type"]) == (409, "urn:relance:not_ready")

    step = max_.post(f"{URL}/{made['id']}/steps", {"number": 1}, format="json").json()
    put(max_, step["id"], "fr", text="Bonjour {{name}}")
    ready = max_.post(f"{URL}/{made['id']}/activate")

    assert ready.status_code == 200, ready.json()
    body = ready.json()
    assert (body["active"], body["missing"]) == (True, [])
    assert body["steps"][0]["templates"] == [
        {"language": "fr", "text": "Bonjour {{name}}", "media": None}
    ]
    assert body["steps"][0]["delaySeconds"] == 0
    verbs = Activity.objects.filter(actor_name="max").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == [
        "campaign_created", "step_changed", "template_changed", "campaign_activated",
    ]  # fmt: skip
    assert max_.post(f"{URL}/{made['id']}/deactivate").json()["active"] is False


def test_what_is_missing_is_named_place_by_place(acme, max_, campaign):
    Template.objects.create(step=campaign.steps.get(number=1), language="en", body="Hi")

    answer = max_.post(f"{URL}/{campaign.pk}/activate").json()

    assert [error["field"] for error in answer["errors"]] == ["steps.2.templates.en"]
    assert max_.get(f"{URL}/{campaign.pk}").json()["missing"][0]["step"] == 2


def test_a_step_is_changed_and_taken_out(acme, max_, campaign):
    second = campaign.steps.get(number=2)
    address = f"/api/v1/steps/{second.pk}"

    changed = max_.patch(address, {"delaySeconds": 7200}, format="json").json()
    assert (changed["delaySeconds"], changed["active"]) == (7200, True)
    assert max_.delete(address).json() == {"deleted": True}

    first = campaign.steps.get(number=1)
    make_target(make_referral(make_referrer(acme.tenant)), campaign=campaign)
    assert max_.delete(f"/api/v1/steps/{first.pk}").json() == {"deleted": False}
    first.refresh_from_db()
    assert first.active is False


def test_a_campaign_that_followed_somebody_is_not_deleted(acme, max_, campaign):
    spare = make_campaign(acme.tenant, active=False)
    make_target(make_referral(make_referrer(acme.tenant)), campaign=campaign)

    assert max_.delete(f"{URL}/{campaign.pk}").json()["type"] == "urn:relance:in_use"
    assert max_.delete(f"{URL}/{spare.pk}").status_code == 204
    assert Campaign.objects.get() == campaign


def test_a_file_stays_until_it_is_taken_away(acme, max_, campaign, monkeypatch, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    monkeypatch.setattr(
        attachments, "fetch", lambda url, *, deadline: Fetched(PDF, "guide.pdf", "application/pdf")
    )
    step = campaign.steps.get(number=1).pk
    guide = {"url": "https://files.example/guide.pdf", "type": "document"}

    with_file = put(max_, step, "fr", text="Le guide", media=guide).json()
    kept = put(max_, step, "fr", text="Le guide !").json()
    gone = put(max_, step, "fr", text="Le guide !", media=None).json()

    assert with_file["media"]["filename"] == kept["media"]["filename"] == "guide.pdf"
    assert gone["media"] is None
    assert Media.objects.count() == 1


def test_a_text_is_removed(acme, max_, campaign):
    address = f"/api/v1/steps/{campaign.steps.get(number=1).pk}/templates/fr"

    assert max_.get(address).json()["language"] == "fr"
    assert max_.delete(address).status_code == 204
    assert max_.get(address).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("", {"name": ""}, "name"),
        ("", {"name": "x" * 121}, "name"),
        ("", {"name": "x", "defaultLanguage": "klingon"}, "defaultLanguage"),
        ("", {"name": "x", "defaultLanguage": "xx"}, "defaultLanguage"),
        ("", {"name": "x", "firstDelaySeconds": -1}, "firstDelaySeconds"),
        ("", {"name": "x", "firstDelaySeconds": 10**30}, "firstDelaySeconds"),
        ("", {"name": "x", "active": True}, "active"),
        ("/steps", {"number": 0}, "number"),
        ("/steps", {"number": 1}, "number"),
        ("/steps", {"number": 3, "delaySeconds": 1.5}, "delaySeconds"),
        ("/steps", {"number": 3, "active": "perhaps"}, "active"),
    ],
)
def test_what_cannot_be_written_names_the_field(acme, max_, campaign, path, body, field):
    before = (Campaign.objects.count(), Step.objects.count())
    address = f"{URL}/{campaign.pk}{path}" if path else URL

    answer = max_.post(address, body, format="json")

    assert answer.status_code == 400, answer.json()
    assert answer.json()["errors"][0]["field"] == field
    assert (Campaign.objects.count(), Step.objects.count()) == before


@pytest.mark.parametrize(
    ("language", "body", "field"),
    [
        ("fr", {"text": "{{prenom}}"}, "text"),
        ("fr", {"text": "{{name}"}, "text"),
        ("fr", {"text": " "}, "text"),
        ("fr", {"text": "x" * 4001}, "text"),
        ("fr", {}, "text"),
        ("xx", {"text": "x"}, "language"),
        ("fr", {"text": "x", "media": {"url": "http://127.0.0.1/x", "type": "image"}}, "media.url"),
    ],
)
def test_a_text_that_cannot_be_sent_is_refused_at_once(acme, max_, campaign, language, body, field):
    step = campaign.steps.get(number=1)

    answer = put(max_, step.pk, language, **body)

    assert answer.status_code == 400, answer.json()
    assert answer.json()["errors"][0]["field"] == field
    assert step.templates.get().body == "fr 1 {{name}}"


def test_a_name_is_taken_once(acme, other, max_, campaign):
    make_campaign(other.tenant, name="theirs", active=False)

    assert max_.post(URL, {"name": "theirs"}, format="json").status_code == 201
    again = max_.patch(f"{URL}/{campaign.pk}", {"name": "theirs"}, format="json")
    assert again.json()["errors"][0]["code"] == "taken"


def test_a_preview_is_rendered_for_whom_one_chooses(acme, other, max_):
    chosen = make_referral(make_referrer(acme.tenant), name="Ana Lopes")
    foreign = make_referral(make_referrer(other.tenant), name="Secret")

    def preview(**body):
        return max_.post("/api/v1/templates/preview", body, format="json").json()

    assert preview(text="Bonjour {{name}}", referral=chosen.pk)["text"] == "Bonjour Ana"
    assert preview(text="Bonjour {{name}}")["text"] == "Bonjour Ana"
    assert "prenom" in preview(text="{{prenom}}")["problem"]
    assert preview(text="{{name}}", referral=foreign.pk)["errors"][0]["field"] == "referral"


def test_viewers_and_agents_read_and_write_nothing(acme, campaign):
    step = campaign.steps.get(number=1).pk
    for name in ("vera", "amina"):
        client = companies.client(acme.people[name])
        assert client.get(f"{URL}/{campaign.pk}").status_code == 200
        assert client.get(f"/api/v1/steps/{step}").status_code == 200
        assert client.post(URL, {"name": "x"}, format="json").status_code == 403
        assert put(client, step, "fr", text="x").status_code == 403
        assert client.post(f"{URL}/{campaign.pk}/activate").status_code == 403


def test_the_seven_days_of_the_old_route_are_recorded_too(acme, max_):
    max_.post(
        "/api/relance/admin/messages",
        {"dayNumber": 1, "messageTemplate": {"fr": "Bonjour"}},
        format="json",
    )
    max_.delete("/api/relance/admin/messages/1")

    verbs = Activity.objects.filter(actor_name="max").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["template_changed", "step_changed"]


def test_a_change_does_not_undo_what_somebody_else_did_meanwhile(acme, campaign):
    """Two at once: one has read the campaign and renames it, the other switches it on."""
    read_before = Campaign.objects.get(pk=campaign.pk)
    Campaign.objects.filter(pk=campaign.pk).update(active=True)

    authoring.change(read_before, name="Renamed", actor=MAX, now=timezone.now())

    campaign.refresh_from_db()
    assert (campaign.name, campaign.active) == ("Renamed", True)


def test_who_changed_and_who_deleted_a_campaign_is_recorded(acme, max_, campaign):
    address = f"{URL}/{campaign.pk}"

    max_.patch(address, {"name": "Renamed", "firstDelaySeconds": 60}, format="json")
    max_.patch(address, {"name": "Renamed"}, format="json")
    max_.delete(address)

    lines = Activity.objects.filter(actor_name="max").order_by("id")
    assert [(line.verb, line.subject_name, line.detail) for line in lines] == [
        ("changed", "Renamed", {"fields": ["name", "first_delay"]}),
        ("deleted", "Renamed", {}),
    ]
