"""What people answered, and the files that go along. Rows are the machine's."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat, truncatechars
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import lists
from accounts.console import (
    ConsoleAdmin,
    QuestionFilter,
    ReadOnly,
    TenantScoped,
    companies,
    display,
    regions,
)
from whatsapp.models import Account, Contact, Incoming, Media

ONE_DAY = dt.timedelta(days=1)


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
