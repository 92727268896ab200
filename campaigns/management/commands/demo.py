"""``manage.py demo``: the whole product on this machine, with a simulated WhatsApp."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from demo import stage


class Command(BaseCommand):
    help = "Runs everything against the WhatsApp simulator and counts what was lost: nothing."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="end after the verdict instead of staying up"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        sys.exit(stage.run("demo", *(["--once"] if options["once"] else [])))
