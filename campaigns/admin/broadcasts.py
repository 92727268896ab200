"""Broadcasts in the admin: written, tried, started and followed person by person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import ManyToManyField
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.activity import Verb, actor_of
from accounts.console import ConsoleAdmin, ReadOnly, TenantScoped, action, companies, display
from campaigns.admin.broadcast_forms import BroadcastForm, TextInline
from campaigns.broadcasts import authoring, figures, readiness, rehearsal, running
from campaigns.models import Broadcast, Recipient
from whatsapp import explaining
from whatsapp.models import Account

State = Broadcast.State
COLOURS = {
    State.DRAFT: "info", State.SCHEDULED: "warning", State.RUNNING: "success",
    State.PAUSED: "danger", State.DONE: "success", State.CANCELLED: "danger",
}  # fmt: skip
SETTINGS = ["name", "segment", "accounts", "default_language", "starts_at", "clock"]
REFRESH = "every 5s"  # htmx, while it runs


@admin.register(Broadcast)
class BroadcastAdmin(TenantScoped, ConsoleAdmin):
    form = BroadcastForm
    created = Verb.BROADCAST_CREATED
    inlines = [TextInline]
    list_display = ["name", "tenant", "state_label", "segment", "total", "starts_at", "ended_at"]
    list_filter = ["state", "tenant"]
    list_select_related = ["tenant", "segment"]
    search_fields = ["name"]
    autocomplete_fields = ["tenant"]
    ordering = ["-id"]
    fields = ["tenant", *SETTINGS]
    actions_detail = ["rehearse", "start", "withdraw", "pause", "resume", "cancel"]
    change_form_outer_before_template = "admin/campaigns/broadcast/progress.html"
    if_empty = _("No broadcast yet: one message to everybody of a segment.")
    if_empty_page = "admin:campaigns_broadcast_add"

    @display(description=_("state"), ordering="state", label=COLOURS)
    def state_label(self, broadcast: Broadcast) -> tuple[str, str]:
        return broadcast.state, broadcast.get_state_display()

    # ---------------------------------------------------------------------------- the form

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only a draft can be changed: what was begun stays as it went out."""
        return super().has_change_permission(request, obj) and (
            obj is None or obj.state == State.DRAFT
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and self.has_change_permission(request, obj)

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        if db_field.name == "accounts":
            rows = Account.objects.filter(tenant__in=companies(request)).select_related("tenant")
            kwargs["queryset"] = rows.order_by("tenant", "name")
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            # Locked until the whole page is saved: somebody may start it at this moment.
            locked = Broadcast.objects.select_for_update(of=("self",)).get(pk=obj.pk)
            if locked.state != State.DRAFT:
                raise PermissionDenied
        super().save_model(request, obj, form, change)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        try:
            authoring.remove(obj, actor=actor_of(request), now=timezone.now())
        except running.NotPossible as error:
            raise PermissionDenied from error

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:  # noqa: ARG002
        return self._progress(obj)

    # ---------------------------------------------------------------------------- progress

    def get_urls(self) -> list[Any]:
        live = self.admin_site.admin_view(self.live)
        address = path("<int:pk>/live/", live, name="campaigns_broadcast_live")
        return [address, *super().get_urls()]

    def live(self, request: HttpRequest, pk: int) -> HttpResponse:
        """How far it is, for the page that draws it again (htmx)."""
        broadcast = self._broadcast(request, str(pk))
        answer = TemplateResponse(
            request, "admin/campaigns/broadcast/progress.html", self._progress(broadcast)
        )
        answer["Cache-Control"] = "no-store"
        return answer

    def _progress(self, broadcast: Broadcast) -> dict[str, Any]:
        now = timezone.now()
        begun = broadcast.started_at is not None
        counted = figures.of(broadcast)
        ledger = reverse("admin:campaigns_recipient_changelist")
        ledger = f"{ledger}?broadcast__id__exact={broadcast.pk}"
        shown = [
            (_("queued"), counted.queued, "queued_at__isnull=0"),
            (_("sent"), counted.sent, "sent_at__isnull=0"),
            (_("delivered"), counted.delivered, "delivered_at__isnull=0"),
            (_("read"), counted.read, "read_at__isnull=0"),
            (_("replied"), counted.replied, "replied_at__isnull=0"),
            (_("waiting"), counted.waiting, "state__exact=waiting"),
            (_("uncertain"), counted.uncertain, "state__exact=uncertain"),
            (_("failed"), counted.failed, "state__exact=failed"),
            (_("opted out"), counted.opted_out, "state__exact=opted_out"),
            (_("skipped"), counted.skipped, "state__exact=skipped"),
        ]
        draft = broadcast.state == State.DRAFT
        return {
            "broadcast": broadcast,
            "begun": begun,
            "figures": counted,
            "settled": counted.recipients - counted.waiting,
            "shown": [(label, count, f"{ledger}&{which}") for label, count, which in shown],
            "ledger": ledger,
            "gaps": readiness.gaps(broadcast, now=now) if draft else [],
            "refresh": REFRESH if broadcast.state == State.RUNNING else "",
        }

    def _broadcast(self, request: HttpRequest, object_id: str) -> Broadcast:
        found = self.get_object(request, object_id)
        if found is None or not self.has_view_permission(request, found):
            raise Http404("you have no such broadcast")
        broadcast: Broadcast = found
        return broadcast

    # ---------------------------------------------------------------------- what can be done

    def _is(self, request: HttpRequest, object_id: Any, *states: str) -> bool:
        if not object_id or not self.has_view_permission(request):
            return False
        rows = self.get_queryset(request).filter(pk=object_id, state__in=states)
        return bool(rows.exists())

    # Which buttons a broadcast's page has: the decorator asks these.
    def has_rehearse_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._is(request, object_id, State.DRAFT, State.SCHEDULED)

    def has_start_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._is(request, object_id, State.DRAFT)

    def has_withdraw_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._is(request, object_id, State.SCHEDULED)

    def has_pause_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._is(request, object_id, State.RUNNING)

    def has_resume_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._is(request, object_id, State.PAUSED)

    def has_cancel_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._is(request, object_id, *Broadcast.OPEN)

    @action(
        description=_("Dry run"), url_path="rehearse", permissions=["rehearse"], icon="play_circle"
    )
    def rehearse(self, request: HttpRequest, object_id: str) -> HttpResponse:
        broadcast = self._broadcast(request, object_id)
        found = rehearsal.rehearse(broadcast, now=timezone.now())
        return self._render(
            request, "rehearse", broadcast, title=_("Dry run of %s") % broadcast, found=found
        )

    @action(description=_("Start …"), url_path="start", permissions=["start"], icon="play_arrow")
    def start(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Says what will happen and asks; or says what is missing."""
        broadcast = self._broadcast(request, object_id)
        gaps = readiness.gaps(broadcast, now=timezone.now())
        return self._ask(
            request,
            broadcast,
            running.start,
            title=_("Start %s?") % broadcast,
            gaps=gaps,
            found=None if gaps else rehearsal.rehearse(broadcast, now=timezone.now()),
            yes=_("Yes, start"),
        )

    @action(description=_("Withdraw …"), url_path="withdraw", permissions=["withdraw"], icon="undo")
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        broadcast = self._broadcast(request, object_id)
        return self._ask(
            request,
            broadcast,
            running.withdraw,
            title=_("Withdraw %s?") % broadcast,
            consequence=_("It is a draft again and can be changed. Nothing was sent yet."),
            yes=_("Yes, withdraw"),
        )

    @action(description=_("Pause …"), url_path="pause", permissions=["pause"], icon="pause")
    def pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        broadcast = self._broadcast(request, object_id)
        return self._ask(
            request,
            broadcast,
            running.pause,
            title=_("Pause %s?") % broadcast,
            consequence=_(
                "Nothing more is sent until somebody resumes it; then it goes on where it stopped: "
                "nobody is passed over, nobody gets it twice. A message that is being sent at this "
                "moment still arrives."
            ),
            yes=_("Yes, pause"),
        )

    @action(description=_("Resume …"), url_path="resume", permissions=["resume"], icon="play_arrow")
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        broadcast = self._broadcast(request, object_id)
        return self._ask(
            request,
            broadcast,
            running.resume,
            title=_("Go on with %s?") % broadcast,
            consequence=_("It goes on where it stopped, within the limits of its accounts."),
            yes=_("Yes, go on"),
        )

    @action(description=_("Cancel …"), url_path="cancel", permissions=["cancel"], icon="cancel")
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        broadcast = self._broadcast(request, object_id)
        return self._ask(
            request,
            broadcast,
            running.cancel,
            title=_("Cancel %s for ever?") % broadcast,
            consequence=_("Whoever has not got it yet never does. It cannot be taken back."),
            yes=_("Yes, cancel it"),
            danger=True,
        )

    def _ask(
        self,
        request: HttpRequest,
        broadcast: Broadcast,
        act: Callable[..., Any],
        **context: Any,
    ) -> HttpResponse:
        """The question, or what came of it."""
        if request.method == "POST" and not context.get("gaps"):
            try:
                act(broadcast, actor=actor_of(request), now=timezone.now())
            except readiness.NotReady as error:
                context["gaps"] = error.gaps
            except (running.NotPossible, running.StartsInThePast) as error:
                self.message_user(request, str(error), messages.ERROR)
                return HttpResponseRedirect(_page(broadcast))
            else:
                text = _("%(broadcast)s is %(state)s.") % {
                    "broadcast": broadcast, "state": broadcast.get_state_display(),
                }  # fmt: skip
                self.message_user(request, text, messages.SUCCESS)
                return HttpResponseRedirect(_page(broadcast))
        return self._render(request, "switch", broadcast, **context)

    def _render(
        self, request: HttpRequest, page: str, broadcast: Broadcast, **context: Any
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "broadcast": broadcast,
            "zone": broadcast.tenant.timezone,
            "media": self.media,
            **context,
        }
        return TemplateResponse(request, f"admin/campaigns/broadcast/{page}.html", context)


def _page(broadcast: Broadcast) -> str:
    return reverse("admin:campaigns_broadcast_change", args=[broadcast.pk])


@admin.register(Recipient)
class RecipientAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    tenant_path = "broadcast__tenant"
    list_display = [
        "person", "broadcast", "state_label", "why", "language", "account", "sent_at",
        "delivered_at", "read_at", "replied_at",
    ]  # fmt: skip
    list_filter = ["state"]
    list_select_related = ["broadcast", "contact", "account__tenant", "message"]
    search_fields = ["^contact__name", "^contact__phone"]
    ordering = ["-id"]
    if_empty = _("Nobody yet: recipients are decided when a broadcast begins.")
    if_empty_page = "admin:campaigns_broadcast_changelist"
    fields = [
        "broadcast", "contact", "account", "message", "language", "state", "why", "due_at",
        "queued_at", "sent_at", "delivered_at", "read_at", "replied_at", "ended_at",
    ]  # fmt: skip
    readonly_fields = ["why"]

    def get_list_display(self, request: HttpRequest) -> Any:
        """The broadcast, but not on each line of its own ledger."""
        columns = super().get_list_display(request)
        own = "broadcast__id__exact" in request.GET
        return [name for name in columns if not (own and name == "broadcast")]

    @display(description=_("contact"), ordering="contact__name")
    def person(self, recipient: Recipient) -> str:
        return str(recipient.contact) if recipient.contact else str(_("(deleted)"))

    @display(
        description=_("state"),
        ordering="state",
        label={
            "waiting": "info", "queued": "info", "uncertain": "warning", "sent": "success",
            "delivered": "success", "read": "success", "replied": "success", "failed": "danger",
            "opted_out": "danger", "skipped": "warning",
        },
    )  # fmt: skip
    def state_label(self, recipient: Recipient) -> tuple[str, str]:
        return recipient.state, recipient.get_state_display()

    @display(description=_("reason"), ordering="reason")
    def why(self, recipient: Recipient) -> str:
        if not recipient.reason or recipient.reason.startswith("text: "):
            return recipient.reason or "-"
        return explaining.reason(recipient.reason)
