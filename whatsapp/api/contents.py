"""What a message says and when it goes, as callers write it: bodies, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rest_framework import serializers

from accounts.bodies import Body, Moment
from accounts.models import Tenant
from accounts.problems import Problem
from whatsapp import attachments, previews, schedules
from whatsapp.contents import (
    MAX_PLACE_ADDRESS,
    MAX_PLACE_NAME,
    MAX_TEXT,
    CannotSend,
    Content,
    LinkContent,
    LocationContent,
    MediaContent,
    TextContent,
    check_link,
)
from whatsapp.fetching import MAX_URL, CannotFetch
from whatsapp.media import BadMedia
from whatsapp.models import Account, Contact, Group, Media

TIMEZONES = [schedules.TENANT, schedules.RECIPIENT]


class Text(serializers.CharField):
    """The text of a message, as it is: with its spaces and line ends."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **{
                "max_length": MAX_TEXT,
                "required": False,
                "default": "",
                "allow_blank": True,
                "trim_whitespace": False,
                **options,
            }
        )


class MediaWish(Body):
    """A file: by its public address, fetched now, or by the id of an upload."""

    url = serializers.CharField(
        max_length=MAX_URL, required=False, help_text="Public; fetched now."
    )
    type = serializers.ChoiceField(
        choices=Media.Kind.choices, required=False, help_text="How it is sent; with `url`."
    )
    id = serializers.IntegerField(
        min_value=1, required=False, help_text="Instead of `url`: from `POST /api/v1/media`."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("url" in attrs) == ("id" in attrs):
            raise serializers.ValidationError({"url": "give an address or an id"}, "required")
        if "url" in attrs and "type" not in attrs:
            raise serializers.ValidationError(
                {"type": "say how the file is sent: image, video, document or audio"}, "required"
            )
        return attrs


class LocationWish(Body):
    latitude = serializers.FloatField(min_value=-90, max_value=90)
    longitude = serializers.FloatField(min_value=-180, max_value=180)
    name = serializers.CharField(
        max_length=MAX_PLACE_NAME, required=False, default="", allow_blank=True
    )
    address = serializers.CharField(
        max_length=MAX_PLACE_ADDRESS, required=False, default="", allow_blank=True
    )


class LinkWish(Body):
    url = serializers.CharField(
        max_length=MAX_URL, help_text="Shown with a preview that we make of the page now."
    )


class WallTime(Moment):
    """A time with its offset from UTC, or without: then somebody's clock shows it."""

    def enforce_timezone(self, value: datetime) -> datetime:
        return value


class Saying(Body):
    """What is said, and when. Bodies of routes that send extend it."""

    text = Text(help_text="The text, or the caption of the file.")
    media = MediaWish(required=False, allow_null=True, default=None)
    location = LocationWish(required=False, allow_null=True, default=None)
    link = LinkWish(required=False, allow_null=True, default=None)
    quotedMessageId = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=200,
        help_text="The message of the same chat that it answers: our id, or WhatsApp's.",
    )  # fmt: skip
    scheduledAt = WallTime(
        required=False, allow_null=True, default=None,
        help_text="Not before this time. Without an offset: on the clock of `timezone`.",
    )  # fmt: skip
    timezone = serializers.ChoiceField(
        choices=TIMEZONES, required=False,
        help_text="Whose clock shows `scheduledAt`: the company's (the default), or that of where "
        "the recipient's number is at home.",
    )  # fmt: skip


def media_of(wish: Mapping[str, Any], *, tenant: Tenant, field: str = "media") -> Media:
    """The file, fetched and stored now, or one of the company's own. Raises `Problem`."""
    if "id" in wish:
        stored = Media.objects.filter(tenant=tenant, pk=wish["id"]).first()
        if stored is None:
            raise Problem.of_field(f"{field}.id", "unknown", "you have no such file")
        return stored
    try:
        return attachments.get(tenant, wish["url"], kind=wish["type"])
    except (BadMedia, CannotFetch) as error:
        part = "type" if error.code == "wrong_kind" else "url"
        raise Problem.of_field(f"{field}.{part}", error.code, str(error)) from error


def content_of(wishes: Mapping[str, Any], *, tenant: Tenant, text_field: str = "text") -> Content:
    """What to send; files and previews are fetched here. Raises `Problem`.

    `text_field` is what the caller knows the text by.
    """
    chosen = [name for name in ("media", "location", "link") if wishes[name]]
    if len(chosen) > 1:
        raise Problem.of_field(
            chosen[1], "several", f"a message has no {chosen[1]} beside {chosen[0]}"
        )
    text = wishes["text"]
    try:
        if wishes["media"]:
            return MediaContent(media_of(wishes["media"], tenant=tenant), text)
        if wishes["location"]:
            if text.strip():
                raise Problem.of_field(
                    text_field, "not_with_location", "a place has no text: use its name and address"
                )
            return LocationContent(**wishes["location"])
        if wishes["link"]:
            url = wishes["link"]["url"]
            check_link(url)
            return LinkContent(url, text, previews.make(url, tenant=tenant))
        return TextContent(text)
    except CannotSend as error:
        raise Problem.of_field(error.field, error.code, str(error)) from error


def due_at_of(
    wishes: Mapping[str, Any], *, account: Account, to: str | Contact | Group
) -> datetime | None:
    """The moment that `scheduledAt` means; None: as soon as possible. Raises `Problem`.

    `to` is a phone (E.164), a contact or a group.
    """
    wall: datetime | None = wishes["scheduledAt"]
    clock = wishes.get("timezone")
    if wall is None:
        if clock:
            raise Problem.of_field("scheduledAt", "required", "say when, on this clock")
        return None
    if wall.tzinfo is not None:
        if clock:
            raise Problem.of_field(
                "timezone", "two_clocks", "scheduledAt has an offset already: leave one of them out"
            )
        return wall
    zone = account.tenant.zone
    if clock == schedules.RECIPIENT:
        if isinstance(to, Group):
            raise Problem.of_field("timezone", "group", "a group has no clock: use tenant")
        zone = schedules.zone_for(to if isinstance(to, str) else to.phone, account)
    return schedules.moment(wall, zone)
