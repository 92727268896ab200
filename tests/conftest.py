"""One PostgreSQL and one Redis for all test runs of this clone, apart from the ones you work with.

They are set up here, at import, because settings read the environment when pytest-django first asks
for them; that is also why pyproject.toml names no settings module for pytest.

Give TEST_DATABASE_URL and TEST_REDIS_URL to test against other servers. DATABASE_URL and REDIS_URL
are not heeded: tests flush Redis.
"""

import os
import secrets

from relance_project import local

if "TEST_DATABASE_URL" in os.environ and "TEST_REDIS_URL" in os.environ:
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
    os.environ["REDIS_URL"] = os.environ["TEST_REDIS_URL"]
else:
    SERVICES = local.start(local.state_dir() / "test", fast=True)
    # Two runs at once, or two xdist workers, get a database and a Redis database each.
    SLOT = local.claim_slot(SERVICES.directory)
    os.environ["DATABASE_URL"] = SERVICES.database_url
    os.environ["TEST_DATABASE_NAME"] = f"test_relance_{SLOT}"
    os.environ["REDIS_URL"] = local.redis_url(SERVICES.directory, database=SLOT)

for name in ("SECRET_KEY", "JWT_SIGNING_KEY", "WHATSAPP_SESSION_SECRET"):
    os.environ[name] = secrets.token_hex(32)

# Whatever tests no pace sends at once, at any hour of the day; those that do set it themselves.
os.environ["WHATSAPP_SAFE_PACE"] = "0"
os.environ["DJANGO_SETTINGS_MODULE"] = "relance_project.settings"

# Conftests of folders named on the command line are imported before pytest-django gets to this.
import django  # noqa: E402

django.setup()

import pytest  # noqa: E402
from django.utils import translation  # noqa: E402

from tests import companies  # noqa: E402


@pytest.fixture(autouse=True)
def english():
    """A test that fails amid French leaves it to nobody."""
    translation.activate("en")


@pytest.fixture
def media_folder(settings, tmp_path):
    """Files go into a folder of the test's own."""
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.MEDIA_ROOT.mkdir()
    return settings.MEDIA_ROOT


@pytest.fixture
def no_doorbells(monkeypatch):
    """Nobody is told of work: there is no worker."""
    monkeypatch.setattr("whatsapp.doorbells.ring", lambda account_ids: None)


@pytest.fixture
def acme(db):
    return companies.acme()


@pytest.fixture
def other(db):
    return companies.other()
