"""Files that came in: announced with their message, fetched afterwards, kept if they are harmless.

A message is stored at once; its file is asked of the open session when nothing is to be sent, at
most three times, and checked as one that somebody uploads: by its bytes, not by what its sender
calls it. Whatever is wrong with a file stands beside its message and holds nothing up.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.db.models import F

from accounts import poison
from whatsapp import media
from whatsapp.driver.base import MediaFile, Permanent, Retryable, SessionLost
from whatsapp.models import Incoming
from whatsapp.sessions import Session

log = structlog.get_logger(__name__)

State = Incoming.MediaState

DOWNLOAD_SECONDS = 60.0
MOST_TRIES = 3
AT_ONCE = 10  # files of an account in one go; then others have their turn
# Said by the page, not by the file: it is asked again without counting.
BAD_MOMENTS = frozenset({"offline", "busy", "page_not_ready", "page_reloaded"})


def wanted(account_id: int) -> list[Incoming]:
    """Messages whose files are to be fetched, oldest first."""
    rows = Incoming.objects.filter(account_id=account_id, media_state=State.WANTED)
    return list(rows.select_related("account__tenant").order_by("media_tries", "pk")[:AT_ONCE])


def fetch(session: Session, *, busy: Callable[[], bool]) -> None:
    """Fetch what is wanted until `busy` says that there is something to send.

    Raises `SessionLost`, and what says nothing about the file: all of them wait then.
    """
    for incoming in wanted(session.account_id):
        if busy() or not session.usable:
            return
        try:
            found = session.driver.download(incoming.wa_id, deadline=DOWNLOAD_SECONDS)
        except SessionLost:
            raise
        except Permanent as error:
            large = error.code == "media_too_large"
            _end(incoming, State.TOO_LARGE if large else State.FAILED, code=error.code)
        except Retryable as error:
            if error.code in BAD_MOMENTS:
                raise
            _try_again(incoming, error.code)
        else:
            with poison.apart("file not stored", incoming_id=incoming.pk) as this:
                _keep(incoming, found)
            if this.error is not None:
                _try_again(incoming, "internal")


def _keep(incoming: Incoming, found: MediaFile) -> None:
    """Store a file that has arrived, or why it is not stored."""
    try:
        stored = media.store(
            tenant=incoming.account.tenant,
            data=found.data,
            filename=found.filename or incoming.content.get("filename", ""),
        )
    except media.BadMedia as error:
        large = error.code == "too_large"
        _end(incoming, State.TOO_LARGE if large else State.FAILED, code=error.code)
        return
    except OSError as error:
        log.error("file not stored", incoming_id=incoming.pk, error=type(error).__name__)
        _try_again(incoming, "disk")
        return
    Incoming.objects.filter(pk=incoming.pk, media_state=State.WANTED).update(
        media=stored, media_state=State.STORED, media_error=""
    )


def _end(incoming: Incoming, state: State, *, code: str) -> None:
    log.info("file not kept", incoming_id=incoming.pk, code=code)
    Incoming.objects.filter(pk=incoming.pk, media_state=State.WANTED).update(
        media_state=state, media_error=code[:60]
    )


def _try_again(incoming: Incoming, code: str) -> None:
    if incoming.media_tries + 1 >= MOST_TRIES:
        _end(incoming, State.FAILED, code=code)
        return
    Incoming.objects.filter(pk=incoming.pk, media_state=State.WANTED).update(
        media_tries=F("media_tries") + 1, media_error=code[:60]
    )
