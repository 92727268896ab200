"""A file that workers and beat renew while they work, for whoever supervises them.

The setting HEARTBEAT_FILE names it; scripts/healthcheck.py reads it. Asking a worker over Redis
(``celery inspect ping``) would start a whole Django every time.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from celery import bootsteps
from django.conf import settings

from whatsapp import remote

EVERY = 5.0  # seconds


def renew() -> None:
    """Write this moment down, as the kernel counts it: a clock that jumps is no death."""
    if not settings.HEARTBEAT_FILE:
        return
    path = Path(settings.HEARTBEAT_FILE)
    unfinished = path.with_suffix(".new")
    with contextlib.suppress(OSError):  # a full disk must stop nobody
        unfinished.write_text(f"{time.monotonic():.1f}")
        unfinished.replace(path)


class Heartbeat(bootsteps.StartStopStep):
    """Runs on the loop that reads the queues, so that one that hangs is noticed."""

    requires = ("celery.worker.components:Timer",)

    def start(self, parent: Any) -> None:
        renew()
        parent.timer.call_repeatedly(EVERY, self._beat, priority=10)

    def _beat(self) -> None:
        # A browser worker is alive while its leases are.
        if all(pool.beats for pool in remote.pools):
            renew()
