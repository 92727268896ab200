import pytest

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


@pytest.fixture
def operator(db):
    """A superuser's browser."""
    return visitors.logged_in(User.objects.create_superuser("operator"))


@pytest.fixture
def manager(acme):
    """The browser of a member of staff who manages Acme and nothing else."""
    return visitors.logged_in(factories.make_user(acme, role="manager", is_staff=True))


@pytest.fixture
def chromium(tmp_path):
    with visitors.open_chromium(tmp_path / "profile") as driver:
        driver.set_window_size(1400, 1000)
        yield driver


@pytest.fixture
def written(acme):
    return factories.make_campaign(acme, days=2)


def campaign_page(campaign, name="texts"):
    return f"/admin/campaigns/campaign/{campaign.pk}/{name}/"
