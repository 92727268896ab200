"""Import referrals from a CSV file, and say about each row what is wrong with it.

Exit status: 0 when the file could be read, whatever its rows are like; 2 when it could not.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.exports import harmless_writer
from accounts.findings import Finding
from accounts.models import Tenant
from accounts.tables import BadFile
from campaigns import referrals
from campaigns.csv_source import CsvSource
from campaigns.import_report import ReferralReport

HEADER = ("row", "external_id", "field", "level", "code", "reason")


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--report", type=Path, metavar="CSV", help="write every finding here")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"there is no tenant {options['tenant']}", returncode=2)
        with contextlib.ExitStack() as stack:
            tell = self._tellers(stack, options)
            try:
                source = CsvSource.open(Path(options["file"]))
                stack.callback(source.close)
                notes = source.notes()
                for note in notes:
                    tell(note)
                report = referrals.import_rows(
                    tenant, source.rows(), now=timezone.now(), source=source.source, sink=tell
                )
            except BadFile as error:
                raise CommandError(str(error), returncode=2) from error
        report.findings[:0] = notes
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json(), ensure_ascii=False, default=str))
        else:
            self.stdout.write(summary(report))

    def _tellers(
        self, stack: contextlib.ExitStack, options: dict[str, Any]
    ) -> Callable[[Finding], None]:
        writer = None
        if options["report"]:
            path = Path(options["report"])  # a text when called from Python
            try:
                file = stack.enter_context(path.open("w", newline="", encoding="utf-8-sig"))
            except OSError as error:
                message = f"{path} cannot be written: {error.strerror}"
                raise CommandError(message, returncode=2) from error
            writer = harmless_writer(file)
            writer(HEADER)

        def tell(finding: Finding) -> None:
            if writer is not None:
                writer(astuple(finding))
            if not options["json"]:
                place = f"row {finding.row}" if finding.row else "file"
                who = f" {finding.external_id}" if finding.external_id else ""
                self.stdout.write(f"{place}{who}: {finding.level}: {finding.reason}")

        return tell


def summary(report: ReferralReport) -> str:
    return (
        f"{report.rows} rows: {report.created} created, {report.updated} updated, "
        f"{report.unchanged} unchanged, {report.refused} refused; {report.paid} newly paid"
    )
