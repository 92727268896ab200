"""Messages in the admin: what became of each and why. People settle, retry and cancel."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import truncatechars
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, ngettext_lazy

from accounts import lists
from accounts.actions import back_to_page, confirmed
from accounts.activity import actor_of
from accounts.console import (
    ConsoleAdmin,
    ConsoleTabularInline,
    QuestionFilter,
    ReadOnly,
    TenantScoped,
    action,
    companies,
    display,
    regions,
)
from accounts.models import Activity
from whatsapp import explaining, outbox
from whatsapp import messages as domain
from whatsapp.admin.panel import Button
from whatsapp.models import Account, Attempt, Contact, Message

State = Message.State
STATE_COLOURS = {
    State.QUEUED: "info",
    State.SENDING: "info",
    State.SENT: "success",
    State.DELIVERED: "success",
    State.READ: "success",
    State.FAILED: "danger",
    State.UNCERTAIN: "warning",
}
# Each is a transaction of its own: more of them would outlast the patience of a web server.
AT_ONCE = 500


class MessageQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "uncertain": (_("What needs a decision?"), lambda rows: rows.uncertain()),
        "failed": (
            _("What failed in 24 hours?"),
            lambda rows: rows.failed_since(timezone.now() - dt.timedelta(days=1)),
        ),
        "stuck": (_("What is stuck?"), lambda rows: rows.stuck(now=timezone.now())),
        "waiting": (
            _("What is waiting or on its way?"),
            # Not by IN: two partial indexes answer the two halves.
            lambda rows: rows.filter(Q(state=State.QUEUED) | Q(state=State.SENDING)),
        ),
    }


class AttemptInline(ReadOnly, ConsoleTabularInline):
    model = Attempt
    fields = ["number", "outcome", "intent_at", "finished_at", "worker", "error_code", "error"]
    ordering = ["number"]
    extra = 0


@admin.register(Message)
class MessageAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    list_display = ["created_at", "account", "recipient", "text", "state_label", "sent_at", "why"]
    list_filter = [MessageQuestions, "state", "tenant"]
    search_fields = ["^contact__phone", "^contact__name", "=account__name", "=wa_id"]
    search_help_text = _("How a person’s name or number begins, an account, or a message’s id")
    ordering = ["-id"]
    inlines = [AttemptInline]
    actions = ["settle_sent", "settle_again", "retry", "cancel"]
    change_form_outer_before_template = "admin/whatsapp/message/story.html"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "tenant",
                    "account",
                    "contact",
                    "group",
                    "kind",
                    "body",
                    "media",
                    "content",
                    "quoted_wa_id",
                    "scheduled_for",
                ]
            },
        ),
        (_("In detail"), {"fields": ["error_code", "error", "attempts_made", "retries", "due_at"]}),
        (_("Ids"), {"fields": ["public_id", "idempotency_key", "wa_id", "chat_id"]}),
    ]

    def search(self, request: HttpRequest, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        """By way of people and accounts: their tables are small, and messages know their ids."""
        try:
            return rows.filter(public_id=uuid.UUID(text))
        except ValueError:
            pass
        numbers = Account.objects.filter(tenant__in=companies(request))
        if "@" in text:  # an id of WhatsApp's: true_33639980001@c.us_3EB0…
            return rows.filter(account__in=numbers, wa_id=text)
        people = lists.search(
            Contact.objects.filter(tenant__in=companies(request)),
            ["^phone", "^name"],
            text,
            regions=regions(request, text),
        )
        return rows.filter(
            Q(contact__in=lists.some(request, people))
            | Q(account__in=list(numbers.filter(name=text).values_list("pk", flat=True)))
        )

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:  # noqa: ARG002
        return {"story": self._story(obj)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.select_related("account__lease", "account__tenant", "contact", "group", "media")

    def _story(self, message: Message) -> dict[str, Any]:
        activities = Activity.objects.filter(
            subject_type=Message._meta.label_lower, subject_id=message.pk
        )
        return {
            "message": message,
            "colour": STATE_COLOURS.get(State(message.state), "info"),
            "why": explaining.why(message, now=timezone.now()),
            "entries": explaining.timeline(message),
            "activities": activities.order_by("-at", "-id")[:20],
            "buttons": _buttons(message),
        }

    @display(description=_("to"), ordering="contact")
    def recipient(self, message: Message) -> str:
        return str(message.recipient)

    @display(description=_("text"))
    def text(self, message: Message) -> str:
        if message.kind == Message.Kind.LOCATION:
            place = message.content.get("name") or message.content.get("address") or ""
            return truncatechars(f"[{message.get_kind_display()}] {place}", 60)
        file = f"[{message.media.filename}] " if message.media else ""
        return truncatechars(file + message.body, 60)

    @display(description=_("state"), ordering="state", label=STATE_COLOURS)
    def state_label(self, message: Message) -> tuple[str, str]:
        return message.state, message.get_state_display()

    @display(description=_("why"))
    def why(self, message: Message) -> str:
        if message.state in Message.ARRIVED and message.error_code != "settled_sent":
            return ""
        return explaining.reason(message.error_code) if message.error_code else ""

    @action(description=_("Uncertain: it arrived …"), permissions=["view"])
    def settle_sent(self, request: HttpRequest, rows: QuerySet[Message]) -> HttpResponse | None:
        actor, now = actor_of(request), timezone.now()
        return self._each(
            request,
            rows,
            State.UNCERTAIN,
            lambda message: outbox.settle(message.pk, sent=True, actor=actor, now=now),
            name="settle_sent",
            question=_("Did these messages arrive?"),
            consequence=_("They count as sent. Look at the phone's chats first."),
            none=_("None of these is uncertain."),
            done=ngettext_lazy("%d message is settled.", "%d messages are settled."),
        )

    @action(description=_("Uncertain: send again …"), permissions=["view"])
    def settle_again(self, request: HttpRequest, rows: QuerySet[Message]) -> HttpResponse | None:
        actor, now = actor_of(request), timezone.now()
        return self._each(
            request,
            rows,
            State.UNCERTAIN,
            lambda message: outbox.settle(message.pk, sent=False, actor=actor, now=now),
            name="settle_again",
            question=_("Send these messages again?"),
            consequence=_(
                "Whoever got the first one may get it twice. Look at the phone's chats first."
            ),
            none=_("None of these is uncertain."),
            done=ngettext_lazy("%d message is settled.", "%d messages are settled."),
        )

    @action(description=_("Failed: try again …"), permissions=["view"])
    def retry(self, request: HttpRequest, rows: QuerySet[Message]) -> HttpResponse | None:
        actor, now = actor_of(request), timezone.now()
        return self._each(
            request,
            rows,
            State.FAILED,
            lambda message: domain.retry(message, actor=actor, now=now),
            name="retry",
            question=_("Try these messages again?"),
            consequence=_(
                "They are queued again under the ids they had, inside today's limits. What failed "
                "for a lasting reason, as a number that is not on WhatsApp, fails again. Messages "
                "of sequences that have gone on or ended stay as they are."
            ),
            none=_("None of these has failed."),
            done=ngettext_lazy("%d message is tried again.", "%d messages are tried again."),
        )

    @action(description=_("Waiting: cancel …"), permissions=["view"])
    def cancel(self, request: HttpRequest, rows: QuerySet[Message]) -> HttpResponse | None:
        actor, now = actor_of(request), timezone.now()
        return self._each(
            request,
            rows,
            State.QUEUED,
            lambda message: bool(domain.cancel([message.pk], actor=actor, now=now)),
            name="cancel",
            question=_("Cancel these messages?"),
            consequence=_(
                "They are not sent. A sequence goes on with its next message. One that is being "
                "sent at this moment is not stopped."
            ),
            none=_("None of these is waiting."),
            done=ngettext_lazy("%d message is cancelled.", "%d messages are cancelled."),
        )

    def _each(
        self,
        request: HttpRequest,
        rows: QuerySet[Message],
        state: str,
        work: Callable[[Message], bool],
        *,
        name: str,
        question: Any,
        consequence: Any,
        none: Any,
        done: Any,
    ) -> HttpResponse | None:
        """Ask, then do `work` on those that are in `state`, `AT_ONCE` at most."""
        back = back_to_page(self, request)
        legal = rows.filter(state=state)
        if not legal.exists():
            self.message_user(request, none, messages.WARNING)
            return back
        asked = confirmed(
            self,
            request,
            legal,
            action_name=name,
            question=question,
            consequence=consequence,
            describe=lambda message: (
                f"{message.account} → {message.recipient}: {self.text(message)}"
            ),
            chosen=rows.count(),
        )
        if asked is not None:
            return asked
        chosen = list(legal[: AT_ONCE + 1])
        changed = 0
        for message in chosen[:AT_ONCE]:
            if work(message):
                changed += 1
                self.log_change(request, message, name)
        self.message_user(request, done % changed, messages.SUCCESS)
        if len(chosen) > AT_ONCE:
            self.message_user(
                request,
                _("That were the first %d: do it again for the others.") % AT_ONCE,
                messages.WARNING,
            )
        elif changed < len(chosen):
            left = len(chosen) - changed
            self.message_user(
                request,
                ngettext(
                    "%d stayed as it was: what it belongs to has ended or gone on.",
                    "%d stayed as they were: what they belong to has ended or gone on.",
                    left,
                )
                % left,
                messages.WARNING,
            )
        return back


def _buttons(message: Message) -> list[Button]:
    """Only what is legal now; each asks before it does."""
    match State(message.state):
        case State.UNCERTAIN:
            return [
                Button("settle_sent", _("It arrived …"), "check", "primary"),
                Button("settle_again", _("Send it again …"), "replay"),
            ]
        case State.FAILED:
            return [Button("retry", _("Try again …"), "replay", "primary")]
        case State.QUEUED:
            return [Button("cancel", _("Cancel …"), "cancel", "danger")]
    return []
