"""API keys: what a company's own programs call with.

    Authorization: Bearer rl_4f1c09ab77d2_…      (or: Api-Key rl_4f1c09ab77d2_…)

A key is good for one company, with a role like a person's and for the scopes it was given. Only an
HMAC of it is kept (`Tenant.hash`): the secret has 256 random bits, so that a slow hash would
protect nothing and cost every call.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import activity
from accounts.activity import Actor, Verb
from accounts.models import ApiKey, Tenant

PREFIX = "rl_"
PURPOSE = "api-key"
SCHEMES = ("Bearer ", "Api-Key ")
_ID_LENGTH = len(PREFIX) + 12


def issue(
    *,
    tenant: Tenant,
    name: str,
    role: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    actor: Actor,
    now: datetime,
) -> tuple[ApiKey, str]:
    """Make a key; returns it with its text, which is shown this once only."""
    key_id = PREFIX + secrets.token_hex(6)
    text = f"{key_id}_{secrets.token_urlsafe(32)}"
    with transaction.atomic():
        key = ApiKey.objects.create(
            tenant=tenant,
            name=name,
            key_id=key_id,
            digest=tenant.hash(text, purpose=PURPOSE),
            role=role,
            scopes=sorted(set(scopes)),
            created_by_id=actor.user_id,
            created_at=now,
            expires_at=expires_at,
        )
        activity.record(
            tenant_id=tenant.pk,
            verb=Verb.API_KEY_ISSUED,
            actor=actor,
            subject=key,
            detail={"role": role, "scopes": key.scopes},
            now=now,
        )
    return key, text


def revoke(key: ApiKey, *, actor: Actor, now: datetime) -> bool:
    """End a key at once and for ever; False when it was revoked before."""
    with transaction.atomic():
        done = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)
        if done:
            activity.record(
                tenant_id=key.tenant_id,
                verb=Verb.API_KEY_REVOKED,
                actor=actor,
                subject=key,
                now=now,
            )
    return bool(done)


def find(text: str, *, now: datetime) -> ApiKey | None:
    """The live key whose text this is, and note that it was used."""
    key = (
        ApiKey.objects.select_related("tenant")
        .filter(key_id=text[:_ID_LENGTH], revoked_at=None)
        .filter(Q(expires_at=None) | Q(expires_at__gt=now))
        .first()
    )
    # Ids are no secret, so it may show in the time whether one exists; what follows them must not.
    if key is None or not hmac.compare_digest(key.tenant.hash(text, purpose=PURPOSE), key.digest):
        return None
    ApiKey.objects.filter(pk=key.pk).filter(
        Q(last_used_at=None) | Q(last_used_at__lt=now - timedelta(minutes=1))
    ).update(last_used_at=now)
    return key


class ApiKeyAuthentication(BaseAuthentication):
    """`request.auth` is the ApiKey. A header that holds none is left to the next class."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        header = request.headers.get("Authorization", "")
        scheme = next((s for s in SCHEMES if header.startswith(s + PREFIX)), None)
        if scheme is None:
            return None
        text = header.removeprefix(scheme).strip()
        key = find(text, now=timezone.now()) if text.isascii() and text.isprintable() else None
        if key is None:
            raise AuthenticationFailed(
                "This API key is unknown, revoked or expired: issue a new one.", "api_key"
            )
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002  DRF's signature
        return "Bearer"
