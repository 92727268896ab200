"""What Django's own signals tell: who logged in and out, written into the activity log."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts import activity
from accounts.activity import Actor, Verb
from accounts.models import User


def _record(user: User, verb: Verb, request: HttpRequest | None) -> None:
    actor = Actor("user", user.get_username(), user.pk, activity.address(request))
    detail = {"at": request.path[:100]} if request is not None else {}
    activity.record_for_user(user, verb, actor=actor, detail=detail, now=timezone.now())


@receiver(user_logged_in)
def on_logged_in(*, request: HttpRequest | None, user: User, **_: Any) -> None:
    _record(user, Verb.LOGGED_IN, request)


@receiver(user_logged_out)
def on_logged_out(*, request: HttpRequest | None, user: User | None, **_: Any) -> None:
    if user is not None:
        _record(user, Verb.LOGGED_OUT, request)


@receiver(user_login_failed)
def on_login_failed(
    *, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any
) -> None:
    """Attempts on somebody who exists. Other names are not kept: passwords get typed there."""
    name = str(credentials.get(User.USERNAME_FIELD, ""))[:150].replace("\0", "")
    user = User.objects.filter(**{User.USERNAME_FIELD: name}).first()
    if user is not None:
        _record(user, Verb.LOGIN_FAILED, request)


@receiver(pre_save, sender=OutstandingToken)
def on_token_issued(*, instance: OutstandingToken, **_: Any) -> None:
    """The list of refresh tokens needs their ids; whoever reads it must not be able to use them."""
    instance.token = ""
