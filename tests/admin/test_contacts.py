"""Contacts and groups in the admin: whether one may write to somebody, what is done about it."""

import io

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Activity
from tests import factories
from tests.admin.test_pages import fill, list_of, page_of
from tests.factories import NOW
from whatsapp import contacts
from whatsapp.models import Account, Contact, Group, GroupMember

pytestmark = pytest.mark.usefixtures("no_doorbells")
ZOE = "+33639980100"


@pytest.fixture
def group(acme):
    account = factories.make_account(acme)
    return Group.objects.create(
        tenant=acme, account=account, chat_id="1@g.us", subject="Voisins", discovered_at=NOW,
        refreshed_at=NOW,
    )  # fmt: skip


@pytest.fixture
def zoe(acme, group):
    """Scraped from the group."""
    made = Contact.objects.create(
        tenant=acme, phone=ZOE, name="Zoé", source="group", source_detail="Voisins"
    )
    GroupMember.objects.create(group=group, contact=made, seen_at=NOW)
    return made


def act(client, row, action, **filled):
    """Choose an action of the row's page, then answer its question."""
    asked = {"action": action, "_selected_action": row.pk, "from_page": row.pk}
    question = client.post(list_of(type(row)), asked)
    answered = client.post(list_of(type(row)), asked | {"confirmed": "yes"} | filled)
    return question, answered


def test_a_scraped_contact_says_so_and_a_basis_is_recorded_with_who_and_when(manager, zoe):
    page = manager.get(page_of(zoe)).content.decode()
    assert "no: scraped; record a lawful basis first" in page
    assert "“Voisins”" in page
    assert "record a lawful basis first" in manager.get(list_of(Contact)).content.decode()

    question, unsaid = act(manager, zoe, "record_basis", basis="consent", note="")
    assert "Why may one write to these people?" in question.content.decode()
    assert unsaid.status_code == 200  # asked again: where does it come from?
    zoe.refresh_from_db()
    assert zoe.lawful_basis == ""
    _question, done = act(manager, zoe, "record_basis", basis="consent", note="the fair in Lyon")

    assert done.url == page_of(zoe)
    zoe.refresh_from_db()
    entry = zoe.consent.get()
    assert (zoe.obstacle, entry.how, entry.note) == ("", "admin", "consent: the fair in Lyon")
    page = manager.get(page_of(zoe)).content.decode()
    assert f"recorded by {entry.actor_name}" in page
    assert "the fair in Lyon" in page
    assert Activity.objects.filter(verb="basis_recorded", subject_id=zoe.pk).exists()


def test_people_are_tagged_opted_out_and_in_and_the_basis_withdrawn(manager, zoe):
    contacts.record_basis(zoe, basis="consent", note="x", how="import", now=NOW)

    act(manager, zoe, "tag", tags="VIP, lyon")
    act(manager, zoe, "opt_out")
    act(manager, zoe, "opt_in", note="by telephone")
    act(manager, zoe, "withdraw_basis", note="not hers")

    zoe.refresh_from_db()
    assert zoe.tags == ["vip", "lyon"]
    assert zoe.obstacle == "no_lawful_basis"
    whats = zoe.consent.order_by("id").values_list("what", flat=True)
    assert list(whats) == ["lawful_basis", "opted_out", "opted_in", "basis_withdrawn"]
    page = manager.get(page_of(zoe)).content.decode()
    for said in ("asked for no more messages", "Seen in a group", "Voisins", "not hers"):
        assert said in page


def test_tags_that_are_none_are_refused_on_the_question(manager, zoe):
    _question, answer = act(manager, zoe, "tag", tags="x" * 41)

    assert "is longer than 40 characters" in answer.content.decode()
    zoe.refresh_from_db()
    assert zoe.tags == []


def test_contacts_are_filtered_by_tag_group_and_question(manager, acme, rival, zoe):
    other = Contact.objects.create(tenant=acme, phone="+33639980101", tags=["vip"])
    Contact.objects.create(tenant=rival, phone="+33639980102", tags=["rival-tag"])

    def found(**query):
        answer = manager.get(list_of(Contact), query)
        assert "rival-tag" not in answer.content.decode()
        return set(answer.context["cl"].queryset)

    assert found(tag="vip") == {other}
    assert found(group=zoe.memberships.get().group_id) == {zoe}
    assert found(group="9" * 30) == found(group="x") == {zoe, other}
    assert found(show="scraped") == {zoe}
    assert found(q="1@lid") == set()


