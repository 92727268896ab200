import os
import shutil

import pytest
from django.test import Client
from selenium import webdriver

from accounts.models import User
from tests import companies, factories


@pytest.fixture(autouse=True)
def quick_and_clean(settings, tmp_path):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.MEDIA_ROOT = tmp_path
    companies.forget_limits()


@pytest.fixture
def acme(db):
    return factories.make_tenant("acme", name="Acme")


@pytest.fixture
def rival(db):
    return factories.make_tenant("rival", name="Rival")


def browser(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def operator(db):
    """A superuser's browser."""
    return browser(User.objects.create_superuser("operator"))


@pytest.fixture
def manager(acme):
    """The browser of a member of staff who manages Acme and nothing else."""
    return browser(factories.make_user(acme, role="manager", is_staff=True))


@pytest.fixture
def chromium(tmp_path):
    options = webdriver.ChromeOptions()
    options.add_argument("--headless=new")
    options.add_argument("--window-size=1400,1000")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's own condition for root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # The system's driver where there is one: Selenium Manager would look for updates.
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()
