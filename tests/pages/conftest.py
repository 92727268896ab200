import pytest
from django.test import Client

from tests import companies


@pytest.fixture(autouse=True)
def quick_and_clean(settings):
    """Passwords are hashed at once, and attempts of other tests do not count."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    companies.forget_limits()


@pytest.fixture
def acme(db):
    return companies.acme()


@pytest.fixture
def other(db):
    return companies.other()


def browser(user) -> Client:
    client = Client()
    client.force_login(user)
    return client
