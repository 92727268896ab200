"""Messages, contacts and files in the admin. Rows are the machine's; people settle what is open."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat, truncatechars
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

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
from whatsapp import contacts, outbox
from whatsapp.models import Attempt, Contact, Incoming, Media, Message

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


class MessageQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "uncertain": (
            _("What needs a decision?"),
            lambda rows: rows.uncertain(),
        ),
        "failed": (
            _("What failed in 24 hours?"),
            lambda rows: rows.failed_since(timezone.now() - dt.timedelta(days=1)),
        ),
        "stuck": (_("What is stuck?"), lambda rows: rows.stuck(now=timezone.now())),
        "waiting": (
            _("What is waiting or on its way?"),
            lambda rows: rows.filter(state__in=Message.OPEN),
        ),
    }


class AttemptInline(ReadOnly, ConsoleTabularInline):
    model = Attempt
    fields = ["number", "outcome", "intent_at", "finished_at", "worker", "error_code", "error"]
    ordering = ["number"]
    extra = 0


@admin.register(Message)
class MessageAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    list_display = ["created_at", "account", "contact", "text", "state_label", "sent_at", "why"]
    list_filter = [MessageQuestions, "state", "tenant"]
    list_select_related = ["account__tenant", "contact", "media"]
    list_per_page = 50
    # Counting millions of rows twice for a list of fifty helps nobody.
    show_full_result_count = False
    search_fields = ["^contact__phone", "^contact__name", "=wa_id"]
    ordering = ["-id"]
    inlines = [AttemptInline]
    actions = ["settle_sent", "settle_again"]
    fieldsets = [
        (
            None,
            {"fields": ["tenant", "account", "contact", "kind", "body", "media", "state"]},
        ),
        (_("Why"), {"fields": ["error_code", "error", "attempts_made", "retries"]}),
        (
            _("When"),
            {
                "fields": [
                    "created_at", "due_at", "sending_at", "sent_at", "delivered_at", "read_at",
                    "ended_at",
                ]
            },
        ),
        (_("Ids"), {"fields": ["public_id", "idempotency_key", "wa_id", "chat_id"]}),
    ]  # fmt: skip

    @display(description=_("text"))
    def text(self, message: Message) -> str:
        file = f"[{message.media.filename}] " if message.media else ""
        return truncatechars(file + message.body, 60)

    @display(description=_("state"), ordering="state", label=STATE_COLOURS)
    def state_label(self, message: Message) -> tuple[str, str]:
        return message.state, message.get_state_display()

    @display(description=_("why"))
    def why(self, message: Message) -> str:
        return message.error or message.error_code or ""

    @action(description=_("Uncertain: it arrived …"), permissions=["view"])
    def settle_sent(self, request: HttpRequest, rows: QuerySet[Message]) -> HttpResponse | None:
        return self._settle(
            request,
            rows,
            sent=True,
            name="settle_sent",
            question=_("Did these messages arrive?"),
            consequence=_("They count as sent. Look at the phone's chats first."),
        )

    @action(description=_("Uncertain: send again …"), permissions=["view"])
    def settle_again(self, request: HttpRequest, rows: QuerySet[Message]) -> HttpResponse | None:
        return self._settle(
            request,
            rows,
            sent=False,
            name="settle_again",
            question=_("Send these messages again?"),
            consequence=_(
                "Whoever got the first one may get it twice. Look at the phone's chats first."
            ),
        )

    def _settle(
        self,
        request: HttpRequest,
        rows: QuerySet[Message],
        *,
        sent: bool,
        name: str,
        question: Any,
        consequence: Any,
    ) -> HttpResponse | None:
        open_rows = rows.filter(state=State.UNCERTAIN).select_related(
            "account__tenant", "contact", "media"
        )
        if not open_rows.exists():
            self.message_user(request, _("None of these is uncertain."), messages.WARNING)
            return None
        page = confirmed(
            self,
            request,
            open_rows,
            action_name=name,
            question=question,
            consequence=consequence,
            describe=lambda message: f"{message.account} → {message.contact}: {self.text(message)}",
        )
        if page is not None:
            return page
        now = timezone.now()
        done = 0
        for message in open_rows:
            if outbox.settle(message.pk, sent=sent, actor=actor_of(request), now=now):
                done += 1
                self.log_change(request, message, f"settled: {'sent' if sent else 'send again'}")
        self.message_user(
            request,
            ngettext("%d message is settled.", "%d messages are settled.", done) % done,
            messages.SUCCESS,
        )
        return None


@admin.register(Contact)
class ContactAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    list_display = ["phone", "name", "tenant", "opted_out_at", "opt_out_reason", "on_whatsapp"]
    list_filter = [("opted_out_at", admin.EmptyFieldListFilter), "on_whatsapp", "tenant"]
    list_select_related = ["tenant"]
    show_full_result_count = False
    search_fields = ["^phone", "^name"]
    ordering = ["-id"]
    actions = ["opt_out"]

    @action(description=_("Said stop: never write to them again …"), permissions=["view"])
    def opt_out(self, request: HttpRequest, rows: QuerySet[Contact]) -> HttpResponse | None:
        page = confirmed(
            self,
            request,
            rows,
            action_name="opt_out",
            question=_("Never write to these people again?"),
            consequence=_("They leave every sequence now, and no message goes to them any more."),
        )
        if page is not None:
            return page
        now = timezone.now()
        done = 0
        for contact in rows:
            if contacts.opt_out(contact, reason=f"by hand: {request.user}"[:80], now=now):
                done += 1
                self.log_change(request, contact, "opted out by hand")
        self.message_user(
            request,
            ngettext("%d person is opted out.", "%d people are opted out.", done) % done,
            messages.SUCCESS,
        )
        return None


@admin.register(Incoming)
class IncomingAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    tenant_path = "account__tenant"
    list_display = ["sent_at", "account", "who", "kind", "text"]
    list_filter = ["kind"]
    list_select_related = ["account__tenant", "contact"]
    list_per_page = 50
    show_full_result_count = False
    search_fields = ["^phone", "^name", "^contact__phone", "=account__name"]
    ordering = ["-id"]

    @display(description=_("from"))
    def who(self, incoming: Incoming) -> str:
        return str(incoming.contact or incoming.name or incoming.phone or incoming.lid)

    @display(description=_("text"))
    def text(self, incoming: Incoming) -> str:
        return truncatechars(incoming.body, 80)


@admin.register(Media)
class MediaAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    list_display = ["filename", "kind", "weight", "tenant", "source_url", "created_at"]
    list_filter = ["kind", "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["filename", "source_url"]
    ordering = ["-id"]
    exclude = ["file"]

    @display(description=_("size"), ordering="size")
    def weight(self, media: Media) -> str:
        return filesizeformat(media.size)
