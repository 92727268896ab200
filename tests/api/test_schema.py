"""The schema: what it says of every operation, and that programs never get a page."""

import pytest
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from tests import companies


@pytest.fixture(scope="module")
def schema():
    return SchemaGenerator().get_schema(request=None, public=True)


def operations(schema):
    for path, methods in schema["paths"].items():
        for verb, operation in methods.items():
            yield f"{verb.upper()} {path}", operation


def test_every_operation_says_what_it_does_and_has_a_name_of_its_own(schema):
    found = dict(operations(schema))
    assert [name for name, one in found.items() if not one.get("summary")] == []
    assert [name for name, one in found.items() if not one.get("tags")] == []
    names = [one["operationId"] for one in found.values()]
    assert sorted(set(names)) == sorted(names)


def test_every_error_has_the_one_shape(schema):
    for name, operation in operations(schema):
        for status, answer in operation["responses"].items():
            if status.startswith(("4", "5")) or status == "default":
                kept = schema["components"]["responses"][answer["$ref"].rpartition("/")[2]]
                assert list(kept["content"]) == ["application/problem+json"], (name, status)


def test_bodies_say_that_they_are_strict(schema):
    for name, operation in operations(schema):
        if "/api/v1/" in name and "requestBody" in operation:
            for body in operation["requestBody"]["content"].values():
                component = body["schema"]["$ref"].rpartition("/")[2]
                strict = schema["components"]["schemas"][component]["additionalProperties"] is False
                assert strict, name


def test_every_operation_shows_what_is_sent_and_what_comes_back(schema):
    for name, operation in operations(schema):
        if "requestBody" in operation:
            kind, body = next(iter(operation["requestBody"]["content"].items()))
            shown = body.get("examples") or kind == "multipart/form-data"  # files have none
            assert shown, f"{name}: give extend_schema an example of the body"
        for status, answer in operation["responses"].items():
            json = answer.get("content", {}).get("application/json")
            if status.startswith("2") and status != "202" and json is not None:
                assert json.get("examples"), f"{name}: give extend_schema an example of {status}"


@pytest.mark.parametrize(
    "path", ["/api/v1/nothing", "/api/v1/accounts/-1", "/api/v1/messages/x", "/api/nothing/"]
)
def test_an_address_that_does_not_exist_is_a_problem_too(db, path):
    answer = APIClient().get(path)

    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"] == "There is no such address."


def test_people_get_a_page_instead(db):
    answer = APIClient().get("/nothing")

    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


def test_ids_beyond_what_the_database_counts_are_nobodys(acme):
    max_ = companies.client(acme.people["max"])

    for path in ("accounts", "referrals", "targets", "campaigns", "steps"):
        assert max_.get(f"/api/v1/{path}/{10**30}").status_code == 404
