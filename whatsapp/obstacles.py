"""Why an account does not send, in words people can act on."""

from __future__ import annotations

import datetime as dt
from datetime import datetime

from django.utils.translation import gettext as _

from accounts.wording import when
from whatsapp import limits, pace, reasons
from whatsapp.limits import Allowance
from whatsapp.models import Account


def obstacle(account: Account, *, now: datetime, allowance: Allowance | None = None) -> str:
    """What keeps `account` from sending now and how to mend it; empty when nothing does.

    Part of a sentence, in the language that is active. One query, for the day's limit, unless its
    `allowance` is known.
    """
    name = {"account": account.name}
    if not account.enabled:
        return _("the account “%(account)s” is switched off: switch it on") % name
    if account.sending_paused_at is not None:
        since = when(account.sending_paused_at, now=now, zone=account.tenant.zone)
        return _("sending from “%(account)s” was paused %(since)s: resume it") % {
            **name,
            "since": since,
        }
    if account.is_resting and account.is_linked:
        step = pace.next_step(account) or now
        return _("“%(account)s” rests until %(when)s for its health: %(reason)s") % {
            **name,
            "when": when(step, now=now, zone=account.tenant.zone),
            "reason": reasons.of_health(account.health_reason),
        }
    match Account.Status(account.status):
        case Account.Status.NEW:
            return _("the account “%(account)s” was never linked: scan its QR code") % name
        case Account.Status.PENDING:
            return _("the QR code of “%(account)s” waits to be scanned") % name
        case Account.Status.LOGGED_OUT:
            return _("“%(account)s” was logged out from the phone: scan its QR code again") % name
        case Account.Status.CONFLICT:
            return _("“%(account)s” was opened somewhere else: link it again") % name
        case Account.Status.DISCONNECTED:
            return _("“%(account)s” is disconnected: scan its QR code again") % name
    allowance = allowance or limits.snapshot(account, now=now)
    if allowance.sent_today < allowance.daily_limit:
        return ""
    if allowance.daily_limit == 0:
        return _("the daily limit of “%(account)s” is 0: raise it") % name
    midnight = now + dt.timedelta(milliseconds=allowance.reset_in_ms)
    return _("“%(account)s” has sent its %(limit)d messages of the day: it goes on %(when)s") % {
        **name,
        "limit": allowance.daily_limit,
        "when": when(midnight, now=now, zone=account.tenant.zone),
    }
