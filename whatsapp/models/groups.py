"""Groups that an account is in, and who else is."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from whatsapp.models.accounts import Account
from whatsapp.models.contacts import Contact


class GroupQuerySet(models.QuerySet["Group"]):
    def writable(self) -> GroupQuerySet:
        """Those that `Group.can_write` is true of."""
        return self.exclude(role=Group.Role.LEFT).filter(
            Q(announce_only=False) | Q(role=Group.Role.ADMIN)
        )


class Group(models.Model):
    """A WhatsApp group as one account sees it. One row per account and group."""

    class Role(models.TextChoices):
        MEMBER = "member", _("member")
        ADMIN = "admin", _("administrator")
        LEFT = "left", _("not in the group any more")

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="groups")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="groups")
    chat_id = models.CharField(max_length=100, help_text=_("WhatsApp's id: …@g.us"))
    subject = models.CharField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    member_count = models.PositiveIntegerField(default=0)
    role = models.CharField(max_length=6, choices=Role, default=Role.MEMBER)
    announce_only = models.BooleanField(
        default=False, help_text=_("Only administrators of the group may write.")
    )
    region = models.CharField(max_length=80, blank=True)
    segments = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    discovered_at = models.DateTimeField()
    refreshed_at = models.DateTimeField()
    members_requested_at = models.DateTimeField(
        null=True, blank=True, help_text=_("From when on a worker is to ask who is in it.")
    )
    members_scraped_at = models.DateTimeField(null=True, blank=True)
    members_error = models.CharField(
        max_length=200, blank=True, db_default="", help_text=_("Why the last try failed.")
    )

    objects = GroupQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "chat_id"], name="group_once_per_account")
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "subject"], name="group_by_subject"),
            GinIndex(fields=["tags"], name="group_tags"),
            models.Index(
                fields=["account"],
                condition=Q(members_requested_at__isnull=False),
                name="group_members_requested",
            ),
        ]

    def __str__(self) -> str:
        return self.subject or self.chat_id

    @property
    def address(self) -> str:
        """What a session finds it by."""
        return self.chat_id

    @property
    def can_write(self) -> bool:
        """Whether the account may write there, as far as was seen last."""
        if self.role == self.Role.LEFT:
            return False
        return not self.announce_only or self.role == self.Role.ADMIN


class GroupMember(models.Model):
    """A contact in a group; `left_at` is set once they were not seen there any more."""

    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="members")
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="memberships")
    admin = models.BooleanField(default=False)
    seen_at = models.DateTimeField(help_text=_("When they were seen there last"))
    left_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["group", "contact"], name="group_member_once")
        ]

    def __str__(self) -> str:
        return f"{self.contact_id} in {self.group_id}"
