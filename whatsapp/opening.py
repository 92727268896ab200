"""Bring the browser of an account to where the account should be: linked, restored, gone."""

from __future__ import annotations

import time

import structlog
from django.conf import settings
from django.utils import timezone

from whatsapp import leases, limits, linking, profiles
from whatsapp.driver.base import DriverError, PageState
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
    if left <= 0:
        _give_up_linking(pool, account, session)
        return None
    if session is None:
        session = pool.claim(account.pk)
        if session is None:
            return None
        _profile_for_linking(account, session)
        session.link_ends = time.monotonic() + left
        if not _open(pool, account, session, deadline=left):
            return None
    session.link_ends = time.monotonic() + left
    try:
        return _advance_linking(pool, account, session)
    except DriverError as error:
        log.warning("linking failed", account_id=account.pk, code=error.code)
        pool.close(session, reason=error.code)
        return None


def _profile_for_linking(account: Account, session: Session) -> None:
    if account.phone:
        try:
            session.known_until = profiles.make_ready(session.held, session.profile).known_until
            return
        except profiles.NotHere as error:
            log.warning("linked anew", account_id=account.pk, why=str(error))
    profiles.began(session.held, session.profile)


def _advance_linking(pool: SessionPool, account: Account, session: Session) -> Session | None:
    state = session.driver.status()
    if state is PageState.CONNECTED:
        if linking.linked(account.pk, session.driver.me(), now=timezone.now()):
            session.link_ends, session.linked = None, True
            log.info("linked", account_id=account.pk)
            account.refresh_from_db()
            return session
        session.driver.logout(deadline=settings.WHATSAPP_CALL_SECONDS)
        _forget_profile(pool, session)
    elif state is PageState.QR_IDLE:
        session.driver.refresh_qr()
    elif state is PageState.QR and (code := session.driver.qr()):
        linking.publish_qr(account, code)
    return None


def _give_up_linking(pool: SessionPool, account: Account, session: Session | None) -> None:
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
    )
    linking.forget_qr(account.pk)
    if session is not None:
        pool.close(session, reason="nobody scanned")


def unlink(pool: SessionPool, account: Account, session: Session | None) -> None:
    """Log the device out and forget its profile, then say so."""
    if session is None and account.phone:
        session = pool.claim(account.pk)
        if session is None:
            return  # its holder was rung as well
        try:
            profiles.make_ready(session.held, session.profile)
        except profiles.NotHere as error:
            log.warning("the phone still lists the device", account_id=account.pk, why=str(error))
            _forget_profile(pool, session)
            session = None
        else:
            if not _open(pool, account, session, deadline=settings.WHATSAPP_OPEN_SECONDS):
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


def _forget_profile(pool: SessionPool, session: Session) -> None:
    # The lease is given back last: nobody may open the profile while it is being removed.
    pool.close(session, reason="profile forgotten", keep_lease=True)
    profiles.forget(session.account_id, session.profile)
    leases.release(session.held)


# ------------------------------------------------------------------------------- a session


def _open(pool: SessionPool, account: Account, session: Session, *, deadline: float) -> bool:
    """Start the browser of a claimed session; False after closing it again."""
    session.profile.mkdir(parents=True, exist_ok=True, mode=0o700)
    failpoint("open.before")
    try:
        session.driver.open(deadline=min(deadline, settings.WHATSAPP_OPEN_SECONDS))
        failpoint("open.before-record")
        if session.usable and leases.record_browser(session.held, session.driver.process_group):
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


def restore(pool: SessionPool, account: Account) -> Session | None:
    """Open the session of a linked account on its profile, without a scan."""
    session = pool.claim(account.pk)
    if session is None:
        return None
    try:
        ready = profiles.make_ready(session.held, session.profile)
    except profiles.NotHere as error:
        # An empty profile would show a QR code and look as if the phone had logged us out.
        log.error("profile not here", account_id=account.pk, why=str(error))
        _say(account, str(error))
        pool.close(session, reason="profile not here")
        return None
    session.known_until = ready.known_until
    # What an earlier holder reserved and did not use is unknown: start from PostgreSQL.
    limits.forget(account.pk)
    if not _open(pool, account, session, deadline=settings.WHATSAPP_OPEN_SECONDS):
        return None
    try:
        state = session.driver.status()
        if state is PageState.CONNECTED:
            linking.linked(account.pk, session.driver.me(), now=timezone.now())
            session.linked, session.saved_at = True, time.monotonic()
            account.refresh_from_db()
            log.info("session restored", account_id=account.pk)
            return session
    except DriverError as error:
        pool.close(session, reason=error.code)
        return None
    if state not in (PageState.QR, PageState.QR_IDLE):
        # Busy, or its socket was lost just now: only a page that shows a code has no login.
        pool.close(session, reason=f"the page is {state}")
        return None
    linking.change_status(
        account.pk,
        to=Status.LOGGED_OUT,
        when=Account.LINKED_STATUSES,
        now=timezone.now(),
        reason="the session is no longer linked: scan a new QR code",
    )
    pool.close(session, reason="not linked any more")
    return None


def reconnect(pool: SessionPool, account: Account, session: Session) -> Session | None:
    """The page lost its socket and tries to come back; look again after 1, 2, 4 ... 30 s.

    After five looks the account is disconnected and its owner told once.
    """
    try:
        state = session.driver.status()
    except DriverError as error:
        pool.close(session, reason=error.code)
        pool.wake(account.pk)
        return None
    if state is PageState.CONNECTED:
        session.reconnects, session.look_again = 0, None
        linking.change_status(
            account.pk, to=Status.CONNECTED, when=(Status.RECONNECTING,), now=timezone.now()
        )
        account.refresh_from_db()
        return session
    if session.look_again is not None and time.monotonic() < session.look_again:
        return None
    if session.reconnects >= MAX_RECONNECTS:
        linking.connection_lost(
            account.pk,
            reason=f"the connection did not come back after {MAX_RECONNECTS} tries: connect again",
            now=timezone.now(),
        )
        pool.close(session, reason="connection lost")
        return None
    session.look_again = time.monotonic() + min(2**session.reconnects, LONGEST_WAIT)
    session.reconnects += 1
    return None
