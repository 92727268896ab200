"""API keys: what a company's own programs call with.

    Authorization: Bearer rl_4f1c09ab77d2_…      (or: Api-Key rl_4f1c09ab77d2_…)

A key is good for one company, with a role like a person's and for the scopes it was given. Only an
HMAC of it is kept, under a key derived from WHATSAPP_SESSION_SECRET: the secret has 256 random
bits, so that a slow hash would protect nothing and cost every call.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import activity, sealed
from accounts.activity import Actor, Verb
from accounts.models import ApiKey, Tenant

PREFIX = "rl_"
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
            digest=_digest(text, settings.WHATSAPP_SESSION_SECRETS[0]),
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
    # The same work whether the id is known or not; ids are no secret, what follows them is.
    kept = key.digest if key is not None else "0" * 64
    newest, *older = settings.WHATSAPP_SESSION_SECRETS
    if not hmac.compare_digest(_digest(text, newest), kept):
        if not any(hmac.compare_digest(_digest(text, secret), kept) for secret in older):
            return None
        # The secret was rotated since: from now on the key no longer needs the old one.
        ApiKey.objects.filter(pk=key.pk if key else 0).update(digest=_digest(text, newest))
    if key is not None:
        ApiKey.objects.filter(pk=key.pk).filter(
            Q(last_used_at=None) | Q(last_used_at__lt=now - timedelta(minutes=1))
        ).update(last_used_at=now)
    return key


def _digest(text: str, secret: str) -> str:
    key = sealed.derive_key(secret, purpose="api-key")
    return hmac.new(key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


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
