"""Role by route: what a view declares is what callers meet, and nobody gets in without a log-in."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from accounts.models import ApiKey, Membership, ServiceKey, User
from accounts.permissions import EVERYBODY
from accounts.routes import ServiceRoute, TenantRoute
from campaigns.models import Referrer
from tests import companies, factories
from tests.security.routes import addresses, all_routes
from tests.security.test_tenancy import API, BODY, TENANT_ROUTES, call

# Open to everybody: what logs somebody in or out, and what says how the API is called.
PUBLIC = {"token", "refresh", "logout", "schema", "docs"}
WITH_ROLES = [r for r in API if hasattr(r.view_class, "roles")]
PROTECTED = [r for r in API if r.name not in PUBLIC]
ROLES = Membership.Role.values


def text_of(answer) -> str:
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return body.decode(errors="replace")


def declared(route, verb) -> frozenset[str]:
    roles = route.view_class.roles
    return roles if isinstance(roles, frozenset) else frozenset(roles.get(verb.upper(), ()))


def test_every_address_of_the_api_is_public_by_name_or_asks_who_calls():
    assert {r.name for r in all_routes() if r.path.startswith("/api/")} >= PUBLIC
    for route in PROTECTED:
        assert route.view_class.permission_classes, route
        assert (
            hasattr(route.view_class, "roles")
            or issubclass(route.view_class, ServiceRoute)
            or route.name == "password"
        ), f"{route}: say in `roles` who may call it, or name it in PUBLIC"


def test_nobody_gets_in_without_a_log_in(acme):
    for route in PROTECTED:
        for verb in route.verbs:
            for client in (APIClient(), APIClient(headers={"Authorization": "Bearer rl_0_x"})):
                answer = call(client, verb, addresses(route, acme.ids)[0])

                assert answer.status_code == 401, f"{verb} {route}"
                assert answer["WWW-Authenticate"]
                assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("route", WITH_ROLES, ids=str)
def test_a_role_gets_into_its_routes_and_no_other(acme, route):
    address = addresses(route, acme.ids)[0]
    for role in reversed(ROLES):  # whoever may change something comes last
        user = factories.make_user(acme.tenant, role=role)
        Referrer.objects.filter(tenant=acme.tenant).update(user=user)
        client = companies.client(user)
        for verb in route.verbs:
            answer = call(client, verb, address)

            refused = "urn:relance:role" in text_of(answer)
            assert refused == (role not in declared(route, verb)), f"{role} {verb} {route}"
            assert not refused or answer.status_code == 403


@pytest.mark.parametrize("route", WITH_ROLES, ids=str)
def test_a_viewer_changes_nothing(route):
    for verb in route.verbs:
        if verb != "get" and route.name not in READS_BY_POST:
            assert "viewer" not in declared(route, verb), f"{verb} {route}"
        assert declared(route, verb) <= EVERYBODY


# A POST that computes an answer and changes nothing.
READS_BY_POST = {"preview", "template-preview", "segment-preview", "forecast", "import-check"}


@pytest.mark.parametrize("route", TENANT_ROUTES, ids=str)
def test_a_key_gets_in_with_the_scope_of_the_verb_and_with_no_other(acme, route):
    company = companies.Company(acme.tenant)
    for verb in route.verbs:
        scope = getattr(route.view_class, "scopes", {}).get(verb.upper())
        others = [found for found in ApiKey.Scope.values if found != scope]
        address = addresses(route, acme.ids)[0]

        refused = call(companies.program(company, *others), verb, address)
        assert refused.status_code == 403, f"{verb} {route}"
        assert refused.json()["type"] == "urn:relance:scope"
        if scope is not None:
            assert scope in ApiKey.Scope.values, f"{verb} {route}: {scope} is no scope"
            answer = call(companies.program(company, scope), verb, address)
            assert "urn:relance:scope" not in text_of(answer)


@pytest.mark.parametrize("route", TENANT_ROUTES, ids=str)
def test_a_scope_that_only_reads_changes_nothing(route):
    for verb, scope in getattr(route.view_class, "scopes", {}).items():
        if scope.endswith(":read"):
            assert verb == "GET" or route.name in READS_BY_POST, f"{verb} {route}"
    assert issubclass(route.view_class, TenantRoute)


@pytest.mark.parametrize(
    "route", [r for r in API if issubclass(r.view_class, ServiceRoute)], ids=str
)
def test_routes_of_services_take_no_persons_token_and_no_key(acme, route):
    owner = User.objects.get(username="owner-acme")
    key = ServiceKey.objects.get(tenant=acme.tenant)
    for client in (
        companies.client(owner),
        companies.program(companies.Company(acme.tenant), *ApiKey.Scope.values),
        APIClient(headers={"Authorization": f"Bearer {key.key_id}"}),
    ):
        for verb in route.verbs:
            answer = call(client, verb, addresses(route, acme.ids)[0])
            assert answer.status_code == 401
    assert BODY
