"""Bodies and answers of `/api/relance/`: what comes in is checked, what goes out is described."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns import days
from campaigns.models import Step, Template
from campaigns.rendering import MAX_LENGTH
from whatsapp import attachments
from whatsapp.fetching import MAX_URL
from whatsapp.models import Account, Media

LANGUAGE_CHOICES = [*days.LANGUAGES, days.BOTH]


class ReferrerConnectBody(serializers.Serializer[Any]):
    phoneNumber = serializers.CharField(  # noqa: N815
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=60,
        help_text="Of the phone to link: the answer has a code to type in on it, too.",
    )


class PauseBody(serializers.Serializer[Any]):
    enrollmentPaused = serializers.BooleanField(required=False, allow_null=True)  # noqa: N815
    sendingPaused = serializers.BooleanField(required=False, allow_null=True)  # noqa: N815

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if all(value is None for value in attrs.values()):
            raise serializers.ValidationError("give enrollmentPaused, sendingPaused or both")
        return attrs


class MediaUrl(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=MAX_URL)
    type = serializers.ChoiceField(choices=Media.Kind.values)
    language = serializers.ChoiceField(choices=LANGUAGE_CHOICES, default=days.BOTH)


class Day(serializers.Serializer[Any]):
    """One of the seven days. What is left out stays; a text that is null is removed."""

    dayNumber = serializers.IntegerField(  # noqa: N815
        min_value=days.DAYS.start,
        max_value=days.DAYS.stop - 1,
        error_messages={
            "min_value": "there are the days 1 to 7",
            "max_value": "there are the days 1 to 7",
        },
    )
    messageTemplate = serializers.DictField(  # noqa: N815
        child=serializers.CharField(
            max_length=MAX_LENGTH, allow_null=True, allow_blank=True, trim_whitespace=False
        ),
        required=False,
    )
    mediaUrls = MediaUrl(many=True, required=False)  # noqa: N815
    active = serializers.BooleanField(required=False)

    def validate_mediaUrls(self, value: list[Any]) -> list[Any]:  # noqa: N802  DRF's naming
        if len(value) > len(days.LANGUAGES):
            raise serializers.ValidationError(
                f"{len(value)} files are too many: one for each language"
            )
        return value


class ExitBody(serializers.Serializer[Any]):
    userId = serializers.CharField(max_length=100)  # noqa: N815


def day_of(step: Step) -> dict[str, Any]:
    """A step in the words of the API. Expects its templates and their files to be loaded."""
    templates = list(step.templates.all())
    return {
        "dayNumber": step.number,
        "messageTemplate": {template.language: template.body for template in templates},
        "mediaUrls": _media_of(templates),
        "active": step.active,
    }


def _media_of(templates: list[Template]) -> list[dict[str, str]]:
    found: dict[int, tuple[Media, list[str]]] = {}
    for template in templates:
        if template.media is not None:
            found.setdefault(template.media.pk, (template.media, []))[1].append(template.language)
    answer = []
    for media, languages in found.values():
        everywhere = len(languages) == len(templates) > 1
        answer += [
            {"url": attachments.address_of(media), "type": media.kind, "language": language}
            for language in ([days.BOTH] if everywhere else languages)
        ]
    return answer


# ---------------------------------------------------------------------------------- answers


class ConnectData(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["pending", "connected", "disconnected"])
    qrCode = serializers.CharField(required=False)  # noqa: N815
    qrCodeDataUrl = serializers.CharField(required=False)  # noqa: N815
    pairingCode = serializers.CharField(  # noqa: N815
        required=False, help_text="To type in on the phone that was named."
    )
    expiresAt = serializers.DateTimeField(required=False)  # noqa: N815
    phoneNumber = serializers.CharField(required=False)  # noqa: N815


class ConnectAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()
    data = ConnectData()  # type: ignore[assignment]  # a field named as DRF's own property


class StatusAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=[s for s in Account.Status.values if s != "new"])
    phoneNumber = serializers.CharField(allow_null=True)  # noqa: N815
    platform = serializers.CharField(allow_null=True)
    pushname = serializers.CharField(allow_null=True)
    lastQrScanDate = serializers.DateTimeField(allow_null=True)  # noqa: N815
    lastConnectionCheck = serializers.DateTimeField(allow_null=True)  # noqa: N815
    enrollmentPaused = serializers.BooleanField()  # noqa: N815
    sendingPaused = serializers.BooleanField()  # noqa: N815
    messagesSentToday = serializers.IntegerField()  # noqa: N815
    dailyLimit = serializers.IntegerField()  # noqa: N815
    remaining = serializers.IntegerField()
    resetIn = serializers.IntegerField(help_text="Milliseconds")  # noqa: N815
    isLimited = serializers.BooleanField()  # noqa: N815


class DayAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()
    data = Day()  # type: ignore[assignment]


class DaysAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    data = Day(many=True)  # type: ignore[assignment]


class DayDeletedData(serializers.Serializer[Any]):
    dayNumber = serializers.IntegerField()  # noqa: N815
    deleted = serializers.BooleanField(help_text="False: switched off, history stays")


class DayDeleted(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()
    data = DayDeletedData()  # type: ignore[assignment]


class PauseAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()
    data = PauseBody()  # type: ignore[assignment]


class ExitData(serializers.Serializer[Any]):
    targetsExited = serializers.IntegerField()  # noqa: N815
    messagesCancelled = serializers.IntegerField()  # noqa: N815
    inFlight = serializers.IntegerField(help_text="Messages that were being sent")  # noqa: N815
    known = serializers.BooleanField(help_text="False: remembered for a later import")


class ExitAnswer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    data = ExitData()  # type: ignore[assignment]
