"""What became of a message whose sending began and did not finish: its id is looked up.

Rules 6 and 7 of docs/explanation/effectively-once.md.
"""

from __future__ import annotations

import datetime as dt
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import poison
from whatsapp import doorbells, leases, outbox
from whatsapp.clock import database_now
from whatsapp.driver.base import Found, Lookup
from whatsapp.failpoints import failpoint
from whatsapp.leases import Held
from whatsapp.models import Account, Attempt, Message

# Clocks of two processes on one database differ by less than this.
SKEW = dt.timedelta(seconds=5)
# A message begun by an account that nobody drives any more is uncertain after this.
GIVE_UP = dt.timedelta(minutes=10)

State = Message.State


def undecided(account_id: int) -> list[Message]:
    """Messages of the account whose sending began and did not finish."""
    return list(
        Message.objects.filter(account_id=account_id, state=State.SENDING).order_by("sending_at")
    )


def settled_by(message: Message) -> datetime:
    """From when on nothing can send this message any more, whoever held it."""
    not_after = message.not_after or message.created_at  # the database forbids it to be empty
    return not_after + dt.timedelta(seconds=settings.WHATSAPP_SEND_SECONDS) + SKEW


def recover(message: Message, found: Lookup, *, held: Held, same_profile: bool) -> str:
    """Decide about one undecided message from what the session knows of its id.

    `same_profile`: the session runs on the profile that was to send it. Returns ``sent``,
    ``again`` (queued once more, same id), ``uncertain``, ``failed``, ``wait`` (too early to tell)
    or ``gone`` (decided by somebody else, a receipt for instance).
    """
    now = timezone.now()
    attempt = Attempt.objects.filter(message=message).latest("number")
    if found.found is Found.ON_SERVER:
        with transaction.atomic():
            _conclude(attempt, Attempt.Outcome.SENT, now=now)
            done = outbox.move(
                message,
                to=State.SENT,
                when=[State.SENDING],
                ack=max(found.ack or 1, 1),
                sent_at=message.sending_at,
                now=now,
            )
        return "sent" if done else "gone"
    if database_now() < settled_by(message):
        return "wait"
    may_resend = found.found is Found.NOT_FOUND and same_profile and settings.RESEND_NOT_FOUND
    with transaction.atomic():
        if may_resend and leases.is_ours(held):
            done = outbox.move(
                message,
                to=State.QUEUED,
                when=[State.SENDING],
                fence=message.fence,
                due_at=now,
                error_code="not_found",
                error="the session does not know it: sent again with the same id",
                now=now,
            )
            failpoint("recover.before-commit")
            if done:
                _conclude(attempt, Attempt.Outcome.NOT_SENT, now=now)
                doorbells.ring_on_commit([message.account_id])
            return "again" if done else "gone"
    evidence = f"looked up: {found.found.value}, ack {found.ack}"
    return "uncertain" if _give_up(message, attempt, evidence, now=now) else "gone"


def give_up_undriven(*, now: datetime) -> int:
    """Messages begun by accounts that nobody drives any more become uncertain; returns how many.

    Nobody will look them up: the account was logged out, disabled or disconnected since.
    """
    driven = Q(account__enabled=True, account__status__in=Account.LINKED_STATUSES)
    waiting = Message.objects.filter(~driven, state=State.SENDING, not_after__lt=now - GIVE_UP)
    given_up = 0
    for message in waiting.select_related("account"):
        with poison.apart("message not given up", message_id=message.pk):
            attempt = message.attempts.latest("number")
            given_up += _give_up(message, attempt, "nobody drives its account", now=now)
    return given_up


def _give_up(message: Message, attempt: Attempt, evidence: str, *, now: datetime) -> bool:
    """Nobody can tell: a person settles it. Only as it was when it was looked up (its fence)."""
    with transaction.atomic():
        done = outbox.move(
            message,
            to=State.UNCERTAIN,
            when=[State.SENDING],
            fence=message.fence,
            error_code=attempt.error_code or "holder_lost",
            error=f"{attempt.error or 'the worker was lost while sending'}; {evidence}"[:300],
            now=now,
        )
        if done:
            _conclude(attempt, Attempt.Outcome.UNKNOWN, now=now)
    return done


def _conclude(attempt: Attempt, outcome: Attempt.Outcome, *, now: datetime) -> None:
    Attempt.objects.filter(pk=attempt.pk).update(outcome=outcome, finished_at=now)
