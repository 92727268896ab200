"""How carefully an account sends: its own pace, what it is held to, and how healthy it is."""

from __future__ import annotations

import datetime as dt
from datetime import datetime

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from whatsapp.quiet_hours import QuietHours
from whatsapp.quiet_hours import read as read_quiet_hours

LONGEST_JITTER_MS = 600_000
LONGEST_TYPING_MS = 20_000
LONGEST_WARM_UP = 365
ALL = 100  # per cent


def valid_quiet_hours(value: str) -> None:
    """As a model's validator."""
    try:
        read_quiet_hours(value)
    except ValueError as error:
        raise ValidationError(str(error), code="quiet_hours") from error


class Paced(models.Model):
    """Part of `Account`. What is empty is the default of the settings."""

    daily_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text=_("Messages a day; empty: the default.")
    )
    per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Messages in any 60 seconds; empty: the default."),
    )
    gap_ms = models.PositiveIntegerField(
        null=True, blank=True, help_text=_("Milliseconds between two messages; empty: the default.")
    )
    gap_jitter_ms = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(LONGEST_JITTER_MS)],
        help_text=_("Milliseconds that are added to a gap at random, at most; empty: the default."),
    )
    typing_ms = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(LONGEST_TYPING_MS)],
        help_text=_(
            "Milliseconds of “typing…” before a long text; less before a short one, 0: none; "
            "empty: the default."
        ),
    )
    quiet_hours = models.CharField(
        max_length=11,
        blank=True,
        db_default="",
        validators=[valid_quiet_hours],
        help_text=_("By the recipient’s clock: 21:00-08:00, or off; empty: the default."),
    )
    new_chats_per_day = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text=_("People written to for the first time in a day; empty: the default."),
    )
    warm_up_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(LONGEST_WARM_UP)],
        help_text=_("Days in which a new number rises to its limit; 0: none; empty: the default."),
    )

    # The number's first day with us; another number begins anew, the same one again does not.
    first_linked_on = models.DateField(null=True, blank=True)
    first_linked_hash = models.CharField(max_length=64, blank=True, db_default="")

    cold_held_until = models.DateTimeField(
        null=True, blank=True, help_text=_("WhatsApp refused new chats: none is begun until then.")
    )
    cold_holds = models.PositiveSmallIntegerField(default=0, db_default=0)

    health_score = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text=_("0 to 100; empty: not enough has happened yet")
    )
    health_at = models.DateTimeField(null=True, blank=True)
    health_reason = models.CharField(max_length=20, blank=True, db_default="")
    # Per cent of the daily limit; 0: it stopped by itself. People's pause is another field.
    health_share = models.PositiveSmallIntegerField(default=ALL, db_default=ALL)
    health_share_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def limit_per_day(self) -> int:
        default: int = settings.WHATSAPP_DAILY_LIMIT
        return default if self.daily_limit is None else self.daily_limit

    @property
    def limit_per_minute(self) -> int:
        default: int = settings.WHATSAPP_PER_MINUTE
        return default if self.per_minute is None else self.per_minute

    @property
    def gap(self) -> dt.timedelta:
        default: int = settings.WHATSAPP_GAP_MS
        return dt.timedelta(milliseconds=default if self.gap_ms is None else self.gap_ms)

    @property
    def jitter(self) -> dt.timedelta:
        default: int = settings.WHATSAPP_JITTER_MS
        given = default if self.gap_jitter_ms is None else self.gap_jitter_ms
        return dt.timedelta(milliseconds=given)

    @property
    def longest_typing(self) -> dt.timedelta:
        default: int = settings.WHATSAPP_TYPING_MS
        return dt.timedelta(milliseconds=default if self.typing_ms is None else self.typing_ms)

    @property
    def quiet(self) -> QuietHours | None:
        return read_quiet_hours(self.quiet_hours or settings.WHATSAPP_QUIET_HOURS)

    @property
    def new_chats_limit(self) -> int:
        default: int = settings.WHATSAPP_NEW_CHATS
        return default if self.new_chats_per_day is None else self.new_chats_per_day

    @property
    def ramp_days(self) -> int:
        default: int = settings.WHATSAPP_WARM_UP_DAYS
        return default if self.warm_up_days is None else self.warm_up_days

    def warms_up_on(self, day: dt.date) -> bool:
        """Whether its limit is still rising on `day`."""
        return self.first_linked_on is not None and (
            self._days_linked(self.first_linked_on, day) < self.ramp_days
            and settings.WHATSAPP_WARM_UP_START < self.limit_per_day
        )

    @staticmethod
    def _days_linked(first: dt.date, day: dt.date) -> int:
        """0 too where the day of the scan is still to come: the tenant moved west since."""
        return max(0, (day - first).days)

    def limit_on(self, day: dt.date) -> int:
        """Messages that it may send on a day of its tenant: warm-up and health counted in.

        `limit_on_sql` says the same.
        """
        limit = self.limit_per_day
        if self.first_linked_on is not None and self.warms_up_on(day):
            start: int = settings.WHATSAPP_WARM_UP_START
            age = self._days_linked(self.first_linked_on, day)
            limit = start + (limit - start) * age // self.ramp_days
        if self.health_share in (0, ALL) or limit == 0:
            return limit * self.health_share // ALL
        return max(1, limit * self.health_share // ALL)

    @property
    def is_resting(self) -> bool:
        """It stopped sending by itself, for its health."""
        return self.health_share == 0

    def holds_cold_chats(self, now: datetime) -> bool:
        return self.cold_held_until is not None and self.cold_held_until > now


def limit_on_sql(day: str) -> str:
    """`Paced.limit_on` of a table called ``account``, for `day`, a column or another expression."""
    limit = f"coalesce(account.daily_limit, {int(settings.WHATSAPP_DAILY_LIMIT)})::bigint"
    days = f"coalesce(account.warm_up_days, {int(settings.WHATSAPP_WARM_UP_DAYS)})"
    start = int(settings.WHATSAPP_WARM_UP_START)
    age = f"greatest({day} - account.first_linked_on, 0)"
    warm = f"""
        CASE WHEN account.first_linked_on IS NULL OR {start} >= {limit}
                  OR {age} >= {days} THEN {limit}
             ELSE {start} + ({limit} - {start}) * {age} / {days} END"""
    return f"""
        CASE WHEN account.health_share = 0 OR {limit} = 0 THEN 0
             ELSE greatest(1, ({warm}) * account.health_share / {ALL}) END"""


class HealthSample(models.Model):
    """How healthy an account was: each hour, and when something bad happened (health.py)."""

    account = models.ForeignKey(
        "whatsapp.Account", on_delete=models.CASCADE, related_name="health_samples"
    )
    at = models.DateTimeField()
    score = models.PositiveSmallIntegerField(null=True, help_text=_("0 to 100"))
    share = models.PositiveSmallIntegerField(help_text=_("Per cent of the daily limit"))
    counts = models.JSONField(default=dict, help_text=_("What happened, as health.py counts it"))

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "at"], name="health_sample_once"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.at:%Y-%m-%d %H:%M}: {self.score}"
