"""Whatever is edited in the admin stands in the activity log, with who did it; and stays inside."""

import pytest

from accounts.models import Activity, User
from campaigns.models import Campaign
from tests import factories
from whatsapp.models import Account

ACCOUNTS = "/admin/whatsapp/account/"
CAMPAIGNS = "/admin/campaigns/campaign/"
LIMITS = {"daily_limit": "", "per_minute": "", "gap_ms": ""}


def log():
    rows = Activity.objects.exclude(verb="logged_in").order_by("id")
    return [(row.verb, row.subject_type.partition(".")[2], row.detail) for row in rows]


def save(client, address, **fields):
    answer = client.post(address, fields)
    assert answer.status_code == 302, answer.context["adminform"].form.errors


def test_an_account_is_made_limited_and_switched_off(operator, acme):
    made = {"tenant": acme.pk, "name": "amina", "enabled": "on"}

    save(operator, f"{ACCOUNTS}add/", **made, **LIMITS)
    page = f"{ACCOUNTS}{Account.objects.get().pk}/change/"
    save(operator, page, **made, **LIMITS | {"daily_limit": "7"})
    save(operator, page, name="amina", **LIMITS | {"daily_limit": "7"})
    save(operator, page, name="amina", **LIMITS | {"daily_limit": "7"})

    default = {"daily_limit": None, "per_minute": None, "gap_ms": None}
    assert log() == [
        ("account_created", "account", {}),
        ("limits_changed", "account", {"before": default, "after": default | {"daily_limit": 7}}),
        ("changed", "account", {"fields": ["enabled"]}),
    ]
    assert set(Activity.objects.values_list("actor_name", "tenant")) >= {("operator", acme.pk)}
    account = Account.objects.get()
    assert (account.daily_limit, account.enabled) == (7, False)


def test_a_campaign_is_made_renamed_and_deleted(operator, acme):
    fields = {"tenant": acme.pk, "name": "Autumn", "default_language": "fr", "first_delay": "3600"}

    save(operator, f"{CAMPAIGNS}add/", **fields)
    page = f"{CAMPAIGNS}{Campaign.objects.get().pk}/"
    save(operator, f"{page}change/", **fields | {"name": "Winter"})
    save(operator, f"{page}delete/", post="yes")

    assert log() == [
        ("campaign_created", "campaign", {}),
        ("changed", "campaign", {"fields": ["name"]}),
        ("deleted", "campaign", {}),
    ]
    assert not Campaign.objects.exists()


@pytest.mark.parametrize("delay", ["999999999 00:00:00", "-1:00:00"])
def test_a_campaign_begins_within_a_year(operator, acme, delay):
    """PostgreSQL knows no moment a million years from now."""
    answer = operator.post(
        f"{CAMPAIGNS}add/",
        {"tenant": acme.pk, "name": "Autumn", "default_language": "fr", "first_delay": delay},
    )
    assert "first_delay" in answer.context["adminform"].form.errors
    assert not Campaign.objects.exists()


def test_a_campaign_that_is_switched_on_is_not_deleted(operator, acme):
    campaign = factories.make_campaign(acme)

    assert operator.post(f"{CAMPAIGNS}{campaign.pk}/delete/", {"post": "yes"}).status_code == 403

    assert Campaign.objects.get() == campaign


def test_a_company_and_a_referrer_are_edited(operator, acme):
    referrer = factories.make_referrer(acme, external_id="r1")
    page = f"/admin/campaigns/referrer/{referrer.pk}/change/"

    save(operator, page, external_id="r1", name="Amina", account=referrer.account_id)
    save(operator, page, external_id="r1", name="Amina B.", account=referrer.account_id)

    assert [verb for verb, *_ in log()] == ["changed", "changed"]
    assert log()[1][2] == {"fields": ["name"]}


# ------------------------------------------------------------- people of one's own company


@pytest.fixture
def stranger(rival):
    return factories.make_user(rival, username="stranger")


@pytest.mark.parametrize("by", ["operator", "manager"])
def test_nobody_of_another_company_becomes_the_owner_of_an_account(request, acme, stranger, by):
    account = factories.make_account(acme)
    client = request.getfixturevalue(by)

    answer = client.post(
        f"{ACCOUNTS}{account.pk}/change/",
        {"name": account.name, "enabled": "on", "owner": stranger.pk, **LIMITS},
    )

    assert "owner" in answer.context["adminform"].form.errors
    account.refresh_from_db()
    assert account.owner is None


def test_a_manager_chooses_an_owner_from_the_people_of_the_company(manager, acme, stranger):
    account = factories.make_account(acme)
    amina = factories.make_user(acme, username="amina")
    page = f"{ACCOUNTS}{account.pk}/change/"

    choices = manager.get(page).context["adminform"].form.fields["owner"].queryset
    save(manager, page, name=account.name, enabled="on", owner=amina.pk, **LIMITS)

    assert set(choices) == set(User.objects.filter(memberships__tenant=acme))
    account.refresh_from_db()
    assert account.owner == amina
