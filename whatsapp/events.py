"""What a browser says, written down: one event after the other, for all browsers of a worker.

Only quick work happens here; whatever asks the page back is left to `driving.drive`.
"""

from __future__ import annotations

import structlog
from django.utils import timezone

from whatsapp import groups, inbox, linking, receipts
from whatsapp.driver import base
from whatsapp.models import Account
from whatsapp.sessions import Session, SessionPool

log = structlog.get_logger(__name__)

Status = Account.Status


def handle(pool: SessionPool, session: Session, event: base.Event) -> None:
    """Store one event of `session`."""
    now = timezone.now()
    account_id = session.account_id
    match event:
        case base.Receipt():
            receipts.store_receipt(account_id, event)
        case base.Incoming():
            stored = inbox.take_in(account_id, event.message, now=now)
            if stored and event.message.media is not None:
                pool.wake(account_id)  # to fetch its file
            if session.caught_up:
                # Events come in order, and what came before this session is stored.
                inbox.note_heard(account_id, until=min(event.message.sent_at, now))
        case _ if not session.usable:
            # A worker that was frozen hears late: what its page says is of the past.
            log.info("event of a closed session", account_id=account_id)
        case base.QrChanged():
            session.showed_code = True
            account = Account.objects.get(pk=account_id)
            if account.status == Status.PENDING:
                linking.publish_qr(account, event.code)
        case base.Disconnected():
            linking.change_status(
                account_id,
                to=Status.RECONNECTING,
                when=(Status.CONNECTED,),
                now=now,
                held=session.held,
            )
            pool.wake(account_id)
        case base.Ready():
            session.caught_up = False  # messages that came meanwhile have no event
            session.reconnects, session.look_again = 0, None
            linking.change_status(
                account_id,
                to=Status.CONNECTED,
                when=(Status.RECONNECTING,),
                now=now,
                held=session.held,
            )
            pool.wake(account_id)
        case base.LoggedOut():
            linking.change_status(
                account_id,
                to=Status.LOGGED_OUT,
                when=(Status.CONNECTED, Status.RECONNECTING),
                now=now,
                reason=event.reason or "the device was removed on the phone",
                held=session.held,
                notify_owner=True,
            )
            pool.wake(account_id)
        case base.Conflict():
            linking.change_status(
                account_id,
                to=Status.CONFLICT,
                when=(Status.CONNECTED, Status.RECONNECTING),
                now=now,
                reason="the same login was opened in another window",
                held=session.held,
            )
            pool.wake(account_id)
        case base.BrowserLost():
            log.warning("browser lost", account_id=account_id, reason=event.reason)
            # Ending what is left of it takes seconds, in which other browsers would not be heard.
            session.lost = event.reason or "browser_gone"
            pool.wake(account_id)
        case base.GroupChanged():
            if groups.note_changed(account_id, now=now):
                pool.wake(account_id)
        case base.Linked():
            linking.note_scan(account_id)
            pool.wake(account_id)
        case base.QrIdle():
            pool.wake(account_id)
