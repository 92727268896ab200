"""`/api/v1/api-keys` and `/api/v1/activity`: a company's keys, and what was done in it."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import api_keys, examples
from accounts.bodies import MAX_PAGE_SIZE, PAGE_SIZE, paged, read
from accounts.models import Activity, ApiKey
from accounts.permissions import ADMINISTRATORS, RANKS
from accounts.problems import Problem
from accounts.routes import TenantRoute
from accounts.serializers import (
    ActivityFilter,
    ActivityLine,
    IssuedKey,
    KeyBody,
    KeyDescription,
)


@extend_schema(tags=["keys"])
class KeysView(TenantRoute):
    """Keys are issued by people: a key that issues keys could not be taken back."""

    roles = ADMINISTRATORS
    calls_per_minute = {"GET": 100, "POST": 20}

    @extend_schema(
        summary="Your company's API keys",
        description="Revoked and expired ones included; their text is never shown again.",
        responses={200: KeyDescription(many=True)},
        examples=examples.KEYS,
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002
        keys = ApiKey.objects.filter(tenant=self.tenant).select_related("created_by")
        return Response(KeyDescription(keys.order_by("-id"), many=True).data)

    @extend_schema(
        summary="Issue an API key",
        description=(
            "`key` is in this answer only. The program sends it as `Authorization: Bearer rl_…`."
        ),
        request=KeyBody,
        responses={201: IssuedKey},
        examples=examples.NEW_KEY,
    )
    def post(self, request: Request) -> Response:
        given = read(KeyBody, request.data)
        if RANKS.index(given["role"]) < RANKS.index(self.role):
            raise Problem.of_field("role", "role", f"your own role is {self.role}: give no higher")
        key, text = api_keys.issue(
            tenant=self.tenant, actor=self.actor, now=timezone.now(), **given
        )
        answer = Response({**KeyDescription(key).data, "key": text}, status=201)
        answer["Cache-Control"] = "no-store"
        return answer


@extend_schema(tags=["keys"])
class KeyView(TenantRoute):
    roles = ADMINISTRATORS
    calls_per_minute = {"DELETE": 60}

    @extend_schema(
        summary="Revoke an API key",
        description="At once. Revoking it again changes nothing.",
        responses={204: OpenApiResponse(description="It is revoked.")},
    )
    def delete(self, request: Request, pk: int) -> Response:  # noqa: ARG002
        key = ApiKey.objects.filter(tenant=self.tenant, pk=pk).first()
        if key is None:
            raise Problem(404, "not_found", "There is no such key.")
        api_keys.revoke(key, actor=self.actor, now=timezone.now())
        return Response(status=204)


class NewestFirst(CursorPagination):
    page_size = PAGE_SIZE
    page_size_query_param = "pageSize"
    max_page_size = MAX_PAGE_SIZE
    ordering = ("-at", "-id")


@extend_schema(tags=["activity"])
class ActivityView(TenantRoute):
    roles = ADMINISTRATORS
    scopes = {"GET": "activity:read"}
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="What was done, newest first",
        description="Follow `next` for older lines.",
        parameters=[ActivityFilter],
        responses=paged(ActivityLine),
        examples=examples.ACTIVITY,
    )
    def get(self, request: Request) -> Response:
        wishes = read(ActivityFilter, request.query_params)
        wanted: dict[str, Any] = {
            lookup: wishes[name]
            for name, lookup in ActivityFilter.LOOKUPS.items()
            if name in wishes
        }
        rows = Activity.objects.filter(tenant=self.tenant, **wanted)
        pages = NewestFirst()
        page = pages.paginate_queryset(rows, request, view=self)
        return pages.get_paginated_response(ActivityLine(page, many=True).data)
