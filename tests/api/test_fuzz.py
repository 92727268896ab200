"""Every operation of docs/openapi.yaml is called with what it allows and with what it does not.

Two companies live in the database. Whatever Acme's owner, a viewer, a key or a signed call sends,
ids of the other company included: no answer is a 5xx, each is as the schema says, nothing of the
other company is ever in one, and its rows stay as they are.

RELANCE_FUZZ_EXAMPLES sets how many calls each operation gets (default 8).
"""

from __future__ import annotations

import functools
import io
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import schemathesis
import yaml
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rest_framework_simplejwt.tokens import RefreshToken
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.models import Activity, ApiKey, Tenant
from accounts.signed import sign_request
from campaigns.models import Campaign, Referral, Step, Target, Template
from tests import companies
from tests.factories import NOW, make_account, make_campaign, make_referral, make_target
from whatsapp.models import Account, Contact, Message

EXAMPLES = int(os.environ.get("RELANCE_FUZZ_EXAMPLES", "8"))
FILE = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
SCHEMA = schemathesis.openapi.from_dict(yaml.load(FILE.read_text(), Loader=yaml.CSafeLoader))
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
SECRET = "zzforeign"
SECRET_PHONE = "+447700900987"
# It waits for a code that no worker shows here, and 504 is what its callers know.
MAY_TIME_OUT = {"postConnect", "postAgentConnect"}


def signed(environ, start_response, *, handler, key):
    """The calls of other systems carry a signature of what they really send."""
    if "/internal/" in environ["PATH_INFO"]:
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = io.BytesIO(body)
        query = environ.get("QUERY_STRING", "")
        header = sign_request(
            key_id=key[0].key_id,
            secret=key[1],
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"] + (f"?{query}" if query else ""),
            body=body,
        )
        environ["HTTP_AUTHORIZATION"] = header["Authorization"]
    return handler(environ, start_response)


@dataclass
class World:
    """Ids by the name a path, a query or a body gives them: Acme's, then the other company's."""

    app: object
    other: Tenant
    tokens: dict[str, str] = field(default_factory=dict)
    ours: dict[str, object] = field(default_factory=dict)
    theirs: dict[str, object] = field(default_factory=dict)

    def id_of(self, name: str, path: str, *, whose: dict[str, object]) -> object:
        kind = path.removeprefix("/api/v1/").split("/")[0] if name == "id" else name
        return whose.get(kind)


def fill(company, name: str, *, owner: str, phone: str) -> dict[str, object]:
    """One of everything, all of it named so that it is recognised wherever it turns up."""
    tenant, user = company.tenant, company.people[owner]
    account = make_account(tenant, name=name, owner=user, phone=phone, push_name=name)
    referrer = company.make_referrer(owner, account=False)
    referrer.account, referrer.name, referrer.external_id = account, name, name
    referrer.save()
    campaign = make_campaign(tenant, days=2, languages=("fr",), name=f"{name}-campaign")
    Template.objects.filter(step__campaign=campaign).update(body=f"{name} {{{{name}}}}")
    referral = make_referral(referrer, external_id=name, name=name, phone=phone)
    target = make_target(referral, campaign=campaign)
    contact = Contact.objects.create(tenant=tenant, phone=phone, name=name)
    message = Message.objects.create(
        tenant=tenant, account=account, contact=contact, idempotency_key=name, content_hash="h",
        body=name, due_at=NOW, state="failed", error=name, wa_id=f"{name}-wa",
    )  # fmt: skip
    key, _text = companies.api_keys.issue(
        tenant=tenant, name=name, role="viewer", scopes=["stats:read"],
        actor=companies.SYSTEM, now=timezone.now(),
    )  # fmt: skip
    return {
        "accounts": account.pk,
        "account": account.pk,
        "agent": account.name,
        "tenant": tenant.slug,
        "X-Tenant": tenant.slug,
        "campaigns": campaign.pk,
        "campaign": campaign.pk,
        "steps": campaign.steps.first().pk,
        "language": "fr",
        "referrals": referral.pk,
        "referral": referral.pk,
        "targets": target.pk,
        "target": target.pk,
        "ids": [target.pk],
        "public_id": str(message.public_id),
        "api-keys": key.pk,
        "owner": owner,
        "day": 1,
    }


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker):
    """Made once: every call is taken back, so that none changes it for the next."""
    quick = override_settings(
        WHATSAPP_LINK_SECONDS=1,
        ALLOWED_HOSTS=["*"],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    )
    # As Django's own test client does: the test's connection stays open between calls.
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    with quick, django_db_blocker.unblock(), transaction.atomic():
        yield two_companies()
        transaction.set_rollback(True)
    request_started.connect(close_old_connections)
    request_finished.connect(close_old_connections)


