"""What callers send and how lists are answered: strict bodies, filters, pages with a cursor."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import parse_qs

from django.db.models import Model, QuerySet
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import phones
from accounts.problems import Problem

M = TypeVar("M", bound=Model)
PAGE_SIZE = 50
MAX_PAGE_SIZE = 200


class Body(serializers.Serializer[Any]):
    """A body or a query: a name that is not known is an error, never silently left out."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [name for name in data if name not in self.fields]
            if unknown:
                known = ", ".join(self.fields)
                raise serializers.ValidationError(
                    {
                        str(name)[:60]: serializers.ErrorDetail(
                            f"there is no such field: use {known}", "unknown"
                        )
                        for name in unknown[:20]
                    }
                )
        return super().to_internal_value(data)


class Moment(serializers.DateTimeField):
    """A time between 2000 and 2100: further away arithmetic and time zones run out of years."""

    def to_internal_value(self, value: Any) -> datetime:
        moment = super().to_internal_value(value)
        if not 2000 <= moment.year < 2100:
            raise serializers.ValidationError("give a time between 2000 and 2100", "out_of_range")
        return moment


class Paging(Body):
    """Which page of a list; filters of a list extend it."""

    cursor = serializers.CharField(
        required=False, max_length=300, help_text="From `next` or `previous` of a page."
    )
    pageSize = serializers.IntegerField(
        required=False, default=PAGE_SIZE, min_value=1, max_value=MAX_PAGE_SIZE
    )


class _Newest(CursorPagination):
    """By id, newest first. Rows that come meanwhile neither repeat nor hide others."""

    ordering = "-id"
    cursor_query_param = "cursor"

    def __init__(self, page_size: int) -> None:
        self.page_size = page_size

    def decode_cursor(self, request: Request) -> Any:
        """Checked here: DRF would hand whatever a cursor holds to PostgreSQL."""
        text = request.query_params.get(self.cursor_query_param)
        if text:
            try:
                values = parse_qs(b64decode(text.encode("ascii"), validate=True).decode("ascii"))
                numbers = [*values.get("p", []), *values.get("o", [])]
                readable = values.keys() <= {"p", "o", "r"} and all(
                    number.isdecimal() and len(number) <= 18 for number in numbers
                )
            except (ValueError, binascii.Error):
                readable = False
            if not readable:
                raise Problem.of_field("cursor", "invalid", "this cursor is of no page of ours")
        return super().decode_cursor(request)


def read(body: type[Body], given: Any) -> dict[str, Any]:
    """The checked values of a body or a query. Raises what becomes a 400 that names the fields."""
    checked = body(data=given)
    checked.is_valid(raise_exception=True)
    values: dict[str, Any] = checked.validated_data
    return values


def narrowed(
    rows: QuerySet[M], wishes: Mapping[str, Any], lookups: Mapping[str, str]
) -> QuerySet[M]:
    """Those of `rows` that have what was wished; `lookups` is a lookup for each name of a wish."""
    return rows.filter(
        **{lookup: wishes[name] for name, lookup in lookups.items() if name in wishes}
    )


def phone_of(text: str, field: str, region: str) -> str:
    """E.164 of what somebody wrote in a field. Raises `Problem`."""
    try:
        return phones.parse(text, region=region)
    except phones.BadPhone as error:
        raise Problem.of_field(field, error.code, str(error)) from error


def page(
    request: Request,
    rows: QuerySet[Any, Model],
    answer: type[serializers.BaseSerializer[Any]],
    *,
    size: int | None = None,
) -> Response:
    """One page of `rows` as ``{"next": address or null, "previous": …, "results": […]}``.

    Without `size` the query is a `Paging` and nothing else.
    """
    pages = _Newest(size or read(Paging, request.query_params)["pageSize"])
    found = pages.paginate_queryset(rows, request)
    return pages.get_paginated_response(answer(found, many=True).data)


def paged(answer: type[serializers.BaseSerializer[Any]]) -> serializers.Serializer[Any]:
    """How `page` is described."""
    return inline_serializer(
        f"{answer.__name__}Page",
        {
            "next": serializers.URLField(allow_null=True),
            "previous": serializers.URLField(allow_null=True),
            "results": answer(many=True),
        },
    )
