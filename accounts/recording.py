"""Who logged in and out, written into the activity log by way of Django's own signals."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts import activity
from accounts.activity import Actor, Verb
from accounts.models import User


def record_for(
    user: User, verb: Verb, *, request: HttpRequest | None, detail: dict[str, str] | None = None
) -> None:
    """One line in each company of `user`; one without a company for somebody who has none."""
    actor = Actor("user", user.get_username(), user.pk, activity.address(request))
    now = timezone.now()
    for tenant_id in user.memberships.values_list("tenant_id", flat=True) or [None]:
        activity.record(tenant_id=tenant_id, verb=verb, actor=actor, detail=detail, now=now)


def _door(request: HttpRequest | None) -> dict[str, str]:
    return {"at": request.path[:100]} if request is not None else {}


@receiver(user_logged_in)
def on_logged_in(*, request: HttpRequest | None, user: User, **_: Any) -> None:
    record_for(user, Verb.LOGGED_IN, request=request, detail=_door(request))


@receiver(user_logged_out)
def on_logged_out(*, request: HttpRequest | None, user: User | None, **_: Any) -> None:
    if user is not None:
        record_for(user, Verb.LOGGED_OUT, request=request, detail=_door(request))


@receiver(user_login_failed)
def on_login_failed(
    *, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any
) -> None:
    """Attempts on somebody who exists. Other names are not kept: passwords get typed there."""
    name = str(credentials.get(User.USERNAME_FIELD, ""))[:150].replace("\0", "")
    user = User.objects.filter(**{User.USERNAME_FIELD: name}).first()
    if user is not None:
        record_for(user, Verb.LOGIN_FAILED, request=request, detail=_door(request))
