import threading
import time

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection, transaction
from django.test import override_settings

from tests import companies
from tests.api import worlds
from tests.factories import NOW, make_account
from whatsapp.models import Account, Group


@pytest.fixture(autouse=True)
def quick_and_clean(settings):
    """Passwords are hashed at once, and calls of other tests do not count."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    companies.forget_limits()


@pytest.fixture
def max_(acme):
    """Acme's manager, who calls."""
    return companies.client(acme.people["max"])


@pytest.fixture
def account(acme):
    return make_account(acme.tenant, name="amina", owner=acme.people["amina"])


@pytest.fixture
def group(account):
    return Group.objects.create(
        tenant=account.tenant, account=account, chat_id="1203@g.us", subject="Parents",
        discovered_at=NOW, refreshed_at=NOW,
    )  # fmt: skip


def wrong(answer) -> tuple[str, str]:
    """Field and code of the first error of a problem."""
    return answer["errors"][0]["field"], answer["errors"][0]["code"]


@pytest.fixture
def worker():
    """The worker's part of linking, in a thread of its own: does `act(account)` once one is asked
    for."""
    threads = []

    def start(act):
        def work():
            try:
                until = time.monotonic() + 30
                while time.monotonic() < until:
                    account = Account.objects.filter(status="pending").first()
                    if account is not None:
                        act(account)
                        return
                    time.sleep(0.02)
            finally:
                connection.close()

        threads.append(threading.Thread(target=work))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(15)


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker):
    """Made once: every call is taken back, so that none changes it for the next."""
    quick = override_settings(
        WHATSAPP_LINK_SECONDS=1,
        ALLOWED_HOSTS=["*"],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    )
    # As Django's own test client does: the test's connection stays open between calls.
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    with quick, django_db_blocker.unblock(), transaction.atomic():
        yield worlds.two_companies()
        transaction.set_rollback(True)
    request_started.connect(close_old_connections)
    request_finished.connect(close_old_connections)
