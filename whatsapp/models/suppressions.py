"""Whom nobody is to write to, known only by a hash."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from whatsapp.models.contacts import Contact


class Suppression(models.Model):
    """Somebody had their data deleted: a hash of their number keeps them from coming back.

    Under a key of the tenant's (`Tenant.hash`): phone numbers are few enough to be tried out.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="suppressions")
    phone_hash = models.CharField(max_length=64)
    since = models.DateTimeField()
    unfinished = models.OneToOneField(
        Contact,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        help_text=_("Still to be deleted: a message was being sent"),
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "phone_hash"], name="suppression_once")
        ]

    def __str__(self) -> str:
        return self.phone_hash[:8]
