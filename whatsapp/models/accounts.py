"""A WhatsApp account, the lease of whoever drives it, and what it sent each day."""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User
from whatsapp.models.pace import Paced, limit_on_sql

E164 = r"^\+[1-9][0-9]{6,14}$"

# A doorbell, or else the reconciler, brings a worker long before.
WORKER_COMES = dt.timedelta(minutes=2)


class AccountQuerySet(models.QuerySet["Account"]):
    def sendable(self) -> AccountQuerySet:
        """Accounts that may send now as far as PostgreSQL knows."""
        return self.filter(
            status__in=Account.LINKED_STATUSES, enabled=True, sending_paused_at=None
        ).exclude(health_share=0)

    def to_link(self, *, now: datetime) -> AccountQuerySet:
        """Accounts that nothing is sent from until somebody scans a code."""
        over = now - dt.timedelta(seconds=settings.WHATSAPP_LINK_SECONDS)
        return self.filter(enabled=True).filter(
            Q(status__in=[s for s in Account.Status if s not in Account.LINKED_STATUSES])
            & ~Q(status=Account.Status.PENDING, link_requested_at__gt=over)
        )

    def paused(self) -> AccountQuerySet:
        return self.filter(enabled=True, sending_paused_at__isnull=False)

    def resting(self) -> AccountQuerySet:
        """Accounts that stopped by themselves, for their health."""
        return self.filter(enabled=True, health_share=0)

    def at_limit(self, *, now: datetime) -> AccountQuerySet:
        """Accounts that may send but have sent all they may on this day of their tenant."""
        return self.sendable().filter(pk__in=_having_sent_all(now))

    def without_worker(self, *, now: datetime) -> AccountQuerySet:
        """Accounts that may send and have had something due for minutes, driven by no worker."""
        due = self.model.objects.filter(
            messages__state="queued", messages__due_at__lt=now - WORKER_COMES
        )
        return (
            self.sendable()
            .exclude(pk__in=_having_sent_all(now))
            .filter(pk__in=due.values("pk"))
            .filter(Q(lease=None) | Q(lease__lease_until=None) | Q(lease__lease_until__lte=now))
        )


def _having_sent_all(now: datetime) -> RawSQL:
    """Ids of accounts that have sent all they may on this day of their tenant."""
    return RawSQL(  # noqa: S611
        f"""
        SELECT account.id FROM whatsapp_account AS account
        JOIN accounts_tenant AS tenant ON tenant.id = account.tenant_id
        JOIN whatsapp_usage AS usage ON usage.account_id = account.id
             AND usage.day = (%s AT TIME ZONE tenant.timezone)::date
        WHERE usage.count >= {limit_on_sql("usage.day")}
        """,  # noqa: S608  numbers of the settings
        [now],
    )


