"""What we say: messages with the files they carry, their attempts and receipts."""

from __future__ import annotations

import datetime as dt
import uuid
from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from whatsapp.models.accounts import Account
from whatsapp.models.contacts import Contact
from whatsapp.models.groups import Group

# A send ends, one way or another, well before this; a queued message of an account that may send
# is gone long before it.
STUCK_SENDING = dt.timedelta(minutes=5)
STUCK_QUEUED = dt.timedelta(hours=1)


class Media(models.Model):
    """A file that messages carry, stored once per tenant and content."""

    class Kind(models.TextChoices):
        IMAGE = "image", _("image")
        VIDEO = "video", _("video")
        DOCUMENT = "document", _("document")
        AUDIO = "audio", _("audio")

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="media")
    sha256 = models.CharField(max_length=64)
    kind = models.CharField(max_length=8, choices=Kind)
    mime = models.CharField(max_length=100)
    filename = models.CharField(max_length=200)
    size = models.PositiveIntegerField(help_text=_("Bytes"))
    file = models.FileField(upload_to="media/")
    source_url = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "sha256", "kind", "filename"], name="media_stored_once"
            )
        ]
        verbose_name_plural = "media"

    def __str__(self) -> str:
        return f"{self.filename} ({self.kind})"


class MessageQuerySet(models.QuerySet["Message"]):
    def uncertain(self) -> MessageQuerySet:
        """Those that a person has to decide about."""
        return self.filter(state=Message.State.UNCERTAIN)

    def failed_since(self, since: datetime) -> MessageQuerySet:
        return self.filter(state=Message.State.FAILED, ended_at__gte=since)

    def stuck(self, *, now: datetime) -> MessageQuerySet:
        """Those that should have moved on long ago, of accounts that may send."""
        return self.filter(
            Q(state=Message.State.SENDING, not_after__lt=now - STUCK_SENDING)
            | Q(
                state=Message.State.QUEUED,
                due_at__lt=now - STUCK_QUEUED,
                account__enabled=True,
                account__sending_paused_at=None,
            )
        )


