import pytest
from django.test import Client

from accounts.models import User
from tests import companies, factories, visitors


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
    with visitors.open_chromium(tmp_path / "profile") as driver:
        driver.set_window_size(1400, 1000)
        yield driver
