"""Other systems that are told what happens, what they were told, and what is still to be told."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts import sealed
from accounts.models import Tenant
from whatsapp.models.contacts import Contact

PURPOSE = "webhook"


class WebhookEndpoint(models.Model):
    """An address of a company's own system that is told of events, signed with a shared secret.

    While a secret is rotated, calls carry a signature of each of the two: the former one until
    `former_secret_until`.
    """

    class Event(models.TextChoices):
        MESSAGE_SENT = "message.sent", _("message sent")
        MESSAGE_DELIVERED = "message.delivered", _("message delivered")
        MESSAGE_READ = "message.read", _("message read")
        MESSAGE_PLAYED = "message.played", _("message played")
        MESSAGE_FAILED = "message.failed", _("message failed")
        MESSAGE_UNCERTAIN = "message.uncertain", _("message uncertain")
        MESSAGE_CANCELLED = "message.cancelled", _("message cancelled")
        INCOMING_RECEIVED = "incoming.received", _("message received")
        ACCOUNT_STATUS = "account.status", _("status of an account changed")
        CONTACT_OPTED_OUT = "contact.opted_out", _("contact asked for no more messages")
        TARGET_EXITED = "target.exited", _("follow-up ended")

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="webhook_endpoints")
    name = models.CharField(max_length=80, help_text=_("Which system it is: CRM"))
    url = models.CharField(max_length=1000, help_text=_("Address that is called: https://…"))
    events = ArrayField(models.CharField(max_length=30, choices=Event), default=list)
    include_text = models.BooleanField(
        default=False,
        help_text=_("Send along what messages say; otherwise only that there was one."),
    )
    active = models.BooleanField(default=True)
    sealed_secret = models.BinaryField(editable=False)
    sealed_former_secret = models.BinaryField(default=b"", editable=False)
    former_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    switched_off_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text=_("By Relance, after failing for days.")
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name"], name="webhook_name_per_tenant"),
        ]

    def __str__(self) -> str:
        return self.name

    def secrets(self, *, now: datetime) -> list[bytes]:
        """What calls are signed with now: the current secret first."""
        found = [sealed.unseal(bytes(self.sealed_secret), purpose=PURPOSE)]
        until = self.former_secret_until
        if self.sealed_former_secret and until is not None and now < until:
            found.append(sealed.unseal(bytes(self.sealed_former_secret), purpose=PURPOSE))
        return found


class WebhookEvent(models.Model):
    """Something that happened and that somebody wanted to be told; written with what it is about.

    `data` holds ids, states and times, never what a message says: that is looked up when an
    endpoint that wants it is called.
    """

    TEST: ClassVar = "webhook.test"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="webhook_events")
    type = models.CharField(max_length=30, help_text=_("One of the events, or webhook.test"))
    object_type = models.CharField(max_length=20, help_text=_("message, incoming, account, …"))
    object_id = models.CharField(max_length=40)
    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, null=True, blank=True, related_name="webhook_events"
    )
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.type} {self.object_id}"


class WebhookDelivery(models.Model):
    """One event for one endpoint. Those of one object are delivered in the order of their ids.

    Ids of one object rise in the order of commits: whoever changes the object holds its row.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("to be delivered")
        DELIVERED = "delivered", _("delivered")
        DEAD = "dead", _("given up")

    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    event = models.ForeignKey(WebhookEvent, on_delete=models.CASCADE, related_name="deliveries")
    object_key = models.CharField(max_length=64, help_text=_("Type and id of what it is about"))
    state = models.CharField(max_length=9, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField()
    give_up_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True, blank=True)
    status = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text=_("HTTP status of the last answer")
    )
    error = models.CharField(max_length=300, blank=True)
    milliseconds = models.PositiveIntegerField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["endpoint", "event"], name="webhook_delivery_once"),
            models.CheckConstraint(
                condition=Q(state__in=["pending", "delivered", "dead"]),
                name="webhook_delivery_state_is_legal",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["endpoint", "object_key", "id"],
                condition=Q(state="pending"),
                name="webhook_in_order",
            ),
            models.Index(
                fields=["endpoint", "next_at"], condition=Q(state="pending"), name="webhook_due"
            ),
            models.Index(fields=["endpoint", "-id"], name="webhook_log"),
        ]

    def __str__(self) -> str:
        return f"{self.event} → {self.endpoint}"
