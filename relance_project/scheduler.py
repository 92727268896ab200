"""The clock: schedules from the database, and a heartbeat for whoever supervises it."""

from __future__ import annotations

from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler

from relance_project import heartbeat


class Scheduler(DatabaseScheduler):  # type: ignore[misc] # untyped
    """At most `CELERY_BEAT_MAX_LOOP_INTERVAL` seconds between two ticks."""

    sync_every = 30  # seconds until the times of runs are written down; the doctor reads them

    def tick(self, *args: Any, **values: Any) -> float:
        heartbeat.renew()
        seconds: float = super().tick(*args, **values)
        return seconds