def test_somebody_is_entered_by_hand_once(manager, acme):
    add = reverse("admin:whatsapp_contact_add")
    filled = {
        "tenant": acme.pk, "phone": "06 39 98 01 00", "name": "Zoé", "tags": "vip",
        "language": "", "persona": "",
    }  # fmt: skip

    assert manager.post(add, filled).status_code == 302
    made = Contact.objects.get()
    assert (made.phone, made.source, made.tags) == (ZOE, "hand", ["vip"])
    again = manager.post(add, filled)
    assert "There is a contact with this number already." in again.content.decode()
    assert "too short" in manager.post(add, filled | {"phone": "12"}).content.decode()
    ledger = {"consent-TOTAL_FORMS": 0, "consent-INITIAL_FORMS": 0}
    change = manager.post(
        page_of(made), filled | ledger | {"name": "Zoé M.", "phone": "+33639980199"}
    )
    assert change.status_code == 302
    made.refresh_from_db()
    assert (made.name, made.phone) == ("Zoé M.", ZOE)


def test_a_file_is_shown_first_and_imported_then(manager, acme):
    address = reverse("admin:whatsapp_contact_import_csv")
    file = io.BytesIO("phone,name,tags\n0639980100,Zoé,vip\n12,x,\n".encode())
    file.name = "people.csv"

    shown = manager.post(address, {"tenant": acme.pk, "file": file})

    text = shown.content.decode()
    assert "the phone number is too short" in text
    assert "Import 1 row" in text
    assert not Contact.objects.exists()
    done = manager.post(address, {"token": shown.context["token"], "confirmed": "yes"})
    assert "To the contacts" in done.content.decode()
    assert Contact.objects.get().tags == ["vip"]
    report = manager.get(done.context["report_address"])
    assert "too short" in b"".join(report.streaming_content).decode()
    gone = manager.post(address, {"token": shown.context["token"], "confirmed": "yes"})
    assert gone.status_code == 302


def test_a_file_that_is_none_is_refused(manager, acme):
    address = reverse("admin:whatsapp_contact_import_csv")
    file = io.BytesIO(b"PK\x03\x04")
    file.name = "people.xlsx"

    answer = manager.post(address, {"tenant": acme.pk, "file": file})

    assert "save it as" in answer.content.decode()


def test_the_export_is_recorded(manager, acme, zoe):
    answer = manager.post(list_of(Contact), {"action": "export_csv", "_selected_action": [zoe.pk]})

    assert ZOE in b"".join(answer.streaming_content).decode()
    assert Activity.objects.get(verb="contacts_exported").detail == {"contacts": 1}


# ---------------------------------------------------------------------------------- groups


def test_a_groups_page_says_whether_one_can_write_and_who_is_in_it(manager, group, zoe):
    page = manager.get(page_of(group)).content.decode()
    assert "The account is a member, and everybody may write." in page
    assert ZOE in page
    assert "no: scraped; record a lawful basis first" in page

    Group.objects.update(announce_only=True)
    assert "the account is none" in manager.get(page_of(group)).content.decode()


def test_members_are_asked_for_and_labels_edited(manager, group):
    asked = {"action": "scrape", "_selected_action": group.pk, "from_page": group.pk}
    answer = manager.post(list_of(Group), asked, follow=True).content.decode()

    group.refresh_from_db()
    assert group.members_requested_at is not None
    assert "WhatsApp is being asked" in answer
    saved = manager.post(
        page_of(group), {"region": "Lyon", "segments": "Nord", "tags": "Voisins, VIP"}
    )
    assert saved.status_code == 302
    group.refresh_from_db()
    assert (group.region, group.segments, group.tags) == ("Lyon", ["nord"], ["voisins", "vip"])


def test_groups_are_discovered_from_the_accounts_page(manager, group):
    account = group.account
    assert "Discover groups" in manager.get(page_of(account)).content.decode()
    asked = {"action": "discover_groups", "_selected_action": account.pk, "from_page": account.pk}

    manager.post(list_of(Account), asked)

    account.refresh_from_db()
    assert account.groups_requested_at is not None
    Account.objects.update(status="disconnected", groups_requested_at=None)
    refused = manager.post(list_of(Account), asked, follow=True).content.decode()
    assert "connect it first" in refused


def test_a_filled_company_opens_its_lists(manager, acme):
    fill(acme, rows=3)
    for model in (Contact, Group):
        assert manager.get(list_of(model)).status_code == 200


def test_a_list_names_the_company_to_whoever_administers_several(manager, operator, zoe, rival):
    assert "column-tenant" not in manager.get(list_of(Contact)).content.decode()
    assert "column-tenant" in operator.get(list_of(Contact)).content.decode()


def test_times_of_groups_and_of_a_basis_are_said_as_people_say_them(manager, zoe, group):
    now = timezone.now()
    contacts.record_basis(zoe, basis="consent", note="the fair", how="admin", now=now)
    Group.objects.update(members_scraped_at=now)
    assert "as they were seen today at" in manager.get(page_of(group)).content.decode().lower()
    zoe.refresh_from_db()
    assert "recorded by relance today at" in manager.get(page_of(zoe)).content.decode()
