"""What somebody wants to know of an account's groups, asked of its open session."""

from __future__ import annotations

import datetime as dt

import structlog
from django.conf import settings
from django.utils import timezone

from accounts import poison
from whatsapp import groups
from whatsapp.driver.base import Permanent, Retryable, SessionLost
from whatsapp.models import Account, Group
from whatsapp.sessions import Session

log = structlog.get_logger(__name__)

# Messages wait while the page is asked: one that cannot tell is asked again much later.
AGAIN = dt.timedelta(minutes=1)


def look(session: Session, account: Account) -> None:
    """Answer what is asked for. Raises `SessionLost`; whatever else fails is noted and put off."""
    now = timezone.now()
    if account.groups_requested_at is not None and account.groups_requested_at <= now:
        _look_for_groups(session, account)
    waiting = Group.objects.filter(account=account, members_requested_at__lte=now)
    for group in waiting.select_related("tenant").order_by("members_requested_at"):
        _look_for_members(session, group)


def _look_for_groups(session: Session, account: Account) -> None:
    try:
        infos = session.driver.groups(deadline=settings.WHATSAPP_CALL_SECONDS)
    except SessionLost:
        raise
    except (Permanent, Retryable) as error:
        log.warning("groups not discovered", account_id=account.pk, code=error.code)
        groups.put_off(account, f"{error.code}: {error}", wait=AGAIN, now=timezone.now())
        return
    with poison.apart("groups not stored", account_id=account.pk) as this:
        groups.store(account, infos, now=timezone.now())
    if this.error is not None:
        why = f"internal: {type(this.error).__name__}"
        groups.put_off(account, why, wait=AGAIN, now=timezone.now())


def _look_for_members(session: Session, group: Group) -> None:
    now = timezone.now()
    try:
        members = session.driver.group_members(
            group.chat_id, deadline=settings.WHATSAPP_CALL_SECONDS
        )
    except SessionLost:
        raise
    except Permanent as error:
        left = {"role": Group.Role.LEFT} if error.code == "not_in_group" else {}
        groups.put_off_members(group, f"{error.code}: {error}", wait=None, now=now, **left)
        return
    except Retryable as error:
        groups.put_off_members(group, f"{error.code}: {error}", wait=AGAIN, now=now)
        return
    with poison.apart("members not stored", group_id=group.pk) as this:
        groups.store_members(group, members, now=timezone.now())
    if this.error is not None:
        why = f"internal: {type(this.error).__name__}"
        groups.put_off_members(group, why, wait=AGAIN, now=now)
