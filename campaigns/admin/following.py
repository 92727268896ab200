"""Who is being followed, how far they are, and why some wait."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

from django.contrib import admin, messages
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.actions import confirmed
from accounts.activity import actor_of
from accounts.console import ConsoleAdmin, QuestionFilter, ReadOnly, TenantScoped, action, display
from campaigns import explaining, targets
from campaigns.admin.content import with_files
from campaigns.models import Delivery, Target
from whatsapp import messages as whatsapp_messages
from whatsapp.models import Account, Message

State = Target.State
STATE_COLOURS = {State.ACTIVE: "info", State.COMPLETED: "warning", State.EXITED: "success"}
ACTIVE = Q(state=State.ACTIVE)
PAUSED = ACTIVE & Q(paused_at__isnull=False)
RUNNING = ACTIVE & Q(paused_at=None)
# What planning writes is written within a minute; an hour later something is the matter.
OVERDUE = dt.timedelta(hours=1)
ONE_DAY = dt.timedelta(days=1)
BATCH = 1_000  # of one transaction
# The last step of a sequence that goes on failed: that one can be tried again.
FAILED_LAST = Exists(
    Delivery.objects.filter(
        target=OuterRef("pk"), number=OuterRef("steps_done"), message__state=Message.State.FAILED
    )
)


def _due(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.filter(RUNNING, open_message=None, hold="", next_due_at__lte=timezone.now())


def _stuck(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Nobody and nothing holds them, and still nothing goes out."""
    now = timezone.now()
    overdue = Q(
        open_message=None,
        hold="",
        next_due_at__lt=now - OVERDUE,
        account__enabled=True,
        account__sending_paused_at=None,
        account__status__in=Account.LINKED_STATUSES,
    )
    stuck = Message.objects.stuck(now=now).values("pk")
    return rows.filter(RUNNING).filter(overdue | Q(open_message__in=stuck))


def _failed_today(rows: QuerySet[Any]) -> QuerySet[Any]:
    failed = Message.objects.failed_since(timezone.now() - ONE_DAY)
    return rows.filter(pk__in=Delivery.objects.filter(message__in=failed).values("target"))


class TargetQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "due": (_("Who is due now?"), _due),
        "stuck": (_("Who is stuck?"), _stuck),
        "uncertain": (
            _("Whose message is uncertain?"),
            lambda rows: rows.filter(hold=Target.Hold.UNCERTAIN),
        ),
        "failed": (_("Whose message failed in 24 hours?"), _failed_today),
        "held": (_("Who is held, and why?"), lambda rows: rows.exclude(hold="")),
        "paused": (_("Whom did somebody pause?"), lambda rows: rows.filter(PAUSED)),
        "sending": (
            _("Whose message is on its way?"),
            lambda rows: rows.filter(RUNNING).exclude(open_message=None),
        ),
        "ended": (_("Who is through or out?"), lambda rows: rows.exclude(ACTIVE)),
    }


