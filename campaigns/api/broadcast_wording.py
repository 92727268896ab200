"""Segments, broadcasts and recipients, as callers send and get them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.bodies import Body, Moment, Paging
from campaigns import segments
from campaigns.broadcasts.texts import LONGEST
from campaigns.models import Broadcast, BroadcastText, Recipient, Segment
from whatsapp.api.contents import LinkWish, LocationWish, MediaWish, Text
from whatsapp.api.media import MediaAnswer
from whatsapp.models import Contact


def _words(help_text: str) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=80),
        required=False,
        max_length=segments.MOST,
        help_text=help_text,
    )


class Rules(Body):
    """Everything that is asked must be true of a contact; what is left out asks nothing."""

    tagsAny = _words("At least one of these.")
    tagsAll = _words("Every one of these.")
    tagsNone = _words("None of these.")
    personas = _words("One of these.")
    regions = _words("The country of their number: FR, GB.")
    languages = _words("fr, en")
    engagementMin = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=100
    )
    engagementMax = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=100
    )
    groups = serializers.ListField(
        child=serializers.IntegerField(min_value=1),
        required=False,
        max_length=segments.MOST,
        help_text="Members of one of these groups now.",
    )
    referral = serializers.ListField(
        child=serializers.ChoiceField(choices=list(segments.REFERRAL_STATES)),
        required=False,
        help_text="What their referral has come to: one of these.",
    )


@extend_schema_field(Rules)
class StoredRules(serializers.JSONField):
    """As they are stored: without what asks nothing."""


class SegmentAnswer(serializers.ModelSerializer[Segment]):
    rules = StoredRules()
    createdAt = serializers.DateTimeField(source="created_at")

    class Meta:
        model = Segment
        fields = ["id", "name", "rules", "createdAt"]
        read_only_fields = fields


class NewSegment(Body):
    name = serializers.CharField(max_length=120)
    rules = Rules(required=False, default=dict)


class SegmentChange(Body):
    name = serializers.CharField(max_length=120, required=False)
    rules = Rules(required=False, help_text="All of them: those left out go.")


class RulesBody(Body):
    rules = Rules()


class ContactInShort(serializers.ModelSerializer[Contact]):
    class Meta:
        model = Contact
        fields = ["id", "name", "phone", "language", "tags"]
        read_only_fields = fields


class SegmentPreview(serializers.Serializer[Any]):
    matching = serializers.IntegerField(help_text="Contacts that the rules mean.")
    reachable = serializers.IntegerField(help_text="Those of them who may be written to.")
    optedOut = serializers.IntegerField(source="opted_out")
    noLawfulBasis = serializers.IntegerField(source="no_lawful_basis")
    sample = ContactInShort(many=True, help_text="Some of the reachable, newest first.")


class TextAnswer(serializers.ModelSerializer[BroadcastText]):
    text = serializers.CharField(source="body")
    media = MediaAnswer(allow_null=True)

    class Meta:
        model = BroadcastText
        fields = ["language", "kind", "text", "content", "media"]
        read_only_fields = fields


class TextBody(Body):
    """The whole of it: what is left out is not said any more."""

    text = Text(max_length=LONGEST, help_text="The text, or the caption of the file.")
    media = MediaWish(required=False, allow_null=True, default=None)
    location = LocationWish(required=False, allow_null=True, default=None)
    link = LinkWish(required=False, allow_null=True, default=None)


class BroadcastAnswer(serializers.ModelSerializer[Broadcast]):
    segment = serializers.IntegerField(source="segment_id", allow_null=True)
    defaultLanguage = serializers.CharField(source="default_language")
    startsAt = serializers.DateTimeField(source="starts_at", allow_null=True)
    stateReason = serializers.CharField(
        source="state_reason", help_text="Why a scheduled one is a draft again."
    )
    recipients = serializers.IntegerField(source="total", help_text="0 before it begins.")
    createdAt = serializers.DateTimeField(source="created_at")
    startedAt = serializers.DateTimeField(source="started_at", allow_null=True)
    pausedAt = serializers.DateTimeField(source="paused_at", allow_null=True)
    endedAt = serializers.DateTimeField(source="ended_at", allow_null=True)

    class Meta:
        model = Broadcast
        fields = [
            "id", "name", "state", "stateReason", "segment", "defaultLanguage", "startsAt",
            "clock", "recipients", "createdAt", "startedAt", "pausedAt", "endedAt",
        ]  # fmt: skip
        read_only_fields = fields


class FiguresAnswer(serializers.Serializer[Any]):
    """Recipients who ever got that far: `sent` counts those who have read it, too."""

    recipients = serializers.IntegerField()
    waiting = serializers.IntegerField()
    queued = serializers.IntegerField()
    uncertain = serializers.IntegerField(help_text="Nobody can tell whether it left.")
    sent = serializers.IntegerField()
    delivered = serializers.IntegerField()
    read = serializers.IntegerField()
    replied = serializers.IntegerField()
    failed = serializers.IntegerField()
    optedOut = serializers.IntegerField(source="opted_out")
    skipped = serializers.IntegerField()


class Missing(serializers.Serializer[Any]):
    field = serializers.CharField()
    code = serializers.CharField()
    message = serializers.CharField(source="text")


class BroadcastDetail(BroadcastAnswer):
    accounts = serializers.ListField(child=serializers.IntegerField())
    texts = TextAnswer(many=True)
    figures = FiguresAnswer()
    missing = Missing(many=True, help_text="What must be there before it can be started.")

    class Meta(BroadcastAnswer.Meta):
        fields = [*BroadcastAnswer.Meta.fields, "accounts", "texts", "figures", "missing"]
        read_only_fields = fields


class BroadcastFilter(Paging):
    state = serializers.ChoiceField(choices=Broadcast.State.choices, required=False)


class _Wishes(Body):
    segment = serializers.IntegerField(min_value=1, required=False, allow_null=True)
    accounts = serializers.ListField(
        child=serializers.IntegerField(min_value=1),
        required=False,
        max_length=100,
        help_text="Whoever talked with one of them already is written to from there.",
    )
    defaultLanguage = serializers.CharField(max_length=8, required=False)
    startsAt = Moment(
        required=False, allow_null=True, help_text="Without: as soon as it is started."
    )
    clock = serializers.ChoiceField(
        choices=Broadcast.Clock.choices,
        required=False,
        help_text=(
            "`recipient`: each gets it when their own clocks show the time that yours show at "
            "`startsAt`; where that has passed, at once."
        ),
    )


class NewBroadcast(_Wishes):
    name = serializers.CharField(max_length=120)


class BroadcastChange(_Wishes):
    name = serializers.CharField(max_length=120, required=False)


class StartBody(Body):
    startsAt = Moment(
        required=False, allow_null=True, default=None, help_text="Instead of the one it has."
    )


class RecipientFilter(Paging):
    state = serializers.ChoiceField(choices=Recipient.State.choices, required=False)


class RecipientAnswer(serializers.ModelSerializer[Recipient]):
    contact = ContactInShort(allow_null=True, help_text="Null: their data was deleted.")
    account = serializers.IntegerField(source="account_id")
    message = serializers.UUIDField(source="message.public_id", default=None, allow_null=True)
    dueAt = serializers.DateTimeField(source="due_at")
    queuedAt = serializers.DateTimeField(source="queued_at", allow_null=True)
    sentAt = serializers.DateTimeField(source="sent_at", allow_null=True)
    deliveredAt = serializers.DateTimeField(source="delivered_at", allow_null=True)
    readAt = serializers.DateTimeField(source="read_at", allow_null=True)
    repliedAt = serializers.DateTimeField(source="replied_at", allow_null=True)
    endedAt = serializers.DateTimeField(source="ended_at", allow_null=True)

    class Meta:
        model = Recipient
        fields = [
            "id", "contact", "account", "message", "language", "state", "reason", "dueAt",
            "queuedAt", "sentAt", "deliveredAt", "readAt", "repliedAt", "endedAt",
        ]  # fmt: skip
        read_only_fields = fields


class ShareAnswer(serializers.Serializer[Any]):
    account = serializers.IntegerField(source="account.pk")
    recipients = serializers.IntegerField()
    newChats = serializers.IntegerField(source="new_chats")
    obstacle = serializers.CharField(help_text="Why it sends nothing now.")
    endsAt = serializers.DateTimeField(
        source="ends_at", allow_null=True, help_text="Null: it can send nothing."
    )


class SampleAnswer(serializers.Serializer[Any]):
    contact = ContactInShort()
    language = serializers.CharField()
    text = serializers.CharField()
    problem = serializers.CharField(help_text="Why `text` is empty.")


class RehearsalAnswer(serializers.Serializer[Any]):
    recipients = serializers.IntegerField()
    optedOut = serializers.IntegerField(source="opted_out")
    noLawfulBasis = serializers.IntegerField(source="no_lawful_basis")
    languages = serializers.DictField(child=serializers.IntegerField())
    withoutReferral = serializers.IntegerField(
        source="without_referral", help_text="Skipped: {{link}} or {{referrer}} has no value."
    )
    accounts = ShareAnswer(source="shares", many=True)
    beginsAt = serializers.DateTimeField(source="begins_at")
    endsAt = serializers.DateTimeField(source="ends_at", allow_null=True)
    samples = SampleAnswer(many=True)
    missing = Missing(source="gaps", many=True)
