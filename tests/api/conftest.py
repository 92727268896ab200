import threading
import time

import pytest
from django.db import connection

from tests import companies
from whatsapp.models import Account


@pytest.fixture(autouse=True)
def quick_and_clean(settings):
    """Passwords are hashed at once, and calls of other tests do not count."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    companies.forget_limits()


@pytest.fixture
def acme(db):
    return companies.acme()


@pytest.fixture
def other(db):
    return companies.other()


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
