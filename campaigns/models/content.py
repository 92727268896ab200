"""What a campaign says: its steps, and a template for each step and language."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from campaigns import rendering
from whatsapp.models import Media

ONE_DAY = dt.timedelta(days=1)
LONGEST_DELAY = dt.timedelta(days=366)


class Campaign(models.Model):
    """A sequence of messages to each unpaid referral of a tenant."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="campaigns")
    name = models.CharField(max_length=120)
    default_language = models.CharField(max_length=8, default="fr")
    active = models.BooleanField(default=False)
    first_delay = models.DurationField(
        default=dt.timedelta(hours=1),
        help_text=_("From registration to enrolment and the first message."),
    )
    pause_on_reply = models.BooleanField(
        default=False,
        db_default=False,
        help_text=_("Whoever answers is held back until somebody resumes them."),
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name"], name="campaign_name_per_tenant"),
            # The referrer's API knows one sequence, that of the active campaign.
            models.UniqueConstraint(
                fields=["tenant"], condition=Q(active=True), name="campaign_one_active"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if not dt.timedelta(0) <= self.first_delay <= LONGEST_DELAY:
            raise ValidationError({"first_delay": _("Give a time from nothing to a year.")})


class Step(models.Model):
    """The n-th message. `delay` counts from the slot of the step before; the first step's is 0."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="steps")
    number = models.PositiveSmallIntegerField(help_text=_("1 is the first"))
    delay = models.DurationField(default=ONE_DAY)
    active = models.BooleanField(default=True)

    class Meta:
        ordering: ClassVar = ["campaign", "number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["campaign", "number"], name="step_number_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="step_number_from_1"),
            models.CheckConstraint(
                condition=Q(delay__gte=dt.timedelta(0)), name="step_delay_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.campaign} {self.number}"

    @property
    def min_spacing(self) -> dt.timedelta:
        """Shortest time from the message before: 20 h, or 0.8 of a delay shorter than that."""
        return min(dt.timedelta(hours=20), self.delay * 0.8)


class Template(models.Model):
    """What a step says in one language, with the file that goes along."""

    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="templates")
    language = models.CharField(max_length=8)
    body = models.TextField(max_length=4000)
    media = models.ForeignKey(Media, on_delete=models.PROTECT, null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["step", "language"], name="template_once_per_language")
        ]

    def __str__(self) -> str:
        return f"{self.step} {self.language}"

    def clean(self) -> None:
        """An unknown or unclosed variable is an error now, not when seven hundred are due."""
        try:
            rendering.check(self.body, variables=rendering.names_for(self.step.campaign.tenant))
        except rendering.TemplateError as error:
            raise ValidationError({"body": str(error)}) from error
