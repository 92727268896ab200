"""Broadcasts: one message to everybody of a segment, and a ledger of who got how far."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from whatsapp.models import Account, Contact, Media, Message


class Segment(models.Model):
    """Whom a tenant means, as rules about its contacts (segments.py): read anew at each use."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="segments")
    name = models.CharField(max_length=120)
    rules = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name"], name="segment_name_per_tenant")
        ]

    def __str__(self) -> str:
        return self.name


class Broadcast(models.Model):
    """One message to everybody of a segment, from one or several accounts.

    The way of its state (broadcasts/running.py is the only writer)::

        draft -> scheduled -> running <-> paused
          ^---------'  |         |-> done
                       `---------+-> cancelled

    Who gets it is decided when it begins to run, once: the rows of `Recipient`.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("draft")
        SCHEDULED = "scheduled", _("scheduled")
        RUNNING = "running", _("running")
        PAUSED = "paused", _("paused")
        DONE = "done", _("done")
        CANCELLED = "cancelled", _("cancelled")

    class Clock(models.TextChoices):
        TENANT = "tenant", _("everybody at the same moment")
        RECIPIENT = "recipient", _("each at this time of their own zone")

    # States in which somebody may still get it.
    OPEN: ClassVar = (State.SCHEDULED, State.RUNNING, State.PAUSED)

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="broadcasts")
    name = models.CharField(max_length=120)
    segment = models.ForeignKey(
        Segment, on_delete=models.PROTECT, null=True, blank=True, related_name="broadcasts"
    )
    accounts = models.ManyToManyField(
        Account,
        blank=True,
        related_name="broadcasts",
        help_text=_("Who talked with one of them already is written to from there."),
    )
    default_language = models.CharField(
        max_length=8, default="fr", help_text=_("Of those whose own has no text")
    )
    starts_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Empty: as soon as it is started.")
    )
    clock = models.CharField(max_length=10, choices=Clock, default=Clock.TENANT)

    state = models.CharField(max_length=10, choices=State, default=State.DRAFT)
    state_reason = models.CharField(max_length=200, blank=True)
    total = models.PositiveIntegerField(default=0, help_text=_("Recipients, once it has begun"))
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True, help_text=_("Done or cancelled"))

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name"], name="broadcast_name_per_tenant"),
            models.CheckConstraint(
                condition=Q(
                    state__in=["draft", "scheduled", "running", "paused", "done", "cancelled"]
                ),
                name="broadcast_state_is_legal",
            ),
            models.CheckConstraint(
                condition=~Q(state="scheduled") | Q(starts_at__isnull=False),
                name="broadcast_scheduled_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["running", "paused", "done"]) | Q(started_at__isnull=False),
                name="broadcast_begun_has_time",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["done", "cancelled"], ended_at__isnull=False)
                | (~Q(state__in=["done", "cancelled"]) & Q(ended_at__isnull=True)),
                name="broadcast_end_has_time",
            ),
        ]
        indexes: ClassVar = [
            # What planning asks for each minute.
            models.Index(
                fields=["state"],
                condition=Q(state__in=["scheduled", "running", "paused"]),
                name="broadcast_open",
            )
        ]

    def __str__(self) -> str:
        return self.name


class BroadcastText(models.Model):
    """What a broadcast says in one language; `kind`, `content` and `media` as of a message."""

    broadcast = models.ForeignKey(Broadcast, on_delete=models.CASCADE, related_name="texts")
    language = models.CharField(max_length=8)
    kind = models.CharField(
        max_length=8, choices=Message.Kind, default=Message.Kind.TEXT, editable=False
    )
    body = models.TextField(max_length=4000, blank=True)
    content = models.JSONField(default=dict, blank=True)
    media = models.ForeignKey(Media, on_delete=models.PROTECT, null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["broadcast", "language"], name="broadcast_text_once_per_language"
            ),
            models.CheckConstraint(
                condition=~Q(kind="media") | Q(media__isnull=False),
                name="broadcast_media_has_file",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.broadcast} {self.language}"


class Recipient(models.Model):
    """One line of a broadcast's ledger: a contact, and how far the message to them has come.

    Times are set once and never taken back, so that figures made of them only grow::

        waiting -> queued -> sent -> delivered -> read -> replied
           |         |-> uncertain   nobody can tell whether it left
           |         |-> failed
           |-> skipped               `reason` says why
           `-> opted_out             from any state: before the message or after it

    Without a contact it is of somebody whose data was deleted, or who was found to be the same
    person as another recipient.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        QUEUED = "queued", _("queued")
        UNCERTAIN = "uncertain", _("uncertain")
        SENT = "sent", _("sent")
        DELIVERED = "delivered", _("delivered")
        READ = "read", _("read")
        REPLIED = "replied", _("replied")
        FAILED = "failed", _("failed")
        OPTED_OUT = "opted_out", _("opted out")
        SKIPPED = "skipped", _("skipped")

    # Nothing more has to be done for these.
    SETTLED: ClassVar = (
        State.UNCERTAIN,
        State.SENT,
        State.DELIVERED,
        State.READ,
        State.REPLIED,
        State.FAILED,
        State.OPTED_OUT,
        State.SKIPPED,
    )

    # No index of its own: recipient_once starts with it.
    broadcast = models.ForeignKey(
        Broadcast, on_delete=models.CASCADE, related_name="recipients", db_index=False
    )
    contact = models.ForeignKey(
        Contact, on_delete=models.SET_NULL, null=True, related_name="broadcasts"
    )
    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, related_name="broadcast_recipients"
    )
    message = models.OneToOneField(
        Message,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="broadcast_recipient",
    )
    language = models.CharField(max_length=8, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    reason = models.CharField(max_length=60, blank=True)
    due_at = models.DateTimeField()
    queued_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(null=True, blank=True)
    replied_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Failed, opted out or skipped")
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["broadcast", "contact"], name="recipient_once"),
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        "waiting",
                        "queued",
                        "uncertain",
                        "sent",
                        "delivered",
                        "read",
                        "replied",
                        "failed",
                        "opted_out",
                        "skipped",
                    ]
                ),
                name="recipient_state_is_legal",
            ),
            models.CheckConstraint(
                condition=~Q(state="waiting") | Q(queued_at__isnull=True, message__isnull=True),
                name="recipient_waiting_has_no_message",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["queued", "uncertain"]) | Q(queued_at__isnull=False),
                name="recipient_queued_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(state="skipped") | ~Q(reason=""), name="recipient_skipped_has_reason"
            ),
            models.CheckConstraint(
                condition=Q(sent_at__isnull=True) | Q(queued_at__isnull=False),
                name="recipient_sent_was_queued",
            ),
        ]
        indexes: ClassVar = [
            # Whose turn it is on an account.
            models.Index(
                fields=["broadcast", "account", "due_at", "id"],
                condition=Q(state="waiting"),
                name="recipient_waiting",
            ),
            # Whose message may have ended without telling.
            models.Index(
                fields=["broadcast"], condition=Q(state="queued"), name="recipient_queued"
            ),
            models.Index(F("broadcast"), F("state"), F("id").desc(), name="recipient_ledger"),
        ]

    def __str__(self) -> str:
        return f"recipient {self.pk} of {self.broadcast_id}"
