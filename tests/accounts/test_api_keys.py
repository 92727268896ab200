"""API keys: what a company's own programs call with."""

import base64
import datetime as dt

import pytest
from django.core.management import call_command
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import activity, api_keys
from accounts.activity import Actor, Verb
from accounts.models import Activity, ApiKey, Membership, Tenant
from tests import companies
from tests.factories import NOW

KEYS = "/api/v1/api-keys"
LOG = "/api/v1/activity"
OLGA = Actor("user", "olga")


def issue(company, *scopes, now=None, **fields):
    fields = {"name": "CRM", "role": "owner", "actor": OLGA, **fields}
    return api_keys.issue(tenant=company.tenant, scopes=scopes, now=now or timezone.now(), **fields)


def b64(text):
    return base64.b64encode(text.encode()).decode()


def call(text, path=LOG, *, scheme="Bearer", **headers):
    return APIClient().get(path, headers={"Authorization": f"{scheme} {text}", **headers})


# ------------------------------------------------------------------------- issuing and revoking


def test_an_owner_issues_a_key_sees_it_once_and_a_program_calls_with_it(acme):
    olga = companies.client(acme.people["olga"])

    made = olga.post(
        KEYS, {"name": "CRM", "role": "manager", "scopes": ["activity:read"]}, format="json"
    )

    assert made.status_code == 201, made.json()
    assert made["Cache-Control"] == "no-store"
    key = made.json()["key"]
    assert key.startswith(made.json()["keyId"] + "_")
    assert call(key).status_code == 200
    assert call(key, scheme="Api-Key").status_code == 200
    (listed,) = olga.get(KEYS).json()
    assert listed["createdBy"] == "olga"
    assert listed["lastUsedAt"] is not None
    assert key not in olga.get(KEYS).content.decode()


def test_what_is_stored_is_not_the_key(acme):
    key, text = issue(acme, "activity:read")

    stored = str(ApiKey.objects.values().get())
    assert text not in stored
    assert text.removeprefix(key.key_id + "_") not in stored
    assert len(text.removeprefix(key.key_id + "_")) == 43  # 256 bits


def test_a_revoked_key_ends_at_once(acme):
    key, text = issue(acme, "activity:read")
    olga = companies.client(acme.people["olga"])

    assert olga.delete(f"{KEYS}/{key.pk}").status_code == 204
    assert olga.delete(f"{KEYS}/{key.pk}").status_code == 204

    refused = call(text)
    assert refused.status_code == 401
    assert refused.json()["type"] == "urn:relance:api_key"
    assert refused["WWW-Authenticate"] == "Bearer"
    recorded = Activity.objects.filter(verb__startswith="api_key_").order_by("id")
    assert [line.verb for line in recorded] == ["api_key_issued", "api_key_revoked"]
    assert recorded[1].actor_name == "olga"


def test_a_key_expires(acme):
    _key, text = issue(acme, "activity:read", expires_at=timezone.now() + dt.timedelta(hours=1))
    assert call(text).status_code == 200

    ApiKey.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))

    assert call(text).status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x"}, "scopes"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["everything"]}, "scopes[0]"),
        ({"name": "x", "scopes": "activity:read"}, "scopes"),
        ({"name": "", "scopes": ["activity:read"]}, "name"),
        ({"name": "x" * 81, "scopes": ["activity:read"]}, "name"),
        ({"name": "a\x00b", "scopes": ["activity:read"]}, "name"),
        ({"name": "x", "scopes": ["activity:read"], "role": "god"}, "role"),
        ({"name": "x", "scopes": ["activity:read"], "role": "owner"}, "role"),
        ({"name": "x", "scopes": ["activity:read"], "expiresAt": "2001-01-01"}, "expiresAt"),
        ({"name": "x", "scopes": ["activity:read"], "expiresAt": "soon"}, "expiresAt"),
        ({}, "name"),
        ([], ""),
    ],
)  # fmt: skip
def test_a_bad_wish_names_the_field_and_issues_nothing(acme, body, field):
    answer = companies.client(acme.people["max"]).post(KEYS, body, format="json")

    assert answer.status_code == 400
    assert field in {error["field"] for error in answer.json()["errors"]}
    assert not ApiKey.objects.exists()


def test_fields_that_are_not_yours_to_set_are_refused(acme):
    wish = {"name": "x", "scopes": ["activity:read"]}
    max_ = companies.client(acme.people["max"])
    for name, value in {
        "tenant": companies.other().tenant.pk, "keyId": "rl_mine", "key_id": "rl_mine",
        "digest": "0" * 64, "createdBy": acme.people["olga"].pk, "revokedAt": None, "id": 7,
    }.items():  # fmt: skip
        answer = max_.post(KEYS, {**wish, name: value}, format="json")
        assert answer.json()["errors"][0]["field"] == name
    assert not ApiKey.objects.exists()


# --------------------------------------------------------------------------- what a key may do


def test_a_key_is_good_for_its_scopes_only(acme):
    refused = companies.program(acme, "stats:read").get(LOG)

    assert refused.status_code == 403
    assert refused.json()["detail"] == "This API key lacks the scope activity:read."


def test_a_keys_role_bounds_it_like_a_persons(acme):
    assert companies.program(acme, "activity:read", role="viewer").get(LOG).status_code == 403
    assert companies.program(acme, "activity:read", role="manager").get(LOG).status_code == 200


def test_no_key_issues_or_lists_keys(acme):
    program = companies.program(acme, *ApiKey.Scope.values)

    assert program.get(KEYS).status_code == 403
    assert program.post(KEYS, {"name": "x", "scopes": ["stats:read"]}).status_code == 403
    assert program.delete(f"{KEYS}/{ApiKey.objects.get().pk}").status_code == 403


