"""One row that cannot be handled must keep no other waiting.

Whoever goes over the rows of many companies handles each of them `apart`, so that it fails for one
and is tried again in the next round::

    with poison.apart("row not handled", row_id=row.pk):
        handle(row)

What is handled has to be a transaction of its own, or none at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from accounts.database import is_away

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Apart:
    """`error` is what the block raised, if it did."""

    error: Exception | None = None


@contextlib.contextmanager
def apart(event: str, **ids: int | str | None) -> Iterator[Apart]:
    """Log what the block raises as `event`, the fault of what `ids` name, and go on after it.

    Raises what is nobody's fault: PostgreSQL is away, or has ended a deadlock.
    """
    this = Apart()
    try:
        yield this
    except Exception as error:
        if is_away(error):
            raise
        log.exception(event, **ids)
        this.error = error
