"""Accounts and their links, as callers send and get them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.validators import validate_slug
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.bodies import Body, Paging
from whatsapp import pace, reasons
from whatsapp.api.linking import longest_wait
from whatsapp.models import Account

# Far above what WhatsApp bears; what keeps a typing error from becoming a limit.
MOST_A_DAY = 10_000
MOST_A_MINUTE = 600
LONGEST_GAP_MS = 3_600_000


class AccountFilter(Paging):
    status = serializers.ChoiceField(choices=Account.Status.choices, required=False)
    owner = serializers.CharField(required=False, max_length=150, help_text="A user name.")


class NewAccount(Body):
    name = serializers.CharField(
        max_length=80,
        validators=[validate_slug],
        help_text="Name within the company: letters, digits, - and _.",
    )
    owner = serializers.CharField(
        required=False,
        allow_null=True,
        max_length=150,
        help_text="User name of the person whose phone it is, somebody of the company.",
    )


# Field of the API -> field of an account.
PACE_FIELDS = {
    "gapJitterMs": "gap_jitter_ms",
    "typingMs": "typing_ms",
    "quietHours": "quiet_hours",
    "newChatsPerDay": "new_chats_per_day",
    "warmUpDays": "warm_up_days",
}


class Pace(serializers.Serializer[Any]):
    gapJitterMs = serializers.IntegerField(allow_null=True)
    typingMs = serializers.IntegerField(allow_null=True)
    quietHours = serializers.CharField(allow_null=True)
    newChatsPerDay = serializers.IntegerField(allow_null=True)
    warmUpDays = serializers.IntegerField(allow_null=True)


def own_pace(account: Account) -> dict[str, Any]:
    """As `Pace` has it: null is the default."""
    own = {name: getattr(account, field) for name, field in PACE_FIELDS.items()}
    return own | {"quietHours": account.quiet_hours or None}


class AccountHold(serializers.Serializer[Any]):
    code = serializers.ChoiceField(choices=[pace.HEALTH, pace.COLD, pace.NEW_CHATS])
    until = serializers.DateTimeField(help_text="It ends, or takes the next step, then.")
    reason = serializers.CharField(source="detail")


class AccountHealth(serializers.Serializer[Any]):
    score = serializers.IntegerField(
        source="health_score", allow_null=True, help_text="0 to 100; null: too little has happened."
    )
    reason = serializers.SerializerMethodField(help_text="What took most off; empty: nothing did.")
    share = serializers.IntegerField(
        source="health_share", help_text="Per cent of its daily limit; 0: it rests."
    )
    checkedAt = serializers.DateTimeField(source="health_at", allow_null=True)
    newChatsHeldUntil = serializers.DateTimeField(
        source="cold_held_until",
        allow_null=True,
        help_text="WhatsApp refused new chats: none begins until then.",
    )
    nextStepAt = serializers.SerializerMethodField(
        help_text="When its share may rise; null: it is whole."
    )

    def get_reason(self, account: Account) -> str:
        return reasons.of_health(account.health_reason)

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_nextStepAt(self, account: Account) -> datetime | None:  # noqa: N802  DRF's naming
        return pace.next_step(account)


class AccountAnswer(serializers.ModelSerializer[Account]):
    owner = serializers.CharField(source="owner.username", allow_null=True, default=None)
    statusReason = serializers.CharField(source="status_reason")
    statusChangedAt = serializers.DateTimeField(source="status_changed_at", allow_null=True)
    phoneNumber = serializers.CharField(source="phone")
    pushName = serializers.CharField(source="push_name")
    linkedAt = serializers.DateTimeField(source="linked_at", allow_null=True)
    lastCheckedAt = serializers.DateTimeField(source="last_checked_at", allow_null=True)
    sendingPausedAt = serializers.DateTimeField(source="sending_paused_at", allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")
    health = AccountHealth(source="*")
    pace = serializers.SerializerMethodField(help_text="Its own; null: the default.")

    @extend_schema_field(Pace)
    def get_pace(self, account: Account) -> dict[str, Any]:
        return own_pace(account)

    class Meta:
        model = Account
        fields = [
            "id", "name", "owner", "enabled", "status", "statusReason", "statusChangedAt",
            "phoneNumber", "platform", "pushName", "linkedAt", "lastCheckedAt", "sendingPausedAt",
            "createdAt", "health", "pace",
        ]  # fmt: skip
        read_only_fields = fields


class Allowance(serializers.Serializer[Any]):
    sentToday = serializers.IntegerField(source="sent_today")
    dailyLimit = serializers.IntegerField(source="daily_limit")
    remaining = serializers.IntegerField()
    resetIn = serializers.IntegerField(
        source="reset_in_ms", help_text="Milliseconds until more messages become free."
    )
    isLimited = serializers.BooleanField(source="is_limited")


class AccountStatusAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=Account.Status.choices)
    statusReason = serializers.CharField(source="status_reason")
    phoneNumber = serializers.CharField(source="phone")
    sendingPaused = serializers.BooleanField(source="sending_paused")
    lastCheckedAt = serializers.DateTimeField(source="last_checked_at", allow_null=True)
    allowance = Allowance()


class ConnectBody(Body):
    waitSeconds = serializers.IntegerField(
        required=False,
        default=20,
        min_value=0,
        max_value=110,
        help_text="How long to wait for a code; 0: ask for one and come back for it.",
    )

    phoneNumber = serializers.CharField(
        required=False,
        allow_null=True,
        max_length=60,
        help_text="Of the phone to link: the answer has a code to type in on it, too.",
    )

    def validate_waitSeconds(self, value: int) -> int:  # noqa: N802  DRF's naming
        return min(value, longest_wait())


class QrAnswer(serializers.Serializer[Any]):
    text = serializers.CharField(help_text="What the code says: draw it yourself if you like.")
    dataUrl = serializers.CharField(source="data_url", help_text="The same as a PNG image.")
    seq = serializers.IntegerField(help_text="Rises with every new code.")
    publishedAt = serializers.DateTimeField(source="published_at")
    expiresAt = serializers.DateTimeField(
        source="expires_at", help_text="When the attempt ends, not this code: it changes before."
    )


class AccountLinkAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=Account.Status.choices)
    statusReason = serializers.CharField()
    qr = QrAnswer(allow_null=True)
    pairingCode = serializers.CharField(
        allow_null=True,
        help_text="To type in on the phone: Linked devices, Link with phone number instead.",
    )


class AccountDisconnectAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=Account.Status.choices)
    logsOut = serializers.BooleanField(
        help_text="A worker logs the linked device out on the phone; false: none was linked."
    )


class LimitsBody(Body):
    """Null: the default. All three are set at once."""

    daily = serializers.IntegerField(min_value=0, max_value=MOST_A_DAY, allow_null=True)
    perMinute = serializers.IntegerField(min_value=1, max_value=MOST_A_MINUTE, allow_null=True)
    gapMs = serializers.IntegerField(min_value=0, max_value=LONGEST_GAP_MS, allow_null=True)


class Limits(serializers.Serializer[Any]):
    daily = serializers.IntegerField(allow_null=True)
    perMinute = serializers.IntegerField(allow_null=True)
    gapMs = serializers.IntegerField(allow_null=True)


class LimitsAnswer(Limits):
    effective = Limits(help_text="What holds: this account's own limit, or the default.")


class UsageFilter(Body):
    days = serializers.IntegerField(required=False, default=30, min_value=1, max_value=366)


class UsageDay(serializers.Serializer[Any]):
    day = serializers.DateField()
    count = serializers.IntegerField(help_text="Messages whose sending began on that day.")


class AccountUsageAnswer(serializers.Serializer[Any]):
    dailyLimit = serializers.IntegerField()
    today = serializers.DateField(help_text="By the company's time zone.")
    days = UsageDay(many=True, help_text="Newest first; days without a message are left out.")
