"""Companies, people and their keys in the admin."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import truncatechars
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from rest_framework_simplejwt.token_blacklist import models as tokens
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts import activity, api_keys, passwords
from accounts.activity import Verb, actor_of
from accounts.console import (
    AuthenticationForm,
    ConsoleAdmin,
    ConsoleTabularInline,
    ConsoleUserAdmin,
    QuestionFilter,
    ReadOnly,
    TenantScoped,
    action,
    confirmed,
    display,
)
from accounts.forms import LimitedLogIn
from accounts.models import Activity, ApiKey, Membership, ServiceKey, Tenant, User

# Roles are per company (Membership). Tokens are nobody's business here.
admin.site.unregister(Group)
for _model in (tokens.BlacklistedToken, tokens.OutstandingToken):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


class ConsoleLogIn(LimitedLogIn, AuthenticationForm):
    """The admin's looks, and the limits."""


admin.site.login_form = ConsoleLogIn

# Unfold's colours; every label says it in words, too.
KEY_COLOURS = {"live": "success", "expired": "warning", "revoked": "danger"}
VERB_COLOURS: dict[str, str] = {
    **dict.fromkeys(map(str, Verb), "info"),
    **dict.fromkeys([Verb.CONNECTED, Verb.SENT, Verb.COMPLETED, Verb.ACCOUNT_RESUMED], "success"),
    **dict.fromkeys([Verb.RECONNECTING, Verb.UNCERTAIN, Verb.ACCOUNT_PAUSED], "warning"),
    **dict.fromkeys(
        [
            Verb.LOGIN_FAILED, Verb.DISCONNECTED, Verb.LOGGED_OUT_FROM_PHONE, Verb.CONFLICT,
            Verb.FAILED, Verb.PERSON_DELETED,
        ],
        "danger",
    ),
}  # fmt: skip


def secret_page(model_admin: Any, request: HttpRequest, key: Any) -> HttpResponse:
    """The secret is on this one page. Not in a message: those are kept in a cookie."""
    response = TemplateResponse(
        request,
        "admin/accounts/secret.html",
        {
            **model_admin.admin_site.each_context(request),
            "title": _("The secret of %(name)s") % {"name": key.name},
            "key": key,
            "secret": key.issued_secret,
            "opts": model_admin.opts,
            "back": reverse(f"admin:accounts_{model_admin.opts.model_name}_changelist"),
        },
    )
    response["Cache-Control"] = "no-store"
    return response