@admin.register(Target)
class TargetAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    list_display = [
        "referral", "referrer", "campaign", "state_label", "steps_done", "hold_label",
        "next_due_at", "last_sent_at",
    ]  # fmt: skip
    list_filter = [TargetQuestions, "state", "hold", "exit_reason", "tenant"]
    list_select_related = ["referral__referrer", "campaign"]
    search_fields = ["^phone", "=referral__external_id", "^referral__name"]
    search_help_text = _("Phone, id or name of the referral, from its beginning")
    ordering = ["-id"]
    actions = ["pause", "resume", "retry", "take_out"]
    actions_detail = ["pause_one", "resume_one", "retry_one", "take_out_one"]
    if_empty = _(
        "Nobody is followed yet. Somebody is as soon as a campaign is active, referrals are "
        "imported, and their referrer's WhatsApp account is linked."
    )
    if_empty_page = "admin:campaigns_referral_import_csv"
    change_form_outer_before_template = "admin/campaigns/target/story.html"
    readonly_fields = ["hold_label"]
    fields = [
        "referral", "campaign", "account", "phone", "state", "exit_reason", "hold_label",
        "paused_at", "steps_done", "slot_at", "next_due_at", "last_sent_at", "enrolled_at",
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
        elif target.paused_at:
            text = str(_("paused"))
        return target.state, text

    @display(description=_("held because"), ordering="hold")
    def hold_label(self, target: Target) -> str:
        if not target.hold:
            return ""
        detail = f" ({target.hold_detail})" if target.hold_detail else ""
        return f"{target.get_hold_display()}{detail}"

    # ------------------------------------------------------------------------- one target

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:  # noqa: ARG002
        """Read once per request, with what explains it: its page and its buttons ask for it."""
        known: dict[str, Any] = request.__dict__.setdefault("_console_targets", {})
        if object_id not in known:
            rows = self.get_queryset(request).select_related(*explaining.RELATED)
            rows = rows.annotate(failed_last=FAILED_LAST)
            known[object_id] = rows.filter(pk=object_id).first() if object_id.isdecimal() else None
        return known[object_id]

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:  # noqa: ARG002
        told = explaining.story(obj, now=timezone.now())
        return {
            "why": told.why,
            "entries": told.entries,
            "planned": with_files(told.planned),
            "zone": obj.tenant.timezone,
        }

    def _one(self, request: HttpRequest, object_id: Any) -> Any:
        found = self.get_object(request, str(object_id)) if object_id else None
        return found if found is not None and self.has_view_permission(request, found) else None

    # Which buttons a target's page has: the decorator asks these.
    def has_pause_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        target = self._one(request, object_id)
        return bool(target and target.state == State.ACTIVE and target.paused_at is None)

    def has_resume_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        target = self._one(request, object_id)
        return bool(target and target.state == State.ACTIVE and target.paused_at is not None)

    def has_take_out_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        target = self._one(request, object_id)
        return bool(target and target.state == State.ACTIVE)

    def has_retry_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        target = self._one(request, object_id)
        return bool(target and target.failed_last and target.state == State.ACTIVE)

    @action(description=_("Pause …"), url_path="pause", permissions=["pause"], icon="pause")
    def pause_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._alone(request, object_id, self.pause)

    @action(description=_("Resume …"), url_path="resume", permissions=["resume"], icon="play_arrow")
    def resume_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._alone(request, object_id, self.resume)

    @action(description=_("Try again …"), url_path="retry", permissions=["retry"], icon="replay")
    def retry_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._alone(request, object_id, self.retry)

    @action(
        description=_("Take out …"), url_path="take-out", permissions=["take_out"], icon="logout"
    )
    def take_out_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._alone(request, object_id, self.take_out)

    def _alone(
        self,
        request: HttpRequest,
        object_id: str,
        act: Callable[[HttpRequest, QuerySet[Target]], HttpResponse | None],
    ) -> HttpResponse:
        asked = act(request, self.get_queryset(request).filter(pk=object_id))
        page = reverse("admin:campaigns_target_change", args=[object_id])
        return asked or HttpResponseRedirect(page)

    # ------------------------------------------------------------------------------ many

    @action(description=_("Pause …"), permissions=["view"])
    def pause(self, request: HttpRequest, rows: QuerySet[Target]) -> HttpResponse | None:
        return self._act(
            request,
            rows,
            RUNNING,
            name="pause",
            question=_("Pause these people?"),
            consequence=_(
                "They keep their place and get nothing until somebody resumes them. A message that "
                "is being sent at this moment still arrives."
            ),
            act=lambda ids, now: targets.pause(ids, actor=actor_of(request), now=now),
            done=lambda n: ngettext("%d person is paused.", "%d people are paused.", n) % n,
        )

    @action(description=_("Resume …"), permissions=["view"])
    def resume(self, request: HttpRequest, rows: QuerySet[Target]) -> HttpResponse | None:
        return self._act(
            request,
            rows,
            PAUSED,
            name="resume",
            question=_("Go on with these people?"),
            consequence=_("Their messages move on by the length of the pause: nothing bursts."),
            act=lambda ids, now: targets.resume(ids, actor=actor_of(request), now=now),
            done=lambda n: ngettext("%d person goes on.", "%d people go on.", n) % n,
        )

    @action(description=_("Try the failed message again …"), permissions=["view"])
    def retry(self, request: HttpRequest, rows: QuerySet[Target]) -> HttpResponse | None:
        def try_again(ids: list[int], now: dt.datetime) -> int:
            failed = Message.objects.filter(
                delivery__target__in=ids,
                delivery__number=F("delivery__target__steps_done"),
                state=Message.State.FAILED,
            )
            actor = actor_of(request)
            return sum(
                whatsapp_messages.retry(message, actor=actor, now=now)
                for message in failed.select_related("contact")
            )

        return self._act(
            request,
            rows,
            ACTIVE & Q(FAILED_LAST),
            name="retry",
            question=_("Send the failed message of these people again?"),
            consequence=_(
                "Their last message failed. It goes out again as it was written; if its reason is "
                "still there it fails again."
            ),
            act=try_again,
            done=lambda n: (
                ngettext("%d message is sent again.", "%d messages are sent again.", n) % n
            ),
        )

    @action(description=_("Take out of the sequence …"), permissions=["view"])
    def take_out(self, request: HttpRequest, rows: QuerySet[Target]) -> HttpResponse | None:
        def leave(ids: list[int], now: dt.datetime) -> int:
            return targets.exit(ids, actor=actor_of(request), now=now).targets_exited

        return self._act(
            request,
            rows,
            ACTIVE,
            name="take_out",
            question=_("Take these people out of the sequence?"),
            consequence=_(
                "They get nothing more from this campaign, for ever. A message that is being sent "
                "at this moment may still arrive."
            ),
            act=leave,
            done=lambda n: ngettext("%d person is taken out.", "%d people are taken out.", n) % n,
        )

    def _act(
        self,
        request: HttpRequest,
        rows: QuerySet[Target],
        legal: Q,
        *,
        name: str,
        question: Any,
        consequence: Any,
        act: Callable[[list[int], dt.datetime], int],
        done: Callable[[int], str],
    ) -> HttpResponse | None:
        """Ask about those of `rows` it is legal for, then do it, a thousand at a time."""
        chosen = rows.filter(legal)
        page = confirmed(
            self,
            request,
            chosen.select_related("referral__referrer"),
            action_name=name,
            question=question,
            consequence=consequence,
            describe=lambda target: f"{target.referral} ({target.referral.referrer})",
            chosen=rows.count(),
        )
        if page is not None:
            return page
        count = sum(act(ids, timezone.now()) for ids in _batches(chosen))
        level = messages.SUCCESS if count else messages.WARNING
        self.message_user(request, done(count), level)
        return None


def _batches(rows: QuerySet[Target]) -> Iterator[list[int]]:
    """Ids of `rows`, read once: what is done to them takes them out of the query."""
    ids = list(rows.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