def two_companies() -> World:
    acme, other = companies.acme(), companies.other()
    app = functools.partial(signed, handler=WSGIHandler(), key=companies.issue_key(acme))
    made = World(app=app, other=other.tenant)
    made.ours = fill(acme, "acme-own", owner="olga", phone="+33639980001")
    made.theirs = fill(other, SECRET, owner="eve", phone=SECRET_PHONE)
    for name in ("olga", "vera"):
        token = RefreshToken.for_user(acme.people[name]).access_token
        made.tokens[name] = f"Bearer {token}"
    _key, text = companies.api_keys.issue(
        tenant=acme.tenant, name="all", role="owner", scopes=ApiKey.Scope.values,
        actor=companies.SYSTEM, now=timezone.now(),
    )  # fmt: skip
    made.tokens["key"] = f"Bearer {text}"
    return made


def foreign_rows(tenant) -> list[object]:
    return [
        list(model.objects.filter(tenant=tenant).order_by("pk").values())
        for model in (Account, Campaign, Contact, Message, Referral, Target, ApiKey, Activity)
    ] + [list(Step.objects.filter(campaign__tenant=tenant).values())]


def aim(draw, world: World, path: str, values):
    """`values` with some of its ids replaced by ones that exist, here or in the other company."""
    for name in list(values):
        choices = [
            found
            for whose in (world.ours, world.theirs)
            if (found := world.id_of(name, path, whose=whose)) is not None
        ]
        if choices and draw(st.integers(0, 3)):
            values[name] = draw(st.sampled_from(choices))


def calls(operation):
    """What the schema allows, and what it does not."""
    return st.one_of(
        operation.as_strategy(GenerationMode.POSITIVE),
        operation.as_strategy(GenerationMode.NEGATIVE),
    )


@pytest.mark.django_db
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda found: found.label)
def test_whatever_is_sent_nothing_breaks_and_nothing_foreign_comes_back(operation, world):
    before = foreign_rows(world.other)
    may_time_out = operation.definition.raw["operationId"] in MAY_TIME_OUT

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize="RELANCE_FUZZ_EXAMPLES" not in os.environ,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=calls(operation), data=st.data())
    def call(case, data):
        companies.forget_limits()
        for part in (case.path_parameters, case.query, case.body):
            if isinstance(part, dict):
                aim(data.draw, world, operation.path, part)
        who = data.draw(st.sampled_from(list(world.tokens)), label="who")
        headers = {"Authorization": world.tokens[who]}
        if data.draw(st.booleans(), label="names a company"):
            headers["X-Tenant"] = data.draw(st.sampled_from(["acme", "other", "nobody"]))
        kept = {name: value for name, value in (case.headers or {}).items() if name not in headers}
        case.headers = kept | headers
        with transaction.atomic():
            answer = case.call(app=world.app)
            transaction.set_rollback(True)
        checks = CHECKS[1:] if may_time_out and answer.status_code == 504 else CHECKS
        case.validate_response(answer, checks=checks)
        sent = json.dumps([case.path_parameters, case.query, case.body], default=str)
        for canary in (SECRET, SECRET_PHONE):
            assert canary not in answer.text or canary in sent, answer.text

    call()

    assert foreign_rows(world.other) == before
