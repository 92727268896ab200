"""What routes about campaigns, segments and broadcasts have in common."""

from __future__ import annotations

from accounts.models import ApiKey
from accounts.permissions import ADMINISTRATORS
from accounts.routes import TenantRoute

WRITING = ("POST", "PUT", "PATCH", "DELETE")


class CampaignsRoute(TenantRoute):
    """Owners and managers write; who reads is the subclass's to say."""

    roles: dict[str, frozenset[str]] = dict.fromkeys(WRITING, ADMINISTRATORS)
    scopes = {
        "GET": ApiKey.Scope.CAMPAIGNS_READ,
        **dict.fromkeys(WRITING, ApiKey.Scope.CAMPAIGNS_WRITE),
    }
    calls_per_minute = {"GET": 100, **dict.fromkeys(WRITING, 60)}
