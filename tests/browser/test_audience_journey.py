"""Marketing finds people in a group, may write to some of them, and does: a broadcast, a calendar.

With SCREENSHOTS set to a folder every screen is kept there, to be looked at.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from campaigns.models import Broadcast, Recipient, Segment
from tests.browser.conftest import PASSWORD, PHONE, Relance, eventually
from tests.browser.marie import Marie
from tests.factories import make_user
from whatsapp.contents import LocationContent
from whatsapp.messages import send_direct
from whatsapp.models import ConsentEntry, Contact, Group, Message
from whatsapp.simulator.client import SimulatorControl

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MEMBERS = INES, TOM, LEA = "+33639980101", "+33639980102", "+33639980103"
NOTE = "signed at the fair in Lyon"


def test_marketing_finds_people_in_a_group_and_writes_to_those_who_agreed(
    relance: Relance, simulator: SimulatorControl, chromium: Chrome, live_server: Any
) -> None:
    simulator.config(delivered_after=0.1, read_after=0.2)
    make_user(relance.tenant, username="marie", role="manager", password=PASSWORD, is_staff=True)
    relance.start(beat=True)
    relance.link(simulator)
    simulator.make_group("Voisins de Lyon", [PHONE, *MEMBERS], admins=[INES])
    marie = Marie(chromium, live_server.url)
    marie.wide(1280)
    marie.log_in()

    discover(marie, relance)
    record_lawful_bases(marie)
    broadcast(marie, relance)
    assert {f"+{m.to}" for m in simulator.messages() if m.accepted} == {INES, TOM}
    change_the_calendar(marie, relance)
    assert marie.complaints() == []


def discover(marie: Marie, relance: Relance) -> None:
    """The groups of the account, and who is in there: nobody of them may be written to yet."""
    marie.open("/admin/whatsapp/group/")
    marie.sees("No group is known yet")
    marie.open(f"/admin/whatsapp/account/{relance.account.pk}/change/")
    marie.driver.find_element(By.XPATH, "//button[contains(., 'Discover groups')]").click()
    marie.sees("WhatsApp is asked for the groups of 1 account")
    group = eventually(Group.objects.first, 30, what="the group is known")
    marie.open("/admin/whatsapp/group/")
    marie.sees("Voisins de Lyon")
    marie.may_use("groups")
    marie.open(f"/admin/whatsapp/group/{group.pk}/change/")
    marie.sees("The account is a member, and everybody may write.", "#why")
    marie.driver.find_element(
        By.XPATH, "//button[contains(., 'Take members over as contacts')]"
    ).click()
    marie.sees("Nobody may write to them before a lawful basis is recorded.")
    eventually(
        lambda: Contact.objects.filter(phone__in=MEMBERS, source="group").count() == len(MEMBERS),
        30,
        what="its members are contacts",
    )
    marie.open(f"/admin/whatsapp/group/{group.pk}/change/")
    marie.sees("scraped; record a lawful basis first", "#members, section")
    marie.may_use("group")


def choose(marie: Marie, action: str, *phones: str) -> None:
    """Tick people in the list of contacts, and ask for an action."""
    marie.open("/admin/whatsapp/contact/?show=scraped")
    for contact in Contact.objects.filter(phone__in=phones):
        marie.press(f"input[name=_selected_action][value='{contact.pk}']")
    Select(marie.driver.find_element(By.NAME, "action")).select_by_value(action)
    marie.driver.execute_script("document.getElementById('changelist-form').requestSubmit()")


def record_lawful_bases(marie: Marie) -> None:
    marie.open("/admin/whatsapp/contact/")
    marie.sees("scraped; record a lawful basis first".upper())
    marie.may_use("contacts")
    choose(marie, "tag", INES, TOM, LEA)
    marie.sees("Which tags do they get?")
    marie.write("tags", "lyon")
    marie.may_use("contacts-tag")
    marie.press("[name=confirmed]")
    marie.sees("3 people are tagged.")
    choose(marie, "record_basis", INES, TOM)
    marie.sees("Why may one write to these people?")
    marie.write("note", NOTE)
    marie.press("[name=confirmed]")
    marie.sees("Recorded for 2 people.")
    ines = Contact.objects.get(phone=INES)
    marie.open(f"/admin/whatsapp/contact/{ines.pk}/change/")
    marie.sees(NOTE)
    marie.may_use("contact")
    entry = ConsentEntry.objects.get(contact=ines)
    assert (entry.actor_name, entry.note) == ("marie", f"consent: {NOTE}")


def broadcast(marie: Marie, relance: Relance) -> None:
    """To everybody with the tag; who did not agree gets nothing, and the ledger says so."""
    marie.open("/admin/campaigns/segment/add/")
    marie.driver.find_element(By.NAME, "name").send_keys("Lyon")
    marie.write("tagsAny", "lyon")
    marie.sees("2 people may be written to", "#segment-count")
    marie.sees("1 without a lawful basis", "#segment-count")
    marie.may_use("segment")
    marie.press("[name=_save]")
    segment = eventually(Segment.objects.first)

    marie.open("/admin/campaigns/broadcast/add/")
    marie.driver.find_element(By.NAME, "name").send_keys("Portes ouvertes")
    Select(marie.driver.find_element(By.NAME, "segment")).select_by_value(str(segment.pk))
    marie.press(f"[name=accounts][value='{relance.account.pk}']")
    marie.driver.find_element(By.CSS_SELECTOR, "#texts-group .add-row a, .add-row").click()
    marie.write("texts-0-language", "fr")
    marie.write("texts-0-body", "Bonjour 👋 Portes ouvertes samedi !")
    marie.may_use("broadcast-new")
    marie.press("[name=_save]")
    made = eventually(Broadcast.objects.first)
    page = f"/admin/campaigns/broadcast/{made.pk}"
    marie.open(f"{page}/change/")
    marie.sees("Nothing is missing")
    marie.open(f"{page}/rehearse/")
    marie.sees("Bonjour 👋")
    marie.may_use("broadcast-dry-run")
    marie.open(f"{page}/start/")
    marie.sees("It begins at once.")
    marie.press("form.bar button")
    eventually(
        lambda: Recipient.objects.filter(broadcast=made, read_at__isnull=False).count() == 2,
        60,
        what="both who agreed have read it",
    )
    eventually(lambda: Broadcast.objects.get(pk=made.pk).state == "done", what="it is done")
    marie.open(f"{page}/change/")
    marie.sees("2 recipients are no longer waiting")
    marie.may_use("broadcast")
    marie.open(f"/admin/campaigns/recipient/?broadcast__id__exact={made.pk}")
    marie.sees(INES)
    marie.sees(TOM)
    marie.may_use("broadcast-ledger")


def change_the_calendar(marie: Marie, relance: Relance) -> None:
    """A place for tomorrow is moved to the day after, then cancelled."""
    now = timezone.now()
    tomorrow = timezone.localdate(now, relance.tenant.zone) + dt.timedelta(days=1)
    message = send_direct(
        account=relance.account,
        to=INES,
        content=LocationContent(45.764, 4.8357, "Boutique", "1 rue de la République, Lyon"),
        due_at=dt.datetime.combine(tomorrow, dt.time(12), dt.UTC),
        idempotency_key="place",
        now=now,
    )
    marie.open("/admin/")
    marie.press("a[href='/admin/campaigns/campaign/calendar/']")
    marie.sees("Week")
    # On the last Sunday of a month that ends with it, tomorrow stands on the next sheet.
    marie.open(f"/admin/campaigns/campaign/calendar/?on={tomorrow}")
    marie.sees("1 planned")
    marie.may_use("calendar")
    marie.open(f"/admin/campaigns/campaign/calendar/?view=day&on={tomorrow}")
    marie.sees("Boutique")
    marie.may_use("calendar-day")
    later = tomorrow + dt.timedelta(days=1)
    marie.driver.execute_script(
        "document.querySelector('[name=at]').value = arguments[0]", f"{later}T10:30"
    )
    marie.driver.find_element(By.XPATH, "//button[.='Move']").click()
    marie.sees("It goes out")
    marie.sees("No message is planned, was sent or failed on this day.")
    moved = Message.objects.get(pk=message.pk)
    assert timezone.localtime(moved.due_at, relance.tenant.zone).isoformat()[:16] == (
        f"{later}T10:30"
    )
    address = marie.driver.current_url.replace(str(tomorrow), str(later))
    marie.driver.get(address)
    marie.sees("Boutique")
    marie.driver.find_element(By.XPATH, "//button[.='Cancel']").click()
    marie.sees("The message is cancelled.")
    assert Message.objects.get(pk=message.pk).state == "cancelled"
