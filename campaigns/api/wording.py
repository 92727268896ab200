"""Campaigns, steps and templates, as callers send and get them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.bodies import Body
from campaigns.models import Campaign, Step, Template
from campaigns.models.content import LONGEST_DELAY
from campaigns.texts import LONGEST
from whatsapp.api.contents import MediaWish
from whatsapp.api.media import MediaAnswer

LONGEST_SECONDS = int(LONGEST_DELAY.total_seconds())


@extend_schema_field(serializers.IntegerField(min_value=0, max_value=LONGEST_SECONDS))
class Seconds(serializers.IntegerField):
    """A time span of whole seconds, a year at most."""

    def to_internal_value(self, value: Any) -> Any:
        seconds = super().to_internal_value(value)
        # Here and not by validators: those would see the time span, after it overflowed.
        if not 0 <= seconds <= LONGEST_SECONDS:
            raise serializers.ValidationError(
                f"give 0 to {LONGEST_SECONDS} seconds", "out_of_range"
            )
        return dt.timedelta(seconds=seconds)

    def to_representation(self, value: Any) -> int:
        return int(value.total_seconds())


class CampaignAnswer(serializers.ModelSerializer[Campaign]):
    defaultLanguage = serializers.CharField(source="default_language")
    firstDelaySeconds = Seconds(source="first_delay")
    pauseOnReply = serializers.BooleanField(source="pause_on_reply")
    createdAt = serializers.DateTimeField(source="created_at")

    class Meta:
        model = Campaign
        fields = [
            "id", "name", "active", "defaultLanguage", "firstDelaySeconds", "pauseOnReply",
            "createdAt",
        ]  # fmt: skip
        read_only_fields = fields


class TemplateAnswer(serializers.ModelSerializer[Template]):
    text = serializers.CharField(source="body")
    media = MediaAnswer(allow_null=True)

    class Meta:
        model = Template
        fields = ["language", "text", "media"]
        read_only_fields = fields


class StepAnswer(serializers.ModelSerializer[Step]):
    campaign = serializers.IntegerField(source="campaign_id")
    delaySeconds = Seconds(source="delay", help_text="From the slot of the step before.")
    templates = TemplateAnswer(many=True)

    class Meta:
        model = Step
        fields = ["id", "campaign", "number", "delaySeconds", "active", "templates"]
        read_only_fields = fields


class Gap(serializers.Serializer[Any]):
    step = serializers.IntegerField(source="day", help_text="0: the campaign as a whole.")
    language = serializers.CharField()
    message = serializers.CharField(source="text")


class CampaignDetail(CampaignAnswer):
    steps = StepAnswer(many=True)
    missing = Gap(many=True, help_text="What must be there before it can be switched on.")

    class Meta(CampaignAnswer.Meta):
        fields = [*CampaignAnswer.Meta.fields, "steps", "missing"]
        read_only_fields = fields


class NewCampaign(Body):
    name = serializers.CharField(max_length=120)
    defaultLanguage = serializers.CharField(
        max_length=8, required=False, help_text="Of those whose own is not spoken: fr."
    )
    firstDelaySeconds = Seconds(
        required=False,
        default=dt.timedelta(hours=1),  # type: ignore[arg-type]  # what becomes of it
        help_text="From registration to enrolment and the first message.",
    )
    pauseOnReply = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Whoever answers is held back until somebody resumes them.",
    )


class CampaignChange(Body):
    name = serializers.CharField(max_length=120, required=False)
    defaultLanguage = serializers.CharField(max_length=8, required=False)
    firstDelaySeconds = Seconds(required=False)
    pauseOnReply = serializers.BooleanField(required=False, allow_null=True)


class NewStep(Body):
    number = serializers.IntegerField(min_value=1, max_value=365)
    delaySeconds = Seconds(
        required=False,
        allow_null=True,
        default=None,
        help_text="From the slot of the step before; a day, and none for the first.",
    )
    active = serializers.BooleanField(required=False, default=True)


class StepChange(Body):
    delaySeconds = Seconds(required=False)
    active = serializers.BooleanField(required=False)


class Removed(serializers.Serializer[Any]):
    deleted = serializers.BooleanField(help_text="False: switched off, its history stays.")


class TemplateBody(Body):
    text = serializers.CharField(max_length=LONGEST, trim_whitespace=False)
    media = MediaWish(required=False, allow_null=True)


class PreviewBody(Body):
    text = serializers.CharField(max_length=LONGEST, trim_whitespace=False)
    referral = serializers.IntegerField(min_value=1, required=False)


class PreviewAnswer(serializers.Serializer[Any]):
    text = serializers.CharField()
    problem = serializers.CharField()
