"""One row that cannot be handled must keep no other waiting.

Whoever goes over the rows of many companies handles each of them `apart`, so that it fails for one
and is tried again in the next round::

    with poison.apart("row not handled", row_id=row.pk):
        handle(row)

What handles many at once is done again with halves of them, until those who fail are `alone`. In
either way what is handled has to be a transaction of its own, or none at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from accounts.database import is_away

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class Apart:
    """`error` is what the block raised, if it did."""

    error: Exception | None = None


@contextlib.contextmanager
def apart(
    event: str, *, but: type[Exception] | tuple[type[Exception], ...] = (), **ids: int | str | None
) -> Iterator[Apart]:
    """Log what the block raises as `event`, the fault of what `ids` name, and go on after it.

    Raises what is nobody's fault, PostgreSQL is away or has ended a deadlock, and `but` what the
    caller expects.
    """
    this = Apart()
    try:
        yield this
    except but:
        raise
    except Exception as error:
        if is_away(error):
            raise
        log.exception(event, **ids)
        this.error = error


def alone(work: Callable[[Sequence[T]], Any], rows: Sequence[T]) -> Iterator[tuple[T, Exception]]:
    """Do `work` with all of `rows`; yields those with whom it fails, and what it raised.

    Raises what is nobody's fault, as `apart` does.
    """
    try:
        if rows:
            work(rows)
    except Exception as error:
        if is_away(error):
            raise
        why = error
    else:
        return
    if len(rows) == 1:
        yield rows[0], why
        return
    middle = len(rows) // 2
    yield from alone(work, rows[:middle])
    yield from alone(work, rows[middle:])
