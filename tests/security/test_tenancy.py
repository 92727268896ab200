"""Nothing of one company is ever visible to another: every route, every id, every way to log in.

The routes are read from the URL conf, the ids from the models: neither has to be listed here. For
each route with an id an outsider tries every id of the other company, and has to get the answer
that an id which does not exist gets.
"""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import ApiKey, User
from accounts.routes import TenantRoute
from tests import companies, factories
from tests.factories import DAY
from tests.security import world
from tests.security.routes import Route, addresses, all_routes

# One test walks many routes.
pytestmark = pytest.mark.timeout(600)
ROUTES = all_routes()
API = [r for r in ROUTES if r.path.startswith("/api/")]
PAGES = [r for r in ROUTES if not r.path.startswith(("/api/", "/admin/"))]
ADMIN = [r for r in ROUTES if r.path.startswith("/admin/")]
# Anything that a body might have to hold, so that a call gets as far as looking for the id.
BODY = {
    "sendingPaused": True,
    "dayNumber": 1,
    "messageTemplate": {"fr": "Bonjour"},
    "name": "x",
    "scopes": ["stats:read"],
    "to": "+33639980042",
    "message": "Bonjour",
    "body": "Bonjour",
    "reason": "by hand",
    "sent": True,
}


def with_ids(routes: list[Route]) -> list[Route]:
    return [r for r in routes if set(r.converters) - set(world.NOT_IDS)]


def person(acme) -> APIClient:
    return companies.client(User.objects.get(username="owner-acme"))


def program(acme) -> APIClient:
    client = companies.program(companies.Company(acme.tenant), *ApiKey.Scope.values)
    # Its use is noted once a minute: not among what is compared.
    ApiKey.objects.filter(tenant=acme.tenant).update(last_used_at=timezone.now() + DAY)
    return client


def staff(acme) -> Client:
    user = User.objects.get(username="owner-acme")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client = Client()
    client.force_login(user)
    return client


def referrer(acme) -> Client:
    user = factories.make_user(acme.tenant, role="agent", username="referrer-acme")
    row = acme.tenant.referrers.get()
    row.user = user
    row.save(update_fields=["user"])
    client = Client()
    client.force_login(user)
    return client


OUTSIDERS = {"person": person, "program": program, "staff": staff, "referrer": referrer}


def call(client: Client, verb: str, address: str):
    if isinstance(client, APIClient):
        return getattr(client, verb)(address, BODY if verb != "get" else None, format="json")
    return getattr(client, verb)(address, BODY if verb == "post" else None, follow=False)


def what_it_says(answer, address: str) -> tuple[int, str]:
    """Status and text, with the id left out that was asked for."""
    text = answer.headers.get("Location", "")
    if answer.status_code != 200 and not answer.streaming:
        text += answer.content.decode(errors="replace")
    for part in address.split("/"):
        text = text.replace(part, "") if part.isdigit() or "-" in part else text
    return answer.status_code, text if answer.get("Content-Type", "").endswith("json") else ""


# ---------------------------------------------------------------------------------- the test's own


def test_both_companies_have_a_row_of_everything_a_company_has(rival):
    """A new model is made in `world.make`, or this fails."""
    empty = [model._meta.label for model, rows in rival.rows.items() if not rows]
    no_way = [m._meta.label for m in world.OURS if world.path_to_tenant(m) is None]

    assert not empty, f"make one of each in tests/security/world.py: {empty}"
    assert not no_way, f"no foreign key leads from these to a company: {no_way}"


def test_no_id_of_one_company_is_one_of_the_others(acme, rival):
    assert not set(acme.ids["int"]) & set(rival.ids["int"])
    assert len(rival.ids["int"]) > 15
    assert rival.ids["uuid"]


def test_the_companys_own_ids_are_found(acme, rival):
    """Otherwise the next test would prove nothing."""
    client = person(acme)
    unfound = [
        route.path
        # Codes first: they are shown for seconds only, and not after somebody disconnected.
        for route in sorted(with_ids(API), key=lambda route: "/qr" not in route.path)
        if all(
            call(client, route.verbs[0], address).status_code == 404
            for address in addresses(route, acme.ids)
        )
    ]

    assert not unfound, "no id of the caller's own company is found there either"


# -------------------------------------------------------------------------------------- the API


@pytest.mark.parametrize("outsider", ["person", "program"])
def test_an_id_of_another_company_is_one_that_does_not_exist(acme, rival, outsider):
    """All routes in one test: nothing may change, so one pair of companies does for all."""
    client = OUTSIDERS[outsider](acme)
    none = {**rival.ids, **world.NOWHERE}
    before = world.fingerprint()
    wrong = []
    for route in with_ids(API):
        for verb in route.verbs:
            expected = {
                what_it_says(call(client, verb, address), address)
                for address in addresses(route, none, acme.ids)
            }
            for address in addresses(route, rival.ids, acme.ids):
                answer = call(client, verb, address)
                known = what_it_says(answer, address) not in expected
                done = answer.status_code not in {400, 401, 403, 404, 405}
                told = "rival" in answer.content.decode().replace(address, "")
                if known or done or told:
                    wrong.append((verb, address, answer.status_code))
        assert world.fingerprint() == before, f"{route} has changed something"

    assert not wrong


