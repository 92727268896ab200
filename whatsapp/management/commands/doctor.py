"""``manage.py doctor``: looks at everything that Relance rests on, and says how to mend it."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from whatsapp import doctor


class Command(BaseCommand):
    help = "Checks what Relance rests on; ends with 1 when something fails."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs")
        parser.add_argument(
            "--only",
            action="append",
            choices=list(doctor.CHECKS),
            metavar="CHECK",
            help=f"this check only; may be given more than once: {', '.join(doctor.CHECKS)}",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        logging.disable(logging.WARNING)  # what libraries say beside their errors, said once more
        found = []
        last = ""
        for name, finding in doctor.examine(options["only"]):
            found.append(
                {
                    "check": name,
                    "status": finding.status,
                    "said": finding.said,
                    "mend": finding.mend,
                }
            )
            if options["json"]:
                continue
            style = {"ok": self.style.SUCCESS, "warning": self.style.WARNING}.get(
                finding.status, self.style.ERROR
            )
            title = name if name != last else ""
            last = name
            self.stdout.write(f"{title:<11} {style(f'{finding.status:<8}')} {finding.said}")
            if finding.mend:
                self.stdout.write(f"{'':<20} -> {finding.mend}")
        failed = sum(row["status"] == "fail" for row in found)
        warnings = sum(row["status"] == "warning" for row in found)
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not failed, "findings": found}, indent=2))
        else:
            self.stdout.write(f"{failed} failed, {warnings} to look at, {len(found)} in all")
        logging.disable(logging.NOTSET)
        if failed:
            sys.exit(1)
