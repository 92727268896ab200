"""WhatsApp accounts in the admin: how they are, what they sent today, who drives them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.activity import actor_of
from accounts.console import (
    ConsoleAdmin,
    QuestionFilter,
    ReadOnly,
    TenantScoped,
    action,
    confirmed,
    display,
)
from whatsapp import limits, linking, profiles
from whatsapp.models import Account, Lease, Usage

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
        "sends": (_("Who can send?"), lambda rows: rows.sendable()),
    }


@admin.register(Account)
class AccountAdmin(TenantScoped, ConsoleAdmin):
    list_display = ["name", "tenant", "status_label", "phone", "today", "sends", "last_checked_at"]
    list_filter = [AccountQuestions, "status", "tenant"]

    search_fields = ["name", "phone", "push_name"]
    autocomplete_fields = ["owner", "tenant"]
    actions = ["pause", "resume", "restore_older", "disconnect"]
    readonly_fields = [
        "status", "status_reason", "status_changed_at", "phone", "push_name", "platform",
        "linked_at", "last_checked_at", "sending_paused_at", "today", "driven_by", "created_at",
    ]  # fmt: skip
    fieldsets = [
        (None, {"fields": ["tenant", "name", "owner", "enabled"]}),
        (
            _("WhatsApp"),
            {
                "fields": [
                    "status", "status_reason", "status_changed_at", "phone", "push_name",
                    "platform", "linked_at", "last_checked_at", "driven_by",
                ]
            },
        ),
        (
            _("Sending"),
            {"fields": ["today", "sending_paused_at", "daily_limit", "per_minute", "gap_ms"]},
        ),
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        latest = Usage.objects.filter(account=OuterRef("pk")).order_by("-day")
        rows: QuerySet[Any] = super().get_queryset(request).select_related("tenant", "lease")
        annotated: QuerySet[Any] = rows.annotate(
            latest_day=Subquery(latest.values("day")[:1]),
            latest_count=Subquery(latest.values("count")[:1]),
        )
        return annotated

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        # Its messages would go with it. Switch it off (`enabled`) or disconnect it instead.
        return False

    @display(description=_("status"), ordering="status", label=STATUS_COLOURS)
    def status_label(self, account: Account) -> tuple[str, str]:
        return account.status, account.get_status_display()

    @display(description=_("sent today"))
    def today(self, account: Any) -> str:
        if account.pk is None:
            return "-"
        is_today = account.latest_day == limits.today(account.tenant, now=timezone.now())
        return f"{account.latest_count if is_today else 0} / {account.limit_per_day}"

    @display(description=_("may send"), boolean=True)
    def sends(self, account: Account) -> bool:
        return account.enabled and account.is_linked and account.sending_paused_at is None

    @display(description=_("driven by"))
    def driven_by(self, account: Account) -> str:
        lease = getattr(account, "lease", None)
        if lease is None or not lease.worker:
            return str(_("no worker"))
        return f"{lease.worker} (fence {lease.fence}, until {lease.lease_until:%H:%M:%S} UTC)"

    @action(description=_("Pause sending"), permissions=["change"])
    def pause(self, request: HttpRequest, rows: QuerySet[Account]) -> None:
        self._each(request, rows, linking.pause_sending, _("paused"))

    @action(description=_("Resume sending"), permissions=["change"])
    def resume(self, request: HttpRequest, rows: QuerySet[Account]) -> None:
        self._each(request, rows, linking.resume_sending, _("sending again"))

    @action(description=_("Disconnect: log the device out …"), permissions=["change"])
    def disconnect(self, request: HttpRequest, rows: QuerySet[Account]) -> HttpResponse | None:
        page = confirmed(
            self,
            request,
            rows,
            action_name="disconnect",
            question=_("Disconnect these accounts?"),
            consequence=_(
                "The device is logged out on the phone and its session is forgotten. Nothing is "
                "sent from these accounts until somebody scans a new code."
            ),
        )
        if page is None:
            self._each(request, rows, linking.disconnect, _("being logged out"))
        return page

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
        if page is None:
            by = request.user.get_username()
            self._each(
                request,
                rows,
                lambda account, now, **_: profiles.allow_restore(account, by=by, now=now),
                _("about to be restored"),
            )
        return page

    def _each(
        self,
        request: HttpRequest,
        rows: QuerySet[Account],
        work: Callable[..., bool],
        what: Any,
    ) -> None:
        now: datetime = timezone.now()
        changed = []
        for account in rows:
            if work(account, actor=actor_of(request), now=now):
                changed.append(account)
                self.log_change(request, account, str(what))
        self.message_user(
            request,
            ngettext("%(n)d account is %(what)s.", "%(n)d accounts are %(what)s.", len(changed))
            % {"n": len(changed), "what": what},
            messages.SUCCESS if changed else messages.WARNING,
        )


@admin.register(Lease)
class LeaseAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    tenant_path = "account__tenant"
    list_display = ["account", "worker", "fence", "lease_until", "host", "pid", "taken_at"]
    list_select_related = ["account__tenant"]
    search_fields = ["account__name", "worker"]
    ordering = ["-lease_until"]


@admin.register(Usage)
class UsageAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    tenant_path = "account__tenant"
    list_display = ["day", "account", "count"]
    list_filter = ["day"]
    list_select_related = ["account__tenant"]
    search_fields = ["account__name"]
    ordering = ["-day", "account"]
