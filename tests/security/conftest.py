import itertools

import pytest

from accounts import throttles
from tests import companies
from tests.security import world


@pytest.fixture(autouse=True)
def quick_and_clean(settings, tmp_path, monkeypatch):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.MEDIA_ROOT = tmp_path
    settings.WHATSAPP_LINK_SECONDS = 11
    companies.forget_limits()
    # Each call comes a quarter of an hour after the one before: limits are another test's business.
    hours = itertools.count(1_800_000_000, 900)
    monkeypatch.setattr(throttles.Throttle, "now", staticmethod(lambda: next(hours)))


@pytest.fixture
def acme(db):
    """The company of whoever calls."""
    world.number_from(world.FIRST_ID)
    return world.make("acme")


@pytest.fixture
def rival(acme):
    """The company that must not be seen; none of its ids is one of Acme's."""
    world.number_from(world.FIRST_FOREIGN_ID)
    return world.make("rival")
