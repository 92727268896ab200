"""One account, one thread: link it, restore it, recover, send what is due, let it go."""

from __future__ import annotations

import time

import structlog
from django.conf import settings
from django.utils import timezone

from whatsapp import inbox, leases, limits, linking, outbox, profiles, sending
from whatsapp.driver.base import (
    DriverError,
    MediaFile,
    MediaKind,
    NotOnWhatsApp,
    Outgoing,
    PageState,
    Permanent,
    SendResult,
    SessionLost,
    Unknown,
)
from whatsapp.failpoints import failpoint
from whatsapp.models import Account, Contact, Message
from whatsapp.sessions import NoSlot, Session, SessionPool

log = structlog.get_logger(__name__)

Status = Account.Status


def drive(pool: SessionPool, account_id: int) -> None:
    """Do what `account_id` needs now. Returns when nothing is left, or nothing can be done yet.

    Safe to call at any time, twice, or for nothing: what there is to do stands in PostgreSQL.
    """
    if pool.stopping.is_set():
        return
    with pool.turn(account_id) as mine:
        if not mine:
            return
        account = Account.objects.select_related("tenant").filter(pk=account_id).first()
        if account is None:
            return
        try:
            _drive(pool, account)
        except NoSlot:
            log.info("no free slot", account_id=account_id)
        except leases.StillAlive as error:
            log.error("the last holder's browser does not end", account_id=account_id, why=error)


def _drive(pool: SessionPool, account: Account) -> None:
    session = pool.get(account.pk)
    if session is not None and not session.usable:
        pool.close(session, reason=session.lost or "lease lost", keep_lease=not session.held.alive)
        session = None
    if account.logout_requested_at is not None:
        _unlink(pool, account, session)
    elif account.status == Status.PENDING:
        _link(pool, account, session)
    elif account.is_linked and account.enabled:
        session = session or _restore(pool, account)
        if session is not None:
            _work(pool, account, session)
    elif session is not None:
        pool.close(session, reason=f"account is {account.status}")


# --------------------------------------------------------------------------------- linking


def _link(pool: SessionPool, account: Account, session: Session | None) -> None:
    ends = linking.attempt_ends(account)
    left = (ends - timezone.now()).total_seconds() if ends else 0.0
    if left <= 0:
        _give_up_linking(pool, account, session)
        return
    if session is None:
        session = pool.claim(account.pk)
        if session is None:
            return
        profiles.began(session.held, session.profile)
        session.link_ends = time.monotonic() + left
        if not _open(pool, account, session, deadline=left):
            return
    session.link_ends = time.monotonic() + left
    try:
        _advance_linking(pool, account, session)
    except DriverError as error:
        log.warning("linking failed", account_id=account.pk, code=error.code)
        pool.close(session, reason=error.code)


def _advance_linking(pool: SessionPool, account: Account, session: Session) -> None:
    state = session.driver.status()
    if state is PageState.CONNECTED:
        if linking.linked(account.pk, session.driver.me(), now=timezone.now()):
            session.link_ends, session.linked = None, True
            log.info("linked", account_id=account.pk)
            account.refresh_from_db()
            _work(pool, account, session)
        else:
            session.driver.logout(deadline=settings.WHATSAPP_CALL_SECONDS)
            _forget_profile(pool, session)
    elif state is PageState.QR_IDLE:
        session.driver.refresh_qr()
    elif state is PageState.QR and (code := session.driver.qr()):
        linking.publish_qr(account, code)


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
        _forget_profile(pool, session)


def _unlink(pool: SessionPool, account: Account, session: Session | None) -> None:
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
    try:
        session.driver.open(deadline=min(deadline, settings.WHATSAPP_OPEN_SECONDS))
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


def _restore(pool: SessionPool, account: Account) -> Session | None:
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
        if session.driver.status() is PageState.CONNECTED:
            linking.linked(account.pk, session.driver.me(), now=timezone.now())
            session.linked, session.saved_at = True, time.monotonic()
            account.refresh_from_db()
            log.info("session restored", account_id=account.pk)
            return session
    except DriverError as error:
        pool.close(session, reason=error.code)
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


def _work(pool: SessionPool, account: Account, session: Session) -> None:
    try:
        if not session.caught_up:
            _catch_up(session)
        _recover(session)
        _send_due(pool, account, session)
        _save_if_due(session)
    except limits.Unavailable as error:
        log.warning("not sending", account_id=account.pk, why=str(error))
    except SessionLost as error:
        log.warning("session lost", account_id=account.pk, code=error.code)
        if error.code in {"browser_gone", "page_hung"}:
            pool.close(session, reason=error.code)
    except DriverError as error:
        log.warning("session trouble", account_id=account.pk, code=error.code)


