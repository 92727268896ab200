"""Load a sequence of messages from a YAML file into a tenant's campaign."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.models import Tenant
from campaigns import sequences


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="as demo/relance-7-days.yaml")
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--activate", action="store_true", help="make it the one that is sent")
        parser.add_argument(
            "--step-delay",
            type=seconds,
            default=dt.timedelta(days=1),
            metavar="SECONDS",
            help="length of a day of the sequence; shorter for demonstrations",
        )
        parser.add_argument(
            "--first-delay",
            type=seconds,
            metavar="SECONDS",
            help="from registration to the first message; else left as it is (an hour)",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"there is no tenant {options['tenant']}", returncode=2)
        try:
            report = sequences.load(
                options["file"],
                tenant=tenant,
                activate=options["activate"],
                step_delay=options["step_delay"],
                first_delay=options["first_delay"],
                now=timezone.now(),
            )
        except sequences.BadSequence as error:
            for problem in error.problems:
                self.stderr.write(problem)
            raise CommandError("nothing was changed", returncode=2) from error
        campaign = report.campaign
        done = "created" if report.created else "updated"
        self.stdout.write(
            f"{done} “{campaign.name}”: {report.steps} steps, "
            f"{report.templates_written} texts written, {report.templates_unchanged} unchanged; "
            f"{'active' if campaign.active else 'not active (--activate makes it so)'}"
        )
        if report.steps_switched_off:
            self.stdout.write(
                f"{report.steps_switched_off} steps are not in the file: switched off"
            )
        if report.deactivated:
            self.stdout.write(f"“{report.deactivated}” was active before and no longer is")


def seconds(text: str) -> dt.timedelta:
    try:
        value = float(text)
        if value < 0:
            raise ValueError
        return dt.timedelta(seconds=value)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError("must be a number of seconds, 0 or more") from error
