"""Marketing in a real browser: a scraped contact gets a lawful basis, a group is looked at, people
come in from a file.

With SCREENSHOTS set to a folder each screen is kept there, to be looked at.
"""

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests import factories
from tests.factories import NOW
from tests.visitors import Visitor
from whatsapp import contacts, groups
from whatsapp.driver.base import GroupInfo, Member
from whatsapp.models import Contact, Group

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
FILE = (
    "phone;name;tags;lawful_basis;basis_note;opted_out\n"
    "06 39 98 03 00;Inès;lyon, vip;consent;signed at the fair;\n"
    "06 39 98 03 01;Karim;lyon;consent;;\n"
    "12;Nobody;;;;\n"
    "06 39 98 03 02;Léo;;;;yes\n"
)


@pytest.fixture
def marie(chromium, live_server, acme):
    """She manages Acme."""
    user = factories.make_user(acme, role="manager", is_staff=True, username="marie")
    visitor = Visitor(chromium, live_server.url, user)
    visitor.wide(1280)
    return visitor


@pytest.fixture
def neighbours(acme):
    account = factories.make_account(acme, name="amina")
    group = GroupInfo(
        chat_id="120363000000000001@g.us", subject="Voisins de la rue Haute", size=4, admin=False,
        description="Entraide et bons plans", announce_only=False, member=True,
    )  # fmt: skip
    news = GroupInfo(
        chat_id="120363000000000002@g.us", subject="Annonces", size=80, admin=False,
        description="", announce_only=True, member=True,
    )  # fmt: skip
    groups.store(account, [group, news], now=NOW)
    made = Group.objects.get(subject__startswith="Voisins")
    members = [
        Member(lid=f"{n}@lid", phone=f"+33639980{200 + n}" if n < 3 else "", name=name, admin=n < 1)
        for n, name in enumerate(["Zoé Martin", "Ben", "Léa", "Somebody"])
    ]
    groups.store_members(made, members, now=NOW)
    groups.label(made, region="Lyon", segments=["nord"], tags=["voisins"], now=NOW)
    return made


def test_a_scraped_contact_gets_a_basis_a_group_is_seen_and_people_come_in(
    marie, neighbours, tmp_path
):
    driver = marie.driver

    def text():
        return driver.find_element(By.TAG_NAME, "body").text

    def wait(condition):
        return WebDriverWait(driver, 30, ignored_exceptions=(Exception,)).until(
            lambda _: condition()
        )

    def visit(path, name):
        driver.get(marie.root + path)
        marie.keep(name)
        assert not marie.overflows(), path
        return text()

    assert "record a lawful basis first" in visit("/admin/whatsapp/contact/", "contacts").lower()
    zoe = Contact.objects.get(name="Zoé Martin")
    address = f"/admin/whatsapp/contact/{zoe.pk}/change/"
    assert "Voisins de la rue Haute" in visit(address, "contact-scraped")
    assert marie.violations(".console") == []

    driver.find_element(By.XPATH, "//button[contains(., 'Record a lawful basis')]").click()
    wait(lambda: "Why may one write to these people?" in text())
    driver.find_element(By.NAME, "note").send_keys("Signed at the fair in Lyon")
    marie.keep("contact-basis")
    assert marie.violations("form[method=post]") == []
    driver.find_element(By.NAME, "confirmed").click()
    wait(lambda: "Signed at the fair in Lyon" in text())
    zoe.refresh_from_db()
    assert (zoe.obstacle, zoe.lawful_basis_by) == ("", "marie")
    contacts.opt_out(zoe, reason="said stop", now=NOW)
    visit(address, "contact-stopped")

    assert "Annonces" in visit("/admin/whatsapp/group/", "groups")
    seen = visit(f"/admin/whatsapp/group/{neighbours.pk}/change/", "group")
    assert "The account is a member, and everybody may write." in seen
    assert marie.violations(".console") == []

    (tmp_path / "people.csv").write_text(FILE, encoding="utf-8")
    visit("/admin/whatsapp/contact/import-csv/", "contacts-import")
    driver.find_element(By.NAME, "file").send_keys(str(tmp_path / "people.csv"))
    driver.find_element(By.CSS_SELECTOR, "#import button[type=submit]").click()
    wait(lambda: driver.find_element(By.ID, "dry-run"))
    marie.keep("contacts-dry-run")
    assert "basis_note" in driver.find_element(By.ID, "findings").text
    driver.find_element(By.CSS_SELECTOR, "#confirm button[name=confirmed]").click()
    wait(lambda: driver.find_element(By.ID, "done"))
    assert Contact.objects.filter(source="import").count() == 2
    assert marie.complaints() == []
