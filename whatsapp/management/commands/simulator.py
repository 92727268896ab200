"""``manage.py simulator``: a WhatsApp Web on this machine, for tests and the demo."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from whatsapp.simulator.__main__ import add_arguments, run


class Command(BaseCommand):
    help = "Runs the WhatsApp Web simulator on loopback; /phone plays the phones."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        status = run(argparse.Namespace(**options))
        if status:
            sys.exit(status)
