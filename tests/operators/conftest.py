"""The worker in memory of tests/whatsapp/, under the same names."""

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
    "start_worker",
    "tenant",
    "worker",
    "world",
    "write",
]
