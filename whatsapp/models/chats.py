"""What comes in, and the conversation it belongs to."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from whatsapp.models.accounts import Account
from whatsapp.models.contacts import Contact
from whatsapp.models.groups import Group
from whatsapp.models.messages import Media


class ChatQuerySet(models.QuerySet["Chat"]):
    def taken_over(self, *, now: datetime) -> ChatQuerySet:
        """Those in which a person writes: no agent answers, no sequence goes on."""
        return self.filter(taken_over_until__gt=now)


class Chat(models.Model):
    """The conversation of one account with one contact.

    Begun by the first message of theirs, or the first that somebody wrote to them by hand; what
    campaigns send is part of it, but begins none and moves no `last_outgoing_at`.

    While somebody has taken it over (`taken_over_until` in the future) no agent answers and no
    sequence writes there.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="chats")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="chats")
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="chats")
    started_at = models.DateTimeField()
    last_incoming_at = models.DateTimeField(null=True, blank=True)
    last_outgoing_at = models.DateTimeField(null=True, blank=True)
    unread = models.PositiveIntegerField(default=0)
    taken_over_at = models.DateTimeField(null=True, blank=True)
    taken_over_until = models.DateTimeField(null=True, blank=True)
    taken_over_by = models.CharField(max_length=150, blank=True)

    objects = ChatQuerySet.as_manager()

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account", "contact"], name="chat_once_per_account_and_contact"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "-last_incoming_at"], name="chat_recent")
        ]

    def __str__(self) -> str:
        return f"{self.account} – {self.contact}"

    def is_taken_over(self, *, now: datetime) -> bool:
        return self.taken_over_until is not None and self.taken_over_until > now


class Incoming(models.Model):
    """A message somebody sent to an account, stored once whatever path it came by.

    With `from_me` it is one that the owner wrote on their own phone; `contact` is the other
    person all the same. In a group (`chat_id` ends in ``@g.us``) `contact` is its author where
    they are known, and `author_phone` and `author_lid` say who wrote it. `content` is that of
    `Message`; of a file it has ``{"mime", "filename", "size"}`` as its sender announced them.
    """

    class MediaState(models.TextChoices):
        WANTED = "wanted", _("to be fetched")
        STORED = "stored", _("stored")
        FAILED = "failed", _("could not be fetched")
        TOO_LARGE = "too_large", _("too large to be kept")

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="incoming")
    contact = models.ForeignKey(
        Contact, on_delete=models.SET_NULL, null=True, blank=True, related_name="incoming"
    )
    group = models.ForeignKey(
        Group, on_delete=models.SET_NULL, null=True, blank=True, related_name="incoming"
    )
    from_me = models.BooleanField(default=False, db_default=False)
    wa_id = models.CharField(max_length=200)
    chat_id = models.CharField(max_length=100)
    phone = models.CharField(max_length=16, blank=True)
    lid = models.CharField(max_length=40, blank=True)
    author_phone = models.CharField(max_length=16, blank=True, db_default="")
    author_lid = models.CharField(max_length=40, blank=True, db_default="")
    name = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=20)
    body = models.TextField(blank=True)
    content = models.JSONField(default=dict, blank=True, db_default={})
    quoted_wa_id = models.CharField(max_length=200, blank=True, db_default="")
    media = models.ForeignKey(Media, on_delete=models.PROTECT, null=True, blank=True)
    media_state = models.CharField(max_length=10, choices=MediaState, blank=True, db_default="")
    media_tries = models.PositiveSmallIntegerField(default=0, db_default=0)
    media_error = models.CharField(
        max_length=60, blank=True, db_default="", help_text=_("Why its file is not there")
    )
    sent_at = models.DateTimeField()
    received_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "wa_id"], name="incoming_once")
        ]
        indexes: ClassVar = [
            models.Index(fields=["account", "-sent_at"], name="incoming_recent"),
            # Rows come in the order of their time.
            BrinIndex(fields=["received_at"], name="incoming_by_age", pages_per_range=16),
            models.Index(fields=["contact", "-sent_at"], name="incoming_of_contact"),
            models.Index(
                fields=["account"], condition=Q(media_state="wanted"), name="incoming_media_wanted"
            ),
        ]
        verbose_name_plural = "incoming"

    def __str__(self) -> str:
        return f"incoming {self.pk}"
