"""Who refers, who was referred, who paid."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Count, OuterRef, Q, Subquery
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership, Tenant, User
from whatsapp.models import Account

E164 = r"^\+[1-9][0-9]{6,14}$"


class ReferrerQuerySet(models.QuerySet["Referrer"]):
    def of_user(self, user_id: int) -> ReferrerQuerySet:
        """Whom a user refers as, with their account; `role` says what they may do there."""
        role = Membership.objects.filter(tenant=OuterRef("tenant"), user=OuterRef("user"))
        return (
            self.select_related("tenant", "account__tenant")
            .annotate(role=Subquery(role.values("role")[:1]))  # type: ignore[no-redef]
            .filter(user=user_id)
        )

    def counted(self) -> ReferrerQuerySet:
        """With how many people are `followed`, have `paid` and have `finished` every step."""
        target = "referrals__targets"
        return self.annotate(  # type: ignore[no-redef]
            followed=Count(target, filter=Q(**{f"{target}__state": "active"})),
            paid=Count(target, filter=Q(**{f"{target}__exit_reason": "paid"})),
            finished=Count(target, filter=Q(**{f"{target}__state": "completed"})),
        )


class Referrer(models.Model):
    """Somebody whose referrals are followed up, from their own WhatsApp account."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="referrers")
    external_id = models.CharField(max_length=100)
    name = models.CharField(max_length=120, help_text=_("As {{referrer}} in a message"))
    user = models.OneToOneField(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="referrer"
    )
    account = models.OneToOneField(
        Account, on_delete=models.SET_NULL, null=True, blank=True, related_name="referrer"
    )
    subscribed = models.BooleanField(
        default=True, help_text=_("Has the subscription that includes follow-ups")
    )
    subscription_checked_at = models.DateTimeField(null=True, blank=True)
    enrolment_paused = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    # Read by `of_user`, and by `counted`.
    role: str | None
    followed: int
    paid: int
    finished: int

    objects = ReferrerQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "external_id"], name="referrer_external_id")
        ]

    def __str__(self) -> str:
        return self.name


class Referral(models.Model):
    """Somebody who signed up through a referrer; `external_id` is the customer's id of them."""

    # No index of its own, the unique one starts with it: enrolment writes each index anew.
    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="referrals", db_index=False
    )
    external_id = models.CharField(max_length=100)
    referrer = models.ForeignKey(Referrer, on_delete=models.CASCADE, related_name="referrals")
    name = models.CharField(max_length=200, blank=True)
    phone = models.CharField(max_length=16)
    region = models.CharField(max_length=2, blank=True)
    language = models.CharField(
        max_length=8, blank=True, help_text=_("Empty: the campaign's default")
    )
    registered_at = models.DateTimeField()
    paid_at = models.DateTimeField(null=True, blank=True)
    # The worklist of enrolment: not null once a target exists or can never exist.
    enrolled_at = models.DateTimeField(null=True, blank=True, editable=False)
    skipped_reason = models.CharField(max_length=40, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "external_id"], name="referral_external_id"),
            models.CheckConstraint(condition=Q(phone__regex=E164), name="referral_phone_is_e164"),
        ]
        indexes: ClassVar = [
            models.Index(
                # By referrer: those of a referrer who may not enrol now are not even looked at.
                fields=["referrer", "registered_at"],
                condition=Q(enrolled_at__isnull=True, paid_at__isnull=True),
                name="referral_worklist",
            ),
            models.Index(fields=["tenant", "phone"], name="referral_phone"),
        ]

    def __str__(self) -> str:
        return self.name or self.external_id


class Payment(models.Model):
    """Somebody paid. Kept for people not known yet: a later import does not enrol a payer."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="payments")
    external_id = models.CharField(max_length=100, help_text=_("The customer's id of the payer"))
    paid_at = models.DateTimeField()
    source = models.CharField(max_length=80, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "external_id"], name="payment_external_id")
        ]

    def __str__(self) -> str:
        return self.external_id
