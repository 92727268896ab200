"""Whose call this is, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.activity import Actor, actor_of
from accounts.models import ApiKey, Membership, Tenant
from accounts.problems import Problem
from accounts.signed import Service

# Weakest last: nobody issues a key that may do more than they may themselves.
RANKS = list(Membership.Role.values)
EVERYBODY = frozenset(Membership.Role.values)
ADMINISTRATORS = frozenset({Membership.Role.OWNER.value, Membership.Role.MANAGER.value})
WRITERS = ADMINISTRATORS | {Membership.Role.AGENT.value}


@dataclass(frozen=True, slots=True)
class Caller:
    """For which company a call is made, in which role, and by whom."""

    tenant: Tenant
    role: str
    actor: Actor


def caller_of(request: Request, *, company: str = "") -> Caller:
    """The company of the key, or of the caller's only membership, or that `X-Tenant` names.

    `company` is one that the address names; it counts before the header. Another company's name
    and one that does not exist get the same answer. Raises `Problem`.
    """
    slug = company or request.headers.get("X-Tenant", "")
    where = "The address" if company else "X-Tenant"
    unknown = Problem(404, "tenant_unknown", f"{where} names no company of yours.")
    if isinstance(request.auth, ApiKey):
        if slug and slug != request.auth.tenant.slug:
            raise unknown
        return Caller(request.auth.tenant, request.auth.role, actor_of(request))
    memberships = Membership.objects.select_related("tenant").filter(user=request.user.pk or 0)
    found = list(memberships)
    if slug:
        # Compared here: a header may hold bytes that PostgreSQL refuses.
        found = [membership for membership in found if membership.tenant.slug == slug]
        if not found:
            raise unknown
    if not found:
        raise Problem(403, "no_tenant", "You belong to no company yet.")
    if len(found) > 1:
        raise Problem(
            400,
            "tenant_missing",
            "You belong to several companies: name one in the header X-Tenant.",
        )
    return Caller(found[0].tenant, found[0].role, actor_of(request))


class IsCaller(BasePermission):
    """Somebody who logged in, or a program with an API key."""

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002
        return request.user.is_authenticated or isinstance(request.auth, ApiKey)


class IsService(BasePermission):
    """Only calls of other systems that signed them."""

    message = _("This route is for signed calls of other systems.")

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002
        return isinstance(request.auth, Service)
