"""Bodies and answers of `/api/whatsapp/messages`, in the names that older callers know."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.bodies import Body, Moment, Paging
from whatsapp.api.contents import TIMEZONES, Text, WallTime
from whatsapp.api.sending import MAX_KEY
from whatsapp.contents import MAX_PLACE_ADDRESS, MAX_PLACE_NAME
from whatsapp.fetching import MAX_URL
from whatsapp.models import Media, Message

MOST = 1_000  # recipients of one call; a broadcast campaign has no such limit
MAX_LABEL = 100
FILES = tuple(Media.Kind.values)
TYPES = ["text", *FILES, "location", "link"]
CHANNELS = ["individual", "group", "broadcast"]
LABELS = ("campaignId", "contentId")


class Label(serializers.CharField):
    """An id of another system, a number or a text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **{
                "required": False, "default": "", "allow_blank": True, "allow_null": True,
                "max_length": MAX_LABEL, **options,
            }
        )  # fmt: skip


class MarketingFilter(Paging):
    status = serializers.ChoiceField(choices=Message.State.choices, required=False)
    accountId = serializers.IntegerField(required=False, min_value=1)
    campaignId = serializers.CharField(required=False, max_length=MAX_LABEL)
    contentId = serializers.CharField(required=False, max_length=MAX_LABEL)
    messageType = serializers.ChoiceField(choices=TYPES, required=False)
    channelType = serializers.ChoiceField(choices=CHANNELS, required=False)
    since = Moment(required=False, help_text="Made from here on.")
    until = Moment(required=False, help_text="Made before this.")


class NewMarketingMessage(Body):
    accountId = serializers.IntegerField(min_value=1)
    campaignId = Label(help_text="Yours: kept and shown.")
    contentId = Label(help_text="Yours: kept and shown.")
    messageType = serializers.ChoiceField(choices=TYPES, required=False, default="text")
    messageText = Text(help_text="The text, or the caption of the file.")
    mediaUrl = serializers.CharField(
        max_length=MAX_URL, required=False, default="", help_text="Public; fetched now."
    )
    mediaId = serializers.IntegerField(
        min_value=1, required=False, help_text="Instead of `mediaUrl`: from `POST /api/v1/media`."
    )
    linkUrl = serializers.CharField(max_length=MAX_URL, required=False, default="")
    latitude = serializers.FloatField(min_value=-90, max_value=90, required=False)
    longitude = serializers.FloatField(min_value=-180, max_value=180, required=False)
    locationName = serializers.CharField(
        max_length=MAX_PLACE_NAME, required=False, default="", allow_blank=True
    )
    locationAddress = serializers.CharField(
        max_length=MAX_PLACE_ADDRESS, required=False, default="", allow_blank=True
    )
    channelType = serializers.ChoiceField(choices=CHANNELS, required=False, default="individual")
    targetPhone = serializers.CharField(max_length=60, required=False, default="")
    targetGroupId = serializers.CharField(
        max_length=100, required=False, default="", help_text="Our id, or WhatsApp's: …@g.us"
    )
    targetPhones = serializers.ListField(
        child=serializers.CharField(max_length=60), required=False, default=list, max_length=MOST,
        help_text="Of a broadcast: one message each.",
    )  # fmt: skip
    targetTags = serializers.ListField(
        child=serializers.CharField(max_length=40), required=False, default=list, max_length=50,
        help_text="Of a broadcast: every contact with one of these tags.",
    )  # fmt: skip
    scheduledAt = WallTime(
        required=False, allow_null=True, default=None,
        help_text="Not before this time. Without an offset: on the clock of `timezone`.",
    )  # fmt: skip
    timezone = serializers.ChoiceField(choices=TIMEZONES, required=False)
    idempotencyKey = serializers.CharField(max_length=MAX_KEY, required=False, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        needed = {
            "individual": attrs["targetPhone"],
            "group": attrs["targetGroupId"],
            "broadcast": attrs["targetPhones"] or attrs["targetTags"],
        }
        names = {
            "individual": "targetPhone", "group": "targetGroupId", "broadcast": "targetPhones",
        }  # fmt: skip
        channel, kind = attrs["channelType"], attrs["messageType"]
        if not needed[channel]:
            raise serializers.ValidationError(
                {names[channel]: f"say to whom: channelType is {channel}"}, "required"
            )
        missing = {
            **dict.fromkeys(FILES, "" if attrs["mediaUrl"] or "mediaId" in attrs else "mediaUrl"),
            "link": "" if attrs["linkUrl"] else "linkUrl",
            "location": next((n for n in ("latitude", "longitude") if n not in attrs), ""),
            "text": "" if attrs["messageText"].strip() else "messageText",
        }
        if missing[kind]:
            raise serializers.ValidationError(
                {missing[kind]: f"a message of the type {kind} needs this"}, "required"
            )
        return attrs


class MarketingMessage(serializers.ModelSerializer[Message]):
    id = serializers.UUIDField(source="public_id")
    accountId = serializers.IntegerField(source="account_id")
    campaignId = serializers.CharField(source="labels.campaignId", default="")
    contentId = serializers.CharField(source="labels.contentId", default="")
    messageType = serializers.SerializerMethodField()
    messageText = serializers.CharField(source="body")
    channelType = serializers.SerializerMethodField()
    targetGroupId = serializers.IntegerField(source="group_id", allow_null=True)
    targetPhone = serializers.CharField(source="contact.phone", default="")
    scheduledAt = serializers.DateTimeField(source="scheduled_for", allow_null=True)
    status = serializers.ChoiceField(choices=Message.State.choices, source="state")
    errorCode = serializers.CharField(source="error_code")
    attempts = serializers.IntegerField(source="attempts_made")
    createdAt = serializers.DateTimeField(source="created_at")
    sentAt = serializers.DateTimeField(source="sent_at", allow_null=True)
    deliveredAt = serializers.DateTimeField(source="delivered_at", allow_null=True)
    readAt = serializers.DateTimeField(source="read_at", allow_null=True)

    class Meta:
        model = Message
        fields = [
            "id", "accountId", "campaignId", "contentId", "messageType", "messageText",
            "channelType", "targetGroupId", "targetPhone", "scheduledAt", "status", "errorCode",
            "error", "attempts", "createdAt", "sentAt", "deliveredAt", "readAt",
        ]  # fmt: skip
        read_only_fields = fields

    def get_messageType(self, message: Message) -> str:  # noqa: N802  DRF's naming
        if message.kind == Message.Kind.MEDIA and message.media is not None:
            return message.media.kind
        return message.kind

    def get_channelType(self, message: Message) -> str:  # noqa: N802
        if message.group_id is not None:
            return "group"
        return "broadcast" if message.origin == Message.Origin.BROADCAST else "individual"


class LeftOut(serializers.Serializer[Any]):
    contactId = serializers.IntegerField()
    reason = serializers.CharField(help_text="opted_out, no_lawful_basis, suppressed, own_number")


class MarketingFan(serializers.Serializer[Any]):
    """What a broadcast came to; a contact without a message here is in `leftOut`."""

    queued = serializers.IntegerField()
    messageIds = serializers.ListField(child=serializers.UUIDField())
    leftOut = LeftOut(many=True)
