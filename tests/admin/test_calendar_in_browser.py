"""The calendar in a real browser: looked at on a phone and a screen, and a message moved in it."""

import datetime as dt
import random
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.admin.test_calendar import CALENDAR, make_message
from tests.factories import (
    make_account,
    make_campaign,
    make_referral,
    make_referrer,
    make_target,
    make_user,
)
from tests.visitors import Visitor, open_chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture
def manager(acme, live_server, tmp_path):
    with open_chromium(tmp_path / "profile") as driver:
        visitor = Visitor(
            driver, live_server.url, make_user(acme, role="manager", is_staff=True, username="max")
        )
        visitor.wide(1280)
        yield visitor


def test_somebody_looks_through_the_calendar_and_moves_a_message(manager, acme):
    dice = random.Random(5)
    now = timezone.now()
    today = now.astimezone(PARIS).replace(hour=12, minute=0, second=0, microsecond=0)
    campaign = make_campaign(acme)
    for name in ("amina", "bruno", "chantal", "david", "emile"):
        account = make_account(acme, name=name)
        referrer = make_referrer(acme, account=account, external_id=f"r-{name}")
        for days in range(-12, 12):
            moment = today + dt.timedelta(days=days, minutes=dice.randrange(-300, 300))
            for n in range(dice.randrange(5)):
                if days > 0:
                    make_message(account, due_at=moment + n * dt.timedelta(minutes=7))
                else:
                    make_message(account, dice.choice(["read", "sent"]), sent_at=moment)
            if dice.random() < 0.1 and days <= 0:
                make_message(account, "failed", ended_at=moment)
            if days > 0 and dice.random() < 0.5:
                make_target(make_referral(referrer), campaign=campaign, next_due_at=moment)
    tomorrow = today + dt.timedelta(days=1)
    shop = make_message(
        account, due_at=tomorrow, scheduled_for=tomorrow, kind="location",
        content={"latitude": 16.2, "longitude": -61.5, "name": "Boutique", "address": ""},
    )  # fmt: skip
    driver = manager.driver
    for view in ("month", "week", "day"):
        driver.get(f"{manager.root}{CALENDAR}?view={view}&on={tomorrow.date()}")
        assert manager.violations(".sheet") == [], view
        manager.keep(f"calendar-{view}")
        manager.wide(360)
        assert not manager.overflows(), view
        manager.keep(f"calendar-{view}-phone")
        manager.wide(1280)
    assert manager.complaints() == []

    row = driver.find_element(By.XPATH, "//tr[contains(., 'Boutique')]")
    later = (tomorrow + dt.timedelta(days=3)).replace(hour=18, minute=30)
    field = row.find_element(By.NAME, "at")
    driver.execute_script(
        "arguments[0].value = arguments[1]", field, later.strftime("%Y-%m-%dT%H:%M")
    )
    row.find_element(By.XPATH, ".//button[text()='Move']").click()
    WebDriverWait(driver, 20, ignored_exceptions=[StaleElementReferenceException]).until(
        lambda d: "It goes out" in d.find_element(By.TAG_NAME, "body").text
    )

    shop.refresh_from_db()
    assert shop.due_at == later
    assert "Boutique" not in driver.find_element(By.TAG_NAME, "body").text
