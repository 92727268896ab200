"""What the clock starts again and again (Celery beat)."""

from __future__ import annotations

import datetime as dt
from typing import Any


def rounds(*, enrol: int, plan: int, reconcile: int, score: int) -> dict[str, dict[str, Any]]:
    """`CELERY_BEAT_SCHEDULE`; the arguments are the seconds between rounds that settings give."""
    day, hour = dt.timedelta(days=1), dt.timedelta(hours=1)
    return {
        "enrol": _dropped_when_late("campaigns.tasks.enrol", enrol),
        "plan": _dropped_when_late("campaigns.tasks.plan", plan),
        "plan-broadcasts": _dropped_when_late("campaigns.tasks.plan_broadcasts", plan),
        "reconcile": _dropped_when_late("whatsapp.tasks.reconcile", reconcile),
        "assess-health": _dropped_when_late("whatsapp.tasks.assess_health", 600),
        "forget-health": {"task": "whatsapp.tasks.forget_health", "schedule": day},
        "score-engagement": _dropped_when_late("whatsapp.tasks.score_engagement", score),
        "score-everybody": {"task": "whatsapp.tasks.score_everybody", "schedule": day},
        "forget-nonces": {"task": "accounts.tasks.forget_nonces", "schedule": hour},
        "forget-tokens": {"task": "accounts.tasks.forget_tokens", "schedule": day},
        "forget-activities": {"task": "accounts.tasks.forget_activities", "schedule": day},
        "forget-texts": {"task": "whatsapp.tasks.forget_texts", "schedule": day},
        "finish-deletions": {
            "task": "campaigns.tasks.finish_deletions",
            "schedule": dt.timedelta(minutes=5),
        },
        "sync-referrals": _dropped_when_late("campaigns.tasks.sync_referrals", enrol),
        "sweep-uploads": {
            "task": "campaigns.tasks.sweep_uploads",
            "schedule": dt.timedelta(minutes=15),
        },
        "repair-schedules": {"task": "campaigns.tasks.repair_schedules", "schedule": hour},
    }


def _dropped_when_late(task: str, seconds: int) -> dict[str, Any]:
    """A round that nobody began before the next one is due is not run after it."""
    return {
        "task": task,
        "schedule": dt.timedelta(seconds=seconds),
        "options": {"expires": seconds},
    }
