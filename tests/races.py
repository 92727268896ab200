"""Several at work at once, each on a connection of its own, against the real PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection, transaction


def together(*works: Callable[[], Any]) -> list[Any]:
    """Run each at the same time; their results in order."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            barrier.wait(10)
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return [f.result(60) for f in [pool.submit(run, work) for work in works]]


def behind(
    first: Callable[[], Any], work: Callable[[], Any], then: Callable[[], Any] | None = None
) -> Any:
    """Do `first` and `then` in one transaction; in between `work` begins and comes to a lock.

    Or ends, where it needs none. Returns what `work` does.
    """
    pids: list[int] = []

    def run() -> Any:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                pids.append(cursor.fetchone()[0])
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            first()
            future = pool.submit(run)
            until = time.monotonic() + 30
            while not future.done() and not (pids and _waits(pids[0])):
                assert time.monotonic() < until, "neither waiting for a lock nor through"
                time.sleep(0.005)
            if then is not None:
                then()
        return future.result(60)


def _waits(pid: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [pid])
        return bool(cursor.fetchone()[0])
