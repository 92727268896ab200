"""The activity log in the admin: who did what, when, on what, from where."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.defaultfilters import truncatechars
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter

from accounts.activity import SYSTEM, Verb
from accounts.console import (
    ConsoleAdmin,
    QuestionFilter,
    ReadOnly,
    TenantScoped,
    display,
)
from accounts.models import Activity, User

# Unfold's colours; every label says it in words, too.
VERB_COLOURS: dict[str, str] = {
    **dict.fromkeys(map(str, Verb), "info"),
    **dict.fromkeys([Verb.CONNECTED, Verb.SENT, Verb.COMPLETED, Verb.ACCOUNT_RESUMED], "success"),
    **dict.fromkeys([Verb.RECONNECTING, Verb.UNCERTAIN, Verb.ACCOUNT_PAUSED], "warning"),
    **dict.fromkeys(
        [
            Verb.LOGIN_FAILED, Verb.DISCONNECTED, Verb.LOGGED_OUT_FROM_PHONE, Verb.CONFLICT,
            Verb.FAILED, Verb.PERSON_DELETED,
        ],
        "danger",
    ),
}  # fmt: skip


class ActivityQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "people": (_("What did people do?"), lambda rows: rows.filter(actor_kind="user")),
        "programs": (
            _("What did programs do?"),
            lambda rows: rows.filter(actor_kind__in=["api_key", "service"]),
        ),
        "refused": (
            _("Who could not log in?"),
            lambda rows: rows.filter(verb=Verb.LOGIN_FAILED),
        ),
        "day": (
            _("What happened in 24 hours?"),
            lambda rows: rows.filter(at__gte=timezone.now() - dt.timedelta(days=1)),
        ),
    }


@admin.register(Activity)
class ActivityAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    """Who did what, when, on what, from where."""

    list_display = ["at", "actor", "verb_label", "subject", "reason", "address", "tenant"]
    list_filter = [
        ActivityQuestions,
        ("verb", ChoicesDropdownFilter),
        "actor_kind",
        ("at", RangeDateFilter),
        "tenant",
    ]
    list_filter_submit = True
    list_select_related = ["tenant"]
    search_fields = ["^actor_name", "^subject_name", "^address"]
    search_help_text = _("A person’s or program’s name, what it was done to, or an address")
    # In the order of their time, by the primary key.
    ordering = ["-id"]
    fields = [
        "at", "tenant", "actor_kind", "actor_name", "user", "address", "verb", "subject_type",
        "subject_id", "subject_name", "detail",
    ]  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The user behind the name is a link that only superusers may follow."""
        fields = super().get_fields(request, obj)
        return [f for f in fields if f != "user" or request.user.is_superuser]

    @display(description=_("who"), ordering="actor_name")
    def actor(self, activity: Activity) -> str:
        if activity.actor_kind in {"user", SYSTEM.kind}:  # the latter's name says what it is
            return activity.actor_name
        return f"{activity.actor_name} ({activity.get_actor_kind_display()})"

    @display(description=_("what"), ordering="verb", label=VERB_COLOURS)
    def verb_label(self, activity: Activity) -> tuple[str, str]:
        return activity.verb, activity.get_verb_display()

    @display(description=_("on what"))
    def subject(self, activity: Activity) -> str:
        """A link where there is a page of it."""
        name = activity.subject_name or f"{activity.subject_type} {activity.subject_id or ''}"
        # Only superusers may open users.
        if not activity.subject_id or activity.subject_type == User._meta.label_lower:
            return name
        try:
            page = reverse(
                f"admin:{activity.subject_type.replace('.', '_')}_change",
                args=[activity.subject_id],
            )
        except NoReverseMatch:
            return name
        return format_html('<a href="{}" class="underline">{}</a>', page, name)

    @display(description=_("detail"))
    def reason(self, activity: Activity) -> str:
        parts = [f"{key}: {value}" for key, value in activity.detail.items() if value != ""]
        return truncatechars(", ".join(parts), 80)
