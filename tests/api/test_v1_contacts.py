"""`/api/v1/contacts` and `/groups`: whom a company knows, and what they agreed to."""

import csv
import io

import pytest

from accounts.models import Activity
from tests import companies
from tests.factories import NOW, make_account
from whatsapp import contacts
from whatsapp.driver.base import Member
from whatsapp.groups import store_members
from whatsapp.models import Account, Chat, Contact, Group

pytestmark = pytest.mark.usefixtures("no_doorbells")
ZOE, BEN = "+33639980100", "+33639980101"


@pytest.fixture
def group(acme, account):
    return Group.objects.create(
        tenant=acme.tenant, account=account, chat_id="1@g.us", subject="Voisins",
        discovered_at=NOW, refreshed_at=NOW,
    )  # fmt: skip


@pytest.fixture
def scraped(group):
    """Zoé, known from the group only."""
    store_members(group, [Member(lid="1@lid", phone=ZOE, name="Zoé", admin=False)], now=NOW)
    return Contact.objects.get()


def post(client, address, **body):
    return client.post(f"/api/v1/{address}", body, format="json")


# -------------------------------------------------------------------------------- contacts


def test_somebody_is_entered_changed_and_found_again(acme, max_):
    made = post(max_, "contacts", phone="06 39 98 01 00", name="Zoé", tags=["VIP"])
    assert made.status_code == 201, made.json()
    pk = made.json()["id"]

    changed = max_.put(
        f"/api/v1/contacts/{pk}", {"language": "fr", "tags": ["lyon", "vip"]}, format="json"
    ).json()

    assert (changed["name"], changed["language"], changed["tags"]) == ("Zoé", "fr", ["lyon", "vip"])
    assert (changed["source"], changed["obstacle"], changed["engagement"]) == ("api", "", None)
    contacts.ensure(tenant_id=acme.tenant.pk, people={BEN: "Ben"})

    def ask(**query):
        found = max_.get("/api/v1/contacts", query).json()["results"]
        return [row["phone"] for row in found]

    assert ask() == [BEN, ZOE]
    assert ask(tag="VIP") == ask(phone="0639980100") == ask(search="zo") == [ZOE]
    assert ask(language="fr") == ask(source="api") == [ZOE]
    assert ask(obstacle="none") == [BEN, ZOE]
    assert ask(tag="nothing") == ask(engagementFrom=1) == ask(obstacle="opted_out") == []
    again = post(max_, "contacts", phone=ZOE)
    assert (again.status_code, again.json()["errors"][0]["code"]) == (409, "known")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "phone"),
        ({"phone": "12"}, "phone"),
        ({"phone": ZOE, "tags": ["x" * 41]}, "tags"),
        ({"phone": ZOE, "tags": "vip"}, "tags"),
        ({"phone": ZOE, "tags": ["a,b"]}, "tags"),
        ({"phone": ZOE, "language": "français"}, "language"),
        ({"phone": ZOE, "engagement": 100}, "engagement"),
        ({"phone": ZOE, "name": "a\x00"}, "name"),
    ],
)
def test_what_is_no_contact_is_named(max_, body, field):
    answer = post(max_, "contacts", **body)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"].startswith(field)
    assert not Contact.objects.exists()


def test_a_scraped_contact_says_what_keeps_people_from_writing_and_a_basis_lifts_it(
    acme, max_, scraped
):
    address = f"contacts/{scraped.pk}"
    assert max_.get(f"/api/v1/{address}").json()["obstacle"] == "no_lawful_basis"
    assert max_.get("/api/v1/contacts?obstacle=no_lawful_basis").json()["results"]
    assert post(max_, f"{address}/basis", basis="consent").status_code == 400  # whence?

    told = post(max_, f"{address}/basis", basis="consent", note="signed at the fair").json()

    assert told["obstacle"] == ""
    assert (told["lawfulBasis"]["by"], told["lawfulBasis"]["note"]) == ("max", "signed at the fair")
    gone = post(max_, f"{address}/basis/withdraw", note="not her signature").json()
    assert (gone["obstacle"], gone["lawfulBasis"]) == ("no_lawful_basis", None)
    ledger = max_.get(f"/api/v1/{address}/consent").json()["results"]
    assert [(entry["what"], entry["how"], entry["by"]) for entry in ledger] == [
        ("basis_withdrawn", "API", "max"), ("lawful_basis", "API", "max"),
    ]  # fmt: skip


def test_people_are_opted_out_and_in_again(acme, max_, scraped):
    address = f"contacts/{scraped.pk}"

    assert post(max_, f"{address}/opt-out").json()["optOutReason"] == "by max"
    assert post(max_, f"{address}/opt-out").json()["obstacle"] == "opted_out"
    assert post(max_, f"{address}/opt-in", note="by telephone").json()["optedOutAt"] is None
    timeline = max_.get(f"/api/v1/{address}/timeline").json()["events"]
    assert [event["what"] for event in timeline] == ["opted_in", "opted_out", "member"]


