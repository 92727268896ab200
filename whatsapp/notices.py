"""Tell people, once, that something needs them: an account, a chat agent."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.core.mail import send_mail
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import override

from accounts import poison
from accounts.models import Membership, User
from whatsapp import reasons
from whatsapp.models import Account, ChatAgent

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
        try:
            with poison.apart("owner not told", but=OSError, account_id=account.pk):
                with override(account.tenant.default_language):
                    letter = _resting(account) if account.is_linked else _disconnected(account)
                send_mail(*letter, None, [account.owner.email])
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


# An agent that fails, recovers and fails again is told of this often at most.
AGENT_ALERT_EVERY = timedelta(hours=1)


def tell_of_failing_agents(*, now: datetime) -> int:
    """Write to owners and managers whose chat agent does not answer; returns how many letters."""
    sent = 0
    lately = Q(alerted_at__gt=now - AGENT_ALERT_EVERY)
    for agent in ChatAgent.objects.filter(alert_wanted=True).select_related("tenant"):
        claimed = (
            ChatAgent.objects.filter(pk=agent.pk, alert_wanted=True)
            .exclude(lately)
            .update(alert_wanted=False, alerted_at=now)
        )
        if not claimed:
            continue
        administers = Membership.objects.filter(
            tenant=agent.tenant, role__in=[Membership.Role.OWNER, Membership.Role.MANAGER]
        )
        people = User.objects.filter(memberships__in=administers, is_active=True).exclude(email="")
        with override(agent.tenant.default_language):
            subject = _("The chat agent %(name)s does not answer") % {"name": agent.name}
            body = _(
                "People who write to you get an apology once, and wait for a person.\n\n"
                "The reasons stand beside each message, in the admin under Chat agents."
            )
        for email in people.values_list("email", flat=True).distinct():
            try:
                with poison.apart("not told", but=OSError, agent_id=agent.pk):
                    send_mail(subject, body, None, [email])
                    sent += 1
            except OSError as error:
                log.warning("not told", agent_id=agent.pk, error=type(error).__name__)
    return sent
