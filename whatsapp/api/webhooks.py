"""`/api/v1/webhooks`: which other systems are told what happens, what they were told, and again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import Body, Paging, narrowed, page, paged, read
from accounts.models import ApiKey
from accounts.permissions import ADMINISTRATORS
from accounts.problems import Problem
from accounts.routes import TenantRoute
from whatsapp.api import webhook_examples as examples
from whatsapp.models import WebhookDelivery, WebhookEndpoint
from whatsapp.webhooks import endpoints

Event = WebhookEndpoint.Event
MOST_AT_ONCE = 1_000


class WebhookBody(Body):
    name = serializers.CharField(max_length=80, help_text="Which system it is.")
    url = serializers.CharField(max_length=1000, help_text="A public https:// address.")
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=Event.choices), min_length=1, max_length=len(Event)
    )
    includeText = serializers.BooleanField(
        required=False, default=False, help_text="Send along what messages say."
    )


class WebhookChange(WebhookBody):
    name = None  # type: ignore[assignment]  # DRF's way to leave one out
    active = serializers.BooleanField(
        required=False, default=True, help_text="False: it is told nothing, not even later."
    )


class WebhookAnswer(serializers.ModelSerializer[WebhookEndpoint]):
    includeText = serializers.BooleanField(source="include_text")
    failingSince = serializers.DateTimeField(source="failing_since", allow_null=True)
    switchedOffAt = serializers.DateTimeField(
        source="switched_off_at", allow_null=True, help_text="By Relance, after days of failures."
    )
    createdAt = serializers.DateTimeField(source="created_at")

    class Meta:
        model = WebhookEndpoint
        fields = [
            "id", "name", "url", "events", "includeText", "active", "failingSince",
            "switchedOffAt", "createdAt",
        ]  # fmt: skip
        read_only_fields = fields


class NewWebhookAnswer(WebhookAnswer):
    secret = serializers.CharField(help_text="What calls are signed with; in this answer only.")

    class Meta(WebhookAnswer.Meta):
        fields = [*WebhookAnswer.Meta.fields, "secret"]
        read_only_fields = fields


class WebhookSecret(serializers.Serializer[Any]):
    secret = serializers.CharField()
    formerUntil = serializers.DateTimeField(help_text="Until then calls fit both secrets.")


class DeliveryFilter(Paging):
    state = serializers.ChoiceField(choices=WebhookDelivery.State.choices, required=False)
    event = serializers.ChoiceField(choices=Event.choices, required=False)


class DeliveryAnswer(serializers.ModelSerializer[WebhookDelivery]):
    event = serializers.UUIDField(source="event_id", help_text="The header webhook-id.")
    type = serializers.CharField(source="event.type")
    object = serializers.CharField(source="object_key")
    data = serializers.JSONField(source="event.data")  # type: ignore[assignment]
    createdAt = serializers.DateTimeField(source="event.created_at")
    nextAt = serializers.SerializerMethodField()
    endedAt = serializers.DateTimeField(source="ended_at", allow_null=True)

    class Meta:
        model = WebhookDelivery
        fields = [
            "id", "event", "type", "object", "data", "state", "attempts", "status", "error",
            "milliseconds", "createdAt", "nextAt", "endedAt",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_nextAt(self, row: WebhookDelivery) -> datetime | None:  # noqa: N802
        return row.next_at if row.state == WebhookDelivery.State.PENDING else None


class ReplayBody(Body):
    deliveries = serializers.ListField(
        child=serializers.IntegerField(min_value=1),
        required=False,
        allow_null=True,
        default=None,
        min_length=1,
        max_length=MOST_AT_ONCE,
        help_text="Left out: every dead letter of this webhook.",
    )


class ReplayAnswer(serializers.Serializer[Any]):
    replayed = serializers.IntegerField()


class WebhookRoute(TenantRoute):
    """Whoever is told of everything is a matter for administrators."""

    roles = ADMINISTRATORS
    scopes = {
        "GET": ApiKey.Scope.WEBHOOKS_READ,
        "POST": ApiKey.Scope.WEBHOOKS_WRITE,
        "PUT": ApiKey.Scope.WEBHOOKS_WRITE,
        "DELETE": ApiKey.Scope.WEBHOOKS_WRITE,
    }

    def endpoint(self, pk: int) -> WebhookEndpoint:
        rows = WebhookEndpoint.objects.select_related("tenant").filter(tenant=self.tenant)
        return get_object_or_404(rows, pk=pk)


def _problem(error: endpoints.BadEndpoint) -> Problem:
    return Problem.of_field(error.field, error.code, str(error))


@extend_schema(tags=["webhooks"])
class WebhooksView(WebhookRoute):
    calls_per_minute = {"GET": 100, "POST": 20}

    @extend_schema(
        summary="Webhooks of your company",
        parameters=[Paging],
        responses=paged(WebhookAnswer),
        examples=examples.WEBHOOKS,
    )
    def get(self, request: Request) -> Response:
        return page(request, WebhookEndpoint.objects.filter(tenant=self.tenant), WebhookAnswer)

    @extend_schema(
        summary="Add a webhook",
        description="`secret` is in this answer only; how calls are signed: the guide on webhooks.",
        request=WebhookBody,
        responses={201: NewWebhookAnswer},
        examples=examples.NEW_WEBHOOK,
    )
    def post(self, request: Request) -> Response:
        given = read(WebhookBody, request.data)
        try:
            endpoint, secret = endpoints.create(
                tenant=self.tenant,
                name=given["name"],
                url=given["url"],
                events=given["events"],
                include_text=given["includeText"],
                actor=self.actor,
                now=timezone.now(),
            )
        except endpoints.BadEndpoint as error:
            raise _problem(error) from error
        answer = Response({**WebhookAnswer(endpoint).data, "secret": secret}, status=201)
        answer["Cache-Control"] = "no-store"
        return answer


@extend_schema(tags=["webhooks"])
class WebhookView(WebhookRoute):
    calls_per_minute = {"GET": 100, "PUT": 60, "DELETE": 60}

    @extend_schema(summary="One webhook", responses=WebhookAnswer, examples=examples.ONE_WEBHOOK)
    def get(self, request: Request, pk: int) -> Response:
        return Response(WebhookAnswer(self.endpoint(pk)).data)

    @extend_schema(
        summary="Change a webhook",
        description="Switched on again, it hears what had waited, not what happened meanwhile.",
        request=WebhookChange,
        responses=WebhookAnswer,
        examples=examples.CHANGE_WEBHOOK,
    )
    def put(self, request: Request, pk: int) -> Response:
        endpoint = self.endpoint(pk)
        given = read(WebhookChange, request.data)
        try:
            endpoints.change(
                endpoint,
                url=given["url"],
                events=given["events"],
                include_text=given["includeText"],
                active=given["active"],
                actor=self.actor,
                now=timezone.now(),
            )
        except endpoints.BadEndpoint as error:
            raise _problem(error) from error
        return Response(WebhookAnswer(endpoint).data)

    @extend_schema(
        summary="Delete a webhook",
        description="With its log; what it has not heard yet it never will.",
        responses={204: OpenApiResponse(description="It is gone.")},
    )
    def delete(self, request: Request, pk: int) -> Response:
        endpoints.delete(self.endpoint(pk), actor=self.actor, now=timezone.now())
        return Response(status=204)


@extend_schema(tags=["webhooks"])
class WebhookSecretView(WebhookRoute):
    calls_per_minute = {"POST": 10}

    @extend_schema(
        summary="Give a webhook a new secret",
        description="Calls carry a signature of each of the two for a day.",
        request=None,
        responses=WebhookSecret,
        examples=examples.SECRET,
    )
    def post(self, request: Request, pk: int) -> Response:
        endpoint = self.endpoint(pk)
        secret = endpoints.rotate(endpoint, actor=self.actor, now=timezone.now())
        endpoint.refresh_from_db()
        answer = Response({"secret": secret, "formerUntil": endpoint.former_secret_until})
        answer["Cache-Control"] = "no-store"
        return answer


@extend_schema(tags=["webhooks"])
class WebhookTestView(WebhookRoute):
    calls_per_minute = {"POST": 20}

    @extend_schema(
        summary="Send a test event",
        description="Once, without repeats; the log says what came of it.",
        request=None,
        responses={202: DeliveryAnswer},
        examples=examples.TEST,
    )
    def post(self, request: Request, pk: int) -> Response:
        delivery = endpoints.test(self.endpoint(pk), now=timezone.now())
        return Response(DeliveryAnswer(delivery).data, status=202)


@extend_schema(tags=["webhooks"])
class WebhookDeliveriesView(WebhookRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="What a webhook was told, newest first",
        parameters=[DeliveryFilter],
        responses=paged(DeliveryAnswer),
        examples=examples.DELIVERIES,
    )
    def get(self, request: Request, pk: int) -> Response:
        wishes = read(DeliveryFilter, request.query_params)
        rows = self.endpoint(pk).deliveries.select_related("event")
        rows = narrowed(rows, wishes, {"state": "state", "event": "event__type"})
        return page(request, rows, DeliveryAnswer, size=wishes["pageSize"])


@extend_schema(tags=["webhooks"])
class WebhookReplayView(WebhookRoute):
    calls_per_minute = {"POST": 20}

    @extend_schema(
        summary="Tell a webhook again",
        description="With the same `webhook-id`: a receiver that has an event can drop it.",
        request=ReplayBody,
        responses=ReplayAnswer,
        examples=examples.REPLAY,
    )
    def post(self, request: Request, pk: int) -> Response:
        endpoint = self.endpoint(pk)
        given = read(ReplayBody, request.data)
        replayed = endpoints.replay(
            endpoint, delivery_ids=given["deliveries"], actor=self.actor, now=timezone.now()
        )
        return Response({"replayed": replayed})
