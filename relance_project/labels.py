"""Names of models and fields for people, in their language.

Django makes them from the names in the code, in English. Here they become texts like all others,
so that a new field has a name to translate without anybody remembering to mark it.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.db.models import Field, Model
from django.utils.translation import gettext_lazy, override

OURS = ("accounts", "whatsapp", "campaigns")
# Names that are not written as in the code.
WRITTEN = {"lid": "LID", "on whatsapp": "on WhatsApp"}


def names() -> Iterator[str]:
    """Every name that `translate` makes translatable, in English."""
    with override(None):
        for model in _models():
            yield str(model._meta.verbose_name)
            yield str(model._meta.verbose_name_plural)
            for field in _fields(model):
                yield _written(field)


def translate() -> None:
    """Make the names translatable; migrations do not notice, they look at what the code says."""
    with override(None):
        for model in _models():
            options = model._meta
            options.verbose_name = gettext_lazy(str(options.verbose_name))
            options.verbose_name_plural = gettext_lazy(str(options.verbose_name_plural))
            for field in _fields(model):
                field.verbose_name = gettext_lazy(_written(field))


def _written(field: Field[object, object]) -> str:
    name = str(field.verbose_name)
    return WRITTEN.get(name, name)


def _models() -> Iterator[type[Model]]:
    for label in OURS:
        yield from apps.get_app_config(label).get_models()


def _fields(model: type[Model]) -> Iterator[Field[object, object]]:
    # Relations from elsewhere, and what somebody else's base class has translated, have no name.
    for field in model._meta.get_fields():
        if isinstance(field, Field) and field.verbose_name and field.model is model:
            yield field
