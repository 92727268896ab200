"""Referrers, referrals and payments; referrals come in as CSV, with a report row by row."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.actions import confirmed
from accounts.activity import actor_of
from accounts.console import ConsoleAdmin, QuestionFilter, ReadOnly, TenantScoped, action, display
from accounts.exports import csv_answer
from accounts.forms import OfCompany
from accounts.import_pages import ImportsCsv
from campaigns import exits, holds
from campaigns.csv_source import CsvSource
from campaigns.models import Payment, Referral, Referrer
from campaigns.referrals import import_rows
from campaigns.rows import OPTIONAL, REQUIRED

COLUMNS = (*REQUIRED, *OPTIONAL)


class ReferrerQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "unlinked": (
            _("Who has no linked account?"),
            lambda rows: rows.exclude(account__status__in=["connected", "reconnecting"]),
        ),
        "lapsed": (_("Whose subscription lapsed?"), lambda rows: rows.filter(subscribed=False)),
        "paused": (_("Who takes no new ones?"), lambda rows: rows.filter(enrolment_paused=True)),
    }


class ReferrerForm(OfCompany):
    person = "user"

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        account = data.get("account")
        if self.tenant is not None and account is not None and account.tenant_id != self.tenant.pk:
            self.add_error("account", _("This account is of another company."))
        return data


@admin.register(Referrer)
class ReferrerAdmin(TenantScoped, ConsoleAdmin):
    form = ReferrerForm
    if_empty = _("Nobody refers yet: add each referrer with their id, before their referrals come.")
    if_empty_page = "admin:campaigns_referrer_add"
    list_display = [
        "name", "external_id", "tenant", "account_status", "subscribed", "enrolment_paused",
        "unpaid",
    ]  # fmt: skip
    list_filter = [ReferrerQuestions, "subscribed", "tenant"]
    list_select_related = ["tenant", "account__tenant"]
    search_fields = ["name", "external_id"]
    autocomplete_fields = ["tenant", "user", "account"]
    fields = [
        "tenant", "external_id", "name", "user", "account", "subscribed", "enrolment_paused",
        "subscription_checked_at",
    ]  # fmt: skip
    readonly_fields = ["subscription_checked_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        unpaid = Count("referrals", filter=Q(referrals__paid_at=None))
        annotated: QuerySet[Any] = rows.annotate(n_unpaid=unpaid)
        return annotated

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False  # everybody they referred would go with them

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if obj.subscribed:
            holds.release_referrers([obj.pk], now=timezone.now())

    @display(description=_("account"))
    def account_status(self, referrer: Referrer) -> str:
        account = referrer.account
        return f"{account.name}: {account.get_status_display()}" if account else "-"

    @display(description=_("unpaid referrals"), ordering="n_unpaid")
    def unpaid(self, referrer: Any) -> int:
        return int(referrer.n_unpaid)


class ReferralQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "paid": (_("Who paid?"), lambda rows: rows.exclude(paid_at=None)),
        "waiting": (
            _("Who waits to be followed?"),
            lambda rows: rows.filter(paid_at=None, enrolled_at=None),
        ),
        "skipped": (_("Who cannot be followed?"), lambda rows: rows.exclude(skipped_reason="")),
    }


FROM_IMPORTS = [
    "tenant", "external_id", "referrer", "phone", "region", "registered_at", "paid_at",
    "enrolled_at", "skipped_reason",
]  # fmt: skip


@admin.register(Referral)
class ReferralAdmin(ImportsCsv, TenantScoped, ConsoleAdmin):
    list_display = [
        "external_id", "name", "phone", "referrer", "language", "registered_at", "paid_at",
        "skipped_reason",
    ]  # fmt: skip
    list_filter = [ReferralQuestions, "language", "tenant"]
    list_select_related = ["referrer", "tenant"]
    search_fields = ["=external_id", "^name", "^phone"]
    ordering = ["-id"]
    actions = ["mark_paid", "export_csv"]
    import_title = _("Import referrals")
    import_table = CsvSource
    import_row = "referral"
    import_rows = staticmethod(partial(import_rows, source=CsvSource.source))
    if_empty = _("No referral has come in yet: import a CSV file, or push them over the API.")
    if_empty_page = "admin:campaigns_referral_import_csv"
    # A corrected phone number changes who is followed: an import does that as one transaction.
    fields = [*FROM_IMPORTS, "name", "language"]
    readonly_fields = FROM_IMPORTS

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False  # imports and the user service read phones and dates with care

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    @action(description=_("Paid: take out of every sequence …"), permissions=["change"])
    def mark_paid(self, request: HttpRequest, rows: QuerySet[Referral]) -> HttpResponse | None:
        page = confirmed(
            self,
            request,
            rows,
            action_name="mark_paid",
            question=_("Have these people paid?"),
            consequence=_("They leave every sequence now. This cannot be taken back."),
        )
        if page is not None:
            return page
        now = timezone.now()
        for referral in rows:
            exits.exit_referral(
                tenant=referral.tenant,
                external_id=referral.external_id,
                source=f"admin: {request.user}"[:80],
                actor=actor_of(request),
                now=now,
            )
            self.log_change(request, referral, "marked as paid")
        self.message_user(request, _("Saved."), messages.SUCCESS)
        return None

    @action(description=_("Export as CSV"), permissions=["view"])
    def export_csv(self, request: HttpRequest, rows: QuerySet[Referral]) -> HttpResponseBase:  # noqa: ARG002
        """The chosen rows, in the columns that an import takes."""
        chosen = rows.order_by("pk").select_related("referrer")
        return csv_answer(
            "referrals.csv", COLUMNS, map(_exported, chosen.iterator(chunk_size=2000))
        )


def _exported(referral: Referral) -> list[object]:
    return [
        referral.external_id,
        referral.referrer.external_id,
        referral.phone,
        referral.registered_at.isoformat(),
        referral.name,
        referral.region,
        referral.language,
        referral.paid_at.isoformat() if referral.paid_at else "",
    ]


@admin.register(Payment)
class PaymentAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    list_display = ["external_id", "paid_at", "source", "tenant"]
    list_filter = ["tenant"]
    list_select_related = ["tenant"]
    search_fields = ["=external_id"]
    ordering = ["-id"]
