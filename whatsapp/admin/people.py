"""Who is written to, what they answered, and the files that go along. Rows are the machine's."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat, truncatechars
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts import lists
from accounts.activity import actor_of
from accounts.console import (
    ConsoleAdmin,
    QuestionFilter,
    ReadOnly,
    TenantScoped,
    action,
    companies,
    confirmed,
    display,
    regions,
)
from whatsapp import contacts
from whatsapp.models import Account, Contact, Incoming, Media

ONE_DAY = dt.timedelta(days=1)


class ContactQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "stopped": (_("Who said stop?"), lambda rows: rows.exclude(opted_out_at=None)),
        "absent": (_("Who is not on WhatsApp?"), lambda rows: rows.filter(on_whatsapp=False)),
        "new": (
            _("Who is new in 24 hours?"),
            lambda rows: rows.filter(created_at__gte=timezone.now() - ONE_DAY),
        ),
    }


@admin.register(Contact)
class ContactAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    list_display = ["phone", "name", "tenant", "may_be_written_to", "on_whatsapp", "created_at"]
    list_filter = [ContactQuestions, "tenant"]
    list_select_related = ["tenant"]
    search_fields = ["^phone", "^name"]
    search_help_text = _("How a name or a number begins: Zoé, 06 39 98 …, +33 6 39")
    ordering = ["-id"]
    actions = ["opt_out"]
    fields = [
        "phone", "name", "tenant", "may_be_written_to", "opted_out_at", "on_whatsapp",
        "checked_at", "created_at", "correspondence",
    ]  # fmt: skip
    readonly_fields = ["may_be_written_to", "correspondence"]

    @display(description=_("correspondence"))
    def correspondence(self, contact: Contact) -> str:
        return format_html_join(
            " · ",
            '<a class="underline" href="{}?contact__id__exact={}">{}</a>',
            (
                (reverse(f"admin:whatsapp_{model}_changelist"), contact.pk, words)
                for model, words in (
                    ("message", _("messages to them")),
                    ("incoming", _("messages from them")),
                )
            ),
        )

    @display(
        description=_("may be written to"),
        ordering="opted_out_at",
        label={"yes": "success", "no": "danger"},
    )
    def may_be_written_to(self, contact: Contact) -> tuple[str, str]:
        if contact.opted_out_at is None:
            return "yes", str(_("yes"))
        return "no", str(_("no: %s") % (contact.opt_out_reason or _("said stop")))

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
            reason = f"by hand: {request.user}"[:80]
            if contacts.opt_out(contact, reason=reason, actor=actor_of(request), now=now):
                done += 1
                self.log_change(request, contact, "opted out by hand")
        self.message_user(
            request,
            ngettext("%d person is opted out.", "%d people are opted out.", done) % done,
            messages.SUCCESS,
        )
        return None


class IncomingQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "day": (
            _("What came in 24 hours?"),
            lambda rows: rows.filter(sent_at__gte=timezone.now() - ONE_DAY),
        ),
        "strangers": (_("What came from strangers?"), lambda rows: rows.filter(contact=None)),
    }


@admin.register(Incoming)
class IncomingAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    tenant_path = "account__tenant"
    list_display = ["sent_at", "account", "who", "kind", "text"]
    list_filter = [IncomingQuestions]
    list_select_related = ["account__tenant", "contact"]
    search_fields = ["^phone", "^name", "^contact__phone", "^contact__name", "=account__name"]
    search_help_text = _("How a person’s name or number begins, or an account")
    ordering = ["-id"]

    def search(self, request: HttpRequest, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        """By way of people and accounts; a stranger by what stands on the message."""
        known = lists.search(
            Contact.objects.filter(tenant__in=companies(request)),
            ["^phone", "^name"],
            text,
            regions=regions(request, text),
        )
        numbers = Account.objects.filter(tenant__in=companies(request), name=text)
        strangers = lists.search(
            Incoming.objects.filter(contact=None, account__tenant__in=companies(request)),
            ["^phone", "^name"],
            text,
            regions=regions(request, text),
        )
        return rows.filter(
            Q(contact__in=lists.some(request, known))
            | Q(account__in=list(numbers.values_list("pk", flat=True)))
            | Q(pk__in=lists.some(request, strangers))
        )

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
    search_fields = ["^filename", "^source_url"]
    ordering = ["-id"]
    exclude = ["file"]

    @display(description=_("size"), ordering="size")
    def weight(self, media: Media) -> str:
        return filesizeformat(media.size)