class Account(Paced, models.Model):
    """One WhatsApp account of a tenant, linked by QR code as a device of somebody's phone."""

    class Status(models.TextChoices):
        NEW = "new", _("never linked")
        PENDING = "pending", _("waiting for a scan")
        CONNECTED = "connected", _("connected")
        RECONNECTING = "reconnecting", _("reconnecting")
        DISCONNECTED = "disconnected", _("disconnected")
        LOGGED_OUT = "logged_out", _("logged out from the phone")
        CONFLICT = "conflict", _("opened somewhere else")

    # A profile exists on which the session can be restored without a scan.
    LINKED_STATUSES: ClassVar = (Status.CONNECTED, Status.RECONNECTING)

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="whatsapp_accounts")
    owner = models.ForeignKey(
        User,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="whatsapp_accounts",
        help_text=_("The person whose phone it is."),
    )
    name = models.SlugField(max_length=80, help_text=_("Name within the tenant: amina"))
    enabled = models.BooleanField(default=True)

    status = models.CharField(max_length=12, choices=Status, default=Status.NEW)
    status_reason = models.CharField(max_length=200, blank=True)
    status_changed_at = models.DateTimeField(null=True, blank=True)
    link_requested_at = models.DateTimeField(null=True, blank=True)
    link_phone = models.CharField(
        max_length=16,
        blank=True,
        db_default="",
        help_text=_("While it is being linked: the phone on which a code is to be typed in."),
    )
    logout_requested_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Set until a worker has logged the device out.")
    )

    notify_owner = models.BooleanField(
        default=False, help_text=_("Their owner is to be told, once, that it needs them.")
    )
    notified_at = models.DateTimeField(null=True, blank=True)

    groups_requested_at = models.DateTimeField(
        null=True, blank=True, help_text=_("From when on a worker is to ask for its groups.")
    )
    groups_discovered_at = models.DateTimeField(null=True, blank=True)
    groups_error = models.CharField(
        max_length=200, blank=True, db_default="", help_text=_("Why the last try failed.")
    )

    phone = models.CharField(max_length=16, blank=True)
    lid = models.CharField(max_length=40, blank=True)
    push_name = models.CharField(max_length=120, blank=True)
    platform = models.CharField(max_length=40, blank=True)
    linked_at = models.DateTimeField(null=True, blank=True)
    last_checked_at = models.DateTimeField(null=True, blank=True)

    sending_paused_at = models.DateTimeField(null=True, blank=True)
    agent = models.ForeignKey(
        "whatsapp.ChatAgent",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="accounts",
        help_text=_("What answers people who write to this account; empty: nothing."),
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name"], name="account_name_per_tenant"),
            # Two linked devices of one phone would share its limits without knowing it.
            models.UniqueConstraint(
                fields=["phone"],
                condition=~Q(phone="") & Q(status__in=["connected", "reconnecting", "conflict"]),
                name="account_phone_linked_once",
            ),
            models.CheckConstraint(
                condition=Q(phone="") | Q(phone__regex=E164), name="account_phone_is_e164"
            ),
            models.CheckConstraint(
                condition=Q(
                    status__in=[
                        "new",
                        "pending",
                        "connected",
                        "reconnecting",
                        "disconnected",
                        "logged_out",
                        "conflict",
                    ]
                ),
                name="account_status_is_legal",
            ),
            models.CheckConstraint(
                condition=~Q(status="connected") | (~Q(phone="") & Q(linked_at__isnull=False)),
                name="account_connected_has_phone",
            ),
            models.CheckConstraint(
                condition=Q(quiet_hours__in=["", "off"])
                | Q(quiet_hours__regex=r"^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$"),
                name="account_quiet_hours_are_readable",
            ),
            models.CheckConstraint(
                condition=Q(health_share__lte=100)
                & (Q(health_score=None) | Q(health_score__lte=100)),
                name="account_health_to_100",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant.slug}/{self.name}"

    @property
    def is_linked(self) -> bool:
        return self.status in self.LINKED_STATUSES


class Lease(models.Model):
    """Who may drive an account now. A table of its own: saving an Account must never touch it.

    Taken and renewed with the database's clock (leases.py). `fence` rises with every take; a
    write that carries an older fence is refused.
    """

    account = models.OneToOneField(
        Account, on_delete=models.CASCADE, primary_key=True, related_name="lease"
    )
    fence = models.PositiveBigIntegerField(default=0)
    worker = models.CharField(max_length=120, blank=True, help_text=_("Name of the worker"))
    instance = models.CharField(max_length=36, blank=True, help_text=_("This start of it"))
    host = models.CharField(max_length=120, blank=True)
    boot_id = models.CharField(max_length=36, blank=True)
    pid = models.PositiveIntegerField(null=True)
    pid_started = models.PositiveBigIntegerField(null=True, help_text=_("Clock ticks since boot"))
    browser_group = models.PositiveIntegerField(null=True, help_text=_("Process group of Chromium"))
    browser_started = models.PositiveBigIntegerField(null=True)
    memory = models.PositiveBigIntegerField(
        null=True, help_text=_("Bytes its browser took when it was last measured, each minute")
    )
    heard_until = models.DateTimeField(null=True, help_text=_("All that came in before is stored."))
    lease_until = models.DateTimeField(null=True)
    taken_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["lease_until"], name="lease_until")]

    def __str__(self) -> str:
        return f"{self.account_id} fence {self.fence} {self.worker or 'free'}"


class Profile(models.Model):
    """The saved browser profile of an account, and where the last live one is (profiles.py)."""

    account = models.OneToOneField(
        Account, on_delete=models.CASCADE, primary_key=True, related_name="profile"
    )
    generation = models.PositiveBigIntegerField(default=0)
    file = models.CharField(max_length=200, blank=True, help_text=_("Name in the storage"))
    size = models.PositiveIntegerField(default=0, help_text=_("Bytes"))
    saved_at = models.DateTimeField(null=True)
    saved_fence = models.PositiveBigIntegerField(
        null=True, help_text=_("Fence of the browser that had ended when this was saved")
    )
    live_disk = models.CharField(max_length=36, blank=True)
    live_fence = models.PositiveBigIntegerField(null=True)
    restore_allowed_by = models.CharField(max_length=150, blank=True)
    knows_from = models.DateTimeField(
        null=True,
        help_text=_("Messages sent before are not known to this profile; empty: it knows all."),
    )

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(file="") | Q(saved_at__isnull=False), name="profile_saved_has_time"
            )
        ]

    def __str__(self) -> str:
        return f"{self.account_id} generation {self.generation}"


class Usage(models.Model):
    """Messages whose sending began on one day in the tenant's zone.

    Only ever rises, but for a tenant that moves to another zone (zones.py).

    It is raised in the transaction that commits to a send, by a conditional update below the
    limit: Redis paces, this table decides.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="usage")
    day = models.DateField()
    count = models.PositiveIntegerField(default=0)
    new_chats = models.PositiveIntegerField(
        default=0, db_default=0, help_text=_("Of them, to people nobody had talked to before")
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "day"], name="usage_once_a_day")
        ]
        verbose_name_plural = "usage"

    def __str__(self) -> str:
        return f"{self.account_id} {self.day}: {self.count}"
