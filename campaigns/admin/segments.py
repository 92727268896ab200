"""Segments in the admin: rules as a form, counted while they are being chosen."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from accounts.activity import actor_of
from accounts.console import ConsoleAdmin, TenantScoped, companies, display
from accounts.models import Tenant
from campaigns import segments
from campaigns.models import Segment
from whatsapp.models import Group

# Rules that are typed as words with commas between them.
WORDS = {
    "tagsAny": _("Tags: one of these"),
    "tagsAll": _("Tags: all of these"),
    "tagsNone": _("Tags: none of these"),
    "personas": _("Personas"),
    "regions": _("Countries of their numbers"),
    "languages": _("Languages"),
}
HINTS = {
    "tagsAny": _("With commas between them: vip, paris. Empty: asks nothing."),
    "regions": _("Two letters each: FR, GB."),
    "languages": _("fr, en"),
}


class SegmentForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """Each rule is a field; `clean` makes them the rules of the row."""

    engagementMin = forms.IntegerField(  # noqa: N815  as the rule
        label=_("Engagement, at least"), required=False, min_value=0, max_value=100,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"}),
        help_text=_("0 to 100. Whoever got nothing yet has no score."),
    )  # fmt: skip
    engagementMax = forms.IntegerField(  # noqa: N815
        label=_("Engagement, at most"), required=False, min_value=0, max_value=100,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"}),
    )  # fmt: skip
    groups = forms.ModelMultipleChoiceField(
        label=_("Members of these groups"), queryset=Group.objects.none(), required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )  # fmt: skip
    referral = forms.MultipleChoiceField(
        label=_("What their referral has come to"), required=False,
        choices=list(segments.REFERRAL_STATES.items()),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )  # fmt: skip

    class Meta:
        model = Segment
        fields = ["tenant", "name"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in WORDS.items():
            self.fields[name] = forms.CharField(
                label=label,
                required=False,
                max_length=2_000,
                help_text=HINTS.get(name, ""),
                widget=UnfoldAdminTextInputWidget,
            )
        rules: dict[str, Any] = self.instance.rules or {}
        for name, value in rules.items():
            self.initial[name] = ", ".join(value) if name in WORDS else value

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        tenant = data.get("tenant") or (self.instance.tenant if self.instance.pk else None)
        if tenant is None:
            return data
        raw: dict[str, Any] = {
            name: [word.strip() for word in str(data.get(name) or "").split(",")] for name in WORDS
        }
        raw |= {name: data.get(name) for name in segments.BOUNDS}
        raw["groups"] = [group.pk for group in data.get("groups") or []]
        raw["referral"] = list(data.get("referral") or [])
        try:
            self.instance.rules = segments.checked(raw, tenant=tenant)
        except segments.BadRules as error:
            self.add_error(error.field if error.field in self.fields else None, str(error))
        return data


@admin.register(Segment)
class SegmentAdmin(TenantScoped, ConsoleAdmin):
    form = SegmentForm
    list_display = ["name", "tenant", "asks", "used"]
    list_filter = ["tenant"]
    list_select_related = ["tenant"]
    search_fields = ["name"]
    autocomplete_fields = ["tenant"]
    if_empty = _("No segment yet: say whom a broadcast is for.")
    if_empty_page = "admin:campaigns_segment_add"
    change_form_outer_before_template = "admin/campaigns/segment/live.html"
    fieldsets = [
        (None, {"fields": ["tenant", "name"]}),
        (
            _("Everything that is asked must be true of a contact"),
            {"fields": [*WORDS, "engagementMin", "engagementMax", "groups", "referral"]},
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        annotated: QuerySet[Any] = rows.annotate(n_used=Count("broadcasts"))
        return annotated

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kw: Any
    ) -> Any:
        # Fields that no model has are named by the form alone.
        kw["fields"] = ["tenant", "name"] if obj is None else ["name"]
        made: Any = super().get_form(request, obj, change, **kw)
        groups = Group.objects.filter(tenant__in=companies(request)).exclude(role=Group.Role.LEFT)
        if obj is not None:
            groups = groups.filter(tenant=obj.tenant_id)
        made.base_fields["groups"].queryset = groups.order_by("subject")
        return made

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (
            obj is None or not obj.broadcasts.exists()
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            changed = Segment.objects.select_related("tenant").get(pk=obj.pk)
            segments.change(
                changed, name=obj.name, rules=obj.rules, actor=actor_of(request), now=timezone.now()
            )
        else:
            super().save_model(request, obj, form, change)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        if not segments.remove(obj, actor=actor_of(request), now=timezone.now()):
            raise PermissionDenied

    def get_urls(self) -> list[Any]:
        count = self.admin_site.admin_view(self.count)
        return [path("count/", count, name="campaigns_segment_count"), *super().get_urls()]

    def count(self, request: HttpRequest) -> HttpResponse:
        """Whom the form as it is would mean (htmx)."""
        data = request.POST.copy()
        data.setdefault("name", "-")
        pk = request.GET.get("of", "")
        stored = self.get_object(request, pk) if pk.isdecimal() else None
        if stored is not None:
            data["tenant"] = str(stored.tenant_id)
        form = self.get_form(request, stored)(data, instance=stored)
        tenant = Tenant.objects.filter(
            pk__in=companies(request), pk=_number(data.get("tenant", ""))
        ).first()
        form.is_valid()
        errors = {
            name: found for name, found in form.errors.items() if name not in {"name", "tenant"}
        }
        found = None
        if tenant is not None and not errors:
            rules = segments.checked(form.instance.rules, tenant=tenant)
            found = segments.preview(tenant, rules)
        context = {"found": found, "errors": errors}
        return TemplateResponse(request, "admin/campaigns/segment/count.html", context)

    @display(description=_("asks"))
    def asks(self, segment: Any) -> str:
        return describe(segment.rules) or str(_("everybody"))

    @display(description=_("broadcasts"))
    def used(self, segment: Any) -> int:
        return int(segment.n_used)


def describe(rules: dict[str, Any]) -> str:
    """Rules in one line: what they ask for, without the names of groups."""
    said = [f"{label}: {', '.join(rules[name])}" for name, label in WORDS.items() if name in rules]
    if "engagementMin" in rules or "engagementMax" in rules:
        least, most = rules.get("engagementMin", 0), rules.get("engagementMax", 100)
        said.append(str(_("engagement %(least)d to %(most)d") % {"least": least, "most": most}))
    if "groups" in rules:
        said.append(str(_("members of %d groups") % len(rules["groups"])))
    said += [str(segments.REFERRAL_STATES[state]) for state in rules.get("referral", [])]
    return "; ".join(said)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 19 else 0
