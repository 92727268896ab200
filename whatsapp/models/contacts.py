"""Whom a tenant writes to, and what they agreed to."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from whatsapp.models.accounts import E164


class ContactQuerySet(models.QuerySet["Contact"]):
    def may_be_written_to(self) -> ContactQuerySet:
        """Those that `Contact.obstacle` says nothing against."""
        return self.filter(opted_out_at=None).exclude(source=Contact.Source.GROUP, lawful_basis="")


class Contact(models.Model):
    """Somebody a tenant writes to, known by phone, by LID (WhatsApp's id without a phone) or both.

    One row per phone and per LID of a tenant; two rows become one when the pair is learnt.
    """

    class Source(models.TextChoices):
        HAND = "hand", _("entered by hand")
        IMPORT = "import", _("import")
        API = "api", _("API")
        INBOUND = "inbound", _("they wrote to us")
        GROUP = "group", _("member of a group")

    class LawfulBasis(models.TextChoices):
        CONSENT = "consent", _("consent")
        CONTRACT = "contract", _("contract")
        LEGITIMATE_INTEREST = "legitimate_interest", _("legitimate interest")

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="contacts")
    phone = models.CharField(max_length=16, blank=True, help_text=_("Empty: only the LID is known"))
    lid = models.CharField(max_length=40, blank=True)
    name = models.CharField(max_length=200, blank=True)
    source = models.CharField(max_length=10, choices=Source, blank=True, db_default="")
    source_detail = models.CharField(max_length=200, blank=True, db_default="")
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True, db_default=[])
    persona = models.CharField(max_length=80, blank=True, db_default="")
    language = models.CharField(max_length=8, blank=True, db_default="")
    engagement = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text=_("0 to 100; empty: nothing was sent to them yet")
    )
    engagement_at = models.DateTimeField(null=True, blank=True)
    lawful_basis = models.CharField(max_length=20, choices=LawfulBasis, blank=True, db_default="")
    lawful_basis_at = models.DateTimeField(null=True, blank=True)
    lawful_basis_by = models.CharField(max_length=150, blank=True, db_default="")
    lawful_basis_note = models.CharField(max_length=300, blank=True, db_default="")
    opted_out_at = models.DateTimeField(null=True, blank=True)
    opt_out_reason = models.CharField(max_length=80, blank=True)
    on_whatsapp = models.BooleanField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ContactQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "phone"], condition=~Q(phone=""), name="contact_phone_per_tenant"
            ),
            models.UniqueConstraint(
                fields=["tenant", "lid"], condition=~Q(lid=""), name="contact_lid_per_tenant"
            ),
            models.CheckConstraint(
                condition=Q(phone="") | Q(phone__regex=E164), name="contact_phone_is_e164"
            ),
            models.CheckConstraint(
                condition=~Q(phone="") | ~Q(lid=""), name="contact_has_phone_or_lid"
            ),
            models.CheckConstraint(
                condition=Q(lawful_basis="") | Q(lawful_basis_at__isnull=False),
                name="contact_lawful_basis_has_time",
            ),
            models.CheckConstraint(
                condition=Q(engagement__isnull=True) | Q(engagement__lte=100),
                name="contact_engagement_to_100",
            ),
        ]
        indexes: ClassVar = [
            GinIndex(fields=["tags"], name="contact_tags"),
            # People are looked for by how their name or number begins.
            models.Index(
                OpClass(Upper("name"), name="text_pattern_ops"), name="contact_name_prefix"
            ),
            models.Index(
                fields=["phone"], opclasses=["varchar_pattern_ops"], name="contact_phone_prefix"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.phone or self.lid

    @property
    def address(self) -> str:
        """What a session finds them by: the phone, else the LID."""
        return self.phone or self.lid

    @property
    def obstacle(self) -> str:
        """Why nobody may write to them: ``opted_out``, ``no_lawful_basis``, or empty."""
        if self.opted_out_at is not None:
            return "opted_out"
        if self.source == self.Source.GROUP and not self.lawful_basis:
            return "no_lawful_basis"
        return ""


class ConsentEntry(models.Model):
    """One line of a contact's consent ledger: written once, never changed."""

    class What(models.TextChoices):
        OPTED_IN = "opted_in", _("agreed to messages")
        OPTED_OUT = "opted_out", _("asked for no more messages")
        LAWFUL_BASIS = "lawful_basis", _("a lawful basis was recorded")
        LAWFUL_BASIS_WITHDRAWN = "basis_withdrawn", _("the lawful basis was withdrawn")

    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="consent")
    at = models.DateTimeField()
    what = models.CharField(max_length=16, choices=What)
    how = models.CharField(max_length=80, help_text=_("By which way: message, import, API, admin"))
    note = models.CharField(max_length=300, blank=True)
    actor_name = models.CharField(max_length=150)

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        indexes: ClassVar = [models.Index(fields=["contact", "-at"], name="consent_of_contact")]
        verbose_name_plural = "consent entries"

    def __str__(self) -> str:
        return f"{self.get_what_display()} ({self.at:%Y-%m-%d})"
