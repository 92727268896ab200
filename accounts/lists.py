"""What keeps the admin's lists quick on millions of rows: how they are counted and searched."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from accounts import phones

COUNTED = 10_000
PEOPLE = 200


class QuickPaginator(Paginator):  # type: ignore[type-arg]  # not generic at run time
    """Counts up to `COUNTED` rows: nobody turns four hundred pages, they ask or search."""

    template_name = "admin/quick_pagination.html"

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        # Ordering and what is only shown would cost, and change no number.
        return int(rows.order_by().values("pk")[:COUNTED].count())

    def page(self, number: Any) -> Any:
        """The rows of a page are chosen and sorted by their keys alone, and read after that.

        Sorting thousands of rows together with all they refer to would cost ten times as much.
        """
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        rows: Any = self.object_list
        keys = list(rows.values_list("pk", flat=True)[first : first + self.per_page])
        page = rows.filter(pk__in=keys)
        return self._get_page(page, number, self)  # type: ignore[attr-defined]  # Django documents it

    @property
    def is_cut(self) -> bool:
        return self.count == COUNTED


class QuickChangeList(ChangeList):
    """Without the count of everything, and without Unfold's line in its stead in the title."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.full_result_count = self.result_count


def some(request: HttpRequest, people: QuerySet[Any]) -> list[int]:
    """Ids of the first `PEOPLE` of those a search found; says so where there are more."""
    found = list(people.order_by("pk").values_list("pk", flat=True)[: PEOPLE + 1])
    if len(found) > PEOPLE:
        messages.warning(
            request,
            _("More than %d people begin like this, some are left out: type more of the name.")
            % PEOPLE,
        )
    return found[:PEOPLE]


def search(
    rows: QuerySet[Any], fields: Iterable[str], text: str, *, regions: Iterable[str]
) -> QuerySet[Any]:
    """Rows of which one of `fields` begins with `text`, whole, or equals it where marked "=".

    A phone number may be written as people write it: from one of `regions`, in groups.
    """
    found = Q(pk=None)
    for field in fields:
        name = field.lstrip("^=")
        if name.endswith("phone"):
            for number in numbers(text, regions=regions):
                found |= Q(**{f"{name}__startswith": number})
        elif field.startswith("="):
            found |= Q(**{name: text})
        else:
            found |= Q(**{f"{name}__istartswith": text})
    return rows.filter(found)


def numbers(text: str, *, regions: Iterable[str]) -> set[str]:
    """How numbers that `text` may be the beginning of are stored; empty when it is none.

    >>> numbers("06 39 98 00 01", regions=["FR"])
    {'+33639980001'}
    >>> numbers("+33 6 39", regions=[])
    {'+33639'}
    """
    bare = re.sub(r"[\s().\-/]", "", text)
    if not re.fullmatch(r"\+?[0-9]{2,15}", bare):
        return set()
    if bare.startswith("00"):
        return {"+" + bare[2:]}
    if not bare.startswith("0"):
        return {"+" + bare.lstrip("+")}
    found = set()
    for region in regions:
        try:
            found.add(phones.parse(bare, region=region))
        except phones.BadPhone:
            continue
    return found
