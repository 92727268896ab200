"""Keys that other programs call with, in the admin: each secret is shown once."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts import activity, api_keys
from accounts.actions import confirmed
from accounts.activity import Verb, actor_of
from accounts.console import ConsoleAdmin, MixinBase, QuestionFilter, TenantScoped, action, display
from accounts.models import ApiKey, Membership, ServiceKey, User
from accounts.permissions import RANKS

# Unfold's colours; every label says it in words, too.
KEY_COLOURS = {"live": "success", "expired": "warning", "revoked": "danger"}


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
            "back": reverse(f"admin:{model_admin.opts.label_lower.replace('.', '_')}_changelist"),
        },
    )
    response["Cache-Control"] = "no-store"
    return response


class MadeWithSecret(MixinBase):
    """Whoever adds a row sees its `issued_secret` at once, and never again."""

    def response_add(
        self,
        request: HttpRequest,
        obj: Any,
        post_url_continue: str | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        return secret_page(self, request, obj)


@admin.register(ServiceKey)
class ServiceKeyAdmin(MadeWithSecret, TenantScoped, ConsoleAdmin):
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
        help_text=_("What the program may do, within what its role allows."),
    )

    # Set by the admin, which knows who asks.
    user: User

    def clean(self) -> dict[str, Any]:
        """Nobody gives a program more than they may themselves, as over the API."""
        given: dict[str, Any] = super().clean() or {}
        tenant, role = given.get("tenant"), given.get("role")
        if tenant is None or role is None or self.user.is_superuser:
            return given
        own = Membership.objects.get(tenant=tenant, user=self.user)
        if RANKS.index(role) < RANKS.index(own.role):
            self.add_error(
                "role", _("Your own role is %s: give no higher one.") % own.get_role_display()
            )
        return given

    class Meta:
        model = ApiKey
        fields = ["tenant", "name", "role", "scopes", "expires_at"]


@admin.register(ApiKey)
class ApiKeyAdmin(MadeWithSecret, TenantScoped, ConsoleAdmin):
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

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.user = request.user
        return form

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
