"""Telling a database that cannot do anything just now from a statement that is wrong."""

from __future__ import annotations

from django.db import InterfaceError, OperationalError

READ_ONLY = "25006"  # SQLSTATE: a standby, or default_transaction_read_only


def is_away(error: BaseException) -> bool:
    """Whether PostgreSQL does not answer, or takes no writes: to be tried again later as it is."""
    if isinstance(error, OperationalError | InterfaceError):
        return True
    return getattr(error.__cause__, "sqlstate", None) == READ_ONLY
