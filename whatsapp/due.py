"""Which queued message of an account goes first: asked before every message that is sent.

Django needs some 5 ms of a processor to write this statement down, ten times what it takes to ask
it. So the statement is written down once for a process, by Django, from the query set below.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection, models

from accounts.models import Tenant
from whatsapp.models import Account, Contact, Group, Media, Message
from whatsapp.standing import STANDING, with_standing

# Stands for the account in the statement; no row has it.
_ACCOUNT = -1
# What is read with a message, by the path that leads there.
_RELATED: dict[str, type[models.Model]] = {
    "contact": Contact,
    "group": Group,
    "media": Media,
    "account": Account,
    "account__tenant": Tenant,
}


def next_due(account_id: int) -> Message | None:
    """The queued message of the account that goes first now, by the database's clock.

    With its contact, its file, its account as that is now, and their `standing`.
    """
    statement = _statement()
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, statement.params(account_id))
        row = cursor.fetchone()
    return None if row is None else _read(iter(row))


def waiting(account_id: int) -> bool:
    """Whether the account has something due, or begun and not decided."""
    undecided = Message.objects.filter(account_id=account_id, state=Message.State.SENDING)
    return next_due(account_id) is not None or undecided.exists()


@dataclass(frozen=True, slots=True)
class _Statement:
    sql: str
    bound: tuple[Any, ...]

    def params(self, account_id: int) -> list[Any]:
        return [account_id if value == _ACCOUNT else value for value in self.bound]


@functools.cache
def _statement() -> _Statement:
    rows = (
        with_standing(Message.objects.filter(account_id=_ACCOUNT, state=Message.State.QUEUED))
        .extra(where=["whatsapp_message.due_at <= clock_timestamp()"])
        .order_by("priority", "due_at", "id")
        .values_list(
            *_names(Message),
            *(f"{path}__{name}" for path, model in _RELATED.items() for name in _names(model)),
            *STANDING,
        )[:1]
    )
    sql, params = rows.query.sql_with_params()
    return _Statement(sql, tuple(params))


def _names(model: type[models.Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


def _read(row: Iterator[Any]) -> Message:
    """In the order in which `_statement` names the columns."""
    message: Message = _instance(Message, row)
    found: dict[str, models.Model] = {"": message}
    for path, model in _RELATED.items():
        owner, _, name = path.rpartition("__")
        related = _instance(model, row)
        if related is not None:
            setattr(found[owner], name, related)
            found[path] = related
    for name in STANDING:
        setattr(message, name, next(row))
    return message


def _instance(model: type[models.Model], row: Iterator[Any]) -> Any:
    """One of `model` from as many values as it has columns; None where a join found none."""
    values = []
    for field in model._meta.concrete_fields:
        value = next(row)
        for convert in field.get_db_converters(connection):
            value = convert(value, None, connection)
        values.append(value)
    known = dict(zip(_names(model), values, strict=True))
    if known[model._meta.pk.attname] is None:
        return None
    return model.from_db(connection.alias, list(known), values)
