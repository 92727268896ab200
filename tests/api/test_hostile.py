"""Every field of every body and query gets values that nobody should send.

Generated from docs/openapi.yaml: a new route is covered by itself, from the example it has there.
An answer is never a 5xx; one that refuses names the field and has changed nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from django.db import connection, transaction
from werkzeug.test import Client

from tests import companies
from tests.api import worlds

FILE = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
SCHEMA = yaml.load(FILE.read_text(), Loader=yaml.CSafeLoader)
OPERATIONS = {
    f"{verb.upper()} {path}": (verb.upper(), path, operation)
    for path, methods in SCHEMA["paths"].items()
    for verb, operation in methods.items()
}
BODIES = [
    name
    for name, (_, _, operation) in OPERATIONS.items()
    if "application/json" in operation.get("requestBody", {}).get("content", {})
]
QUERIES = [
    name
    for name, (_, _, operation) in OPERATIONS.items()
    if any(parameter["in"] == "query" for parameter in operation.get("parameters", []))
]
DEEP = "[" * 60 + "]" * 60
# JSON as it is sent: most of these no client library would write.
VALUES = {
    "null": "null",
    "a list": "[]",
    "an object": "{}",
    "a truth": "true",
    "empty": '""',
    "negative": "-1",
    "10^30": "1" + "0" * 30,
    "a huge float": "1e308",
    "a NUL": '"a\\u0000b"',
    "half a character": '"\\ud800"',
    "emoji": '"👩‍👩‍👧"',
    "right to left": '"\\u202egpj.exe"',
    "long": json.dumps("x" * 100_000),
    "deep": DEEP,
    "SQL": '"\'; DROP TABLE whatsapp_message; --"',
    "a formula": '"=HYPERLINK(1)"',
    "a template": '"{{name.__class__}} {% load x %}"',
}
NO_BODIES = [
    b"", b"null", b"7", b'"x"', b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}',
    b'{"a": ' + b"9" * 5000 + b"}", b'{"\\ud800": 1}', b'{"' + b"k" * 5000 + b'": 1}',
]  # fmt: skip
# Two ends of one span: either may be named.
SPANS = {"since": "until", "until": "since"}


class Caller:
    """Calls as Acme's owner (or signed), and takes everything back."""

    def __init__(self, world: worlds.World) -> None:
        self.world = world
        self.client = Client(world.app)

    def path(self, path: str) -> str:
        for name in ("tenant", "agent", "public_id", "language", "day", "id"):
            value = self.world.id_of(name, path, whose=self.world.ours)
            path = path.replace(f"{{{name}}}", str(value))
        return path

    def call(self, verb: str, path: str, **values):
        headers = {"Authorization": self.world.tokens["olga"], "X-Tenant": "acme"}
        companies.forget_limits()
        before = written()
        with transaction.atomic():
            answer = self.client.open(self.path(path), method=verb, headers=headers, **values)
            answer.wrote = written() - before
            transaction.set_rollback(True)
        return answer


def written() -> int:
    """Rows that this transaction has written, those of keys and signatures left out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)"
            " FROM pg_stat_xact_user_tables"
            " WHERE relname NOT IN ('accounts_servicenonce', 'accounts_servicekey')"
        )
        return int(cursor.fetchone()[0])


@pytest.fixture
def caller(world, db):
    return Caller(world)


def base_of(world: worlds.World, path: str, operation) -> dict[str, object]:
    """The schema's own example, with ids that exist here."""
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    body = dict(next(iter(examples.values()))["value"])
    # Nothing is asked for outside of this machine.
    for name in ("media", "mediaUrls"):
        body.pop(name, None)
    for name in body:
        found = world.id_of(name, path, whose=world.ours)
        if found is not None:
            body[name] = found
    return body


def properties_of(operation) -> list[str]:
    found = operation["requestBody"]["content"]["application/json"]["schema"]
    component = SCHEMA["components"]["schemas"][found["$ref"].rpartition("/")[2]]
    return list(component["properties"])


def check(answer, name: str, what: str, *, base=()) -> None:
    """`base` are fields that the example itself is refused for here: a name that is taken."""
    assert answer.status_code < 500, (name, what, answer.text)
    if answer.status_code < 400:
        return
    problem = answer.json
    assert answer.content_type == "application/problem+json", (name, what)
    # A failed attempt to log in is itself recorded; a row that a constraint refused was counted.
    taken = any(error["code"] == "taken" for error in problem["errors"])
    assert answer.status_code == 401 or taken or not answer.wrote, (name, what, answer.text)
    if answer.status_code == 400 and problem["type"] == "urn:relance:invalid":
        fields = [error["field"] for error in problem["errors"]]
        expected = (name, SPANS.get(name, name), *base)
        named = any(field.startswith(expected) for field in fields) or name in problem["detail"]
        assert named, (name, what, problem)


@pytest.mark.parametrize("operation", BODIES)
def test_a_hostile_value_in_a_body_is_refused_by_name_or_taken_as_text(operation, caller):
    verb, path, described = OPERATIONS[operation]
    base = base_of(caller.world, path, described)

    def send(body: str):
        return caller.call(verb, path, data=body.encode(), content_type="application/json")

    refused = send(json.dumps(base)).json.get("errors", [])
    wrong = [error["field"] for error in refused if error["field"]]
    for name in properties_of(described):
        rest = {key: kept for key, kept in base.items() if key != name}
        for what, value in VALUES.items():
            body = json.dumps({**rest, name: "HERE"}).replace('"HERE"', value)
            check(send(body), name, what, base=wrong)


@pytest.mark.parametrize("operation", BODIES)
def test_a_body_that_is_no_body_is_refused(operation, caller):
    verb, path, _ = OPERATIONS[operation]
    for body in NO_BODIES:
        answer = caller.call(verb, path, data=body, content_type="application/json")
        assert answer.status_code < 500, (body[:20], answer.text)
        if answer.status_code >= 400:
            assert answer.content_type == "application/problem+json"
            assert not answer.wrote, body[:20]


@pytest.mark.parametrize("operation", QUERIES)
def test_a_hostile_value_in_a_query_is_refused_by_name_or_finds_nothing(operation, caller):
    verb, path, described = OPERATIONS[operation]
    values = ["", "\x00", "😀", "-1", "1" + "0" * 30, "x" * 3000, "' OR 1=1 --", "[]", "%ff"]
    for parameter in described["parameters"]:
        if parameter["in"] != "query":
            continue
        for value in values:
            answer = caller.call(verb, path, query_string={parameter["name"]: value})
            check(answer, parameter["name"], value)
            assert not answer.wrote


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_hostile_header_never_breaks_a_route(operation, caller):
    verb, path, _ = OPERATIONS[operation]
    for name, value in {
        "HTTP_X_TENANT": "é\x00' OR 1=1",
        "HTTP_AUTHORIZATION": "Bearer rl_\x00é",
        "HTTP_IDEMPOTENCY_KEY": "\x00",
        "HTTP_X_FORWARDED_FOR": "<script>, 10.0.0.1",
        "HTTP_ACCEPT": "application/nothing",
        "CONTENT_LENGTH": "x",
    }.items():
        answer = caller.call(verb, path, environ_overrides={name: value})
        assert answer.status_code < 500, (name, answer.text)
