"""Bring the browser of an account to where the account should be: linked, restored, gone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import structlog
from django.conf import settings
from django.utils import timezone

from whatsapp import leases, limits, linking, pairing, processes, profiles
from whatsapp.driver.base import DriverError, PageState, SessionLost
from whatsapp.failpoints import failpoint
from whatsapp.models import Account
from whatsapp.sessions import Session, SessionPool

log = structlog.get_logger(__name__)

Status = Account.Status

MAX_RECONNECTS = 5
LONGEST_WAIT = 30.0  # seconds


def link(pool: SessionPool, account: Account, session: Session | None) -> Session | None:
    """Show QR codes until somebody scans one or the attempt ends; the session once it is linked.

    An account that was linked before is restored if its profile still is; else it shows a code.
    """
    ends = linking.attempt_ends(account)
    left = (ends - timezone.now()).total_seconds() if ends else 0.0
    if session is None:
        if left <= 0:
            _give_up_linking(account)
            return None
        session = pool.claim(account.pk, evict=True)
        if session is None:
            return None
        with _whole_or_closed(pool, session):
            _profile_for_linking(account, session)
            session.link_ends = time.monotonic() + left
            if not _open(pool, account, session, deadline=left):
                return None
    session.link_ends = time.monotonic() + left
    try:
        with _whole_or_closed(pool, session):
            done = _advance_linking(pool, account, session)
    except DriverError as error:
        log.warning("linking failed", account_id=account.pk, code=error.code)
        return None
    if done is None and left <= 0:  # the page was asked first: a scan in the last second counts
        _give_up_linking(account)
        pool.close(session, reason="nobody scanned")
    return done


@contextlib.contextmanager
def _whole_or_closed(pool: SessionPool, session: Session) -> Iterator[None]:
    """Whatever fails between the claim and a session that is whole closes it again."""
    try:
        yield
    except profiles.LeaseLost:
        pool.close(session, reason="lease lost", keep_lease=True)
        raise
    except BaseException as error:
        pool.close(session, reason=f"not opened: {type(error).__name__}")
        raise


def _profile_for_linking(account: Account, session: Session) -> None:
    if account.phone:
        try:
            session.knows_from = profiles.make_ready(session.held, session.profile).knows_from
            return
        except profiles.NotHere as error:
            log.warning("linked anew", account_id=account.pk, why=str(error))
    profiles.began(session.held, session.profile)


def _advance_linking(pool: SessionPool, account: Account, session: Session) -> Session | None:
    state = session.driver.status()
    if state is PageState.CONNECTED:
        me = session.driver.me()
        if linking.linked(account.pk, me, now=timezone.now(), held=session.held):
            if session.showed_code:
                session.knows_from = profiles.linked(session.held)
            session.link_ends, session.linked, session.saved_at = None, True, None
            log.info("linked", account_id=account.pk)
            account.refresh_from_db()
            return session
        session.driver.logout(deadline=settings.WHATSAPP_CALL_SECONDS)
        _forget_profile(pool, session)
    elif state in (PageState.QR, PageState.QR_IDLE):
        session.showed_code = True
        if state is PageState.QR_IDLE:
            session.driver.refresh_qr()
        elif code := session.driver.qr():
            linking.publish_qr(account, code)
        if account.link_phone and session.typed_for != account.link_phone:
            _show_code_to_type(account, session)
    return None


def _show_code_to_type(account: Account, session: Session) -> None:
    """Ask for a code for the account's phone, once: a second one would void the first."""
    session.typed_for = account.link_phone
    try:
        code = session.driver.pairing_code(
            account.link_phone, deadline=settings.WHATSAPP_CALL_SECONDS
        )
    except SessionLost:
        raise
    except DriverError as error:
        log.warning("no code to type in", account_id=account.pk, code=error.code)
        pairing.publish(account, "", error=error.code)
    else:
        pairing.publish(account, code)


def _give_up_linking(account: Account) -> None:
    seconds = settings.WHATSAPP_LINK_SECONDS
    linking.change_status(
        account.pk,
        to=Status.DISCONNECTED,
        when=(Status.PENDING,),
        now=timezone.now(),
        # A page that never got ready has said so; nobody could scan anything then.
        reason=account.status_reason
        or f"nobody scanned the QR code within {seconds} seconds: ask for a new one",
        link_requested_at=None,
        link_phone="",
    )
    linking.forget_qr(account.pk)


def unlink(pool: SessionPool, account: Account, session: Session | None) -> None:
    """Log the device out and forget its profile, then say so."""
    if session is None and account.phone:
        session = pool.claim(account.pk, evict=True)
        if session is None:
            return  # its holder was rung as well
        with _whole_or_closed(pool, session):
            session = _open_to_unlink(pool, account, session)
        if session is None and profiles.exists(account.pk, pool.profile(account.pk)):
            return  # tried again by the reconciler: the phone still lists the device
    if session is not None:
        try:
            if session.driver.status() in (PageState.CONNECTED, PageState.SYNCING):
                session.driver.logout(deadline=settings.WHATSAPP_CALL_SECONDS)
        except DriverError as error:
            pool.close(session, reason=error.code)
            return
        _forget_profile(pool, session)
    Account.objects.filter(pk=account.pk).update(
        logout_requested_at=None, phone="", lid="", push_name="", platform="", linked_at=None
    )
    log.info("unlinked", account_id=account.pk)


def _open_to_unlink(pool: SessionPool, account: Account, session: Session) -> Session | None:
    try:
        profiles.make_ready(session.held, session.profile)
    except profiles.NotHere as error:
        log.warning("the phone keeps the device", account_id=account.pk, why=str(error))
        if error.passing:
            _say(account, str(error))
            pool.close(session, reason="profile out of reach")
        else:
            _forget_profile(pool, session)
        return None
    opened = _open(pool, account, session, deadline=settings.WHATSAPP_OPEN_SECONDS)
    return session if opened else None


