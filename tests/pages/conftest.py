import pytest
from django.utils import timezone

from tests import companies, visitors
from whatsapp.models import Contact, Message, Usage

PHONE = "+33639980142"


@pytest.fixture(autouse=True)
def quick_and_clean(settings):
    """Passwords are hashed at once, and attempts of other tests do not count."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    companies.forget_limits()


def linked(**fields):
    return {
        "status": "connected", "phone": PHONE, "push_name": "Amina B.",
        "linked_at": timezone.now(), **fields,
    }  # fmt: skip


@pytest.fixture
def amina(acme):
    return visitors.logged_in(acme.people["amina"])


def say(amina):
    page = amina.get("/")
    assert page.status_code == 200
    return page.content.decode()


def make_message(referrer, **fields):
    contact = Contact.objects.create(tenant=referrer.tenant, phone="+33639980001")
    return Message.objects.create(
        tenant=referrer.tenant, account=referrer.account, contact=contact, idempotency_key="k",
        content_hash="h", **{"due_at": timezone.now(), **fields},
    )  # fmt: skip


def use_up(referrer, count):
    day = timezone.now().astimezone(referrer.tenant.zone).date()
    Usage.objects.create(account=referrer.account, day=day, count=count)
