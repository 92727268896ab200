"""Housekeeping: what nobody needs any more goes."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts import activity
from accounts.models import ServiceNonce


@shared_task(name="accounts.tasks.forget_nonces")
def forget_nonces() -> None:
    """Nonces of calls that would be refused by their age."""
    ServiceNonce.objects.filter(used_at__lt=timezone.now() - ServiceNonce.KEEP).delete()


@shared_task(name="accounts.tasks.forget_tokens")
def forget_tokens() -> None:
    """Refresh tokens that expired; their entries on the blacklist go with them."""
    OutstandingToken.objects.filter(expires_at__lt=timezone.now()).delete()


@shared_task(name="accounts.tasks.forget_activities")
def forget_activities() -> None:
    """Lines of the activity log older than RELANCE_ACTIVITY_DAYS."""
    activity.forget_old(now=timezone.now())
