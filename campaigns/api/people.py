"""`/api/v1/people/…`: what is known about the person with a phone number, and deleting it.

The number is in the body and never in an address: addresses are written into logs.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import Body, phone_of, read
from accounts.models import ApiKey
from accounts.permissions import ADMINISTRATORS
from accounts.routes import TenantRoute
from campaigns import people
from campaigns.api import examples

LID = r"^[0-9]{1,30}@lid$"


class Person(Body):
    """One of the two."""

    phone = serializers.CharField(
        required=False, max_length=60, help_text="+33639980000, or as written there"
    )
    lid = serializers.RegexField(
        LID, required=False, max_length=40, help_text="123@lid, of somebody without a known phone"
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError({"phone": "give a phone or a lid"})
        return attrs


class Rows(serializers.ListField):
    child = serializers.DictField()


class PersonAnswer(serializers.Serializer[Any]):
    """Tables with their columns, as they are stored."""

    contacts = Rows()
    consent = Rows()
    groups = Rows()
    chats = Rows()
    referrals = Rows()
    targets = Rows()
    payments = Rows()
    messages = Rows()
    receipts = Rows()
    broadcasts = Rows()
    attempts = Rows()
    incoming = Rows()
    turns = Rows()
    webhooks = Rows()
    activity = Rows()


class DeletedAnswer(serializers.Serializer[Any]):
    contacts = serializers.IntegerField()
    messages = serializers.IntegerField()
    incoming = serializers.IntegerField()
    referrals = serializers.IntegerField()
    targets = serializers.IntegerField()
    inFlight = serializers.IntegerField(
        source="in_flight", help_text="Being sent at this moment; deleted within minutes"
    )


class PersonRoute(TenantRoute):
    roles = ADMINISTRATORS
    scopes = {"POST": ApiKey.Scope.PEOPLE_WRITE}
    calls_per_minute = {"POST": 20}

    def who(self, request: Request) -> str:
        """A phone (E.164) or a LID."""
        given = read(Person, request.data)
        if "lid" in given:
            return str(given["lid"])
        return phone_of(given["phone"], "phone", self.tenant.region)


@extend_schema(tags=["people"])
class PersonExportView(PersonRoute):
    @extend_schema(
        summary="Everything known about a person",
        description="Table by table. Empty lists when nothing is known.",
        request=Person,
        responses=PersonAnswer,
        examples=examples.PERSON,
    )
    def post(self, request: Request) -> Response:
        found = people.export(self.tenant, self.who(request), actor=self.actor, now=timezone.now())
        return Response(found, headers={"Cache-Control": "no-store"})


@extend_schema(tags=["people"])
class PersonDeleteView(PersonRoute):
    @extend_schema(
        summary="Delete a person's data",
        description=(
            "They leave every sequence, their messages and referrals are deleted, and no import "
            "follows their number again. This cannot be taken back."
        ),
        request=Person,
        responses=DeletedAnswer,
        examples=examples.PERSON_DELETED,
    )
    def post(self, request: Request) -> Response:
        done = people.delete(self.tenant, self.who(request), actor=self.actor, now=timezone.now())
        return Response(DeletedAnswer(asdict(done)).data)