def _forget_profile(pool: SessionPool, session: Session) -> None:
    # The lease is given back last: nobody may open the profile while it is being removed.
    pool.close(session, reason="profile forgotten", keep_lease=True)
    if leases.is_ours(session.held):
        profiles.forget(session.account_id, session.profile)
        leases.release(session.held)


# ------------------------------------------------------------------------------- a session


def _open(pool: SessionPool, account: Account, session: Session, *, deadline: float) -> bool:
    """Start the browser of a claimed session; False after closing it again."""
    session.profile.mkdir(parents=True, exist_ok=True, mode=0o700)
    failpoint("open.before")
    try:
        # A worker that was frozen until here must not open what somebody else has opened.
        if session.usable and leases.is_ours(session.held):
            # Nobody else may have one there: a holder that froze while it opened has left it.
            processes.end_browsers(session.profile)
            session.driver.open(deadline=min(deadline, settings.WHATSAPP_OPEN_SECONDS))
            failpoint("open.before-record")
            group = session.driver.process_group
            if leases.record_browser(session.held, group) and not session.closing.is_set():
                session.opened, session.noted_group = True, group
                return True
        pool.close(session, reason="lease lost", keep_lease=True)
    except DriverError as error:
        log.warning("session did not open", account_id=account.pk, code=error.code)
        _say(account, f"the browser did not get ready: {error.code}")
        pool.close(session, reason=error.code)
    return False


def _say(account: Account, reason: str) -> None:
    """Show people why the account does not work just now; its status stays."""
    Account.objects.filter(pk=account.pk).update(
        status_reason=reason[:200], last_checked_at=timezone.now()
    )


def restore(pool: SessionPool, account: Account, *, urgent: bool) -> Session | None:
    """Open the session of a linked account on its profile, without a scan.

    `urgent`: something waits to be sent or decided; an idle session may be closed for it.
    """
    session = pool.claim(account.pk, evict=urgent)
    if session is None:
        return None
    try:
        with _whole_or_closed(pool, session):
            return _restore(pool, account, session)
    except DriverError as error:
        log.warning("session not restored", account_id=account.pk, code=error.code)
        return None


def _restore(pool: SessionPool, account: Account, session: Session) -> Session | None:
    try:
        ready = profiles.make_ready(session.held, session.profile)
    except profiles.NotHere as error:
        # An empty profile would show a QR code and look as if the phone had logged us out.
        log.error("profile not here", account_id=account.pk, why=str(error))
        _say(account, str(error))
        pool.close(session, reason="profile not here")
        return None
    session.knows_from = ready.knows_from
    # What an earlier holder reserved and did not use is unknown: start from PostgreSQL.
    limits.forget(account.pk)
    if not _open(pool, account, session, deadline=settings.WHATSAPP_OPEN_SECONDS):
        return None
    state = session.driver.status()
    if state in (PageState.CONNECTED, PageState.RECONNECTING):
        linking.linked(account.pk, session.driver.me(), now=timezone.now(), held=session.held)
        session.linked, session.saved_at = True, time.monotonic()
        account.refresh_from_db()
        log.info("session restored", account_id=account.pk)
        return session
    note_page(pool, account, session, state)
    return None


def note_page(pool: SessionPool, account: Account, session: Session, state: PageState) -> None:
    """Bring the account in line with a page that cannot send: its event may have been lost.

    Only a page that shows a code has no login; one that is busy is looked at again.
    """
    now, held = timezone.now(), session.held
    if state in (PageState.QR, PageState.QR_IDLE, PageState.LOGGED_OUT):
        linking.change_status(
            account.pk,
            to=Status.LOGGED_OUT,
            when=Account.LINKED_STATUSES,
            now=now,
            reason="the session is no longer linked: scan a new QR code",
            held=held,
            notify_owner=True,
        )
        pool.close(session, reason="not linked any more")
    elif state is PageState.CONFLICT:
        linking.change_status(
            account.pk,
            to=Status.CONFLICT,
            when=Account.LINKED_STATUSES,
            now=now,
            reason="the same login was opened in another window",
            held=held,
        )
        pool.close(session, reason="conflict")
    elif state is PageState.RECONNECTING:
        linking.change_status(
            account.pk, to=Status.RECONNECTING, when=(Status.CONNECTED,), now=now, held=held
        )
    elif not session.linked:
        pool.close(session, reason=f"page is {state}")


def reconnect(pool: SessionPool, account: Account, session: Session) -> Session | None:
    """The page lost its socket and tries to come back; look again after 1, 2, 4 ... 30 s.

    After five looks the account is disconnected and its owner told once.
    """
    now = timezone.now()
    try:
        state = session.driver.status()
    except DriverError as error:
        pool.close(session, reason=error.code)
        pool.wake(account.pk)
        return None
    if state is PageState.CONNECTED:
        session.reconnects, session.look_again = 0, None
        linking.change_status(
            account.pk,
            to=Status.CONNECTED,
            when=(Status.RECONNECTING,),
            now=now,
            held=session.held,
        )
        account.refresh_from_db()
        return session
    if session.look_again is not None and time.monotonic() < session.look_again:
        return None
    if session.reconnects >= MAX_RECONNECTS:
        linking.connection_lost(
            account.pk,
            reason=f"the connection did not come back after {MAX_RECONNECTS} tries: connect again",
            now=now,
            held=session.held,
        )
        pool.close(session, reason="connection lost")
        return None
    session.look_again = time.monotonic() + min(2**session.reconnects, LONGEST_WAIT)
    session.reconnects += 1
    return None