class MembershipInline(ConsoleTabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ["tenant"]


@admin.register(Tenant)
class TenantAdmin(TenantScoped, ConsoleAdmin):
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


@admin.register(ServiceKey)
class ServiceKeyAdmin(TenantScoped, ConsoleAdmin):
    list_display = ["name", "key_id", "tenant", "active", "last_used_at", "created_at"]
    list_filter = ["active"]
    list_select_related = ["tenant"]
    search_fields = ["name", "key_id"]
    fields = ["tenant", "name", "key_id", "active", "created_at", "last_used_at"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fields(request, obj) if obj else ["tenant", "name"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        return ["tenant", "key_id", "created_at", "last_used_at"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        # Switched off instead: who called with which key stays readable.
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        # Not saved by the form: the key is made with its secret.
        issued, secret = ServiceKey.issue(tenant=obj.tenant, name=obj.name)
        activity.record(
            tenant_id=obj.tenant_id,
            verb=Verb.SERVICE_KEY_ISSUED,
            actor=actor_of(request),
            subject=issued,
            now=timezone.now(),
        )
        obj.pk, obj.key_id = issued.pk, issued.key_id
        obj.issued_secret = secret

    def response_add(
        self,
        request: HttpRequest,
        obj: Any,
        post_url_continue: str | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        return secret_page(self, request, obj)


class KeyStates(QuestionFilter):
    title = _("question")
    questions = {
        "live": (_("Which are in use?"), lambda rows: rows.filter(revoked_at=None)),
        "unused": (
            _("Which were never used?"),
            lambda rows: rows.filter(revoked_at=None, last_used_at=None),
        ),
        "revoked": (_("Which were revoked?"), lambda rows: rows.exclude(revoked_at=None)),
    }


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    scopes = forms.MultipleChoiceField(
        choices=ApiKey.Scope,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("What the program may do, beside what its role allows."),
    )

    class Meta:
        model = ApiKey
        fields = ["tenant", "name", "role", "scopes", "expires_at"]


@admin.register(ApiKey)
class ApiKeyAdmin(TenantScoped, ConsoleAdmin):
    """Issued with its text on one page, revoked for ever, never changed or deleted."""

    list_display = ["name", "key_id", "tenant", "state", "role", "last_used_at", "created_at"]
    list_filter = [KeyStates, "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["name", "key_id"]
    ordering = ["-id"]
    form = ApiKeyForm
    actions = ["revoke"]
    fields = [
        "tenant", "name", "key_id", "state", "role", "scopes", "created_by", "created_at",
        "expires_at", "last_used_at", "revoked_at",
    ]  # fmt: skip
    readonly_fields = ["state"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fields(request, obj) if obj else ApiKeyForm.Meta.fields

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    @display(description=_("state"), label=KEY_COLOURS)
    def state(self, key: ApiKey) -> tuple[str, Any]:
        if key.revoked_at is not None:
            return "revoked", _("revoked")
        if key.expires_at is not None and key.expires_at <= timezone.now():
            return "expired", _("expired")
        return "live", _("in use") if key.last_used_at else _("not used yet")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: ARG002
        issued, text = api_keys.issue(
            tenant=obj.tenant,
            name=obj.name,
            role=obj.role,
            scopes=obj.scopes,
            expires_at=obj.expires_at,
            actor=actor_of(request),
            now=timezone.now(),
        )
        obj.pk, obj.key_id, obj.issued_secret = issued.pk, issued.key_id, text

    def response_add(
        self,
        request: HttpRequest,
        obj: Any,
        post_url_continue: str | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        return secret_page(self, request, obj)

    @action(description=_("Revoke …"), permissions=["view"])
    def revoke(self, request: HttpRequest, rows: QuerySet[ApiKey]) -> HttpResponse | None:
        live = rows.filter(revoked_at=None)
        page = confirmed(
            self,
            request,
            live,
            action_name="revoke",
            question=_("Revoke these API keys?"),
            consequence=_("Programs that use them are refused from now on. It cannot be undone."),
        )
        if page is not None:
            return page
        now = timezone.now()
        done = sum(api_keys.revoke(key, actor=actor_of(request), now=now) for key in live)
        self.message_user(
            request, ngettext("%d API key is revoked.", "%d API keys are revoked.", done) % done
        )
        return None


class ActivityQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "people": (_("What did people do?"), lambda rows: rows.filter(actor_kind="user")),
        "programs": (
            _("What did programs do?"),
            lambda rows: rows.filter(actor_kind__in=["api_key", "service"]),
        ),
        "refused": (
            _("Who could not log in?"),
            lambda rows: rows.filter(verb=Verb.LOGIN_FAILED),
        ),
        "day": (
            _("What happened in 24 hours?"),
            lambda rows: rows.filter(at__gte=timezone.now() - dt.timedelta(days=1)),
        ),
    }


@admin.register(Activity)
class ActivityAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    """Who did what, when, on what, from where."""

    list_display = ["at", "actor", "verb_label", "subject", "reason", "address", "tenant"]
    list_filter = [
        ActivityQuestions,
        ("verb", ChoicesDropdownFilter),
        "actor_kind",
        ("at", RangeDateFilter),
        "tenant",
    ]
    list_filter_submit = True
    list_select_related = ["tenant"]
    search_fields = ["^actor_name", "^subject_name", "^address"]
    search_help_text = _("A person’s or program’s name, what it was done to, or an address")
    # In the order of their time, by the primary key.
    ordering = ["-id"]
    fields = [
        "at", "tenant", "actor_kind", "actor_name", "user", "address", "verb", "subject_type",
        "subject_id", "subject_name", "detail",
    ]  # fmt: skip

    @display(description=_("who"), ordering="actor_name")
    def actor(self, activity: Activity) -> str:
        kind = "" if activity.actor_kind == "user" else f" ({activity.get_actor_kind_display()})"
        return activity.actor_name + kind

    @display(description=_("what"), ordering="verb", label=VERB_COLOURS)
    def verb_label(self, activity: Activity) -> tuple[str, str]:
        return activity.verb, activity.get_verb_display()

    @display(description=_("on what"))
    def subject(self, activity: Activity) -> str:
        """A link where there is a page of it."""
        name = activity.subject_name or f"{activity.subject_type} {activity.subject_id or ''}"
        if not activity.subject_id:
            return name
        try:
            page = reverse(
                f"admin:{activity.subject_type.replace('.', '_')}_change",
                args=[activity.subject_id],
            )
        except NoReverseMatch:
            return name
        return format_html('<a href="{}" class="underline">{}</a>', page, name)

    @display(description=_("detail"))
    def reason(self, activity: Activity) -> str:
        parts = [f"{key}: {value}" for key, value in activity.detail.items() if value != ""]
        return truncatechars(", ".join(parts), 80)
