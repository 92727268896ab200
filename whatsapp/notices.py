"""Tell the owner of an account, once, that it needs them."""

from __future__ import annotations

from datetime import datetime

import structlog
from django.core.mail import send_mail
from django.utils.translation import gettext as _
from django.utils.translation import override

from whatsapp import reasons
from whatsapp.models import Account

log = structlog.get_logger(__name__)


def tell_owners(*, now: datetime) -> int:
    """Send what is to be sent; returns how many. At most once each: claimed before it is sent."""
    sent = 0
    waiting = Account.objects.filter(notify_owner=True).select_related("owner", "tenant")
    for account in waiting:
        claimed = Account.objects.filter(pk=account.pk, notify_owner=True).update(
            notify_owner=False, notified_at=now
        )
        if not claimed or account.owner is None or not account.owner.email:
            continue
        with override(account.tenant.default_language):
            subject, body = _resting(account) if account.is_linked else _disconnected(account)
        try:
            send_mail(subject, body, None, [account.owner.email])
            sent += 1
        except OSError as error:
            # Told in the API's status as well; a second mail would be worse than none.
            log.warning("owner not told", account_id=account.pk, error=type(error).__name__)
    return sent


def _disconnected(account: Account) -> tuple[str, str]:
    subject = _("Your WhatsApp account %(name)s is disconnected") % {"name": account.name}
    body = _("Messages wait until you connect it again. Nothing is lost.\n\nWhy: %(reason)s")
    reason = reasons.in_words(account.status_reason) or account.status_reason
    return subject, body % {"reason": reason}


def _resting(account: Account) -> tuple[str, str]:
    subject = _("Your WhatsApp account %(name)s rests") % {"name": account.name}
    body = _(
        "It has stopped sending by itself, so that WhatsApp does not restrict the number. Messages "
        "wait, and it comes back by itself, slowly. Nothing is lost.\n\nWhy: %(reason)s"
    )
    return subject, body % {"reason": reasons.of_health(account.health_reason)}
