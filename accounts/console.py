"""What the admin of every app builds on: its looks, and whose rows somebody sees.

Superusers see all companies, other staff only those they administer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import ForeignKey, Model, QuerySet
from django.http import HttpRequest

from accounts.models import Membership, Tenant
from accounts.permissions import ADMINISTRATORS

if TYPE_CHECKING:
    # django-unfold has no types; what it adds is looks.
    from django.contrib.admin import ModelAdmin, StackedInline, TabularInline
    from django.contrib.auth.admin import UserAdmin

    from accounts.models import User

    ConsoleAdmin = ModelAdmin[Any]
    ConsoleStackedInline = StackedInline[Any, Any]
    ConsoleTabularInline = TabularInline[Any, Any]
    ConsoleUserAdmin = UserAdmin[User]
    ScopedBase = ModelAdmin[Any]
else:
    from django.contrib.auth.admin import UserAdmin
    from unfold.admin import ModelAdmin as ConsoleAdmin
    from unfold.admin import StackedInline as ConsoleStackedInline
    from unfold.admin import TabularInline as ConsoleTabularInline

    class ConsoleUserAdmin(UserAdmin, ConsoleAdmin):
        pass

    ScopedBase = object

__all__ = [
    "ConsoleAdmin",
    "ConsoleStackedInline",
    "ConsoleTabularInline",
    "ConsoleUserAdmin",
    "TenantScoped",
    "tenant_ids",
]


def tenant_ids(request: HttpRequest) -> list[int]:
    """Companies that a member of staff administers."""
    return list(
        Membership.objects.filter(user=request.user.pk or 0, role__in=ADMINISTRATORS).values_list(
            "tenant_id", flat=True
        )
    )


class TenantScoped(ScopedBase):
    """Rows of the user's companies only. `tenant_path` leads from a row to its company."""

    tenant_path = "tenant"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.scope(request, super().get_queryset(request))

    def scope(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        if request.user.is_superuser:
            return rows
        return rows.filter(**{f"{self.tenant_path}__in": tenant_ids(request)})

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Choices of a form come from the same companies as the rows."""
        if not request.user.is_superuser and "queryset" not in kwargs:
            related: type[Model] = db_field.remote_field.model
            registered = (
                self.admin_site.get_model_admin(related)
                if (self.admin_site.is_registered(related))
                else None
            )
            if related is Tenant:
                kwargs["queryset"] = Tenant.objects.filter(pk__in=tenant_ids(request))
            elif isinstance(registered, TenantScoped):
                kwargs["queryset"] = registered.get_queryset(request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)
