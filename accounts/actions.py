"""Actions of the admin: asked about before, told of afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

NAMED = 100  # rows that a question names; it counts all of them


def finished(
    model_admin: Any, request: HttpRequest, changed: int, done: Any
) -> HttpResponseRedirect | None:
    """Says with `done`, a text for ``%d``, how many an action changed, and goes back."""
    if changed:
        model_admin.message_user(request, done % changed, messages.SUCCESS)
    else:
        nothing = _("Nothing to change: it is so already.")
        model_admin.message_user(request, nothing, messages.WARNING)
    return back_to_page(model_admin, request)


def back_to_page(model_admin: Any, request: HttpRequest) -> HttpResponseRedirect | None:
    """To the row's page on which an action was asked for; None: it was the list."""
    page = _asked_from(model_admin, request)
    return HttpResponseRedirect(page) if page else None


def _asked_from(model_admin: Any, request: HttpRequest) -> str | None:
    """Address of the row's page on which an action was asked for; None: it was the list."""
    pk = request.POST.get("from_page", "")
    if not pk.isdecimal():
        return None
    return reverse(f"admin:{model_admin.opts.label_lower.replace('.', '_')}_change", args=[pk])


def confirmed(
    model_admin: Any,
    request: HttpRequest,
    rows: QuerySet[Any],
    *,
    action_name: str,
    question: Any,
    consequence: Any,
    describe: Callable[[Any], str] = str,
    chosen: int | None = None,
    form: Any = None,
) -> HttpResponse | None:
    """The page that asks before an action; None once the answer was yes.

    The rows are counted and named on the page and sent again with the answer: by id, or as "all of
    the list" when that was chosen. If there are others by then the question is asked again.
    `chosen` is how many were chosen where `rows` are fewer; `form` is filled in with the answer.
    """
    count = rows.count()
    across = request.POST.get("select_across") == "1"
    same = not across or request.POST.get("count") == str(count)
    if request.POST.get("confirmed") == "yes" and same and (form is None or form.is_valid()):
        return None
    return TemplateResponse(
        request,
        "admin/confirm_action.html",
        {
            **model_admin.admin_site.each_context(request),
            "title": question,
            "consequence": consequence,
            "rows": [describe(row) for row in rows[:NAMED]],
            "more": max(0, count - NAMED),
            "count": count,
            "left_out": max(0, (chosen or 0) - count),
            "changed": "confirmed" in request.POST and not same,
            "form": form,
            "across": across,
            "ids": [] if across else list(rows.values_list("pk", flat=True)),
            "action_name": action_name,
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "opts": model_admin.opts,
            "media": model_admin.media,
            "from_page": request.POST.get("from_page", ""),
            "back": _asked_from(model_admin, request)
            or reverse(f"admin:{model_admin.opts.label_lower.replace('.', '_')}_changelist"),
        },
    )
