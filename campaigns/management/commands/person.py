"""A person's data: export it as JSON, delete it, or allow somebody deleted to come back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from accounts import phones
from accounts.models import Tenant
from campaigns import people


class Command(BaseCommand):
    help = "Export or delete everything about whoever has a phone number; allow them back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["export", "delete", "allow"])
        parser.add_argument("--tenant", required=True, help="the company's short name: acme")
        parser.add_argument("--phone", required=True, help="+33639980000, or as written there")
        parser.add_argument("--yes", action="store_true", help="delete without asking")

    def handle(self, *_args: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"there is no tenant {options['tenant']}", returncode=2)
        try:
            phone = phones.parse(options["phone"], region=tenant.region)
        except phones.BadPhone as error:
            raise CommandError(f"--phone: {error}", returncode=2) from error
        now = timezone.now()
        if options["what"] == "export":
            found = people.export(tenant, phone, now=now)
            self.stdout.write(
                json.dumps(found, cls=DjangoJSONEncoder, ensure_ascii=False, indent=1)
            )
            return
        if not options["yes"]:
            raise CommandError("this cannot be taken back: add --yes to delete", returncode=2)
        self.stdout.write(json.dumps(asdict(people.delete(tenant, phone, now=now))))
