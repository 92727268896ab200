"""Run a transaction again when PostgreSQL ended it to break a deadlock.

The order of locks (campaigns/exits.py) leaves no deadlock between our own transactions that we
know of; this is for those with somebody else's: an admin's bulk edit, a repair by hand.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import structlog
from django.db import OperationalError, connection
from psycopg.errors import DeadlockDetected, SerializationFailure

log = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
ATTEMPTS = 4


def retried(work: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that is one whole transaction. Inside of another one it runs once."""

    @functools.wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return work(*args, **kwargs)
            except OperationalError as error:
                deadlock = isinstance(error.__cause__, DeadlockDetected | SerializationFailure)
                if not deadlock or connection.in_atomic_block or attempt == ATTEMPTS:
                    raise
                log.warning("deadlock, tried again", work=work.__qualname__, attempt=attempt)
        raise AssertionError("unreachable")

    return run
