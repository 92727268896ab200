"""Who is being followed, how far they are, and why some wait."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.activity import actor_of
from accounts.console import (
    ConsoleAdmin,
    ConsoleTabularInline,
    QuestionFilter,
    ReadOnly,
    TenantScoped,
    action,
    confirmed,
    display,
)
from campaigns import exits
from campaigns.models import Delivery, Target

State = Target.State
STATE_COLOURS = {State.ACTIVE: "info", State.COMPLETED: "warning", State.EXITED: "success"}


def _due(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.filter(
        state=State.ACTIVE, open_message=None, hold="", next_due_at__lte=timezone.now()
    )


class TargetQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "due": (_("Who is due now?"), _due),
        "held": (_("Who is held, and why?"), lambda rows: rows.exclude(hold="")),
        "sending": (
            _("Whose message is on its way?"),
            lambda rows: rows.filter(state=State.ACTIVE).exclude(open_message=None),
        ),
        "ended": (_("Who is through or out?"), lambda rows: rows.exclude(state=State.ACTIVE)),
    }


class DeliveryInline(ReadOnly, ConsoleTabularInline):
    model = Delivery
    fields = ["number", "language", "message_state", "sent_at", "error"]
    readonly_fields = ["message_state", "sent_at", "error"]
    ordering = ["number"]
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("message")

    @display(description=_("message"))
    def message_state(self, delivery: Delivery) -> str:
        return delivery.message.get_state_display()

    @display(description=_("sent"))
    def sent_at(self, delivery: Delivery) -> Any:
        return delivery.message.sent_at

    @display(description=_("error"))
    def error(self, delivery: Delivery) -> str:
        return delivery.message.error or delivery.message.error_code


@admin.register(Target)
class TargetAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    list_display = [
        "referral", "referrer", "campaign", "state_label", "steps_done", "hold_label",
        "next_due_at", "last_sent_at",
    ]  # fmt: skip
    list_filter = [TargetQuestions, "state", "hold", "exit_reason", "tenant"]
    list_select_related = ["referral__referrer", "campaign", "account__tenant"]
    list_per_page = 50
    show_full_result_count = False
    search_fields = ["^phone", "=referral__external_id", "^referral__name"]
    ordering = ["-id"]
    inlines = [DeliveryInline]
    actions = ["take_out"]
    readonly_fields = ["hold_label"]
    fields = [
        "referral", "campaign", "account", "phone", "state", "exit_reason", "hold_label",
        "steps_done", "slot_at", "next_due_at", "last_sent_at", "open_message", "enrolled_at",
        "ended_at",
    ]  # fmt: skip

    @display(description=_("referrer"), ordering="referral__referrer__name")
    def referrer(self, target: Target) -> str:
        return target.referral.referrer.name

    @display(description=_("state"), ordering="state", label=STATE_COLOURS)
    def state_label(self, target: Target) -> tuple[str, str]:
        text = target.get_state_display()
        if target.exit_reason:
            text = f"{text}: {target.get_exit_reason_display()}"
        return target.state, text

    @display(description=_("held because"), ordering="hold")
    def hold_label(self, target: Target) -> str:
        if not target.hold:
            return ""
        detail = f" ({target.hold_detail})" if target.hold_detail else ""
        return f"{target.get_hold_display()}{detail}"

    @action(description=_("Take out of the sequence …"), permissions=["view"])
    def take_out(self, request: HttpRequest, rows: QuerySet[Target]) -> HttpResponse | None:
        active = rows.filter(state=State.ACTIVE).select_related("referral__referrer")
        page = confirmed(
            self,
            request,
            active,
            action_name="take_out",
            question=_("Take these people out of the sequence?"),
            consequence=_(
                "They get nothing more from this campaign, for ever. A message that is being sent "
                "at this moment may still arrive."
            ),
            describe=lambda target: f"{target.referral} ({target.referral.referrer})",
        )
        if page is not None:
            return page
        ids = list(active.values_list("pk", flat=True))
        result = exits.exit_targets(
            ids, reason=Target.ExitReason.BY_HAND, actor=actor_of(request), now=timezone.now()
        )
        for target in Target.objects.filter(pk__in=ids).select_related("referral"):
            self.log_change(request, target, "taken out by hand")
        self.message_user(
            request,
            _("%(out)d taken out, %(cancelled)d messages cancelled, %(flight)d on their way.")
            % {
                "out": result.targets_exited,
                "cancelled": result.messages_cancelled,
                "flight": result.in_flight,
            },
            messages.SUCCESS,
        )
        return None
