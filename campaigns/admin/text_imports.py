"""Texts in: a whole sequence as a file; a dry run says what it would change, "yes" does it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import uploads
from accounts.activity import actor_of
from accounts.import_pages import Chosen, page, upload_page
from campaigns import packages, sequences


def import_texts(request: HttpRequest, model_admin: Any) -> HttpResponse:
    problems: list[str] = []

    def use(given: Chosen) -> HttpResponse | None:
        try:
            return _answer(request, model_admin, given)
        except sequences.BadSequence as error:
            problems.extend(error.problems)
            return None

    return upload_page(
        request,
        model_admin,
        use,
        template="admin/campaigns/campaign/import.html",
        title=_("Import texts"),
        accept=".yaml,.yml,.zip",
        largest=packages.MOST_BYTES,
        problems=problems,
    )


def _answer(request: HttpRequest, model_admin: Any, given: Chosen) -> HttpResponse:
    with packages.unpack(given.upload.file, name=given.upload.name) as path:
        if request.POST.get("confirmed") != "yes":
            sequence, changes = sequences.compare(path, tenant=given.tenant)
            return page(
                request,
                model_admin,
                "admin/campaigns/campaign/import_diff.html",
                title=_("Dry run of %s") % given.upload.name,
                sequence=sequence,
                changes=changes,
                exists=given.tenant.campaigns.filter(name=sequence.name).first(),
                tenant=given.tenant,
                token=given.token,
            )
        report = sequences.load(
            path, tenant=given.tenant, actor=actor_of(request), now=timezone.now()
        )
    uploads.forget(given.token, user_id=request.user.pk or 0)
    model_admin.message_user(
        request,
        _("%(name)s: %(days)d days, %(changes)d changes.")
        % {
            "name": report.campaign.name,
            "days": report.steps,
            "changes": len(report.changes),
        },
        messages.SUCCESS,
    )
    return HttpResponseRedirect(
        reverse("admin:campaigns_campaign_write_texts", args=[report.campaign.pk])
    )
