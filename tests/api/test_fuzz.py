"""Every operation of docs/openapi.yaml is called with what it allows and with what it does not.

Two companies live in the database. Whatever Acme's owner, a viewer, a key or a signed call sends,
ids of the other company included: no answer is a 5xx, each is as the schema says, nothing of the
other company is ever in one, and its rows stay as they are.

RELANCE_FUZZ_EXAMPLES sets how many calls each operation gets (default 8).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import schemathesis
import yaml
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests import companies
from tests.api import worlds

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
# It waits for a code that no worker shows here, and 504 is what its callers know.
MAY_TIME_OUT = {"postConnect", "postAgentConnect"}


def aim(draw, world: worlds.World, path: str, values):
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
    before = worlds.foreign_rows(world.other)
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
        for canary in (worlds.SECRET, worlds.SECRET_PHONE):
            assert canary not in answer.text or canary in sent, answer.text

    call()

    assert worlds.foreign_rows(world.other) == before
