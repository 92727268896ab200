"""One account, one thread: open what has to be open, recover, send what is due."""

from __future__ import annotations

import time

import structlog
from django.conf import settings
from django.utils import timezone

from whatsapp import inbox, leases, limits, opening, outbox, profiles, sending
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
        opening.unlink(pool, account, session)
        return
    if account.status == Status.PENDING:
        session = opening.link(pool, account, session)
    elif account.is_linked and account.enabled:
        session = session or opening.restore(pool, account)
        if session is not None and account.status == Status.RECONNECTING:
            session = opening.reconnect(pool, account, session)
    elif session is not None:
        pool.close(session, reason=f"account is {account.status}")
        return
    if session is not None:
        _work(pool, account, session)


def _work(pool: SessionPool, account: Account, session: Session) -> None:
    try:
        # Also a probe: a page that hangs is noticed here and its browser replaced.
        if session.driver.status() is not PageState.CONNECTED:
            return
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
            pool.wake(account.pk)
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
        failpoint("recover.found")
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
        account = Account.objects.select_related("tenant").get(pk=account.pk)
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
        failpoint("send.prepared")
        reserved = limits.reserve(account)
        if isinstance(reserved, limits.Wait):
            # The gap is waited out here; a minute or a day is not: the account is given back and
            # the reconciler rings when there is room.
            if reserved.reason != "gap" or pool.stopping.wait(reserved.seconds):
                return
            continue
        failpoint("send.reserved")
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
