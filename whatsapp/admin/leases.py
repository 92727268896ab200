"""Who drives an account and what it sent, day by day: kept by the workers, read here."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models.functions import Coalesce
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.console import ConsoleAdmin, QuestionFilter, ReadOnly, TenantScoped, display
from whatsapp.models import Lease, Usage


class LeaseQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "held": (
            _("Which accounts are driven now?"),
            lambda rows: rows.filter(lease_until__gt=timezone.now()),
        ),
        "over": (
            _("Whose worker is gone?"),
            lambda rows: rows.filter(lease_until__lte=timezone.now()),
        ),
    }


@admin.register(Lease)
class LeaseAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    tenant_path = "account__tenant"
    list_display = ["account", "state", "worker", "host", "used_memory", "taken_at", "lease_until"]
    list_filter = [LeaseQuestions]
    list_select_related = ["account__tenant"]
    search_fields = ["^account__name", "^worker", "^host"]
    ordering = ["-lease_until"]

    @display(
        description=_("state"),
        label={"held": "success", "over": "warning", "free": "info"},
    )
    def state(self, lease: Lease) -> tuple[str, Any]:
        if lease.lease_until is None:
            return "free", _("free")
        if lease.lease_until <= timezone.now():
            return "over", _("over: its worker is gone")
        return "held", _("held")

    @display(description=_("memory"), ordering="memory")
    def used_memory(self, lease: Lease) -> str:
        return filesizeformat(lease.memory) if lease.memory else "-"


class UsageQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "week": (
            _("What was used in 7 days?"),
            lambda rows: rows.filter(day__gt=timezone.localdate() - dt.timedelta(days=7)),
        ),
        "full": (
            _("Which days were full?"),
            lambda rows: rows.filter(
                count__gte=Coalesce("account__daily_limit", settings.WHATSAPP_DAILY_LIMIT)
            ),
        ),
    }


@admin.register(Usage)
class UsageAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    tenant_path = "account__tenant"
    list_display = ["day", "account", "count", "of_limit"]
    list_filter = [UsageQuestions]
    list_select_related = ["account__tenant"]
    search_fields = ["^account__name"]
    ordering = ["-day", "account"]

    @display(description=_("of today’s limit"))
    def of_limit(self, usage: Usage) -> str:
        """The limit of a past day is not kept: this is what the account's own comes to by now."""
        limit = usage.account.limit_on(usage.day)
        return f"{100 * usage.count // limit} %" if limit else "-"
