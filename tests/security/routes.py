"""Every address of the web process, read from the URL conf: a new one is tested by itself."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.converters import IntConverter, UUIDConverter
from django.urls.resolvers import RoutePattern

PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
# Within a company: the same name in another one means something else.
NAMES = {"agent", "agentId"}
VERBS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Route:
    """One address; `path` as in the URL conf: ``/api/v1/api-keys/<int:pk>``."""

    path: str
    converters: dict[str, Any]
    view: Any
    name: str

    def __str__(self) -> str:
        return self.path

    @property
    def view_class(self) -> type | None:
        return getattr(self.view, "cls", None) or getattr(self.view, "view_class", None)

    @property
    def verbs(self) -> tuple[str, ...]:
        """What its class answers to; for a function the two that browsers use."""
        if self.view_class is None:
            return ("get", "post")
        return tuple(verb for verb in VERBS if hasattr(self.view_class, verb))

    @property
    def model(self) -> type[Model] | None:
        """Whose admin pages this is one of."""
        words = self.path.split("/")
        return next(
            (m for m in admin.site._registry if words[2:4] == m._meta.label_lower.split(".")), None
        )

    def address(self, values: dict[str, Any]) -> str:
        return PARAMETER.sub(lambda found: str(values[found[1]]), self.path)


def all_routes() -> list[Route]:
    return [r for r in _walk(get_resolver(), "/", {}) if r.path != "/admin/(?P<url>.*)$"]


def _walk(resolver: URLResolver, prefix: str, above: dict[str, Any]) -> Iterator[Route]:
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern)
        converters = {**above, **pattern.pattern.converters}
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern, path, converters)
        elif isinstance(pattern, URLPattern) and isinstance(pattern.pattern, RoutePattern):
            yield Route(path, converters, pattern.callback, pattern.name or "")


def addresses(
    route: Route, ids: dict[str, list[Any]], own: dict[str, list[Any]] | None = None
) -> list[str]:
    """The route with every combination of `ids` (and of `own`, but not of `own` alone)."""
    names = list(route.converters)
    found = [dict(zip(names, values, strict=True)) for values in _combine(route, ids)]
    for values in _combine(route, own) if own and len(names) > 1 else ():
        for index, name in enumerate(names):
            if name in NAMES or _values(route, name, ids) == _values(route, name, own):
                continue  # the same in both companies, or nobody's
            found += [
                {**dict(zip(names, values, strict=True)), name: foreign}
                for foreign in _values(route, name, ids)
            ][: 40 * (index + 1)]
    return sorted({route.address(values) for values in found})


def _combine(route: Route, ids: dict[str, list[Any]]) -> list[tuple[Any, ...]]:
    return list(itertools.product(*(_values(route, name, ids) for name in route.converters)))


def _values(route: Route, name: str, ids: dict[str, list[Any]]) -> list[Any]:
    if name in ids:
        return ids[name]
    converter = route.converters[name]
    if isinstance(converter, IntConverter):
        return ids["int"]
    if isinstance(converter, UUIDConverter):
        return ids["uuid"]
    raise AssertionError(
        f"{route}: nobody knows what <{name}> is. If it names something of a company, give its "
        f"values in World.ids (tests/security/world.py); if it is no id, add it to NOT_IDS there."
    )
