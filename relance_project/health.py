"""Is the web process alive, and can it serve?"""

from __future__ import annotations

import functools

from django.core.cache import cache
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from redis.exceptions import RedisError


def healthz(_request: HttpRequest) -> JsonResponse:
    """200 when PostgreSQL answers. Redis is not asked: the API works while it is away."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return JsonResponse({"status": "unavailable", "database": "no answer"}, status=503)
    return JsonResponse({"status": "ok"})


def readyz(_request: HttpRequest) -> JsonResponse:
    """Whether to send requests here: 503 while PostgreSQL cannot serve them.

    Without Redis it is ``degraded``, and still 200: only QR codes and sending wait.
    """
    database, redis = _database(), _redis()
    status = "ok" if redis == "ok" else "degraded"
    ready = database == "ok"
    return JsonResponse(
        {"status": status if ready else "unavailable", "database": database, "redis": redis},
        status=200 if ready else 503,
    )


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('transaction_read_only') = 'on'")
            if cursor.fetchone()[0]:
                return "read-only"
        if not _migrated():
            _migrated.cache_clear()
            return "migrations missing"
    except DatabaseError:
        return "no answer"
    return "ok"


@functools.cache
def _migrated() -> bool:
    """Asked until it is so: this process's code does not change."""
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


def _redis() -> str:
    try:
        cache.get("readyz")
    except (RedisError, OSError):
        return "no answer"
    return "ok"