class Message(models.Model):
    """One outgoing message to one contact or group; its row is the outbox entry.

    What it says: `body` is the text, or the caption of `media`; `content` has what a kind needs
    besides: of a location ``{"latitude", "longitude", "name", "address"}`` (degrees), of a link
    ``{"url", "title", "description"}`` with the picture of its preview in `media`.

    The way of its state (outbox.py is the only writer)::

        queued -> sending -> sent -> delivered -> read
           |         |-> queued     refused before it left; at most 3 times, same wa_id
           |         |-> failed     permanent, or retried enough
           |         `-> uncertain  nobody can tell whether it left; a person settles it
           `-> cancelled            its reason went away first
    """

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        SENDING = "sending", _("being sent")
        SENT = "sent", _("sent")
        DELIVERED = "delivered", _("delivered")
        READ = "read", _("read")
        FAILED = "failed", _("failed")
        UNCERTAIN = "uncertain", _("uncertain")
        CANCELLED = "cancelled", _("cancelled")

    class Kind(models.TextChoices):
        TEXT = "text", _("text")
        MEDIA = "media", _("media")
        LOCATION = "location", _("location")
        LINK = "link", _("link")

    class Origin(models.TextChoices):
        DIRECT = "direct", _("written by hand")
        SEQUENCE = "sequence", _("sequence")
        BROADCAST = "broadcast", _("broadcast")
        AGENT = "agent", _("chat agent")
        SYSTEM = "system", _("Relance itself")

    # States in which the message may still be, or just has been, on its way.
    OPEN: ClassVar = (State.QUEUED, State.SENDING)
    ARRIVED: ClassVar = (State.SENT, State.DELIVERED, State.READ)

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="messages")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="messages")
    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, null=True, blank=True, related_name="messages"
    )
    group = models.ForeignKey(
        Group, on_delete=models.CASCADE, null=True, blank=True, related_name="messages"
    )
    origin = models.CharField(max_length=10, choices=Origin, blank=True, db_default="")
    labels = models.JSONField(
        default=dict, blank=True, db_default={}, help_text=_("What other systems call it")
    )
    idempotency_key = models.CharField(max_length=200)
    content_hash = models.CharField(max_length=64)
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.TEXT)
    body = models.TextField(blank=True)
    content = models.JSONField(default=dict, blank=True, db_default={})
    media = models.ForeignKey(Media, on_delete=models.PROTECT, null=True, blank=True)
    quoted_wa_id = models.CharField(
        max_length=200, blank=True, db_default="", help_text=_("Id of the message it replies to")
    )
    priority = models.SmallIntegerField(default=0, help_text=_("Lower goes first"))
    due_at = models.DateTimeField()
    scheduled_for = models.DateTimeField(
        null=True, blank=True, help_text=_("The time somebody chose; empty: as soon as possible.")
    )

    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    error_code = models.CharField(max_length=60, blank=True)
    error = models.CharField(max_length=300, blank=True)
    attempts_made = models.PositiveSmallIntegerField(default=0)
    retries = models.PositiveSmallIntegerField(
        default=0, help_text=_("Failures of this message's own; a lost session does not count.")
    )
    ack = models.SmallIntegerField(default=0)

    wa_id = models.CharField(max_length=200, blank=True)
    chat_id = models.CharField(max_length=100, blank=True)
    fence = models.PositiveBigIntegerField(null=True, blank=True)
    not_after = models.DateTimeField(null=True, blank=True)

    created_at = models.DateTimeField(auto_now_add=True)
    sending_at = models.DateTimeField(null=True, blank=True, help_text=_("Time of the intent"))
    sent_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(null=True, blank=True)
    played_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True, help_text=_("Failed or cancelled"))

    objects = MessageQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "idempotency_key"], name="message_idempotency_key"
            ),
            models.UniqueConstraint(
                fields=["account", "wa_id"], condition=~Q(wa_id=""), name="message_wa_id_once"
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        "queued",
                        "sending",
                        "sent",
                        "delivered",
                        "read",
                        "failed",
                        "uncertain",
                        "cancelled",
                    ]
                ),
                name="message_state_is_legal",
            ),
            models.CheckConstraint(
                condition=~Q(state="sending")
                | (
                    ~Q(wa_id="")
                    & Q(
                        fence__isnull=False,
                        not_after__isnull=False,
                        sending_at__isnull=False,
                    )
                ),
                name="message_sending_has_intent",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["sent", "delivered", "read"]) | Q(sent_at__isnull=False),
                name="message_sent_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(kind="media") | Q(media__isnull=False), name="message_media_has_file"
            ),
            models.CheckConstraint(
                condition=Q(contact__isnull=False, group__isnull=True)
                | Q(contact__isnull=True, group__isnull=False),
                name="message_to_a_person_or_a_group",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["account", "priority", "due_at", "id"],
                condition=Q(state="queued"),
                name="message_queue",
            ),
            models.Index(
                fields=["account"],
                condition=Q(state__in=["sending", "uncertain"]),
                name="message_undecided",
            ),
            models.Index(fields=["tenant", "-created_at"], name="message_recent"),
            # Receipts of groups are matched on the stanza id alone.
            models.Index(fields=["account", "wa_id"], name="message_by_wa_id"),
            # Plots per day count a million of these without a look at the rows.
            models.Index(
                fields=["tenant", "sent_at"],
                include=["delivered_at", "read_at"],
                condition=Q(sent_at__isnull=False),
                name="message_sent",
            ),
            models.Index(
                fields=["tenant", "ended_at"],
                include=["error_code"],
                condition=Q(state="failed"),
                name="message_failed",
            ),
            GinIndex(fields=["labels"], condition=~Q(labels={}), name="message_labels"),
            # The calendar: what somebody chose a time for.
            models.Index(
                fields=["tenant", "scheduled_for"],
                condition=Q(scheduled_for__isnull=False),
                name="message_scheduled",
            ),
        ]

    def __str__(self) -> str:
        return gettext("message %(id)s (%(state)s)") % {
            "id": self.pk,
            "state": self.get_state_display(),
        }

    @property
    def recipient(self) -> Contact | Group:
        """Whom it goes to: the database has one of the two."""
        recipient = self.contact or self.group
        if recipient is None:
            raise ValueError("a message goes to a contact or to a group")
        return recipient

    @property
    def obstacle(self) -> str:
        """`Contact.obstacle`, which the one confirmation of a stop passes (stopping.py)."""
        if self.contact is None:
            return ""
        why = self.contact.obstacle
        confirms = why == "opted_out" and self.origin == self.Origin.SYSTEM
        return "" if confirms else why


class Attempt(models.Model):
    """One intent to send a message: committed before the send, finished after it.

    `intent_at` is the database's clock. The rolling minute is reseeded from these rows when Redis
    lost its memory, so every intent has one, whatever became of it.
    """

    class Outcome(models.TextChoices):
        OPEN = "open", _("not finished")
        SENT = "sent", _("sent")
        RETRY = "retry", _("will be tried again")
        FAILED = "failed", _("failed")
        UNKNOWN = "unknown", _("unknown")
        NOT_SENT = "not_sent", _("found not sent")

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="attempts")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    fence = models.PositiveBigIntegerField()
    worker = models.CharField(max_length=120)
    wa_id = models.CharField(max_length=200)
    usage_day = models.DateField()
    intent_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=8, choices=Outcome, default=Outcome.OPEN)
    error_code = models.CharField(max_length=60, blank=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["message", "number"], name="attempt_number_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["account", "intent_at"], name="attempt_minute")]

    def __str__(self) -> str:
        return f"attempt {self.number} of message {self.message_id}"


class MessageReceipt(models.Model):
    """How far a post in a group has come with one of its members."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="receipts")
    participant = models.CharField(max_length=100, help_text=_("WhatsApp's id of the member"))
    contact = models.ForeignKey(
        Contact, on_delete=models.SET_NULL, null=True, blank=True, related_name="receipts"
    )
    delivered_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(null=True, blank=True)
    played_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["message", "participant"], name="message_receipt_once_per_member"
            )
        ]

    def __str__(self) -> str:
        return f"receipt of message {self.message_id}"
