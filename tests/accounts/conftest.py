import pytest

from tests import companies


@pytest.fixture(autouse=True)
def quick_and_clean(settings):
    """Passwords are hashed at once, and calls of other tests do not count."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    companies.forget_limits()
