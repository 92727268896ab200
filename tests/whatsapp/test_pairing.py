"""Linking by a code that is typed in on the phone, beside the code that it scans."""

import pytest
from django.utils import timezone

from whatsapp import linking, pairing
from whatsapp.driver.base import Permanent
from whatsapp.models import Account

Status = Account.Status
PHONE, OTHER = "+33639980001", "+33639980002"


def ask(account, phone=PHONE) -> None:
    linking.request(account, phone=phone, now=timezone.now())
    account.refresh_from_db()


def test_a_phone_that_types_the_code_is_linked(account, world, worker):
    ask(account)
    worker.drive(account)
    shown = pairing.current(account)
    assert (shown.phone, shown.error) == (PHONE, "")
    assert len(shown.code) == len("ABCD-EFGH")
    assert shown.expires_at > timezone.now()
    assert linking.current_qr(account.pk) is not None
    world.enter_code(PHONE, shown.code, name="Amina")
    worker.settle()
    account.refresh_from_db()
    assert (account.status, account.phone, account.link_phone) == (Status.CONNECTED, PHONE, "")
    assert pairing.current(account) is None


def test_who_sees_the_qr_code_first_may_ask_for_one_to_type_in(account, world, worker):
    ask(account, phone="")
    worker.drive(account)
    assert pairing.current(account) is None
    ask(account)
    worker.drive(account)
    world.enter_code(PHONE, pairing.current(account).code)
    worker.settle()
    account.refresh_from_db()
    assert account.status == Status.CONNECTED


def test_the_code_stays_the_same_however_often_the_account_is_looked_at(account, worker):
    ask(account)
    worker.drive(account)
    first = pairing.current(account)
    worker.drive(account)
    assert pairing.current(account) == first


def test_another_phone_gets_another_code(account, worker):
    ask(account)
    worker.drive(account)
    ask(account, OTHER)
    assert pairing.current(account) is None  # the first one's is not shown for the second
    worker.drive(account)
    assert pairing.current(account).phone == OTHER


def test_why_there_is_no_code_is_said_and_the_qr_code_stays(account, worker, monkeypatch):
    def refuse(*_, **__):
        raise Permanent("bad_number")

    monkeypatch.setattr("whatsapp.driver.memory.MemoryDriver.pairing_code", refuse)
    ask(account)
    worker.drive(account)
    assert pairing.current(account).error == "bad_number"
    assert linking.current_qr(account.pk) is not None


def test_the_phone_is_forgotten_when_the_attempt_ends(account, worker, settings):
    ask(account)
    worker.drive(account)
    linking.disconnect(account, now=timezone.now())
    account.refresh_from_db()
    assert account.link_phone == ""
    assert pairing.current(account) is None


def test_an_attempt_that_nobody_finishes_forgets_the_phone(account, worker, settings):
    ask(account)
    settings.WHATSAPP_LINK_SECONDS = 0
    worker.drive(account)
    account.refresh_from_db()
    assert (account.status, account.link_phone) == (Status.DISCONNECTED, "")


def test_a_linked_account_is_asked_for_nothing(linked):
    assert not linking.request(linked, phone=PHONE, now=timezone.now())
    linked.refresh_from_db()
    assert (linked.status, linked.link_phone) == (Status.CONNECTED, "")


def test_waiting_ends_with_the_code_or_with_the_time(account, worker):
    ask(account)
    assert pairing.wait(account, timeout=0) is None
    worker.drive(account)
    assert pairing.wait(account, timeout=5) == pairing.current(account)


@pytest.mark.usefixtures("linked")
def test_waiting_ends_when_the_account_is_linked(account):
    assert pairing.wait(account, timeout=5) is None
