"""The worker in memory of tests/whatsapp/, under the same names."""

from django.db.migrations.loader import MigrationLoader

from tests.whatsapp.conftest import (
    account,
    empty_redis,
    linked,
    start_worker,
    tenant,
    worker,
    world,
    write,
)

__all__ = [
    "account",
    "empty_redis",
    "linked",
    "newest_migration",
    "start_worker",
    "tenant",
    "worker",
    "world",
    "write",
]


def newest_migration(app: str) -> tuple[str, str]:
    [newest] = MigrationLoader(None).graph.leaf_nodes(app)
    return newest
