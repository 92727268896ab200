"""Calls of other systems (payments, referrals), signed with a secret both sides know.

    Authorization: Relance-HMAC key=rk_…, ts=1700000000, nonce=…, signature=<hex>

The signature is HMAC-SHA256, with the key's secret, over these lines joined by ``\\n``::

    RELANCE-HMAC-SHA256
    <key id>
    <ts: seconds since 1970>
    <nonce: 16 to 64 of A-Z a-z 0-9 _ ->
    <METHOD>
    <path with query, as sent>
    <hex SHA-256 of the raw body>

A call is taken within 300 s of its `ts`, once: the nonce is kept in PostgreSQL, in the transaction
of the call's work. Every active key of a tenant works, so a secret is rotated by adding a key,
moving the callers, and switching the old key off.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, ParseError
from rest_framework.request import Request

from accounts import sealed
from accounts.models import ServiceKey, ServiceNonce, Tenant

logger = structlog.get_logger(__name__)

SCHEME = "Relance-HMAC"
WINDOW = 300  # seconds a clock may be wrong, either way
HEADER = re.compile(
    r"Relance-HMAC key=(?P<key>[A-Za-z0-9_-]{1,40}), ?ts=(?P<ts>[0-9]{1,12}), ?"
    r"nonce=(?P<nonce>[A-Za-z0-9_-]{16,64}), ?signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Service:
    """Another system, for one tenant: what `request.auth` is on its calls."""

    tenant: Tenant
    name: str

    def __str__(self) -> str:
        return f"{self.tenant.pk}/{self.name}"


def signature(
    *, secret: bytes, key_id: str, ts: int, nonce: str, method: str, path: str, body: bytes
) -> str:
    """Hex signature of one call; `path` with its query."""
    lines = [
        "RELANCE-HMAC-SHA256",
        key_id,
        str(ts),
        nonce,
        method.upper(),
        path,
        hashlib.sha256(body).hexdigest(),
    ]
    return hmac.new(secret, "\n".join(lines).encode(), hashlib.sha256).hexdigest()


def sign_request(
    *,
    key_id: str,
    secret: str,
    method: str,
    path: str,
    body: bytes = b"",
    ts: int | None = None,
    nonce: str | None = None,
) -> dict[str, str]:
    """The header of a signed call, for callers in Python (the demo, tests)."""
    ts = int(time.time()) if ts is None else ts
    nonce = nonce or secrets.token_urlsafe(24)
    mark = signature(
        secret=secret.encode(),
        key_id=key_id,
        ts=ts,
        nonce=nonce,
        method=method,
        path=path,
        body=body,
    )
    return {"Authorization": f"{SCHEME} key={key_id}, ts={ts}, nonce={nonce}, signature={mark}"}


class ServiceAuthentication(BaseAuthentication):
    """Signed calls; and, where LEGACY_SERVICE_SECRET is set, the old callers' plain bearer."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Service] | None:
        header = request.headers.get("Authorization", "")
        if not header:
            return None
        if header.startswith("Bearer "):
            return AnonymousUser(), _legacy(header.removeprefix("Bearer ").strip(), request)
        return AnonymousUser(), _signed(header, request, now=timezone.now())

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002  DRF's signature
        return SCHEME


def _signed(header: str, request: Request, *, now: dt.datetime) -> Service:
    found = HEADER.fullmatch(header)
    if found is None:
        raise AuthenticationFailed(
            "Authorization must be: Relance-HMAC key=…, ts=…, nonce=…, signature=…", "malformed"
        )
    if abs(now.timestamp() - int(found["ts"])) > WINDOW:
        raise AuthenticationFailed(
            f"ts is more than {WINDOW} s away from our clock.", "signature_expired"
        )
    key = (
        ServiceKey.objects.select_related("tenant").filter(key_id=found["key"], active=True).first()
    )
    expected = signature(
        secret=_secret_of(key),
        key_id=found["key"],
        ts=int(found["ts"]),
        nonce=found["nonce"],
        method=request.method or "",
        path=request.get_full_path(),
        body=_raw(request),
    )
    # One answer for an unknown key and a wrong signature, after the same work.
    if not hmac.compare_digest(expected, found["signature"]) or key is None:
        raise AuthenticationFailed("The signature is not right.", "signature_wrong")
    _use_nonce(key, found["nonce"], now=now)
    ServiceKey.objects.filter(pk=key.pk).filter(
        Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - dt.timedelta(minutes=1))
    ).update(last_used_at=now)
    return Service(tenant=key.tenant, name=key.name)


def _raw(request: Request) -> bytes:
    """The body as it was sent: DRF itself offers parsed ones only."""
    try:
        return bytes(request._request.body)
    except ValueError as error:
        raise ParseError("Content-Length is no number.") from error


def _secret_of(key: ServiceKey | None) -> bytes:
    if key is None:
        return secrets.token_bytes(32)
    try:
        return key.secret()
    except sealed.CannotUnseal:
        logger.error("service_key_cannot_be_unsealed", key_id=key.key_id)
        return secrets.token_bytes(32)


def _use_nonce(key: ServiceKey, nonce: str, *, now: dt.datetime) -> None:
    # The insert waits for a transaction that is using the same nonce now: of two replays at the
    # same moment one fails here.
    try:
        with transaction.atomic():
            ServiceNonce.objects.create(key=key, nonce=nonce, used_at=now)
    except IntegrityError as error:
        raise AuthenticationFailed("This call was made before.", "replayed") from error


def _legacy(given: str, request: Request) -> Service:
    if not settings.LEGACY_SERVICE_SECRET:
        raise AuthenticationFailed(
            "Plain service secrets are switched off here: sign the call (Relance-HMAC).",
            "signature_missing",
        )
    if not hmac.compare_digest(given.encode(), settings.LEGACY_SERVICE_SECRET.encode()):
        raise AuthenticationFailed("The service secret is not right.", "secret_wrong")
    name = request.headers.get("X-Service-Name", "").strip()
    if not name:
        raise AuthenticationFailed("X-Service-Name is missing.", "service_name_missing")
    tenant = Tenant.objects.filter(slug=settings.LEGACY_SERVICE_TENANT).first()
    if tenant is None:
        logger.error("legacy_service_tenant_unknown", slug=settings.LEGACY_SERVICE_TENANT)
        raise AuthenticationFailed("Plain service secrets are switched off here.", "no_tenant")
    return Service(tenant=tenant, name=name[:80])
