"""Each state of the page in a real browser: axe-core finds nothing serious, on phone and screen.

With SCREENSHOTS set to a folder each page is kept there as a picture, to be looked at.
"""

import datetime as dt

import pytest
from django.utils import timezone
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from accounts.models import User
from campaigns.models import Template
from tests import companies, factories
from tests.pages import test_people as people
from tests.pages.conftest import linked, make_message, use_up
from tests.visitors import Visitor, open_chromium
from whatsapp import linking
from whatsapp.driver.base import QrCode
from whatsapp.models import Account

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDTHS = (360, 1280)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with open_chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def acme(transactional_db):
    return companies.acme()


# ------------------------------------------------------------------ every state


def pending(acme, **fields):
    fields = {"status": "pending", "link_requested_at": timezone.now(), **fields}
    return acme.make_referrer("amina", **fields)


def busy(acme, **fields):
    """A day in full swing."""
    referrer = acme.make_referrer("amina", **linked(**{"daily_limit": 40, **fields}))
    use_up(referrer, 23)
    factories.make_campaign(acme.tenant)
    Template.objects.update(
        body="Bonjour {{name}} 👋 C'est {{referrer}}. Ta place t'attend encore : {{link}}"
    )
    type(acme.tenant).objects.update(payment_link="https://pay.example/{{external_id}}")
    now = timezone.now()
    names = ["Zoé Martin", "Ben O'Connor", "Léa Nguyen", "Tom", "Ines da Silva-Rodriguez",
             "Ó Súilleabháin Maximiliane Konstantinopolous", "Kim", "Noé"]  # fmt: skip
    states = ["read", "delivered", "sent", "failed", "read", "uncertain"]
    for number, name in enumerate(names):
        target = people.follow(referrer, name, steps_done=number % 7,
                               next_due_at=now + dt.timedelta(hours=5 * number - 1))  # fmt: skip
        if number < len(states):
            at = now - dt.timedelta(minutes=50 * number + 3)
            people.message_of(
                target, 1, states[number], sent_at=at, ended_at=at, sending_at=at,
                error_code="nack_400" if states[number] == "failed" else "",
            )  # fmt: skip
    for name, state, reason in [("Paula", "exited", "paid"), ("Oskar", "exited", "opted_out"),
                                ("Mia", "completed", "")]:  # fmt: skip
        people.end(people.follow(referrer, name), state, reason)
    return referrer


def showing_a_code(acme):
    referrer = pending(acme)
    text = "2@" + "Zm9vYmFy" * 20
    linking.publish_qr(referrer.account, QrCode(text=text, seq=1))
    return referrer


def in_trouble(acme):
    referrer = busy(acme)
    late = timezone.now() - dt.timedelta(minutes=20)
    make_message(referrer, due_at=late, error_code="nack_463")
    type(referrer).objects.filter(pk=referrer.pk).update(subscribed=False)
    return referrer


STATES = {
    "new": lambda acme: acme.make_referrer("amina", account=False),
    "fetching": pending,
    "code": showing_a_code,
    "connected": busy,
    "paused": lambda acme: busy(acme, sending_paused_at=timezone.now()),
    "reconnecting": lambda acme: busy(acme, status="reconnecting"),
    "logged-out": lambda acme: busy(acme, status="logged_out"),
    "conflict": lambda acme: busy(acme, status="conflict"),
    "disconnected": lambda acme: busy(
        acme, status="disconnected", status_reason="the connection did not come back after 5"
    ),
    "disconnecting": lambda acme: busy(
        acme, status="disconnected", logout_requested_at=timezone.now() - dt.timedelta(minutes=3)
    ),
    "full": lambda acme: busy(acme, daily_limit=23),
    "trouble": in_trouble,
}


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_used_by_everybody(state, acme, chromium, live_server):
    STATES[state](acme)
    visitor = Visitor(chromium, live_server.url, acme.people["amina"])

    for width in WIDTHS:
        visitor.wide(width)
        visitor.dark(False)
        chromium.get(live_server.url + "/")
        visitor.keep(f"{state}-{width}")
        assert visitor.violations() == []
        assert not visitor.overflows()
    visitor.dark(True)
    visitor.keep(f"{state}-dark")
    assert visitor.violations() == []
    visitor.dark(False)
    assert visitor.complaints() == []


