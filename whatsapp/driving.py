"""One account, one thread: open what has to be open, recover, send what is due."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.utils import timezone

from accounts import poison
from whatsapp import (
    contacts,
    discovery,
    downloads,
    due,
    inbox,
    leases,
    limits,
    opening,
    outbox,
    pace,
    payloads,
    profiles,
    receipts,
    recovery,
    sending,
)
from whatsapp.driver.base import (
    DriverError,
    Found,
    Lookup,
    NotOnWhatsApp,
    Outgoing,
    PageState,
    Permanent,
    Retryable,
    SessionLost,
    Unknown,
)
from whatsapp.failpoints import failpoint
from whatsapp.models import Account, Group, Message
from whatsapp.payloads import Payload
from whatsapp.sessions import NoSlot, Session, SessionPool

log = structlog.get_logger(__name__)

Status = Account.Status

LOOK_SECONDS = 5.0  # between two looks at what is asked of an account that sends without end
# Codes of errors that say nothing about the message that was asked for.
OF_THE_PAGE = frozenset({"offline", "busy", "page_not_ready", "page_reloaded"})
# What says something about the session or the account, whichever message was asked for.
EXPECTED = (DriverError, NoSlot, limits.Unavailable, profiles.LeaseLost, leases.StillAlive)
MOST_FAILED = 3  # messages in a row that nobody can handle, until the turn ends
STUCK_CHATS = 8  # postponed sends to chats that are stuck, until the browser is replaced


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
        except profiles.LeaseLost:
            log.warning("lease lost", account_id=account_id)
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
        session = session or opening.restore(pool, account, urgent=due.waiting(account.pk))
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
        state = session.driver.status()
        if state is not PageState.CONNECTED:
            opening.note_page(pool, account, session, state)
            return
        session.reconnects, session.look_again = 0, None
        _recover(session)
        if not session.caught_up:
            _catch_up(session)
        _look(session, account)
        left = _send_due(pool, session)
        downloads.fetch(session, busy=lambda: _is_wanted_elsewhere(pool, session, left))
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


def _is_wanted_elsewhere(pool: SessionPool, session: Session, left: Message | None) -> bool:
    """Whether files have to wait: a message has come due, or the worker stops.

    `left` was due and could not go: a pause, a limit. It is rung for when there is room.
    """
    if pool.stopping.is_set():
        return True
    first = due.next_due(session.account_id)
    if first is None or first == left:
        return False
    pool.wake(session.account_id)
    return True


def _look(session: Session, account: Account) -> None:
    session.looked_at = time.monotonic()
    discovery.look(session, account)


def _catch_up(session: Session) -> None:
    """What came while nobody listened has no event: ask for messages, and for receipts."""
    began = timezone.now()
    session.unstored += session.driver.unread(
        since=inbox.not_heard_since(session.account_id), deadline=settings.WHATSAPP_CALL_SECONDS
    )
    while session.unstored:
        inbox.take_in(session.account_id, session.unstored[0], now=timezone.now())
        session.unstored.pop(0)
    for sent in receipts.awaiting_receipts(session.account_id, now=timezone.now()):
        try:
            found = session.driver.lookup(sent.wa_id, deadline=settings.WHATSAPP_CALL_SECONDS)
        except SessionLost:
            raise
        except DriverError as error:
            if error.code in OF_THE_PAGE:
                raise
            # Its receipts are asked for again with the next session; it holds nothing up in this.
            log.warning("not looked up", message_id=sent.pk, code=error.code)
        else:
            with poison.apart("receipts not stored", message_id=sent.pk):
                receipts.store_found(sent, found, now=timezone.now())
    session.caught_up = True
    inbox.note_heard(session.account_id, until=began)


def _recover(session: Session) -> None:
    for message in recovery.undecided(session.account_id):
        with poison.apart("message not recovered", but=DriverError, message_id=message.pk):
            _recover_one(session, message)


def _recover_one(session: Session, message: Message) -> None:
    """Look a message up and decide about it, if that is possible yet."""
    try:
        found = session.driver.lookup(message.wa_id, deadline=settings.WHATSAPP_CALL_SECONDS)
    except SessionLost:
        raise
    except DriverError as error:
        # One that cannot be looked up must not hold up the others: it ends as uncertain.
        found = Lookup(Found.PENDING, code=error.code)
    failpoint("recover.found")
    known = session.knows_from is None or (
        message.sending_at is not None and message.sending_at > session.knows_from
    )
    decided = recovery.recover(message, found, held=session.held, same_profile=known)
    if decided != "wait":
        log.info("recovered", message_id=message.pk, decided=decided)


def _save_if_due(session: Session) -> None:
    if session.save_due and session.usable:
        session.saved_at = time.monotonic()  # failed or not: the next one is an interval away
        group = session.driver.process_group
        profiles.save(session.held, session.profile, ended=False, group=group)


# --------------------------------------------------------------------------------- sending


@dataclass(slots=True)
class _Going:  # what one run of `_send_due` remembers
    days_changed: int = 0
    typed: int = 0  # the message for which typing was shown
    failed: int = 0  # messages in a row


def _send_due(pool: SessionPool, session: Session) -> Message | None:
    """Send what is due, one after the other, until nothing is or the account has to wait.

    Returns what was due and could not go.
    """
    going = _Going()
    while session.usable and not pool.stopping.is_set():
        message = due.next_due(session.account_id)
        if message is None:
            return None
        account = message.account
        if account.status != Status.CONNECTED or account.sending_paused_at or not account.enabled:
            return message
        if time.monotonic() - session.looked_at > LOOK_SECONDS:
            _look(session, account)  # a long queue does not keep whoever asks waiting
        with poison.apart("message not sent", but=EXPECTED, message_id=message.pk) as this:
            if not _send_one(pool, session, message, going):
                return message
        going.failed = 0 if this.error is None else going.failed + 1
        if this.error is not None and (
            going.failed == MOST_FAILED  # it is not the messages
            or not sending.put_aside(message, this.error, now=timezone.now())
        ):
            raise this.error  # one that was begun is looked up in the next turn
    return None


def _send_one(pool: SessionPool, session: Session, message: Message, going: _Going) -> bool:
    """Send a message or see why not; False: it is due and its account has to wait."""
    account = message.account
    held = pace.hold(message, account, now=timezone.now())
    if held is not None and held.whole_account:
        return False
    if held is not None:
        pace.put_off(message, held)
        return True
    session.used_at = time.monotonic()
    failpoint("send.before-prepare")
    prepared = _prepare(session, message)
    if prepared is None:
        return True
    out, payload = prepared
    failpoint("send.prepared")
    reserved = limits.reserve(account)
    typing = pace.typing_time(message, account) if message.pk != going.typed else 0.0
    if isinstance(reserved, limits.Wait):
        # The gap is waited out here; a minute or a day is not: the account is given back and
        # the reconciler rings when there is room.
        if reserved.reason != "gap" or pool.stopping.wait(reserved.seconds - typing):
            return False
    elif typing:
        limits.release(reserved)  # what is typed holds no place meanwhile
    if typing:
        going.typed = message.pk
        _type(session, out.chat_id, typing)
        if pool.stopping.wait(typing):
            return False
    if typing or isinstance(reserved, limits.Wait):
        return True  # what goes first may be another by now, or this one may be held
    if pace.hold(message, account, now=timezone.now()) is not None:
        limits.release(reserved)  # night has fallen while it was prepared
        return True
    failpoint("send.reserved")
    try:
        intent = sending.intend(message, out, held=session.held, day=reserved.day)
    except sending.Refused as refused:
        limits.release(reserved)
        going.days_changed += refused.reason == "day_changed"
        if refused.reason in {"message_gone", "new_chats"} or going.days_changed == 1:
            return True
        if refused.reason == "lease_lost":
            pool.close(session, reason="lease lost", keep_lease=True)
        return False
    except BaseException:
        limits.release(reserved)
        raise
    try:
        _send(session, message, payload, intent)
    finally:
        limits.used(reserved)
    return True


def _prepare(session: Session, message: Message) -> tuple[Outgoing, Payload] | None:
    """All that a send needs; None after dealing with a message that cannot go now."""
    now = timezone.now()
    contact = message.contact
    if message.obstacle:
        outbox.move(
            message,
            to=Message.State.CANCELLED,
            when=[Message.State.QUEUED],
            error_code=message.obstacle,
            ended_at=now,
            now=now,
        )
        return None
    if message.wa_id and _arrived_already(session, message):
        return None
    if pace.known_absent(message, now=now):
        outbox.fail_queued(message, code="not_on_whatsapp", error=str(NotOnWhatsApp()), now=now)
        return None
    try:
        payload = payloads.read(message)
        out = session.driver.prepare(
            message.recipient.address, deadline=settings.WHATSAPP_CALL_SECONDS
        )
    except Permanent as error:
        if isinstance(error, NotOnWhatsApp) and contact is not None:
            contacts.note_number(contact, known=False, now=now)
        _note_group(message, error)
        outbox.fail_queued(message, code=error.code, error=str(error), now=now)
        return None
    except SessionLost:
        raise
    except Retryable as error:
        if error.code in OF_THE_PAGE:
            raise  # all of them wait
        sending.postpone(message, error, now=now)
        _note_stuck_chat(session, error)
        return None
    if message.wa_id and message.chat_id == out.chat_id:
        out = Outgoing(chat_id=out.chat_id, wa_id=message.wa_id)  # tried before: same id
    if contact is not None and not contact.on_whatsapp:
        contacts.note_number(contact, known=True, now=now)
    return out, payload


def _type(session: Session, chat_id: str, seconds: float) -> None:
    try:
        session.driver.typing(chat_id, seconds=seconds, deadline=settings.WHATSAPP_CALL_SECONDS)
    except SessionLost:
        raise
    except DriverError as error:
        log.info("typing not shown", account_id=session.account_id, code=error.code)


def _arrived_already(session: Session, message: Message) -> bool:
    """A message that was tried before may have arrived since it was queued once more."""
    found = session.driver.lookup(message.wa_id, deadline=settings.WHATSAPP_CALL_SECONDS)
    return bool(receipts.store_found(message, found, now=timezone.now()))


def _note_group(message: Message, error: DriverError) -> None:
    """What a refusal says about a group holds for its next messages, too."""
    group = Group.objects.filter(pk=message.group_id or 0)
    if error.code == "not_in_group":
        group.update(role=Group.Role.LEFT)
    elif error.code == "group_read_only":
        group.update(role=Group.Role.MEMBER, announce_only=True)


def _note_stuck_chat(session: Session, error: DriverError) -> None:
    """A chat whose last send nobody answered takes no other; a new page frees it."""
    if error.code == "chat_busy":
        session.chats_stuck += 1
        if session.chats_stuck >= STUCK_CHATS:
            session.lost = "recycled: a chat was stuck"


def _send(session: Session, message: Message, payload: Payload, intent: sending.Intent) -> None:
    failpoint("send.before")
    try:
        result = payloads.send(
            session.driver, intent.out, message, payload, not_after=intent.not_after
        )
    except DriverError as error:
        log.warning("send failed", message_id=message.pk, code=error.code)
        _note_group(message, error)
        sending.finish_error(intent, error, now=timezone.now())
        if isinstance(error, Unknown):
            _look_up_now(session, message)
        if isinstance(error, SessionLost):
            raise
        return
    failpoint("send.after")
    sending.finish_sent(intent, result, now=timezone.now())
    failpoint("send.finished")


def _look_up_now(session: Session, message: Message) -> None:
    """A send that nobody answered may be decided right away by the page that made it."""
    message.refresh_from_db()
    if message.state == Message.State.SENDING:
        _recover_one(session, message)
