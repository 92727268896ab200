"""Imports in two steps: a dry run says what would happen, "yes" does it without the file again."""

from __future__ import annotations

import codecs
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from django import forms
from django.contrib import messages
from django.core.files.base import File
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from accounts.activity import actor_of
from accounts.console import companies
from accounts.models import Tenant
from campaigns import packages, sequences, uploads
from campaigns.csv_source import BadFile, CsvSource
from campaigns.exports import harmless_writer
from campaigns.referrals import ImportReport, Line, import_rows

MAX_UPLOAD = 32 * 1024 * 1024  # bytes; 300,000 referrals
SHOWN_FINDINGS = 1_000
HEADER = ("line", "referral", "what happens", "column", "problem", "reason and how to mend it")


class ImportForm(forms.Form):
    """A company and a file; `largest` is in bytes."""

    tenant = forms.ModelChoiceField(
        label=gettext_lazy("company"),
        queryset=Tenant.objects.none(),
        widget=UnfoldAdminSelectWidget,
    )
    file = forms.FileField(label=gettext_lazy("file"), widget=UnfoldAdminFileFieldWidget)

    def __init__(
        self, *args: Any, request: HttpRequest, accept: str, largest: int, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.largest = largest
        self.fields["file"].widget.attrs["accept"] = accept
        field = self.fields["tenant"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101
        theirs = companies(request)
        field.queryset = Tenant.objects.filter(pk__in=theirs).order_by("name")
        if len(theirs) == 1:
            field.initial = next(iter(theirs))

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > self.largest:
            raise forms.ValidationError(
                _("The file is larger than %d MB: split it.") % (self.largest // 2**20)
            )
        return file


@dataclass(frozen=True, slots=True)
class Chosen:
    """An upload with its company, and the token that brings it back."""

    tenant: Tenant
    upload: uploads.Upload
    token: str


@contextmanager
def chosen(request: HttpRequest, form: ImportForm) -> Iterator[Chosen | None]:
    """What was uploaded now, or before the dry run; None when the form is not valid.

    Raises `uploads.Gone` for a token that is not good any more.
    """
    user_id = request.user.pk or 0
    token = request.POST.get("token", "")
    if not token:
        if not form.is_valid():
            yield None
            return
        file, tenant = form.cleaned_data["file"], form.cleaned_data["tenant"]
        token = uploads.keep(file, name=file.name, user_id=user_id, tenant_id=tenant.pk)
    with uploads.opened(token, user_id=user_id) as upload:
        # Somebody who lost the company meanwhile imports nothing into it.
        tenant = Tenant.objects.filter(pk__in=companies(request), pk=upload.tenant_id).first()
        if tenant is None:
            raise uploads.Gone
        yield Chosen(tenant, upload, token)


def _again(request: HttpRequest, model_admin: Any) -> HttpResponse:
    model_admin.message_user(
        request,
        _("The file is not kept any more: upload it again. Nothing was imported."),
        messages.ERROR,
    )
    return HttpResponseRedirect(request.path)


def _page(request: HttpRequest, model_admin: Any, name: str, **context: Any) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "media": model_admin.media,
        **context,
    }
    return TemplateResponse(request, f"admin/campaigns/{name}.html", context)


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
            return _again(request, model_admin)
        except BadFile as error:
            form.add_error("file", str(error))
    return _page(request, model_admin, "referral/import", form=form, title=_("Import referrals"))


def _referrals(request: HttpRequest, model_admin: Any, given: Chosen) -> HttpResponse:
    dry_run = request.POST.get("confirmed") != "yes"
    source = CsvSource(given.upload.file, name=given.upload.name)
    user_id = request.user.pk or 0
    with tempfile.TemporaryFile() as table:
        write = _report_writer(table)
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
    return _page(
        request,
        model_admin,
        "referral/import_report",
        title=(_("Dry run of %s") if dry_run else _("Import of %s")) % given.upload.name,
        dry_run=dry_run,
        token=given.token,
        tenant=given.tenant,
        report_address=f"{reverse('admin:campaigns_referral_report')}?token={report_token}",
        **_shown(source, report),
    )


def _report_writer(table: IO[bytes]) -> Any:
    """Writes a line for each row: what becomes of it, and one more for each further finding."""
    table.write(codecs.BOM_UTF8)  # spreadsheets take it for Windows-1252 otherwise
    writer = harmless_writer(
        io.TextIOWrapper(table, encoding="utf-8", newline="", write_through=True)
    )
    writer(HEADER)

    def write(line: Line) -> None:
        start = (line.row, line.external_id, line.outcome)
        for finding in line.findings:
            writer((*start, finding.field, finding.level, finding.reason))
        if not line.findings:
            writer((*start, "", "", ""))

    return write


def _shown(source: CsvSource, report: ImportReport) -> dict[str, Any]:
    findings = sorted([*source.notes(), *report.findings], key=lambda finding: finding.row)
    return {
        "report": report,
        "findings": findings[:SHOWN_FINDINGS],
        "left_out": max(0, len(findings) - SHOWN_FINDINGS) + report.findings_left_out,
    }


def download_report(request: HttpRequest) -> HttpResponseBase:
    """The table of an import or dry run of one's own, while it is kept."""
    try:
        with uploads.opened(request.GET.get("token", ""), user_id=request.user.pk or 0) as upload:
            content = io.BytesIO(upload.file.read())
    except uploads.Gone as error:
        raise Http404("this report is not kept any more: import the file again") from error
    return FileResponse(
        content, as_attachment=True, filename=upload.name, content_type="text/csv; charset=utf-8"
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
            return _again(request, model_admin)
        except sequences.BadSequence as error:
            problems = error.problems
    return _page(
        request,
        model_admin,
        "campaign/import",
        form=form,
        problems=problems,
        title=_("Import texts"),
    )


def _texts(request: HttpRequest, model_admin: Any, given: Chosen) -> HttpResponse:
    with packages.unpack(given.upload.file, name=given.upload.name) as path:
        if request.POST.get("confirmed") != "yes":
            sequence, changes = sequences.compare(path, tenant=given.tenant)
            return _page(
                request,
                model_admin,
                "campaign/import_diff",
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
