"""Campaigns: their texts on one page, tried on somebody, switched on when nothing is missing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.conf.locale import LANG_INFO
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.activity import Verb, actor_of
from accounts.console import ConsoleAdmin, TenantScoped, action, display
from campaigns import authoring, explaining, packages, readiness, rendering, texts
from campaigns.admin import calendar, text_imports
from campaigns.admin.grid import GridForm, ReferralForm, people
from campaigns.forecasts import PlannedMessage
from campaigns.models import Campaign, Referral, Step, Target
from campaigns.previews import preview, sample
from whatsapp.models import Media

LANGUAGES = sorted(
    ((code, info["name_local"]) for code, info in LANG_INFO.items() if "name_local" in info),
    key=lambda language: language[1].casefold(),
)


@admin.register(Campaign)
class CampaignAdmin(TenantScoped, ConsoleAdmin):
    created = Verb.CAMPAIGN_CREATED
    list_display = ["name", "tenant", "state_label", "steps_count", "following", "held"]
    list_filter = ["active", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["name"]
    autocomplete_fields = ["tenant"]
    fields = ["tenant", "name", "default_language", "first_delay", "pause_on_reply", "state_label"]
    readonly_fields = ["state_label"]
    actions_detail = ["write_texts", "rehearse", "export", "activate", "deactivate"]
    actions_list = ["import_texts"]
    if_empty = _("No campaign is written yet: add one, or import its texts from a file.")
    if_empty_page = "admin:campaigns_campaign_add"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        steps = Step.objects.filter(campaign=OuterRef("pk"), active=True)
        followed = Target.objects.filter(campaign=OuterRef("pk"), state=Target.State.ACTIVE)
        annotated: QuerySet[Any] = rows.annotate(
            n_steps=_count(steps),
            n_following=_count(followed),
            n_held=_count(followed.exclude(hold="")),
        )
        return annotated

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None or not super().has_delete_permission(request, obj):
            return False
        return not obj.active and not Target.objects.filter(campaign=obj).exists()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        # Asked again under its lock: somebody may have switched it on since the question.
        if not authoring.remove(obj, actor=actor_of(request), now=timezone.now()):
            raise PermissionDenied

    # Which buttons a campaign's page has: the decorator asks these.
    def has_activate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._is_active(request, object_id) is False

    def has_deactivate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._is_active(request, object_id) is True

    def _is_active(self, request: HttpRequest, object_id: Any) -> bool | None:
        if not self.has_change_permission(request):
            return None
        rows = self.get_queryset(request).filter(pk=object_id)
        found: bool | None = rows.values_list("active", flat=True).first()
        return found

    def response_add(self, request: HttpRequest, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """A new campaign has nothing to say yet: that comes next."""
        super().response_add(request, obj, *args, **kwargs)
        return HttpResponseRedirect(_page("write_texts", obj))

    @display(description=_("state"), ordering="active", label={True: "success", False: "info"})
    def state_label(self, campaign: Any) -> tuple[bool, Any]:
        return campaign.active, _("active") if campaign.active else _("switched off")

    @display(description=_("steps"))
    def steps_count(self, campaign: Any) -> int:
        return int(campaign.n_steps)

    @display(description=_("followed"))
    def following(self, campaign: Any) -> int:
        return int(campaign.n_following)

    @display(description=_("held"))
    def held(self, campaign: Any) -> int:
        return int(campaign.n_held)

    # ------------------------------------------------------------------------------ texts

    @action(
        description=_("Write texts"), url_path="texts", permissions=["change"], icon="edit_note"
    )
    def write_texts(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Every day in every language on one page, saved as a whole or not at all."""
        campaign = self._campaign(request, object_id)
        now = timezone.now()
        if request.method != "POST":
            form = GridForm(campaign=campaign, now=now)
            return self._grid(request, form, referral=self._asked(request, campaign))
        data = request.POST.copy()
        if "add" in data:
            data["languages"] = f"{data.get('languages', '')},{data.get('add_language', '')}"
        form = GridForm(data, request.FILES, campaign=campaign, now=now)
        if not form.is_valid() or "save" not in data:
            return self._grid(request, form, referral=form.cleaned_data.get("referral"))
        try:
            changes = texts.write(
                campaign,
                form.days,
                default_language=campaign.default_language,
                read_version=form.cleaned_data["version"],
                actor=actor_of(request),
                now=now,
            )
        except texts.ChangedMeanwhile:
            form.overwrite()
            return self._grid(request, form, referral=form.cleaned_data["referral"])
        written = sum(change.kind in {"new", "changed", "file"} for change in changes)
        self.message_user(
            request,
            ngettext("Saved: %d text is new.", "Saved: %d texts are new.", written) % written
            if changes
            else _("Nothing was changed."),
            messages.SUCCESS,
        )
        chosen = form.cleaned_data["referral"]
        query = f"?{urlencode({'referral': chosen.external_id})}" if chosen else ""
        return HttpResponseRedirect(_page("write_texts", campaign) + query)

    def _grid(
        self, request: HttpRequest, form: GridForm, *, referral: Referral | None
    ) -> HttpResponse:
        campaign = form.campaign
        if not form.is_bound and referral is not None:
            form.initial["referral"] = referral.external_id
        referral = referral or sample(campaign, now=form.now)
        days = form.days if form.is_bound else list(form.stored.values())
        unspoken = {code: name for code, name in LANGUAGES if code not in form.spoken}
        return self._render(
            request,
            "grid",
            campaign,
            title=_("Texts of %s") % campaign,
            form=form,
            rows=form.rows(referral),
            referral=referral,
            gaps=readiness.gaps_in(days, campaign),
            variables=sorted(rendering.names_for(campaign.tenant)),
            unspoken=unspoken,
            media=self.media + form.media,
        )

    def preview(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """One cell while it is being written (htmx)."""
        campaign = self._campaign(request, object_id)
        name = request.GET.get("cell", "")
        form = ReferralForm(request.POST, campaign=campaign)
        chosen = form.cleaned_data["referral"] if form.is_valid() else None
        body = request.POST.get(f"text-{name}", "").replace("\r\n", "\n")
        now = timezone.now()
        text, problem = preview(body, campaign, chosen or sample(campaign, now=now), now)
        context = {"preview": text, "problem": problem}
        return TemplateResponse(request, "admin/campaigns/campaign/preview.html", context)

    def people(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Whom somebody may mean, while they type (htmx)."""
        campaign = self._campaign(request, object_id)
        found = people(campaign, request.GET.get("referral", ""))
        return TemplateResponse(request, "admin/campaigns/campaign/people.html", {"people": found})

    def picture(self, request: HttpRequest, object_id: str, media_id: int) -> HttpResponseBase:
        """A picture of the campaign's company, for its thumbnail."""
        campaign = self._campaign(request, object_id)
        found = Media.objects.filter(
            tenant=campaign.tenant_id, pk=media_id, kind=Media.Kind.IMAGE
        ).first()
        if found is None:
            raise Http404("the campaign's company has no such picture")
        try:
            answer = FileResponse(found.file.open("rb"), content_type=found.mime)
        except FileNotFoundError as error:
            raise Http404("the storage has lost this picture") from error
        answer["Cache-Control"] = "private, max-age=3600"
        # Somebody uploaded it: whatever it holds, it runs nothing.
        answer["Content-Security-Policy"] = "default-src 'none'; sandbox"
        return answer

    # ------------------------------------------------------------------------- in and out

    @action(
        description=_("Import texts"),
        url_path="import-texts",
        permissions=["change"],
        icon="upload_file",
    )
    def import_texts(self, request: HttpRequest) -> HttpResponse:
        return text_imports.import_texts(request, self)

    @action(description=_("Export"), url_path="export", permissions=["view"], icon="download")
    def export(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The whole campaign as a ZIP that `import_texts` takes back."""
        campaign = self._campaign(request, object_id)
        answer = HttpResponse(packages.pack(campaign), content_type="application/zip")
        name = slugify(campaign.name) or f"campaign-{campaign.pk}"
        answer["Content-Disposition"] = f'attachment; filename="{name}.zip"'
        return answer

    # ---------------------------------------------------------------------------- dry run

    @action(description=_("Dry run"), url_path="rehearse", permissions=["view"], icon="play_circle")
    def rehearse(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What somebody would get and when; nothing is sent."""
        campaign = self._campaign(request, object_id)
        now = timezone.now()
        form = ReferralForm(request.GET or None, campaign=campaign)
        chosen = form.cleaned_data["referral"] if form.is_valid() else None
        referral: Referral = chosen or sample(campaign, now=now)
        target = (
            Target.objects.filter(campaign=campaign, referral=referral)
            .select_related(*explaining.RELATED)
            .first()
            if referral.pk
            else None
        )
        planned, why = explaining.rehearsal(campaign, referral, target, now=now)
        if referral.pk and not form.is_bound:
            form.initial["referral"] = referral.external_id
        return self._render(
            request,
            "rehearse",
            campaign,
            title=_("Dry run of %s") % campaign,
            form=form,
            referral=referral,
            planned=with_files(planned),
            target=target,
            why=why,
            zone=campaign.tenant.timezone,
            media=self.media + form.media,
        )

    # ----------------------------------------------------------------------- on and off

    @action(
        description=_("Activate …"),
        url_path="activate",
        permissions=["activate"],
        icon="play_arrow",
    )
    def activate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks first and says what will happen; or says what is missing."""
        campaign = self._campaign(request, object_id)
        missing = readiness.gaps(campaign)
        if request.method == "POST" and not missing:
            try:
                readiness.activate(campaign, actor=actor_of(request), now=timezone.now())
            except readiness.NotReady as error:
                missing = error.gaps
            else:
                self.message_user(request, _("%s is active.") % campaign, messages.SUCCESS)
                return HttpResponseRedirect(_page("change", campaign))
        waiting = Referral.objects.filter(
            tenant=campaign.tenant_id, enrolled_at=None, paid_at=None
        ).count()
        other = Campaign.objects.filter(tenant=campaign.tenant_id, active=True).exclude(
            pk=campaign.pk
        )
        return self._render(
            request,
            "switch",
            campaign,
            title=_("Activate %s?") % campaign,
            gaps=missing,
            waiting=waiting,
            followed=readiness.followed(campaign),
            other=other.first(),
            on=True,
        )

    @action(
        description=_("Switch off …"),
        url_path="deactivate",
        permissions=["deactivate"],
        icon="pause",
    )
    def deactivate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        campaign = self._campaign(request, object_id)
        if request.method == "POST":
            readiness.deactivate(campaign, actor=actor_of(request), now=timezone.now())
            self.message_user(request, _("%s is switched off.") % campaign, messages.SUCCESS)
            return HttpResponseRedirect(_page("change", campaign))
        return self._render(
            request,
            "switch",
            campaign,
            title=_("Switch %s off?") % campaign,
            followed=readiness.followed(campaign),
            on=False,
        )

    # ----------------------------------------------------------------------------- common

    def get_urls(self) -> list[Any]:
        def page(address: str, view: Any, name: str) -> Any:
            name = f"campaigns_campaign_{name}"
            return path(f"<path:object_id>/{address}", self.admin_site.admin_view(view), name=name)

        return [
            *calendar.urls(self),
            page("preview/", self.preview, "preview"),
            page("people/", self.people, "people"),
            page("picture/<int:media_id>/", self.picture, "picture"),
            *super().get_urls(),
        ]

    def _campaign(self, request: HttpRequest, object_id: str) -> Campaign:
        """A campaign of the user's companies. Raises `Http404`."""
        found = self.get_object(request, object_id)
        if found is None or not self.has_view_permission(request, found):
            raise Http404("you have no such campaign")
        campaign: Campaign = found
        return campaign

    def _asked(self, request: HttpRequest, campaign: Campaign) -> Referral | None:
        form = ReferralForm(request.GET, campaign=campaign)
        found: Referral | None = form.cleaned_data["referral"] if form.is_valid() else None
        return found

    def _render(
        self, request: HttpRequest, page: str, campaign: Campaign, **context: Any
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "campaign": campaign,
            "media": self.media,
            **context,
        }
        return TemplateResponse(request, f"admin/campaigns/campaign/{page}.html", context)


def with_files(planned: list[PlannedMessage]) -> list[dict[str, Any]]:
    """Planned messages for a page: with the name of the file that goes along. One query."""
    files = Media.objects.in_bulk([item.media_id for item in planned if item.media_id])
    return [{**asdict(item), "file": files.get(item.media_id or 0)} for item in planned]


def _page(name: str, campaign: Campaign) -> str:
    return reverse(f"admin:campaigns_campaign_{name}", args=[campaign.pk])


def _count(rows: QuerySet[Any]) -> Coalesce:
    """How many of `rows` there are for each outer row, without joining them."""
    counted = rows.order_by().values("campaign").annotate(n=Count("id")).values("n")
    return Coalesce(Subquery(counted), 0)
