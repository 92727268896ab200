"""Whose call this is, and what they may do."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.models import Membership
from accounts.problems import Problem
from accounts.signed import Service

ADMINISTRATORS = frozenset({Membership.Role.OWNER.value, Membership.Role.MANAGER.value})
WRITERS = ADMINISTRATORS | {Membership.Role.AGENT.value}


def membership_of(request: Request) -> Membership:
    """The caller's membership: the only one, or the one that the header `X-Tenant` names.

    Another company's name and one that does not exist get the same answer. Raises `Problem`.
    """
    memberships = Membership.objects.select_related("tenant").filter(user=request.user.pk or 0)
    slug = request.headers.get("X-Tenant", "")
    if slug:
        # Compared here: a header may hold bytes that PostgreSQL refuses.
        for membership in memberships:
            if membership.tenant.slug == slug:
                return membership
        raise Problem(404, "tenant_unknown", "X-Tenant names no company of yours.")
    found = list(memberships[:2])
    if not found:
        raise Problem(403, "no_tenant", "You belong to no company yet.")
    if len(found) > 1:
        raise Problem(
            400,
            "tenant_missing",
            "You belong to several companies: name one in the header X-Tenant.",
        )
    return found[0]


class IsService(BasePermission):
    """Only calls of other systems that signed them."""

    message = _("This route is for signed calls of other systems.")

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002
        return isinstance(request.auth, Service)