def _catch_up(session: Session) -> None:
    """What came while nobody listened has no event: ask for messages, and for receipts."""
    session.caught_up = True
    for message in session.driver.unread(deadline=settings.WHATSAPP_CALL_SECONDS):
        inbox.store_incoming(session.account_id, message, now=timezone.now())
    for sent in inbox.awaiting_receipts(session.account_id, now=timezone.now()):
        found = session.driver.lookup(sent.wa_id, deadline=settings.WHATSAPP_CALL_SECONDS)
        inbox.store_found(sent, found, now=timezone.now())


def _recover(session: Session) -> None:
    for message in sending.undecided(session.account_id):
        found = session.driver.lookup(message.wa_id, deadline=settings.WHATSAPP_CALL_SECONDS)
        # A profile restored from an older archive does not know what was sent after it was saved.
        known = session.known_until is None or (
            message.sending_at is not None and message.sending_at < session.known_until
        )
        decided = sending.recover(message, found, held=session.held, same_profile=known)
        if decided != "wait":
            log.info("recovered", message_id=message.pk, decided=decided)


def _save_if_due(session: Session) -> None:
    if session.save_due and session.usable:
        session.saved_at = time.monotonic()  # failed or not: the next one is an interval away
        with profiles.stopped(session.driver.process_group):
            profiles.save(session.held, session.profile, ended=False)


# --------------------------------------------------------------------------------- sending


def _send_due(pool: SessionPool, account: Account, session: Session) -> None:
    """Send what is due, one after the other, until nothing is or the account has to wait."""
    while session.usable and not pool.stopping.is_set():
        account.refresh_from_db()
        if account.status != Status.CONNECTED or account.sending_paused_at or not account.enabled:
            return
        message = outbox.next_due(account.pk)
        if message is None:
            return
        session.used_at = time.monotonic()
        failpoint("send.before-prepare")
        out = _prepare(session, message)
        if out is None:
            continue
        reserved = limits.reserve(account)
        if isinstance(reserved, limits.Wait):
            # The gap is waited out here; a minute or a day is not: the account is given back and
            # the reconciler rings when there is room.
            if reserved.reason != "gap" or pool.stopping.wait(reserved.seconds):
                return
            continue
        try:
            intent = sending.intend(message, out, held=session.held, day=reserved.day)
        except sending.Refused as refused:
            limits.release(reserved)
            if refused.reason in {"day_changed", "message_gone"}:
                continue
            if refused.reason == "lease_lost":
                pool.close(session, reason="lease lost", keep_lease=True)
            return
        except BaseException:
            limits.release(reserved)
            raise
        _send(session, message, intent)


def _prepare(session: Session, message: Message) -> Outgoing | None:
    """Where the message goes and under which id; None after failing one that cannot go."""
    if message.wa_id and message.chat_id:
        return Outgoing(chat_id=message.chat_id, wa_id=message.wa_id)  # tried before: same id
    contact = message.contact
    try:
        out = session.driver.prepare(contact.phone, deadline=settings.WHATSAPP_CALL_SECONDS)
    except Permanent as error:
        now = timezone.now()
        if isinstance(error, NotOnWhatsApp):
            Contact.objects.filter(pk=contact.pk).update(on_whatsapp=False, checked_at=now)
        outbox.fail_queued(message, code=error.code, error=str(error), now=now)
        return None
    if not contact.on_whatsapp:
        Contact.objects.filter(pk=contact.pk).update(on_whatsapp=True, checked_at=timezone.now())
    return out


def _send(session: Session, message: Message, intent: sending.Intent) -> None:
    failpoint("send.before")
    try:
        result = _transmit(session, message, intent)
    except DriverError as error:
        log.warning("send failed", message_id=message.pk, code=error.code)
        sending.finish_error(intent, error, now=timezone.now())
        if isinstance(error, Unknown):
            _look_up_now(session, message)
        if isinstance(error, SessionLost):
            raise
        return
    failpoint("send.after")
    sending.finish_sent(intent, result, now=timezone.now())
    failpoint("send.finished")


def _transmit(session: Session, message: Message, intent: sending.Intent) -> SendResult:
    limits_of_call = {"not_after": intent.not_after, "deadline": settings.WHATSAPP_SEND_SECONDS}
    if message.media is None:
        return session.driver.send_text(intent.out, message.body, **limits_of_call)
    media = message.media
    with media.file.open("rb") as file:
        data = file.read()
    whole = MediaFile(
        kind=MediaKind(media.kind), data=data, mime=media.mime, filename=media.filename
    )
    return session.driver.send_media(intent.out, whole, message.body, **limits_of_call)


def _look_up_now(session: Session, message: Message) -> None:
    """A send that nobody answered may be decided right away by the page that made it."""
    message.refresh_from_db()
    if message.state != Message.State.SENDING:
        return
    found = session.driver.lookup(message.wa_id, deadline=settings.WHATSAPP_CALL_SECONDS)
    sending.recover(message, found, held=session.held, same_profile=True)
