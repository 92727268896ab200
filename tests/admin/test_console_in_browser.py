"""The console in a real browser: linking as it happens, and each screen as people see it.

With SCREENSHOTS set to a folder each screen is kept there, on a phone and on a screen, light and
dark, to be looked at.
"""

import pytest
from django.utils import timezone
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from accounts.models import User
from tests import factories
from tests.admin.test_pages import fill
from tests.visitors import Visitor, open_chromium
from whatsapp import limits, linking
from whatsapp.driver.base import QrCode
from whatsapp.models import Account, Message

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with open_chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def operator(chromium, live_server):
    limits.server().client.flushdb()
    chromium.get_log("browser")  # what another test left
    visitor = Visitor(chromium, live_server.url, User.objects.create_superuser("operator"))
    visitor.wide(1280)
    return visitor


def text_of(visitor, selector="body"):
    return visitor.driver.find_element(By.CSS_SELECTOR, selector).text


def wait(visitor, condition):
    # An element may be drawn anew between being found and being read.
    return WebDriverWait(visitor.driver, 20, ignored_exceptions=(Exception,)).until(
        lambda _: condition()
    )


def test_the_qr_code_on_an_accounts_page_follows_each_rotation_until_it_is_linked(operator, acme):
    account = factories.make_account(acme, name="amina", connected=False)
    driver = operator.driver
    driver.get(f"{operator.root}/admin/whatsapp/account/{account.pk}/change/")
    driver.find_element(By.XPATH, "//button[contains(., 'Show a QR code')]").click()
    wait(operator, lambda: "WAITING FOR A CODE" in text_of(operator, "#account-live"))
    account.refresh_from_db()
    driver.execute_script("window.stillTheSamePage = true")

    def code():
        return driver.find_element(By.CSS_SELECTOR, ".console-qr").get_attribute("src")

    def seconds_left():
        minutes, seconds = driver.find_element(By.CSS_SELECTOR, "time.countdown").text.split(":")
        return 60 * int(minutes) + int(seconds)

    linking.publish_qr(account, QrCode("2@first", 1))
    first = wait(operator, code)
    linking.publish_qr(account, QrCode("2@second", 2))
    wait(operator, lambda: code() != first)
    left = seconds_left()
    wait(operator, lambda: seconds_left() < left)

    linking.note_scan(account.pk)
    wait(operator, lambda: "SCANNED: LINKING" in text_of(operator, "#account-live"))
    Account.objects.filter(pk=account.pk).update(
        status="connected", phone="+33639980001", linked_at=timezone.now(), link_requested_at=None
    )
    wait(operator, lambda: "CONNECTED" in text_of(operator, "#account-live"))

    assert driver.execute_script("return window.stillTheSamePage")
    assert operator.complaints() == []


def test_a_button_asks_before_it_disconnects_and_comes_back(operator, acme):
    account = factories.make_account(acme, name="amina")
    page = f"{operator.root}/admin/whatsapp/account/{account.pk}/change/"
    operator.driver.get(page)

    operator.driver.find_element(By.XPATH, "//button[contains(., 'Disconnect')]").click()
    wait(operator, lambda: "This is about 1 row." in text_of(operator))
    operator.driver.find_element(By.NAME, "confirmed").click()

    wait(operator, lambda: operator.driver.current_url == page)
    account.refresh_from_db()
    assert account.status == "disconnected"
    assert "1 account is being logged out." in text_of(operator)


SCREENS = {
    "console-home": "/admin/",
    "console-account": "/admin/whatsapp/account/{account}/change/",
    "console-accounts": "/admin/whatsapp/account/",
    "console-message": "/admin/whatsapp/message/{message}/change/",
    "console-messages": "/admin/whatsapp/message/",
    "console-contacts": "/admin/whatsapp/contact/",
    "console-incoming": "/admin/whatsapp/incoming/",
    "console-leases": "/admin/whatsapp/lease/",
    "console-usage": "/admin/whatsapp/usage/",
    "console-activity": "/admin/accounts/activity/",
    "console-api-keys": "/admin/accounts/apikey/",
    "console-api-key": "/admin/accounts/apikey/add/",
}


def test_every_screen_fits_a_phone_and_a_screen_and_breaks_no_policy(operator, acme):
    fill(acme, rows=6)
    account = acme.whatsapp_accounts.first()
    Message.objects.filter(pk=Message.objects.last().pk).update(
        state="failed", error_code="not_on_whatsapp", ended_at=timezone.now()
    )
    Message.objects.filter(pk=Message.objects.first().pk).update(
        state="read", sent_at=timezone.now(), read_at=timezone.now()
    )
    linking.pause_sending(account, now=timezone.now())
    uncertain = Message.objects.uncertain().first().pk

    for name, path in SCREENS.items():
        operator.driver.get(operator.root + path.format(account=account.pk, message=uncertain))
        for width in (1280, 390):
            operator.wide(width)
            for dark in (False, True):
                operator.dark(dark)
                operator.keep(f"{name}-{width}{'-dark' if dark else ''}")
                assert not operator.overflows(), (name, width)
        operator.dark(False)
        assert operator.complaints() == [], name


@pytest.mark.parametrize("name", ["console-home", "console-account", "console-message"])
def test_our_own_parts_of_a_screen_have_nothing_that_axe_calls_serious(operator, acme, name):
    fill(acme, rows=2)
    path = SCREENS[name].format(
        account=acme.whatsapp_accounts.first().pk, message=Message.objects.first().pk
    )

    for dark in (False, True):
        operator.dark(dark)
        operator.driver.get(operator.root + path)
        assert operator.violations(".console") == []
