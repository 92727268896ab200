"""Imports in two steps: a dry run says what would happen, "yes" does it without the file again."""

from __future__ import annotations

import tempfile
from typing import Any

from django.contrib import messages
from django.core.files.base import File
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import uploads
from accounts.activity import actor_of
from accounts.import_pages import (
    MAX_UPLOAD,
    Chosen,
    ImportForm,
    again,
    chosen,
    page,
    report_writer,
    shown,
)
from accounts.tables import BadFile
from campaigns import packages, sequences
from campaigns.csv_source import CsvSource
from campaigns.referrals import import_rows

# ------------------------------------------------------------------------------- referrals


def import_referrals(request: HttpRequest, model_admin: Any) -> HttpResponse:
    """Upload, dry run, "yes", report: each row that is not liked is said with its reason."""
    posted = request.method == "POST"
    form = ImportForm(
        request.POST if posted and "token" not in request.POST else None,
        request.FILES or None,
        request=request,
        accept=".csv,text/csv",
        largest=MAX_UPLOAD,
    )
    if posted:
        try:
            with chosen(request, form) as given:
                if given is not None:
                    return _referrals(request, model_admin, given)
        except uploads.Gone:
            return again(request, model_admin)
        except BadFile as error:
            form.add_error("file", str(error))
    return page(
        request,
        model_admin,
        "admin/campaigns/referral/import.html",
        form=form,
        title=_("Import referrals"),
    )


def _referrals(request: HttpRequest, model_admin: Any, given: Chosen) -> HttpResponse:
    dry_run = request.POST.get("confirmed") != "yes"
    source = CsvSource(given.upload.file, name=given.upload.name)
    user_id = request.user.pk or 0
    with tempfile.TemporaryFile() as table:
        write = report_writer(table, subject="referral")
        report = import_rows(
            given.tenant,
            source.rows(),
            now=timezone.now(),
            source=source.source,
            told=write,
            dry_run=dry_run,
            actor=actor_of(request),
        )
        report_token = uploads.keep(
            File(table),
            name=f"report of {given.upload.name}.csv",
            user_id=user_id,
            tenant_id=given.tenant.pk,
        )
    if not dry_run:
        uploads.forget(given.token, user_id=user_id)
    return page(
        request,
        model_admin,
        "admin/campaigns/referral/import_report.html",
        title=(_("Dry run of %s") if dry_run else _("Import of %s")) % given.upload.name,
        dry_run=dry_run,
        token=given.token,
        tenant=given.tenant,
        report_address=f"{reverse('admin:campaigns_referral_report')}?token={report_token}",
        **shown(source, report),
    )


# ----------------------------------------------------------------------------------- texts


def import_texts(request: HttpRequest, model_admin: Any) -> HttpResponse:
    """A whole sequence as YAML or ZIP: what it would change, then "yes"."""
    posted = request.method == "POST"
    form = ImportForm(
        request.POST if posted and "token" not in request.POST else None,
        request.FILES or None,
        request=request,
        accept=".yaml,.yml,.zip",
        largest=packages.MOST_BYTES,
    )
    problems: list[str] = []
    if posted:
        try:
            with chosen(request, form) as given:
                if given is not None:
                    return _texts(request, model_admin, given)
        except uploads.Gone:
            return again(request, model_admin)
        except sequences.BadSequence as error:
            problems = error.problems
    return page(
        request,
        model_admin,
        "admin/campaigns/campaign/import.html",
        form=form,
        problems=problems,
        title=_("Import texts"),
    )


def _texts(request: HttpRequest, model_admin: Any, given: Chosen) -> HttpResponse:
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