def test_a_key_is_no_person_and_opens_no_referrers_route(acme):
    acme.make_referrer("amina")

    answer = companies.program(acme, *ApiKey.Scope.values).get("/api/relance/status")

    assert answer.status_code == 401


def test_a_key_calls_for_its_own_company_whatever_x_tenant_says(acme):
    companies.other()
    _key, text = issue(acme, "activity:read")

    assert call(text, **{"X-Tenant": "acme"}).status_code == 200
    assert call(text, **{"X-Tenant": "other"}).status_code == 404
    assert call(text, **{"X-Tenant": "other"}).json() == call(text, **{"X-Tenant": "no"}).json()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1],
        lambda text: text + "x",
        lambda text: text[:15] + "_" + "A" * 43,
        lambda text: text[:15],
        lambda text: text.upper(),
        lambda text: "rl_",
        lambda text: "rl_" + "é" * 50,
        lambda text: "rl_\x00",
        lambda text: "rl_' OR 1=1 --",
        lambda text: "rl_" + "x" * 60_000,
    ],
)
def test_a_key_that_is_not_exactly_right_is_refused(acme, spoil):
    _key, text = issue(acme, "activity:read")

    assert call(spoil(text).encode("utf-8").decode("latin-1")).status_code == 401


def test_two_companies_keys_do_not_open_each_others_doors(acme):
    other = companies.other()
    activity.record(tenant_id=other.tenant.pk, verb=Verb.ENROLLED, now=NOW)

    lines = companies.program(acme, "activity:read").get(LOG).json()["results"]

    assert {line["verb"] for line in lines} == {"api_key_issued"}


def test_the_use_is_noted_once_a_minute_at_most(acme):
    key, text = issue(acme, "activity:read", now=NOW)
    times = []
    for seconds in (0, 30, 59, 61):
        assert api_keys.find(text, now=NOW + dt.timedelta(seconds=seconds))
        key.refresh_from_db()
        times.append((key.last_used_at - NOW).total_seconds())

    assert times == [0, 0, 0, 61]


def test_keys_outlive_a_rotation_of_the_session_secret(acme, settings):
    _key, text = issue(acme, "activity:read")
    old = settings.WHATSAPP_SESSION_SECRETS

    settings.WHATSAPP_SESSION_SECRETS = ["n" * 40, *old]
    assert call(text).status_code == 200
    call_command("rotate_profiles")
    settings.WHATSAPP_SESSION_SECRETS = ["n" * 40]

    assert call(text).status_code == 200


def test_the_same_text_hashes_differently_by_company_and_purpose(acme):
    other = companies.other()

    assert acme.tenant.hash("x", purpose="a") == Tenant.objects.get(slug="acme").hash(
        "x", purpose="a"
    )
    assert len({
        acme.tenant.hash("x", purpose="a"),
        acme.tenant.hash("x", purpose="b"),
        other.tenant.hash("x", purpose="a"),
    }) == 3  # fmt: skip


# --------------------------------------------------------------------------- the activity log


def test_the_log_is_read_newest_first_page_by_page(acme):
    for minute in range(5):
        activity.record(
            tenant_id=acme.tenant.pk,
            verb=Verb.ENROLLED,
            detail={"count": minute},
            now=NOW + dt.timedelta(minutes=minute),
        )
    olga = companies.client(acme.people["olga"])
    seen, url = [], f"{LOG}?pageSize=2&verb=enrolled"
    while url:
        page = olga.get(url).json()
        seen += [line["detail"]["count"] for line in page["results"]]
        url = page["next"]

    assert seen == [4, 3, 2, 1, 0]


def test_the_log_is_searched_by_verb_actor_subject_and_time(acme):
    referrer = acme.make_referrer("amina")
    for verb, actor, subject, hours in [
        (Verb.ACCOUNT_PAUSED, OLGA, referrer.account, 0),
        (Verb.ACCOUNT_RESUMED, Actor("user", "max"), referrer.account, 1),
        (Verb.ENROLLED, activity.SYSTEM, None, 2),
    ]:
        activity.record(
            tenant_id=acme.tenant.pk, verb=verb, actor=actor, subject=subject,
            now=NOW + dt.timedelta(hours=hours),
        )  # fmt: skip
    olga = companies.client(acme.people["olga"])

    def ask(**query):
        return [line["verb"] for line in olga.get(LOG, query).json()["results"]]

    assert ask(actor="max") == ["account_resumed"]
    assert ask(actorKind="system") == ["enrolled"]
    assert ask(subjectType="whatsapp.account", subjectId=referrer.account.pk) == [
        "account_resumed",
        "account_paused",
    ]
    assert ask(since="2026-11-20T10:00Z", until="2026-11-20T11:00Z") == ["account_resumed"]


@pytest.mark.parametrize(
    "query",
    [
        {"verb": "danced"}, {"subjectId": "x"}, {"subjectId": 2**70}, {"since": "yesterday"},
        {"actor": "a\x00"}, {"actorKind": "ghost"}, {"cursor": b64("p=yesterday")},
        {"cursor": b64("p=\x00")}, {"cursor": b64("o=-7&p=x")},
    ],
)  # fmt: skip
def test_a_bad_question_is_a_client_error(acme, query):
    answer = companies.client(acme.people["olga"]).get(LOG, query)

    assert answer.status_code in {400, 404}
    assert answer["Content-Type"] == "application/problem+json"


def test_agents_and_viewers_do_not_read_the_log(acme):
    assert companies.client(acme.people["amina"]).get(LOG).status_code == 403
    Membership.objects.filter(user=acme.people["amina"]).update(role="manager")
    assert companies.client(acme.people["amina"]).get(LOG).status_code == 200
