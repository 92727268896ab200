"""Who logs in, companies and people in the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import display_for_value
from django.contrib.auth.models import Group
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework_simplejwt.token_blacklist import models as tokens
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts import activity, passwords
from accounts.activity import Verb, actor_of
from accounts.console import (
    AuthenticationForm,
    ConsoleAdmin,
    ConsoleTabularInline,
    ConsoleUserAdmin,
    QuestionFilter,
    ReadOnly,
    TenantScoped,
    display,
)
from accounts.forms import LimitedLogIn, TextsByLanguage
from accounts.models import Membership, Tenant, User
from accounts.permissions import ADMINISTRATORS

# Roles are per company (Membership). Tokens are nobody's business here.
admin.site.unregister(Group)
for _model in (tokens.BlacklistedToken, tokens.OutstandingToken):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


class ConsoleLogIn(LimitedLogIn, AuthenticationForm):
    """The admin's looks, and the limits."""


admin.site.login_form = ConsoleLogIn


class MembershipInline(ConsoleTabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ["tenant"]


class TenantForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    stop_confirmation = TextsByLanguage(
        label=_("Stop confirmation"),
        help_text=_(
            "What confirms a stop, once, a line for each language: fr: C’est noté. Empty: a text "
            "of Relance’s own."
        ),
    )


@admin.register(Tenant)
class TenantAdmin(TenantScoped, ConsoleAdmin):
    form = TenantForm
    tenant_path = "pk"
    list_display = ["name", "slug", "region", "timezone", "people"]
    search_fields = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        found: QuerySet[Tenant] = super().get_queryset(request)
        return found.annotate(people=Count("memberships"))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        # Everything of a company would go with it.
        return False

    @admin.display(description=_("people"), ordering="people")
    def people(self, tenant: Any) -> int:
        return int(tenant.people)


class MembershipQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "administer": (
            _("Who administers?"),
            lambda rows: rows.filter(role__in=ADMINISTRATORS),
        ),
        "never": (
            _("Who never logged in?"),
            lambda rows: rows.filter(user__last_login=None),
        ),
    }


@admin.register(Membership)
class MembershipAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    """Who works for a company and as what; superusers change it on the page of the user."""

    list_display = ["user", "role_label", "tenant", "may_log_in", "last_login"]
    list_filter = [MembershipQuestions, "role", "tenant"]
    list_select_related = ["user", "tenant"]
    search_fields = ["^user__username", "^user__email"]
    ordering = ["tenant__name", "user__username"]
    fields = ["login", "tenant", "role", "may_log_in", "last_login"]
    readonly_fields = ["login", "may_log_in", "last_login"]

    @display(
        description=_("role"),
        ordering="role",
        label={"owner": "primary", "manager": "success", "agent": "info", "viewer": "info"},
    )
    def role_label(self, membership: Membership) -> tuple[str, str]:
        return membership.role, membership.get_role_display()

    # Not the field: Django makes it a link, and only superusers may open users.
    @display(description=_("user"))
    def login(self, membership: Membership) -> str:
        return str(membership.user)

    @display(description=_("may log in"), boolean=True)
    def may_log_in(self, membership: Membership) -> bool:
        return membership.user.is_active

    @display(description=_("last log-in"), ordering="user__last_login")
    def last_login(self, membership: Membership) -> Any:
        # As lists show it: on the page of a row Django writes it down as it is.
        return display_for_value(membership.user.last_login, "-")


@admin.register(User)
class UserAdmin(ConsoleUserAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    inlines = [MembershipInline]
    list_display = ["username", "email", "companies", "is_staff", "is_active"]
    list_filter = ["is_staff", "is_active"]
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email")}),
        (_("Admin"), {"fields": ("is_active", "is_staff", "is_superuser")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    filter_horizontal = []

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        found: QuerySet[User] = super().get_queryset(request)
        return found.prefetch_related("memberships__tenant")

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002  Django's name
        form_url: str = "",
    ) -> HttpResponse:
        before = User.objects.filter(pk=id).values_list("password", flat=True).first()
        response: HttpResponse = super().user_change_password(request, id, form_url)
        user = User.objects.filter(pk=id).first()
        if user is not None and user.password != before:
            now = timezone.now()
            passwords.end_refresh_tokens(user, now=now)
            activity.record_for_user(user, Verb.PASSWORD_CHANGED, actor=actor_of(request), now=now)
        return response

    @admin.display(description=_("companies"))
    def companies(self, user: User) -> str:
        return ", ".join(f"{m.tenant} ({m.get_role_display()})" for m in user.memberships.all())

    # People of several companies stand in one table: only superusers look at it.
    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return bool(request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)
