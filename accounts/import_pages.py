"""Imports in two steps: a dry run says what would happen, "yes" does it without the file again."""

from __future__ import annotations

import codecs
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.base import File
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from accounts import uploads
from accounts.activity import actor_of
from accounts.console import MixinBase, action, companies
from accounts.exports import harmless_writer
from accounts.findings import ImportReport, Line
from accounts.models import Tenant
from accounts.tables import BadFile, CsvTable

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


def upload_page(
    request: HttpRequest,
    model_admin: Any,
    use: Callable[[Chosen], HttpResponse | None],
    *,
    template: str,
    title: str,
    accept: str,
    largest: int = MAX_UPLOAD,
    **context: Any,
) -> HttpResponse:
    """The page that asks for a company and a file; what `use` answers once they were given.

    A `BadFile` that `use` raises is shown beside the file; where it answers None it has put what
    is wrong into `context`. `largest` is in bytes.
    """
    posted = request.method == "POST"
    form = ImportForm(
        request.POST if posted and "token" not in request.POST else None,
        request.FILES or None,
        request=request,
        accept=accept,
        largest=largest,
    )
    if posted:
        try:
            with _chosen(request, form) as given:
                answer = use(given) if given is not None else None
            if answer is not None:
                return answer
        except uploads.Gone:
            return _again(request, model_admin)
        except BadFile as error:
            form.add_error("file", str(error))
    return page(request, model_admin, template, form=form, title=title, **context)


@contextmanager
def _chosen(request: HttpRequest, form: ImportForm) -> Iterator[Chosen | None]:
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


def page(request: HttpRequest, model_admin: Any, name: str, **context: Any) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "media": model_admin.media,
        **context,
    }
    return TemplateResponse(request, name, context)


class ImportsCsv(MixinBase):
    """A list whose rows come in as CSV: a file, a dry run, "yes", and a report row by row.

    `import_table` reads the file, ``import_rows(tenant, rows, now=, told=, dry_run=, actor=)``
    stores what it holds, `import_row` is what the report calls a row. The templates are
    ``import.html`` and ``import_report.html`` of the model.
    """

    actions_list = ["import_csv"]
    import_title: Any
    import_table: type[CsvTable[Any]]
    import_row: str
    import_rows: Callable[..., ImportReport]

    @action(
        description=gettext_lazy("Import CSV"),
        url_path="import-csv",
        permissions=["change"],
        icon="upload_file",
    )
    def import_csv(self, request: HttpRequest) -> HttpResponse:
        return upload_page(
            request,
            self,
            lambda given: self._report(request, given),
            template=f"{self._templates}/import.html",
            title=self.import_title,
            accept=".csv,text/csv",
        )

    def _report(self, request: HttpRequest, given: Chosen) -> HttpResponse:
        dry_run = request.POST.get("confirmed") != "yes"
        name, user_id = given.upload.name, request.user.pk or 0
        source = self.import_table(given.upload.file, name=name)
        with tempfile.TemporaryFile() as table:
            write = _report_writer(table, subject=self.import_row)  # without it the table is closed
            report = self.import_rows(
                given.tenant,
                source.rows(),
                now=timezone.now(),
                told=write,
                dry_run=dry_run,
                actor=actor_of(request),
            )
            token = uploads.keep(
                File(table),
                name=f"report of {name}.csv",
                user_id=user_id,
                tenant_id=given.tenant.pk,
            )
        if not dry_run:
            uploads.forget(given.token, user_id=user_id)
        return page(
            request,
            self,
            f"{self._templates}/import_report.html",
            title=(_("Dry run of %s") if dry_run else _("Import of %s")) % name,
            dry_run=dry_run,
            token=given.token,
            tenant=given.tenant,
            report_address=f"{reverse(f'admin:{self._report_page}')}?token={token}",
            **_shown(source, report),
        )

    @property
    def _templates(self) -> str:
        return f"admin/{self.opts.app_label}/{self.opts.model_name}"

    @property
    def _report_page(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_report"

    def get_urls(self) -> list[Any]:
        report = self.admin_site.admin_view(self.report)
        return [path("import-report/", report, name=self._report_page), *super().get_urls()]

    def report(self, request: HttpRequest) -> HttpResponseBase:
        """The table of an import or dry run of one's own, while it is kept."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        token, user_id = request.GET.get("token", ""), request.user.pk or 0
        try:
            with uploads.opened(token, user_id=user_id) as upload:
                content = io.BytesIO(upload.file.read())
        except uploads.Gone as error:
            raise Http404("this report is not kept any more: import the file again") from error
        return FileResponse(
            content,
            as_attachment=True,
            filename=upload.name,
            content_type="text/csv; charset=utf-8",
        )


def _report_writer(table: IO[bytes], *, subject: str) -> Callable[[Line], None]:
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


def _shown(source: CsvTable[Any], report: ImportReport) -> dict[str, Any]:
    findings = sorted([*source.notes(), *report.findings], key=lambda finding: finding.row)
    return {
        "report": report,
        "findings": findings[:SHOWN_FINDINGS],
        "left_out": max(0, len(findings) - SHOWN_FINDINGS) + report.findings_left_out,
    }
