"""Messages, referrals and targets, as callers send and get them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.bodies import Body, Moment, Paging
from campaigns.models import Referral, Target
from campaigns.rows import LONGEST
from whatsapp import outbox
from whatsapp.api.contents import TIMEZONES, Saying, WallTime
from whatsapp.api.media import MediaAnswer
from whatsapp.api.sending import MAX_KEY
from whatsapp.models import Attempt, Message

BULK = 1_000  # targets or referrals of one call


class Since(Paging):
    since = Moment(required=False, help_text="From here on.")
    until = Moment(required=False, help_text="Before this.")


# --------------------------------------------------------------------------------- messages


class MessageFilter(Since):
    state = serializers.MultipleChoiceField(
        choices=Message.State.choices, required=False, help_text="May be repeated."
    )
    kind = serializers.ChoiceField(choices=Message.Kind.choices, required=False)
    origin = serializers.ChoiceField(choices=Message.Origin.choices, required=False)
    scheduled = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="True: somebody chose their time."
    )
    group = serializers.IntegerField(required=False, min_value=1)
    account = serializers.IntegerField(required=False, min_value=1)
    contact = serializers.CharField(required=False, max_length=60, help_text="A phone number.")
    target = serializers.IntegerField(required=False, min_value=1)
    step = serializers.IntegerField(required=False, min_value=1, max_value=32_767)


class PlaceAnswer(serializers.Serializer[Any]):
    latitude = serializers.FloatField()
    longitude = serializers.FloatField()
    name = serializers.CharField()
    address = serializers.CharField()


class LinkAnswer(serializers.Serializer[Any]):
    url = serializers.CharField()
    title = serializers.CharField(help_text="Of our preview; empty: there is none.")
    description = serializers.CharField()


class MessageAnswer(serializers.ModelSerializer[Message]):
    id = serializers.UUIDField(source="public_id")
    account = serializers.IntegerField(source="account_id")
    to = serializers.CharField(
        source="contact.phone",
        default="",
        help_text="Empty: a group, or no number is known.",
    )
    contactName = serializers.CharField(source="contact.name", default="")
    groupId = serializers.IntegerField(source="group_id", allow_null=True)
    groupName = serializers.CharField(source="group.subject", default="")
    text = serializers.CharField(source="body")
    media = MediaAnswer(allow_null=True, help_text="Of a link: the picture of its preview.")
    location = serializers.SerializerMethodField()
    link = serializers.SerializerMethodField()
    origin = serializers.ChoiceField(choices=Message.Origin.choices, allow_blank=True)
    quoted = serializers.CharField(source="quoted_wa_id", help_text="WhatsApp's id; or empty.")
    target = serializers.IntegerField(
        source="delivery.target_id", default=None, allow_null=True, help_text="Null: sent directly."
    )
    step = serializers.IntegerField(source="delivery.number", default=None, allow_null=True)
    errorCode = serializers.CharField(source="error_code")
    attemptsMade = serializers.IntegerField(source="attempts_made")
    createdAt = serializers.DateTimeField(source="created_at")
    scheduledAt = serializers.DateTimeField(
        source="scheduled_for", allow_null=True, help_text="When somebody wanted it to go."
    )
    dueAt = serializers.SerializerMethodField()
    sentAt = serializers.DateTimeField(source="sent_at", allow_null=True)
    deliveredAt = serializers.DateTimeField(source="delivered_at", allow_null=True)
    readAt = serializers.DateTimeField(source="read_at", allow_null=True)
    endedAt = serializers.DateTimeField(source="ended_at", allow_null=True)

    class Meta:
        model = Message
        fields = [
            "id", "account", "to", "contactName", "groupId", "groupName", "kind", "text", "media",
            "location", "link", "quoted", "origin", "target", "step", "state", "errorCode", "error",
            "attemptsMade", "createdAt", "scheduledAt", "dueAt", "sentAt", "deliveredAt", "readAt",
            "endedAt",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(
        serializers.DateTimeField(allow_null=True, help_text="Null: held back by a pause.")
    )
    def get_dueAt(self, message: Message) -> str | None:  # noqa: N802  DRF's naming
        if message.due_at == outbox.NEVER:
            return None
        shown: str = serializers.DateTimeField().to_representation(message.due_at)
        return shown

    @extend_schema_field(PlaceAnswer(allow_null=True))
    def get_location(self, message: Message) -> dict[str, Any] | None:
        return message.content if message.kind == Message.Kind.LOCATION else None

    @extend_schema_field(LinkAnswer(allow_null=True))
    def get_link(self, message: Message) -> dict[str, Any] | None:
        if message.kind != Message.Kind.LINK:
            return None
        return {name: message.content.get(name, "") for name in ("url", "title", "description")}


class AttemptAnswer(serializers.ModelSerializer[Attempt]):
    intentAt = serializers.DateTimeField(source="intent_at")
    finishedAt = serializers.DateTimeField(source="finished_at", allow_null=True)
    errorCode = serializers.CharField(source="error_code")

    class Meta:
        model = Attempt
        fields = ["number", "outcome", "worker", "intentAt", "finishedAt", "errorCode", "error"]
        read_only_fields = fields


class MessageDetail(MessageAnswer):
    attempts = AttemptAnswer(many=True)

    class Meta(MessageAnswer.Meta):
        fields = [*MessageAnswer.Meta.fields, "attempts"]
        read_only_fields = fields


class NewMessage(Saying):
    account = serializers.IntegerField(min_value=1)
    to = serializers.CharField(
        max_length=60, required=False, default="",
        help_text="With its country code, or national.",
    )  # fmt: skip
    groupId = serializers.IntegerField(
        min_value=1, required=False, help_text="Instead of `to`: a group of the account."
    )
    idempotencyKey = serializers.CharField(
        max_length=MAX_KEY,
        required=False,
        default="",
        help_text="Your own name of this message, here or in the header Idempotency-Key.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs["to"]) == ("groupId" in attrs):
            raise serializers.ValidationError(
                {"to": "say to whom: either a phone number here, or a group in groupId"}, "required"
            )
        return attrs


class MessageMove(Body):
    scheduledAt = WallTime(help_text="Without an offset: on the clock of `timezone`.")
    timezone = serializers.ChoiceField(choices=TIMEZONES, required=False)


class SettleBody(Body):
    sent = serializers.BooleanField(help_text="True: it arrived. False: send it again.")


# -------------------------------------------------------------------------------- referrals


class ReferralFilter(Paging):
    externalId = serializers.CharField(required=False, max_length=100)
    referrer = serializers.CharField(required=False, max_length=100, help_text="External id.")
    phone = serializers.CharField(required=False, max_length=60)
    paid = serializers.BooleanField(required=False, allow_null=True, default=None)
    enrolled = serializers.BooleanField(required=False, allow_null=True, default=None)


class ReferralAnswer(serializers.ModelSerializer[Referral]):
    externalId = serializers.CharField(source="external_id")
    referrer = serializers.CharField(source="referrer.external_id")
    registeredAt = serializers.DateTimeField(source="registered_at")
    paidAt = serializers.DateTimeField(source="paid_at", allow_null=True)
    enrolledAt = serializers.DateTimeField(source="enrolled_at", allow_null=True)
    skippedReason = serializers.CharField(
        source="skipped_reason", help_text="Why they are never followed; empty: they are or will."
    )
    createdAt = serializers.DateTimeField(source="created_at")
    updatedAt = serializers.DateTimeField(source="updated_at")

    class Meta:
        model = Referral
        fields = [
            "id", "externalId", "referrer", "name", "phone", "region", "language", "registeredAt",
            "paidAt", "enrolledAt", "skippedReason", "createdAt", "updatedAt",
        ]  # fmt: skip
        read_only_fields = fields


class ReferralRow(Body):
    """One referral as text, as in a row of a CSV file. Empty says nothing and changes nothing."""

    externalId = serializers.CharField(
        max_length=LONGEST["external_id"], help_text="Your own id of the person."
    )
    referrer = serializers.CharField(
        max_length=LONGEST["referrer"], help_text="External id of who referred them."
    )
    phone = serializers.CharField(max_length=LONGEST["phone"])
    registeredAt = serializers.CharField(
        max_length=LONGEST["registered_at"], help_text="2026-11-10T08:00:00+00:00"
    )
    name = serializers.CharField(
        max_length=LONGEST["name"], required=False, default="", allow_blank=True
    )
    region = serializers.CharField(
        max_length=LONGEST["region"], required=False, default="", allow_blank=True
    )
    language = serializers.CharField(
        max_length=LONGEST["language"], required=False, default="", allow_blank=True
    )
    paidAt = serializers.CharField(
        max_length=LONGEST["paid_at"], required=False, default="", allow_blank=True
    )


class Push(Body):
    referrals = serializers.ListField(child=ReferralRow(), min_length=1, max_length=BULK)


class RowFinding(serializers.Serializer[Any]):
    field = serializers.CharField()
    level = serializers.ChoiceField(choices=["error", "warning"])
    code = serializers.CharField()
    message = serializers.CharField(source="reason")


class RowResult(serializers.Serializer[Any]):
    row = serializers.IntegerField(help_text="Place in the list, from 0.")
    externalId = serializers.CharField(source="external_id")
    result = serializers.ChoiceField(choices=["created", "updated", "unchanged", "refused"])
    findings = RowFinding(many=True)


class PushAnswer(serializers.Serializer[Any]):
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = RowResult(many=True)


# ---------------------------------------------------------------------------------- targets


class TargetFilter(Paging):
    state = serializers.ChoiceField(choices=Target.State.choices, required=False)
    exitReason = serializers.ChoiceField(choices=Target.ExitReason.choices, required=False)
    hold = serializers.ChoiceField(choices=Target.Hold.choices, required=False)
    paused = serializers.BooleanField(required=False, allow_null=True, default=None)
    due = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="True: due now."
    )
    campaign = serializers.IntegerField(required=False, min_value=1)
    account = serializers.IntegerField(required=False, min_value=1)
    referral = serializers.CharField(required=False, max_length=100, help_text="External id.")


class TargetAnswer(serializers.ModelSerializer[Target]):
    campaign = serializers.IntegerField(source="campaign_id")
    account = serializers.IntegerField(source="account_id")
    referral = serializers.CharField(source="referral.external_id")
    referrer = serializers.CharField(source="referral.referrer.external_id")
    name = serializers.CharField(source="referral.name")
    exitReason = serializers.CharField(source="exit_reason")
    hold = serializers.ChoiceField(choices=Target.Hold.choices, allow_blank=True)
    holdDetail = serializers.CharField(source="hold_detail")
    pausedAt = serializers.DateTimeField(source="paused_at", allow_null=True)
    pausedBy = serializers.ChoiceField(
        source="paused_by",
        choices=Target.PausedBy.choices,
        allow_blank=True,
        help_text="Empty: a person. `takeover` goes on by itself when the chat is given back.",
    )
    stepsDone = serializers.IntegerField(source="steps_done")
    nextDueAt = serializers.DateTimeField(source="next_due_at", allow_null=True)
    lastSentAt = serializers.DateTimeField(source="last_sent_at", allow_null=True)
    openMessage = serializers.UUIDField(
        source="open_message.public_id", default=None, allow_null=True
    )
    enrolledAt = serializers.DateTimeField(source="enrolled_at")
    endedAt = serializers.DateTimeField(source="ended_at", allow_null=True)

    class Meta:
        model = Target
        fields = [
            "id", "campaign", "account", "referral", "referrer", "name", "phone", "state",
            "exitReason", "hold", "holdDetail", "pausedAt", "pausedBy", "stepsDone",
            "nextDueAt", "lastSentAt", "openMessage", "enrolledAt", "endedAt",
        ]  # fmt: skip
        read_only_fields = fields


class TimelineEntry(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    kind = serializers.CharField(help_text="A word for programs.")
    text = serializers.CharField(help_text="A line for people.")
    detail = serializers.CharField()


class PlannedMessage(serializers.Serializer[Any]):
    step = serializers.IntegerField()
    language = serializers.CharField()
    text = serializers.CharField()
    dueAt = serializers.DateTimeField(source="due_at")
    limitNote = serializers.CharField(source="limit_note")
    problem = serializers.CharField(help_text="Why `text` is empty.")


class TargetDetail(TargetAnswer):
    why = serializers.CharField(help_text="Why the next message was not sent yet, or was.")
    timeline = TimelineEntry(many=True)
    coming = PlannedMessage(many=True)

    class Meta(TargetAnswer.Meta):
        fields = [*TargetAnswer.Meta.fields, "why", "timeline", "coming"]
        read_only_fields = fields


class Targets(Body):
    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1), min_length=1, max_length=BULK
    )


class Changed(serializers.Serializer[Any]):
    changed = serializers.IntegerField(help_text="The others were so before, or have ended.")


class Exited(serializers.Serializer[Any]):
    exited = serializers.IntegerField(source="targets_exited")
    messagesCancelled = serializers.IntegerField(source="messages_cancelled")
    inFlight = serializers.IntegerField(
        source="in_flight", help_text="Messages that are being sent now and may arrive."
    )
