"""Linking by a code that is typed in on the phone."""

from __future__ import annotations

import re

import pytest

from tests.contract.rig import CALL, OPEN, Rig, Session, new_phone
from whatsapp.driver import base


@pytest.fixture
def fresh(rig: Rig, profile):
    session = rig.session(profile)
    session.account = new_phone()
    assert session.driver.open(deadline=OPEN) is base.PageState.QR
    yield session
    session.driver.close()


def test_a_code_that_is_typed_in_links_as_a_scan_does(rig: Rig, fresh: Session):
    code = fresh.driver.pairing_code(fresh.account, deadline=CALL)
    rig.enter_code(fresh.account, code)
    linked = fresh.wait_for(base.Linked)
    fresh.wait_for(base.Ready, after=linked.seq)

    assert re.fullmatch(r"[1-9A-Z]{4}-[1-9A-Z]{4}", code)
    assert fresh.driver.me().phone == fresh.account
    assert fresh.driver.status() is base.PageState.CONNECTED


def test_a_new_code_takes_the_place_of_the_old_one(rig: Rig, fresh: Session):
    old = fresh.driver.pairing_code(fresh.account, deadline=CALL)
    new = fresh.driver.pairing_code(fresh.account, deadline=CALL)
    with pytest.raises(Exception):  # noqa: B017, PT011 - each world has its own
        rig.enter_code(fresh.account, old)
    rig.enter_code(fresh.account, new)
    fresh.wait_for(base.Ready)

    assert old != new


@pytest.mark.parametrize("phone", ["", "33639980001", "+33 6 39 98", "+0123456789", "+33abc"])
def test_a_code_needs_a_phone_number(fresh: Session, phone: str):
    with pytest.raises(base.Permanent) as refused:
        fresh.driver.pairing_code(phone, deadline=CALL)

    assert refused.value.code == "bad_number"


def test_who_is_linked_needs_no_code(linked: Session):
    with pytest.raises(base.Permanent) as refused:
        linked.driver.pairing_code(linked.account, deadline=CALL)

    assert refused.value.code == "already_linked"