def test_agents_see_whom_their_accounts_talk_with(acme, account, scraped):
    amina = companies.client(acme.people["amina"])
    assert amina.get("/api/v1/contacts").json()["results"] == []
    assert amina.get(f"/api/v1/contacts/{scraped.pk}").status_code == 404

    Chat.objects.create(tenant=acme.tenant, account=account, contact=scraped, started_at=NOW)

    assert len(amina.get("/api/v1/contacts").json()["results"]) == 1
    assert post(amina, f"contacts/{scraped.pk}/basis", basis="consent", note="x").status_code == 403
    assert post(amina, f"contacts/{scraped.pk}/opt-out").status_code == 200


def test_many_come_in_at_once_each_with_its_result(acme, max_):
    body = {
        "contacts": [
            {"phone": ZOE, "tags": ["vip"], "lawfulBasis": "consent", "basisNote": "form"},
            {"phone": "12"},
            {"phone": BEN, "lawfulBasis": "vibes"},
            {"phone": ZOE, "optedOut": True},
        ]
    }
    for dry_run in (True, False):
        answer = post(max_, "contacts/import", dryRun=dry_run, **body)
        assert answer.status_code == 200, answer.json()
        said = answer.json()
        assert (said["created"], said["updated"], said["refused"]) == (1, 1, 2)
        results = [row["result"] for row in said["results"]]
        assert results == ["created", "refused", "refused", "updated"]
        assert said["results"][2]["findings"][0]["field"] == "lawfulBasis"
        assert Contact.objects.count() == (0 if dry_run else 1)
    assert Contact.objects.get().obstacle == "opted_out"
    assert post(max_, "contacts/import", contacts=[]).status_code == 400


def test_the_export_is_a_csv_for_administrators_and_recorded(acme, other, max_, scraped):
    contacts.ensure(tenant_id=other.tenant.pk, people={BEN: "Ben"})

    answer = max_.get("/api/v1/contacts/export")

    text = b"".join(answer.streaming_content).decode()
    (row,) = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    assert (row["phone"], row["lid"], row["source_detail"]) == (ZOE, "1@lid", "Voisins")
    assert answer["Cache-Control"] == "no-store"
    assert Activity.objects.get(verb="contacts_exported").detail == {"contacts": 1}
    assert companies.client(acme.people["vera"]).get("/api/v1/contacts/export").status_code == 403


# ---------------------------------------------------------------------------------- groups


@pytest.mark.parametrize("prefix", ["/api/v1", "/api/whatsapp"])
def test_groups_are_discovered_labelled_and_scraped(acme, max_, account, group, prefix):
    asked = max_.post(f"{prefix}/accounts/{account.pk}/groups/discover")
    assert (asked.status_code, asked.json()["accountId"]) == (202, account.pk)
    assert asked.json()["requestedAt"] is not None
    assert max_.get(f"{prefix}/accounts/{account.pk}/groups/discover").json()["groups"] == 1

    labelled = max_.put(
        f"{prefix}/groups/{group.pk}", {"region": "Lyon", "tags": ["Voisins"]}, format="json"
    ).json()
    assert (labelled["region"], labelled["tags"], labelled["segments"]) == ("Lyon", ["voisins"], [])
    assert labelled["canWrite"] is True

    def ask(**query):
        return len(max_.get(f"{prefix}/groups", query).json()["results"])

    assert (
        ask(tag="voisins") == ask(region="lyon") == ask(search="ois") == ask(canWrite="true") == 1
    )
    assert ask(role="left") == ask(segment="x") == ask(canWrite="false") == 0
    scraping = max_.post(f"{prefix}/groups/{group.pk}/scrape-contacts")
    assert (scraping.status_code, scraping.json()["membersRequestedAt"] is None) == (202, False)


def test_members_are_listed_with_what_keeps_people_from_writing(max_, group, scraped):
    (member,) = max_.get(f"/api/v1/groups/{group.pk}/members").json()["results"]

    assert (member["phone"], member["obstacle"]) == (ZOE, "no_lawful_basis")


def test_what_cannot_be_asked_is_refused_with_its_reason(acme, max_, account, group):
    Group.objects.update(role="left")
    left = max_.post(f"/api/v1/groups/{group.pk}/scrape-contacts")
    assert (left.status_code, left.json()["type"]) == (409, "urn:relance:not_in_group")

    Account.objects.update(status="disconnected")
    unlinked = max_.post(f"/api/whatsapp/accounts/{account.pk}/groups/discover")
    assert (unlinked.status_code, unlinked.json()["type"]) == (409, "urn:relance:not_linked")
    assert "connect it first" in unlinked.json()["detail"]


def test_agents_see_groups_of_their_own_accounts(acme, group):
    foreign = make_account(acme.tenant)
    Group.objects.create(
        tenant=acme.tenant, account=foreign, chat_id="2@g.us", discovered_at=NOW, refreshed_at=NOW
    )
    amina = companies.client(acme.people["amina"])

    assert [row["id"] for row in amina.get("/api/v1/groups").json()["results"]] == [group.pk]
