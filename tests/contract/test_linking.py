"""Codes, links, restarts and the ends of sessions."""

from __future__ import annotations

import pytest

from tests.contract.rig import CALL, OPEN, Rig, Session, link, new_phone, reopen, wait_until
from whatsapp.driver import base
from whatsapp.driver.base import PageState


def test_a_fresh_profile_shows_a_code_to_scan(rig: Rig, profile):
    session = rig.session(profile)
    assert session.driver.open(deadline=OPEN) is PageState.QR
    code = session.driver.qr()
    session.driver.close()

    assert code is not None
    assert code.text.count(",") == 3  # ref, noise key, identity key, secret
    assert session.of(base.QrChanged)[0].code == code


def test_codes_rotate_run_out_and_come_back_on_request(rig: Rig, profile):
    session = rig.session(profile, fast_codes=True)
    session.driver.open(deadline=OPEN)
    first = session.wait_for(base.QrChanged)
    rig.next_code(session)
    second = session.wait_for(base.QrChanged, after=first.seq)
    rig.codes_run_out(session)
    idle = session.wait_for(base.QrIdle)
    idle_state, idle_code = session.driver.status(), session.driver.qr()
    session.driver.refresh_qr()
    third = session.wait_for(base.QrChanged, after=idle.seq)
    session.driver.close()

    assert idle_state is PageState.QR_IDLE
    assert idle_code is None
    assert len({e.code.text for e in (first, second, third)}) == 3
    assert first.code.seq < second.code.seq < third.code.seq


def test_a_scan_links_and_then_the_session_is_ready(rig: Rig, profile):
    session = rig.session(profile)
    session.driver.open(deadline=OPEN)
    phone = new_phone()
    rig.scan(session, phone, name="Alice", lid_migrated=False)
    ready = session.wait_for(base.Ready)
    linked = session.wait_for(base.Linked)
    me, state, code = session.driver.me(), session.driver.status(), session.driver.qr()
    session.driver.close()

    assert linked.seq < ready.seq
    assert (me.phone, me.name, me.platform) == (phone, "Alice", "android")
    assert me.lid.endswith("@lid")
    assert state is PageState.CONNECTED
    assert code is None


def test_before_a_scan_nothing_can_be_sent(rig: Rig, profile):
    session = rig.session(profile)
    session.driver.open(deadline=OPEN)
    with pytest.raises(base.SessionLost) as who:
        session.driver.me()
    with pytest.raises(base.SessionLost) as where:
        session.driver.prepare(new_phone(), deadline=CALL)
    session.driver.close()

    assert who.value.code == where.value.code == "not_linked"


def test_a_restart_restores_the_session_without_a_scan(rig: Rig, profile):
    first = link(rig, profile)
    out = first.send(new_phone(), "before the restart")
    second = reopen(rig, first, profile)
    second.wait_for(base.Ready)
    found = second.driver.lookup(out.wa_id, deadline=CALL).found
    me = second.driver.me()
    second.driver.close()

    assert me.phone == first.account
    assert found is base.Found.ON_SERVER
    assert not second.of(base.Linked)
    assert not second.of(base.QrChanged)


def test_logging_out_ends_the_link_for_good(rig: Rig, profile):
    session = link(rig, profile)
    session.driver.logout(deadline=CALL)
    session.wait_for(base.LoggedOut)
    with pytest.raises(base.SessionLost):
        session.driver.prepare(new_phone(), deadline=CALL)
    wait_until(lambda: session.driver.status() is PageState.QR, "a new code after the log-out")
    session.driver.close()
    again = rig.session(profile)
    state = again.driver.open(deadline=OPEN)
    again.driver.close()

    assert state is PageState.QR
    assert len(session.of(base.LoggedOut)) == 1


def test_the_phone_can_remove_the_device(rig: Rig, profile):
    session = link(rig, profile)
    rig.log_out(session.account)
    event = session.wait_for(base.LoggedOut)
    wait_until(
        lambda: session.driver.status() in (PageState.QR, PageState.LOGGED_OUT), "logged out"
    )
    with pytest.raises(base.SessionLost):
        session.driver.me()
    session.driver.close()

    assert event.reason
    assert len(session.of(base.LoggedOut)) == 1


def test_a_device_removed_while_it_was_away_learns_it_on_its_return(rig: Rig, profile):
    session = link(rig, profile)
    session.driver.close()
    rig.log_out(session.account)
    again = rig.session(profile)
    state = again.driver.open(deadline=OPEN)
    again.driver.close()

    assert state is PageState.QR


def test_another_window_takes_the_login_over(rig: Rig, profile):
    session = link(rig, profile)
    rig.conflict(session.account)
    session.wait_for(base.Conflict)
    state = session.driver.status()
    with pytest.raises(base.SessionLost) as lost:
        session.driver.prepare(new_phone(), deadline=CALL)
    session.driver.close()

    assert state is PageState.CONFLICT
    assert lost.value.code == "conflict"


def test_a_page_that_never_gets_ready_is_given_up(rig: Rig, profile):
    with rig.refusing("stuck", profile) as session:
        with pytest.raises(base.Retryable) as given_up:
            session.driver.open(deadline=4)
        with pytest.raises(base.SessionLost):
            session.driver.status()

    assert given_up.value.code == "page_not_ready"
    assert session.driver.process_group is None


def test_a_browser_that_whatsapp_refuses_is_reported_as_such(rig: Rig, profile):
    with rig.refusing("unsupported", profile) as session, pytest.raises(base.Retryable) as refused:
        session.driver.open(deadline=OPEN)

    assert refused.value.code == "unsupported_browser"


def test_one_profile_takes_one_session(rig: Rig, linked: Session, linked_profile):
    second = rig.session(linked_profile)
    with pytest.raises(base.Retryable) as refused:
        second.driver.open(deadline=OPEN)

    assert refused.value.code == "profile_in_use"
    assert linked.driver.status() is PageState.CONNECTED


def test_two_profiles_are_two_accounts_that_do_not_mix(rig: Rig, linked: Session, profile):
    other = link(rig, profile, name="Bob")
    phone = new_phone()
    out = other.send(phone, "from Bob")
    ours, theirs = linked.driver.me().phone, other.driver.me().phone
    found = linked.driver.lookup(out.wa_id, deadline=CALL).found
    rig.inbound(other.account, phone, "to Bob")
    other.wait_for(base.Incoming, lambda e: e.message.body == "to Bob")
    other.driver.close()

    assert ours != theirs
    assert found is base.Found.NOT_FOUND
    assert not [e for e in linked.of(base.Incoming) if e.message.body == "to Bob"]


def test_a_closed_driver_says_so_and_can_be_closed_again(rig: Rig, profile):
    session = rig.session(profile)
    session.driver.open(deadline=OPEN)
    session.driver.close()
    session.driver.close()
    with pytest.raises(base.SessionLost) as gone:
        session.driver.status()

    assert gone.value.code == "browser_gone"
    assert session.driver.process_group is None
    assert not session.of(base.BrowserLost)
