"""Where each followed referral stands."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from campaigns.models.content import Campaign, Step
from campaigns.models.people import Referral
from whatsapp.models import Account, Message


class Target(models.Model):
    """One referral in one campaign, for ever; its slot, and the step that comes next.

    `slot_at` is where the next step stands in the plan (anchor plus delays, moved on by pauses);
    `next_due_at` is when it may be sent: the slot, or later when the message before went out late.
    """

    class State(models.TextChoices):
        ACTIVE = "active", _("active")
        COMPLETED = "completed", _("completed")
        EXITED = "exited", _("exited")

    class ExitReason(models.TextChoices):
        PAID = "paid", _("paid")
        OPTED_OUT = "opted_out", _("said stop")
        NOT_ON_WHATSAPP = "not_on_whatsapp", _("not on WhatsApp")
        BY_HAND = "by_hand", _("taken out by hand")

    class Hold(models.TextChoices):
        SUBSCRIPTION = "subscription", _("the referrer's subscription lapsed")
        TEMPLATE = "template", _("template or language missing")
        CAMPAIGN = "campaign", _("the campaign is switched off")
        UNCERTAIN = "uncertain", _("waits for a person: the last message is uncertain")

    class PausedBy(models.TextChoices):
        REPLY = "reply", _("their answer")
        TAKEOVER = "takeover", _("somebody who took the chat over")

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="targets")
    # No index of its own: target_once_for_ever starts with it.
    campaign = models.ForeignKey(
        Campaign, on_delete=models.CASCADE, related_name="targets", db_index=False
    )
    referral = models.ForeignKey(Referral, on_delete=models.CASCADE, related_name="targets")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="targets")
    phone = models.CharField(max_length=16)

    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    exit_reason = models.CharField(max_length=20, choices=ExitReason, blank=True)
    hold = models.CharField(max_length=20, choices=Hold, blank=True)
    hold_detail = models.CharField(max_length=200, blank=True)

    steps_done = models.PositiveSmallIntegerField(default=0, help_text=_("Steps behind them"))
    slot_at = models.DateTimeField()
    next_due_at = models.DateTimeField(null=True, blank=True)
    last_sent_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Somebody holds them back, and only somebody lets go.")
    )
    paused_by = models.CharField(
        max_length=10,
        choices=PausedBy,
        blank=True,
        db_default="",
        help_text=_("Empty: a person, by hand. A take-over lets go by itself when it ends."),
    )
    open_message = models.OneToOneField(
        Message, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    enrolled_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True, help_text=_("Completed or exited"))

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["campaign", "referral"], name="target_once_for_ever"),
            models.UniqueConstraint(
                fields=["tenant", "phone"],
                condition=Q(state="active"),
                name="target_one_active_per_phone",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["active", "completed", "exited"]),
                name="target_state_is_legal",
            ),
            models.CheckConstraint(
                condition=(Q(state="exited") & ~Q(exit_reason=""))
                | (~Q(state="exited") & Q(exit_reason="")),
                name="target_exit_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(state="active", ended_at__isnull=True)
                | (~Q(state="active") & Q(ended_at__isnull=False)),
                name="target_end_has_time",
            ),
            # A followed target always has a next time, so nothing can fall out of the plan ...
            models.CheckConstraint(
                condition=~Q(state="active") | Q(next_due_at__isnull=False),
                name="target_active_has_next",
            ),
            # ... and an ended one has nothing that could still be sent.
            models.CheckConstraint(
                condition=Q(state="active")
                | Q(
                    next_due_at__isnull=True,
                    open_message__isnull=True,
                    hold="",
                    paused_at__isnull=True,
                    paused_by="",
                ),
                name="target_ended_has_no_next",
            ),
            models.CheckConstraint(
                condition=Q(hold__in=["", "subscription", "template", "campaign", "uncertain"]),
                name="target_hold_is_known",
            ),
            models.CheckConstraint(
                condition=Q(paused_by="") | Q(paused_at__isnull=False),
                name="target_paused_by_of_a_pause",
            ),
            models.CheckConstraint(
                condition=Q(
                    exit_reason__in=["", "paid", "opted_out", "not_on_whatsapp", "by_hand"]
                ),
                name="target_exit_reason_is_known",
            ),
        ]
        indexes: ClassVar = [
            # Due targets of one account; an open message takes a target out until it is decided.
            models.Index(
                fields=["account", "next_due_at", "id"],
                condition=Q(state="active", open_message__isnull=True, paused_at__isnull=True),
                name="target_due",
            ),
            # Whom the end of a take-over lets go on: a few at any time.
            models.Index(
                fields=["tenant", "phone"],
                condition=Q(paused_by="takeover"),
                name="target_taken_over",
            ),
            models.Index(fields=["campaign", "hold"], condition=~Q(hold=""), name="target_held"),
        ]

    def __str__(self) -> str:
        return gettext("target %(id)s (%(state)s)") % {
            "id": self.pk,
            "state": self.get_state_display(),
        }


class Delivery(models.Model):
    """The message that carried one step to one target; its fate stands on the message."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="deliveries")
    step = models.ForeignKey(Step, on_delete=models.SET_NULL, null=True, related_name="deliveries")
    number = models.PositiveSmallIntegerField()
    language = models.CharField(max_length=8)
    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="delivery")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["target", "number"], name="delivery_once_per_step")
        ]
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return f"step {self.number} of target {self.target_id}"


class AccountSchedule(models.Model):
    """The earliest time at which an account may have a due target: a lower bound, never late.

    Planning reads the accounts due from here (0.7 ms for 10,000 accounts) instead of scanning
    targets. Whoever makes a target due earlier lowers it in the same transaction (schedule.py).
    """

    account = models.OneToOneField(
        Account, on_delete=models.CASCADE, primary_key=True, related_name="schedule"
    )
    next_due_at = models.DateTimeField(null=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.account_id} {self.next_due_at}"
