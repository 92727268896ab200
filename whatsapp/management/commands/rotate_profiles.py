"""After a new first secret in WHATSAPP_SESSION_SECRET: seal everything that the old ones sealed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import sealed
from accounts.models import ServiceKey, Tenant
from whatsapp import profiles
from whatsapp.archives import BadArchive
from whatsapp.models import Profile


class Command(BaseCommand):
    help = (
        "Seal saved browser profiles and keys anew with the first secret of "
        "WHATSAPP_SESSION_SECRET. When it ends without an error, the older secrets can be dropped."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        renewed = failed = 0
        for profile in Profile.objects.exclude(file="").iterator():
            try:
                renewed += profiles.reseal(profile)
            except (BadArchive, OSError) as error:
                failed += 1
                self.stderr.write(f"account {profile.account_id}: {error}")
        for key in ServiceKey.objects.iterator():
            try:
                secret = key.secret()
            except sealed.CannotUnseal as error:
                failed += 1
                self.stderr.write(f"service key {key.key_id}: {error}")
                continue
            key.sealed_secret = sealed.seal(secret, purpose="service-key")
            key.save(update_fields=["sealed_secret"])
        for tenant in Tenant.objects.exclude(sealed_pepper=b"").iterator():
            try:
                pepper = sealed.unseal(bytes(tenant.sealed_pepper), purpose="pepper")
            except sealed.CannotUnseal as error:
                failed += 1
                self.stderr.write(f"company {tenant.slug}: {error}")
                continue
            tenant.sealed_pepper = sealed.seal(pepper, purpose="pepper")
            tenant.save(update_fields=["sealed_pepper"])
        self.stdout.write(f"profiles sealed anew: {renewed}, failed: {failed}")
        if failed:
            raise CommandError("keep the older secrets: not everything could be sealed anew")