def test_logging_in_asking_and_being_nobody_can_be_used_by_everybody(acme, chromium, live_server):
    acme.make_referrer("amina", **linked())
    User.objects.create_user("nobody")
    pages = {
        "login": (None, "/login/"),
        "disconnect": (acme.people["amina"], "/disconnect/"),
        "password": (acme.people["amina"], "/password/"),
        "staff": (User.objects.create_superuser("sven"), "/"),
        "nobody": (User.objects.get(username="nobody"), "/"),
    }

    for name, (user, path) in pages.items():
        visitor = Visitor(chromium, live_server.url, user)
        for width in WIDTHS:
            visitor.wide(width)
            chromium.get(live_server.url + path)
            visitor.keep(f"{name}-{width}")
            assert visitor.violations() == []
            assert not visitor.overflows()
    assert visitor.complaints() == []


# ------------------------------------------------------------------ with the keyboard, and live


def test_the_keyboard_alone_pauses_and_keeps_its_place(acme, chromium, live_server):
    referrer = acme.make_referrer("amina", **linked())
    visitor = Visitor(chromium, live_server.url, acme.people["amina"])
    visitor.wide(1280)
    chromium.get(live_server.url + "/")

    def focused():
        return chromium.switch_to.active_element

    for _ in range(12):
        focused().send_keys(Keys.TAB)
        if focused().get_attribute("id") == "sending":
            break
    focused().send_keys(Keys.ENTER)
    announcer = chromium.find_element(By.ID, "announcer")
    WebDriverWait(chromium, 30).until(
        lambda _: "Sending is paused" in announcer.get_attribute("textContent")
    )

    referrer.account.refresh_from_db()
    assert referrer.account.sending_paused_at is not None
    assert (focused().get_attribute("id"), focused().text) == ("sending", "Resume")


def test_a_scan_and_each_new_code_show_without_touching_the_page(acme, chromium, live_server):
    referrer = showing_a_code(acme)
    visitor = Visitor(chromium, live_server.url, acme.people["amina"])
    chromium.get(live_server.url + "/")

    def code():
        return chromium.execute_script("return document.querySelector('.qr')?.src")

    first = code()
    linking.publish_qr(referrer.account, QrCode(text="2@another", seq=2))
    WebDriverWait(chromium, 30).until(lambda _: code() not in {None, first})
    Account.objects.update(**linked(link_requested_at=None))
    WebDriverWait(chromium, 30).until(lambda _: "Connected" in chromium.title)

    assert code() is None
    assert visitor.complaints() == []


def test_somebody_logged_out_elsewhere_is_shown_the_log_in(acme, chromium, live_server):
    showing_a_code(acme)  # looked at every two seconds
    Visitor(chromium, live_server.url, acme.people["amina"])
    chromium.get(live_server.url + "/")

    acme.people["amina"].set_password("another one")
    acme.people["amina"].save()

    WebDriverWait(chromium, 30).until(lambda driver: "/login/" in driver.current_url)


def test_without_javascript_everything_works_all_the_same(acme, live_server, tmp_path):
    referrer = acme.make_referrer("amina", **linked())
    with open_chromium(tmp_path, scripts=False) as driver:
        Visitor(driver, live_server.url, acme.people["amina"])

        def press(css, *, then):
            driver.find_element(By.CSS_SELECTOR, css).click()
            WebDriverWait(driver, 30).until(lambda _: then in driver.page_source)

        driver.get(live_server.url + "/")
        press("#sending", then="Sending is paused")
        referrer.account.refresh_from_db()
        assert referrer.account.sending_paused_at is not None
        press("#disconnect", then="Disconnect your WhatsApp?")
        press("button.danger", then="Disconnecting")
        Account.objects.update(logout_requested_at=None)
        press("noscript a", then="Disconnected")
        press("#link", then="Fetching your code")
        code = QrCode(text="2@code", seq=1)
        referrer.account.refresh_from_db()
        linking.publish_qr(referrer.account, code)
        WebDriverWait(driver, 30).until(lambda _: driver.find_elements(By.CSS_SELECTOR, ".qr"))
