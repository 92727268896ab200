"""Changing a password, and ending what was begun with the old one."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts.activity import Actor, Verb, record_for_user
from accounts.models import User


def change(user: User, new: str, *, actor: Actor, now: datetime) -> None:
    """Set the password; every token and every session of the user ends.

    Access tokens and sessions carry a mark of the old password and are refused from now on.
    """
    with transaction.atomic():
        user.set_password(new)
        user.save(update_fields=["password"])
        end_refresh_tokens(user, now=now)
        record_for_user(user, Verb.PASSWORD_CHANGED, actor=actor, now=now)


def end_refresh_tokens(user: User, *, now: datetime) -> int:
    """Blacklist every refresh token of `user` that is still good; returns how many."""
    live = OutstandingToken.objects.filter(
        user=user, expires_at__gt=now, blacklistedtoken__isnull=True
    )
    ended = BlacklistedToken.objects.bulk_create(
        [BlacklistedToken(token=token) for token in live], ignore_conflicts=True
    )
    return len(ended)
