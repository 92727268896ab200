"""Campaigns, their steps and texts, with a preview of what somebody would read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminFileFieldWidget

from accounts.console import (
    ConsoleAdmin,
    ConsoleStackedInline,
    ConsoleTabularInline,
    StaffOfCompany,
    TenantScoped,
    display,
)
from accounts.models import Tenant
from campaigns import holds, rendering
from campaigns.content import first_name, link
from campaigns.models import Campaign, Referral, Step, Target, Template
from whatsapp import media
from whatsapp.models import Media


def sample_values(tenant: Tenant) -> dict[str, str]:
    """Values of a preview: the company's newest referral, or somebody made up."""
    referral = (
        Referral.objects.filter(tenant=tenant).select_related("referrer").order_by("-id").first()
    )
    name = referral.name if referral else "Chloé Camara"
    referrer = referral.referrer.name if referral else "Amina"
    external_id = referral.external_id if referral else "ref-0001"
    return {
        **tenant.variables,
        "name": first_name(name),
        "referrer": referrer,
        "link": link(tenant.payment_link, external_id) or "https://…",
    }


def preview(body: str, values: dict[str, str]) -> str:
    try:
        return rendering.render(body, values)
    except rendering.TemplateError as error:
        return f"⚠ {error}"


# ------------------------------------------------------------------------------------ steps


class TemplateForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    upload = forms.FileField(
        label=_("new file"),
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text=_("Picture, video, recording or document; it replaces the file above."),
    )

    class Meta:
        model = Template
        fields = ["language", "body", "media"]

    def clean_upload(self) -> Any:
        upload = self.cleaned_data.get("upload")
        if not upload:
            return None
        data = upload.read(max(media.MAX_BYTES.values()) + 1)
        try:
            media.check(data)
        except media.BadMedia as error:
            raise forms.ValidationError(str(error), error.code) from error
        self.uploaded = (data, upload.name)
        return upload

    def save(self, commit: bool = True) -> Any:
        if uploaded := getattr(self, "uploaded", None):
            data, name = uploaded
            self.instance.media = media.store(
                tenant=self.instance.step.campaign.tenant, data=data, filename=name
            )
        return super().save(commit)


class TemplateInline(StaffOfCompany, ConsoleStackedInline):
    model = Template
    form = TemplateForm
    extra = 0
    fields = ["language", "body", "media", "upload", "reads"]
    readonly_fields = ["reads"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("step__campaign__tenant", "media")

    @display(description=_("somebody reads"))
    def reads(self, template: Template) -> str:
        if not template.pk:
            return str(_("Save to see it."))
        text = preview(template.body, sample_values(template.step.campaign.tenant))
        return format_html('<div style="white-space: pre-wrap; max-width: 32rem">{}</div>', text)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "media":
            # The company of the step on this page (StepAdmin.get_inline_instances keeps it).
            kwargs["queryset"] = Media.objects.filter(tenant=self.tenant_id).order_by("-id")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    tenant_id: int | None = None


class OfCampaign(TenantScoped):
    """What hangs on a campaign: texts that are part of somebody's history stay."""

    tenant_path = "campaign__tenant"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None or not super().has_delete_permission(request, obj):
            return False
        return not Target.objects.filter(campaign=obj.campaign_id).exists()


@admin.register(Step)
class StepAdmin(OfCampaign, ConsoleAdmin):
    list_display = ["campaign", "number", "delay", "active", "languages"]
    list_display_links = ["campaign", "number"]
    list_filter = ["active"]
    list_select_related = ["campaign"]
    search_fields = ["campaign__name", "templates__body"]
    ordering = ["campaign", "number"]
    fieldsets = [
        (
            None,
            {
                "fields": ["campaign", "number", "delay", "active"],
                "description": _(
                    "The delay counts from the step before: “1 00:00:00” is a day, “00:30:00” half "
                    "an hour. Texts may use {{name}}, {{referrer}}, {{link}} and the company's own "
                    "variables."
                ),
            },
        )
    ]
    inlines = [TemplateInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("templates")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        return ["campaign"] if obj else []

    def get_inline_instances(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:  # a text belongs to a step that exists
            return []
        inlines = super().get_inline_instances(request, obj)
        for inline in inlines:
            if isinstance(inline, TemplateInline):
                inline.tenant_id = obj.campaign.tenant_id
        return inlines

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        campaign = Campaign.objects.filter(pk=form.instance.campaign_id)
        holds.release_campaigns(campaign, now=timezone.now())

    @display(description=_("languages"))
    def languages(self, step: Step) -> str:
        return ", ".join(sorted(template.language for template in step.templates.all()))


# --------------------------------------------------------------------------------- campaigns


class StepInline(StaffOfCompany, ConsoleTabularInline):
    model = Step
    fields = ["number", "delay", "active"]
    ordering = ["number"]
    extra = 0
    can_delete = False  # switched off instead
    show_change_link = True


@admin.register(Campaign)
class CampaignAdmin(TenantScoped, ConsoleAdmin):
    list_display = ["name", "tenant", "active", "steps_count", "following", "held"]
    list_filter = ["active", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["name"]
    autocomplete_fields = ["tenant"]
    inlines = [StepInline]
    readonly_fields = ["sequence"]
    fieldsets = [
        (None, {"fields": ["tenant", "name", "default_language", "active", "first_delay"]}),
        (_("What people read"), {"fields": ["sequence"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        followed = Q(targets__state=Target.State.ACTIVE)
        annotated: QuerySet[Any] = rows.annotate(
            n_steps=Count("steps", filter=Q(steps__active=True), distinct=True),
            n_following=Count("targets", filter=followed, distinct=True),
            n_held=Count("targets", filter=followed & ~Q(targets__hold=""), distinct=True),
        )
        return annotated

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None or not super().has_delete_permission(request, obj):
            return False
        return not Target.objects.filter(campaign=obj).exists()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        holds.release_campaigns(Campaign.objects.filter(pk=obj.pk), now=timezone.now())

    @display(description=_("steps"), ordering="n_steps")
    def steps_count(self, campaign: Any) -> int:
        return int(campaign.n_steps)

    @display(description=_("followed"), ordering="n_following")
    def following(self, campaign: Any) -> int:
        return int(campaign.n_following)

    @display(description=_("held"), ordering="n_held")
    def held(self, campaign: Any) -> int:
        return int(campaign.n_held)

    @display(description=_("the sequence"))
    def sequence(self, campaign: Campaign) -> str:
        if not campaign.pk:
            return "-"
        values = sample_values(campaign.tenant)
        templates = (
            Template.objects.filter(step__campaign=campaign, step__active=True)
            .select_related("step", "media")
            .order_by("step__number", "language")
        )
        return format_html_join(
            "",
            '<div style="margin-bottom: .75rem; max-width: 40rem"><strong>{} · {}{}</strong>'
            '<div style="white-space: pre-wrap">{}</div></div>',
            (
                (
                    template.step.number,
                    template.language,
                    f" · {template.media.filename}" if template.media else "",
                    preview(template.body, values),
                )
                for template in templates
            ),
        ) or str(_("No texts yet: add steps below, save, and open each to write its texts."))