TENANT_ROUTES = [r for r in API if r.view_class and issubclass(r.view_class, TenantRoute)]


def test_the_name_of_another_company_opens_nothing(acme, rival):
    client = person(acme)
    before = world.fingerprint()
    for route in TENANT_ROUTES:
        for verb in route.verbs:
            address = addresses(route, {**acme.ids, **rival.ids})[0]
            client.credentials(**{**client._credentials, "HTTP_X_TENANT": "rival"})
            foreign = call(client, verb, address)
            client.credentials(**{**client._credentials, "HTTP_X_TENANT": "nowhere"})

            assert foreign.status_code in {403, 404}, f"{verb} {address}"
            assert what_it_says(foreign, address) == what_it_says(
                call(client, verb, address), address
            )
        assert world.fingerprint() == before, f"{route} has changed something"


@pytest.mark.parametrize("outsider", OUTSIDERS)
def test_no_list_page_or_figure_shows_anything_of_another_company(acme, rival, outsider):
    client = OUTSIDERS[outsider](acme)
    routes = {"staff": ADMIN, "referrer": PAGES}.get(outsider, API)
    opened = []
    for route in routes:
        if set(route.converters) - set(world.NOT_IDS) or "get" not in route.verbs:
            continue
        for address in addresses(route, world.NOT_IDS):
            answer = call(client, "get", address)
            text = b"".join(answer) if answer.streaming else answer.content
            assert b"rival" not in text.lower(), address
            assert answer.status_code < 500, address
            if answer.status_code == 200:
                opened.append(address)

    assert opened


# ------------------------------------------------------------------------------------ the admin


MODELS = sorted({r.model for r in ADMIN if r.model in world.OURS}, key=lambda m: m.__name__)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_the_admin_opens_no_row_of_another_company(acme, rival, model):
    client = staff(acme)
    numbers = {"object_id": [r.pk for r in rival.rows[model]], "id": [rival.rows[model][0].pk]}
    own = {**acme.ids, "object_id": [acme.rows[model][0].pk], "id": [acme.rows[model][0].pk]}
    nowhere = world.NOWHERE["int"]
    before = world.fingerprint()
    routes = [route for route in with_ids(ADMIN) if route.model is model]
    assert routes
    for route in routes:
        for verb in route.verbs:
            expected = {
                call(client, verb, address).status_code
                for address in addresses(
                    route, {**rival.ids, "int": nowhere, "object_id": nowhere, "id": nowhere}
                )
            }
            # With two ids the first is the model's own: every pair there is would be thousands.
            pk = ["pk"] if len(route.converters) > 1 else []
            theirs = dict.fromkeys(pk, numbers["object_id"])
            ours = dict.fromkeys(pk, own["object_id"])
            for address in addresses(route, {**rival.ids, **numbers, **theirs}, {**own, **ours}):
                answer = call(client, verb, address)

                assert answer.status_code in expected | {403}, f"{verb} {address}"
                assert answer.status_code in {301, 302, 403, 404, 405}, f"{verb} {address}"
                assert "rival" not in answer.content.decode().lower()
    assert world.fingerprint() == before


def test_every_other_page_of_the_admin_with_an_id_is_closed_to_staff_of_a_company(acme, rival):
    client = staff(acme)
    for route in with_ids(ADMIN):
        if route.model in world.OURS:
            continue
        for address in addresses(route, {**rival.ids, "object_id": [1], "id": [1]}):
            for verb in route.verbs:
                answer = call(client, verb, address)
                assert answer.status_code in {302, 403, 404}, f"{verb} {address}"


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_no_action_of_a_list_touches_rows_of_another_company(acme, rival, model):
    client = staff(acme)
    site = admin.site.get_model_admin(model)
    address = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    before = world.fingerprint()
    for name in site.actions or ():
        client.post(
            address,
            {
                "action": name if isinstance(name, str) else name.__name__,
                "_selected_action": [row.pk for row in rival.rows.get(model, [])],
                "confirmed": "yes",
            },
        )
    assert world.fingerprint() == before


def test_a_referrers_page_needs_a_log_in_unless_it_is_one(acme):
    public = {"healthz", "readyz", "login", "logout", "set_language", "favicon"}
    for route in PAGES:
        for address in addresses(route, acme.ids):
            for verb in route.verbs:
                answer = call(Client(), verb, address)

                if route.name in public:
                    assert answer.status_code < 500, f"{verb} {address}"
                else:
                    assert answer.status_code in {302, 403, 405}, f"{verb} {address}"
                    assert b"acme" not in answer.content
