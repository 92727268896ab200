"""WhatsApp accounts in the admin: how they are, what they sent today, who drives them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from accounts import phones
from accounts.actions import back_to_page, confirmed, finished
from accounts.activity import Verb, actor_of
from accounts.console import ConsoleAdmin, QuestionFilter, TenantScoped, action, display
from accounts.forms import OfCompany
from whatsapp import health, limits, linking, numbers, pace, profiles
from whatsapp.admin.groups import DiscoversGroups
from whatsapp.admin.health import plot
from whatsapp.admin.panel import panel
from whatsapp.models import Account, Usage

Status = Account.Status
# Unfold's colours.
STATUS_COLOURS = {
    Status.CONNECTED: "success",
    Status.RECONNECTING: "warning",
    Status.PENDING: "info",
    Status.CONFLICT: "danger",
    Status.LOGGED_OUT: "danger",
    Status.DISCONNECTED: "danger",
}
HEALTH_COLOURS = {"good": "success", "fair": "warning", "bad": "danger", "unknown": "info"}
LIMITS = ("daily_limit", "per_minute", "gap_ms")


class AccountQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "link": (_("Who needs a scan?"), lambda rows: rows.to_link(now=timezone.now())),
        "no-worker": (
            _("Who waits for a worker?"),
            lambda rows: rows.without_worker(now=timezone.now()),
        ),
        "at-limit": (
            _("Who has used up today’s limit?"),
            lambda rows: rows.at_limit(now=timezone.now()),
        ),
        "paused": (_("Who is paused?"), lambda rows: rows.paused()),
        "resting": (_("Who rests for their health?"), lambda rows: rows.resting()),
        "sends": (_("Who can send?"), lambda rows: rows.sendable()),
    }


class AccountForm(OfCompany):
    person = "owner"

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        agent = data.get("agent")
        if agent is not None and self.tenant is not None and agent.tenant_id != self.tenant.pk:
            self.add_error("agent", _("This agent does not belong to the company."))
        return data


@admin.register(Account)
class AccountAdmin(DiscoversGroups, TenantScoped, ConsoleAdmin):
    form = AccountForm
    created = Verb.ACCOUNT_CREATED
    recorded_apart = frozenset({*LIMITS, *numbers.PACE})
    list_display = [
        "name", "tenant", "status_label", "phone", "today", "sends", "health_label", "driven_by",
        "changed",
    ]  # fmt: skip
    list_filter = [AccountQuestions, "status", "tenant"]

    search_fields = ["name", "phone", "push_name"]
    autocomplete_fields = ["owner", "tenant"]
    actions = [
        "connect", "pause", "resume", "lift_holds", "discover_groups", "restore_older",
        "disconnect",
    ]  # fmt: skip
    change_form_outer_before_template = "admin/whatsapp/account/panel.html"
    readonly_fields = ["created_at"]
    fieldsets = [
        (None, {"fields": ["tenant", "name", "owner", "agent", "enabled"]}),
        (_("Limits"), {"fields": LIMITS}),
        (_("Pace"), {"fields": numbers.PACE}),
    ]

    class Media:
        js = ("relance/countdown.js",)

    def get_urls(self) -> list[URLPattern]:
        live = path("<int:pk>/live/", self.live, name="whatsapp_account_live")
        return [live, *super().get_urls()]

    def live(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The panel alone, for the page that draws it again. Without a log-in: load the page."""
        if not self.has_view_permission(request):
            return HttpResponse(status=401, headers={"HX-Refresh": "true"})
        account = self.get_object(request, str(pk))
        if account is None:
            raise Http404("There is no such account.")
        context = {"panel": panel(account, now=timezone.now()), "opts": self.opts}
        answer = TemplateResponse(request, "admin/whatsapp/account/live.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:  # noqa: ARG002
        now = timezone.now()
        return {"panel": panel(obj, now=now), "plot": plot(obj, now=now)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        latest = Usage.objects.filter(account=OuterRef("pk")).order_by("-day")
        rows: QuerySet[Any] = (
            super().get_queryset(request).select_related("tenant", "lease", "profile")
        )
        annotated: QuerySet[Any] = rows.annotate(
            latest_day=Subquery(latest.values("day")[:1]),
            latest_count=Subquery(latest.values("count")[:1]),
        )
        return annotated

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        # Its messages would go with it. Switch it off (`enabled`) or disconnect it instead.
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        changed = set(form.changed_data) if change else set()
        # Locked and recorded with the numbers, as over the API.
        if own_pace := changed.intersection(numbers.PACE):
            numbers.set_pace(
                Account.objects.get(pk=obj.pk),
                {name: getattr(obj, name) for name in own_pace},
                actor=actor_of(request),
                now=timezone.now(),
            )
        if changed.intersection(LIMITS):
            numbers.set_limits(
                Account.objects.get(pk=obj.pk),
                daily=obj.daily_limit,
                per_minute=obj.per_minute,
                gap_ms=obj.gap_ms,
                actor=actor_of(request),
                now=timezone.now(),
            )
        super().save_model(request, obj, form, change)

    @display(description=_("status"), ordering="status", label=STATUS_COLOURS)
    def status_label(self, account: Account) -> tuple[str, str]:
        return account.status, account.get_status_display()

    @display(description=_("sent today"))
    def today(self, account: Any) -> str:
        if account.pk is None:
            return "-"
        today = limits.today(account.tenant, now=timezone.now())
        count = account.latest_count if account.latest_day == today else 0
        return f"{count} / {account.limit_on(today)}"

    @display(description=_("may send"), boolean=True)
    def sends(self, account: Account) -> bool:
        return (
            account.enabled
            and account.is_linked
            and account.sending_paused_at is None
            and not account.is_resting
        )

    @display(description=_("health"), ordering="health_score", label=HEALTH_COLOURS)
    def health_label(self, account: Account) -> tuple[str, str]:
        if account.health_score is None:
            return "unknown", "-"
        return pace.tone(account), str(account.health_score)

    @display(description=_("Last change seen"), ordering="last_checked_at")
    def changed(self, account: Account) -> Any:
        """Of its status: one that has been connected for a week was not left unwatched."""
        return account.last_checked_at

    @display(description=_("driven by"))
    def driven_by(self, account: Account) -> str:
        lease = getattr(account, "lease", None)
        if lease is None or lease.lease_until is None or lease.lease_until <= timezone.now():
            return "-"
        return str(lease.worker)

    @action(description=_("Link or reconnect"), permissions=["change"])
    def connect(self, request: HttpRequest, rows: QuerySet[Account]) -> HttpResponse | None:
        def ask(account: Account, **by: Any) -> bool:
            typed = request.POST.get("phone", "").strip()[:60]
            phone = phones.parse(typed, region=account.tenant.region) if typed else ""
            return linking.request(account, phone=phone, **by) or bool(phone)

        try:
            return self._each(
                request,
                rows,
                ask,
                ngettext_lazy(
                    "A code is on its way for %d account: scan it on its page.",
                    "A code is on its way for %d accounts: scan each on its page.",
                ),
            )
        except phones.BadPhone as error:
            self.message_user(request, str(error), messages.ERROR)
        return back_to_page(self, request)

    @action(description=_("Pause sending"), permissions=["change"])
    def pause(self, request: HttpRequest, rows: QuerySet[Account]) -> HttpResponse | None:
        return self._each(
            request,
            rows,
            linking.pause_sending,
            ngettext_lazy("%d account is paused.", "%d accounts are paused."),
        )

    @action(description=_("Resume sending"), permissions=["change"])
    def resume(self, request: HttpRequest, rows: QuerySet[Account]) -> HttpResponse | None:
        return self._each(
            request,
            rows,
            linking.resume_sending,
            ngettext_lazy("%d account sends again.", "%d accounts send again."),
        )

    @action(description=_("Lift holds: send at once"), permissions=["change"])
    def lift_holds(self, request: HttpRequest, rows: QuerySet[Account]) -> HttpResponse | None:
        return self._each(
            request,
            rows,
            health.lift,
            ngettext_lazy("%d account sends again.", "%d accounts send again."),
        )

    @action(description=_("Disconnect: log the device out …"), permissions=["change"])
    def disconnect(self, request: HttpRequest, rows: QuerySet[Account]) -> HttpResponse | None:
        page = confirmed(
            self,
            request,
            rows,
            action_name="disconnect",
            question=ngettext_lazy(
                "Disconnect %d account?", "Disconnect these %d accounts?", rows.count()
            ),
            consequence=_(
                "The device is logged out on the phone and its session is forgotten. Nothing is "
                "sent from these accounts until somebody scans a new code."
            ),
        )
        return page or self._each(
            request,
            rows,
            linking.disconnect,
            ngettext_lazy("%d account is being logged out.", "%d accounts are being logged out."),
        )

    @action(description=_("Restore the older profile …"), permissions=["change"])
    def restore_older(self, request: HttpRequest, rows: QuerySet[Account]) -> HttpResponse | None:
        page = confirmed(
            self,
            request,
            rows,
            action_name="restore_older",
            question=_("Restore the profiles that were saved last?"),
            consequence=_(
                "For accounts whose host was lost: their last profile is older than what was sent "
                "or received since. Some people may see “waiting for this message”. The "
                "alternative is to scan a new code."
            ),
        )
        by = request.user.get_username()
        return page or self._each(
            request,
            rows,
            lambda account, now, **_: profiles.allow_restore(account, by=by, now=now),
            ngettext_lazy("%d account is about to be restored.", "%d accounts are about to be."),
        )

    def _each(
        self,
        request: HttpRequest,
        rows: QuerySet[Account],
        work: Callable[..., bool],
        done: Any,
    ) -> HttpResponse | None:
        """Do `work` on each, say with `done` how many it changed, and go back to where one was."""
        now: datetime = timezone.now()
        changed = 0
        for account in rows:
            if work(account, actor=actor_of(request), now=now):
                changed += 1
                self.log_change(request, account, str(done % 1))
        return finished(self, request, changed, done)
