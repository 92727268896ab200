"""What every route of the API has in common: JSON of a bounded size, limits, and whose it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.db import transaction
from django.http.response import HttpResponseBase
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication

from accounts import schema  # noqa: F401  describes ServiceAuthentication
from accounts.activity import Actor
from accounts.api_keys import ApiKeyAuthentication
from accounts.models import ApiKey, Tenant
from accounts.permissions import EVERYBODY, IsCaller, IsService, caller_of
from accounts.problems import Problem
from accounts.signed import ServiceAuthentication
from accounts.throttles import PerUser

MAX_BODY = 256 * 1024  # bytes; the seven days in two languages take 60 KiB at most
MAX_BULK = 1024 * 1024  # bytes; a thousand referrals take 300 KiB


class SmallJson(BaseParser):
    """UTF-8 JSON of at most `max_bytes`, whatever the headers claim."""

    media_type = "application/json"
    max_bytes = MAX_BODY

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002  DRF's signature
        parser_context: Any = None,  # noqa: ARG002
    ) -> Any:
        data = stream.read(self.max_bytes + 1)
        if len(data) > self.max_bytes:
            raise Problem(
                413, "too_large", f"The body is larger than {self.max_bytes // 1024} KiB."
            )
        try:
            return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ParseError("The body is not readable JSON.") from error


class BulkJson(SmallJson):
    """The same for routes that take many rows at once."""

    max_bytes = MAX_BULK


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class Route(APIView):
    """A route for people with a JWT. `calls_per_minute` by verb; verbs not named are unlimited."""

    parser_classes = [SmallJson]
    throttle_classes = [PerUser]
    calls_per_minute: dict[str, int] = {}


class TenantRoute(Route):
    """A route of one tenant, for people by their role and for API keys by role and scope.

    `roles` holds for every verb, or names them: ``{"GET": EVERYBODY, "POST": WRITERS}``. `scopes`
    says which scope a key needs for a verb; a verb without one is not for keys. `self.tenant`,
    `self.role` and `self.actor` say whose call this is. An address with a `tenant` names it.
    """

    authentication_classes = [ApiKeyAuthentication, JWTAuthentication]
    permission_classes = [IsCaller]
    roles: Mapping[str, frozenset[str]] | frozenset[str] = EVERYBODY
    scopes: Mapping[str, str] = {}
    tenant: Tenant
    role: str
    actor: Actor

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        method = "GET" if request.method == "HEAD" else request.method or ""
        if isinstance(request.auth, ApiKey):
            scope = self.scopes.get(method)
            if scope is None:
                raise Problem(403, "scope", "This route is for people, not for API keys.")
            if scope not in request.auth.scopes:
                raise Problem(403, "scope", f"This API key lacks the scope {scope}.")
        caller = caller_of(request, company=kwargs.get("tenant", ""))
        # A verb that a mapping forgot is for nobody; one that the route has not is a 405 later.
        roles = self.roles if isinstance(self.roles, frozenset) else self.roles.get(method, ())
        if caller.role not in roles and method in self.allowed_methods and method != "OPTIONS":
            raise Problem(403, "role", "Your role in this company does not allow this.")
        self.tenant, self.role, self.actor = caller.tenant, caller.role, caller.actor


class ServiceRoute(Route):
    """A route for other systems (signed.py). Nonce and work are one transaction.

    A call that fails on our side leaves no nonce behind: the caller may send the very same again.
    """

    authentication_classes = [ServiceAuthentication]
    permission_classes = [IsService]

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with transaction.atomic():
            return super().dispatch(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if response.status_code >= 500:
            transaction.set_rollback(True)
        return response
