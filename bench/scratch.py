"""A database and a Redis of its own for a comparison, gone when it ends; as durable as in use.

Import this before any model: it sets up Django. DATABASE_URL and REDIS_URL are not heeded, so that
no comparison ever fills or flushes what somebody works with.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from typing import Any

from django.apps import apps

from relance_project import local

if not apps.ready:
    import django

    SERVICES = local.start(local.state_dir() / "bench")
    SLOT = local.claim_slot(SERVICES.directory)
    os.environ["DATABASE_URL"] = SERVICES.database_url
    os.environ["TEST_DATABASE_NAME"] = f"bench_relance_{SLOT}"
    os.environ["REDIS_URL"] = local.redis_url(SERVICES.directory, database=SLOT)
    os.environ["LOG_LEVEL"] = "CRITICAL"
    # What is measured is the path of a message, not how long it is made to wait.
    os.environ["WHATSAPP_SAFE_PACE"] = "0"
    for name in ("SECRET_KEY", "JWT_SIGNING_KEY", "WHATSAPP_SESSION_SECRET"):
        os.environ[name] = secrets.token_hex(32)
    os.environ["DJANGO_SETTINGS_MODULE"] = "relance_project.settings"
    django.setup()

from django.db import connection


@contextlib.contextmanager
def database() -> Iterator[None]:
    """An empty database with our schema."""
    before = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(before, verbosity=0)


def run(statement: str, params: dict[str, Any] | None = None) -> int:
    """Execute SQL; returns how many rows it was about."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return int(cursor.rowcount)
