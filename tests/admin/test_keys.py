"""API keys in the admin: shown once, revoked for ever, one's own company's only."""

import re

import pytest
from django.utils import timezone

from accounts import api_keys
from accounts.activity import SYSTEM
from accounts.models import Activity, ApiKey
from tests.admin.test_actions import act

LIST = "/admin/accounts/apikey/"


def issue(tenant, name="CRM"):
    key, _text = api_keys.issue(
        tenant=tenant, name=name, role="agent", scopes=["messages:read"], actor=SYSTEM,
        now=timezone.now(),
    )  # fmt: skip
    return key


def add(client, tenant, **changes):
    fields = {"tenant": tenant.pk, "name": "CRM", "role": "agent", "scopes": ["messages:read"]}
    return client.post(LIST + "add/", fields | changes)


def test_the_text_of_a_new_key_is_shown_once_and_works(manager, acme):
    shown = add(manager, acme)

    text = re.search(r"rl_[0-9a-f]{12}_[\w-]+", shown.content.decode())[0]
    key = api_keys.find(text, now=timezone.now())
    assert (key.tenant, key.role, key.scopes) == (acme, "agent", ["messages:read"])
    assert "no-store" in shown["Cache-Control"]
    assert text not in str(shown.cookies)
    for page in (LIST, f"{LIST}{key.pk}/change/"):
        assert text.removeprefix(key.key_id) not in manager.get(page).content.decode()
    assert Activity.objects.get(verb="api_key_issued").user.username.startswith("user-")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"role": "king"}, "role"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"expires_at_0": "never", "expires_at_1": "ever"}, "expires_at"),
    ],
)
def test_a_key_that_cannot_be_issued_is_refused_beside_its_field(manager, acme, changes, field):
    answer = add(manager, acme, **changes)

    assert set(answer.context["adminform"].form.errors) == {field}
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(("role", "issued"), [("owner", 0), ("manager", 1), ("agent", 1)])
def test_nobody_gives_a_key_more_than_they_may_themselves(manager, acme, role, issued):
    answer = add(manager, acme, role=role)

    assert ApiKey.objects.count() == issued
    assert issued or set(answer.context["adminform"].form.errors) == {"role"}


def test_nobody_issues_a_key_of_another_company(manager, rival):
    answer = add(manager, rival)

    assert "tenant" in answer.context["adminform"].form.errors
    assert not ApiKey.objects.exists()


def test_a_key_is_revoked_after_a_question_and_is_refused_from_then_on(manager, acme):
    shown = add(manager, acme)
    text = re.search(r"rl_[0-9a-f]{12}_[\w-]+", shown.content.decode())[0]
    key = ApiKey.objects.get()

    act(manager, LIST, "revoke", [key], sure=False)
    assert api_keys.find(text, now=timezone.now()) == key

    act(manager, LIST, "revoke", [key])
    assert api_keys.find(text, now=timezone.now()) is None


def test_another_companys_key_is_not_revoked_and_no_key_is_changed_or_deleted(manager, acme, rival):
    ours, theirs = issue(acme), issue(rival)

    act(manager, LIST, "revoke", [theirs])
    manager.post(f"{LIST}{ours.pk}/change/", {"role": "owner", "scopes": ["people:write"]})
    manager.post(f"{LIST}{ours.pk}/delete/", {"post": "yes"})

    theirs.refresh_from_db()
    ours.refresh_from_db()
    assert theirs.revoked_at is None
    assert (ours.role, ours.scopes) == ("agent", ["messages:read"])
