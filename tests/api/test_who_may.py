"""Role by route, and company by company: who gets in, and what the others are told."""

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import Membership
from campaigns.models import Campaign, Referrer, Step, Template
from tests import companies

ROUTES = [
    ("post", "/api/relance/connect"),
    ("get", "/api/relance/status"),
    ("delete", "/api/relance/disconnect"),
    ("put", "/api/relance/pause"),
    ("get", "/api/relance/admin/messages"),
    ("post", "/api/relance/admin/messages"),
    ("delete", "/api/relance/admin/messages/1"),
    ("post", "/api/relance/internal/exit-user"),
]
BODY = {
    "sendingPaused": True,
    "dayNumber": 1,
    "messageTemplate": {"fr": "Bonjour"},
    "userId": "ref-1",
}
# Everybody here is a referrer with a linked account; what differs is the role.
ALLOWED = {
    "owner": {0, 1, 2, 3, 4, 5, 6},
    "manager": {0, 1, 2, 3, 4, 5, 6},
    "agent": {0, 1, 2, 3},
    "viewer": {1},
    None: set(),
}


@pytest.mark.parametrize("index", range(len(ROUTES)))
@pytest.mark.parametrize("role", ALLOWED)
def test_each_role_gets_into_its_routes_and_no_other(acme, role, index):
    name = {"owner": "olga", "manager": "max", "agent": "amina", "viewer": "vera"}.get(
        role, "amina"
    )
    acme.make_referrer(name, status="connected", phone="+33639980000", linked_at=timezone.now())
    if role is None:
        Membership.objects.all().delete()
    campaign = Campaign.objects.create(tenant=acme.tenant, name="Relance", active=True)
    step = Step.objects.create(campaign=campaign, number=1)
    Template.objects.create(step=step, language="fr", body="x")
    method, path = ROUTES[index]

    answer = getattr(companies.client(acme.people[name]), method)(path, BODY, format="json")

    if index in ALLOWED[role]:
        assert answer.status_code == 200, answer.json()
    else:
        assert answer.status_code in {401, 403}
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["success"] is False
        assert answer.json()["message"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("header", [None, "Bearer x.y.z", "Bearer ", "Bearer a b c", "Token x"])
def test_nobody_gets_in_without_a_good_token(db, method, path, header):
    client = APIClient()
    if header:
        client.credentials(HTTP_AUTHORIZATION=header)

    answer = getattr(client, method)(path, BODY, format="json")

    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["WWW-Authenticate"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_other_verbs_are_refused_politely(acme, method, path):
    acme.make_referrer("olga")
    wrong = next(v for v in ("patch", "trace") if v != method)

    answer = getattr(companies.client(acme.people["olga"]), wrong)(path)

    assert answer.status_code in {401, 405}
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"a": NaN}', "application/json", 400),
        (b"[" * 50_000, "application/json", 400),
        (b'{"a": ' + b"9" * 5000 + b"}", "application/json", 400),
        (b'{"a": "' + b"x" * 300_000 + b'"}', "application/json", 413),
        (b"a=1", "application/x-www-form-urlencoded", 415),
        (b"<a/>", "text/xml", 415),
    ],
)
def test_a_body_that_is_no_json_is_a_client_error(acme, body, kind, status):
    acme.make_referrer("max")
    client = companies.client(acme.people["max"])

    for method, path in (ROUTES[3], ROUTES[5]):
        answer = getattr(client, method)(path, body, content_type=kind)
        assert answer.status_code == status
        assert answer["Content-Type"] == "application/problem+json"


def test_somebody_who_is_no_referrer_is_told_so(acme):
    answer = companies.client(acme.people["olga"]).get("/api/relance/status")

    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:relance:no_referrer"


def test_a_referrer_who_left_the_company_gets_in_no_more(acme, other):
    acme.make_referrer("amina")
    Membership.objects.filter(user=acme.people["amina"]).update(tenant=other.tenant)

    assert companies.client(acme.people["amina"]).get("/api/relance/status").status_code == 403


def test_a_user_of_two_companies_names_one_and_never_a_third(acme, other):
    max_ = acme.people["max"]
    Membership.objects.create(tenant=other.tenant, user=max_, role="viewer")
    Referrer.objects.create(tenant=other.tenant, external_id="x", name="x")

    def ask(**headers):
        return companies.client(max_, **headers).get("/api/relance/admin/messages")

    assert ask().json()["type"] == "urn:relance:tenant_missing"
    assert ask(HTTP_X_TENANT="acme").status_code == 200
    assert ask(HTTP_X_TENANT="other").json()["type"] == "urn:relance:role"
    for name in ("third", "ACME", "acme ", "\x00", "é", "1 OR 1=1"):
        assert ask(HTTP_X_TENANT=name).status_code in {200, 404}
    assert ask(HTTP_X_TENANT="third").status_code == 404


def test_a_foreign_and_an_unknown_company_get_the_same_answer(acme, other):
    def ask(slug):
        client = companies.client(acme.people["max"], HTTP_X_TENANT=slug)
        return client.get("/api/relance/admin/messages")

    assert ask("other").status_code == 404
    assert ask("other").json() == ask("nothing").json()


def test_the_schema_and_its_page_load_nothing_from_elsewhere(db):
    schema = APIClient().get("/api/schema/")
    page = APIClient().get("/api/docs/").content.decode()

    assert schema.status_code == 200
    assert "/api/relance/connect" in schema.content.decode()
    assert "https://" not in page
