import pytest

from tests import companies
from tests.security import world


@pytest.fixture(autouse=True)
def quick_and_clean(settings, tmp_path):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.MEDIA_ROOT = tmp_path
    settings.WHATSAPP_LINK_SECONDS = 1
    companies.forget_limits()


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
