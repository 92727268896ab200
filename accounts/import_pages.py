"""Imports in two steps: a dry run says what would happen, "yes" does it without the file again.

What the import pages of all apps have in common.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from django import forms
from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from accounts import uploads
from accounts.console import companies
from accounts.exports import harmless_writer
from accounts.findings import ImportReport, Line
from accounts.models import Tenant
from accounts.tables import CsvTable

MAX_UPLOAD = 32 * 1024 * 1024  # bytes; 300,000 rows
SHOWN_FINDINGS = 1_000
# After the line and what the row is called.
HEADER = ("what happens", "column", "problem", "reason and how to mend it")


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


def again(request: HttpRequest, model_admin: Any) -> HttpResponse:
    model_admin.message_user(
        request,
        _("The file is not kept any more: upload it again. Nothing was imported."),
        messages.ERROR,
    )
    return HttpResponseRedirect(request.path)


def page(request: HttpRequest, model_admin: Any, name: str, **context: Any) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "media": model_admin.media,
        **context,
    }
    return TemplateResponse(request, name, context)


def report_writer(table: IO[bytes], *, subject: str) -> Callable[[Line], None]:
    """Writes a line for each row: what becomes of it, and one more for each further finding."""
    table.write(codecs.BOM_UTF8)  # spreadsheets take it for Windows-1252 otherwise
    writer = harmless_writer(
        io.TextIOWrapper(table, encoding="utf-8", newline="", write_through=True)
    )
    writer(("line", subject, *HEADER))

    def write(line: Line) -> None:
        start = (line.row, line.external_id, line.outcome)
        for finding in line.findings:
            writer((*start, finding.field, finding.level, finding.reason))
        if not line.findings:
            writer((*start, "", "", ""))

    return write


def shown(source: CsvTable, report: ImportReport) -> dict[str, Any]:
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
