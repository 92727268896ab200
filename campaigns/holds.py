"""Targets that cannot go on for now: why, until when, and how they come back.

A held target keeps its place and has a next time like any other, `RECHECK` later: planning meets it
again by itself and goes on if what was missing is there. `release_*` only make that sooner.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Least

from campaigns import schedule
from campaigns.models import Campaign, Target

RECHECK = dt.timedelta(minutes=5)
# Holds that mend without a person deciding about a message. When such a target goes on its slot
# becomes "now": its later messages keep their distance instead of catching up.
MENDABLE = (Target.Hold.SUBSCRIPTION, Target.Hold.TEMPLATE, Target.Hold.CAMPAIGN)


def release_campaigns(campaigns: QuerySet[Campaign], *, now: datetime) -> int:
    """Look again now at what waits for a template, a variable or the campaign itself."""
    held = Target.objects.filter(
        campaign__in=campaigns, hold__in=[Target.Hold.TEMPLATE, Target.Hold.CAMPAIGN]
    )
    return _release(held, now=now)


def release_referrers(referrer_ids: Sequence[int], *, now: datetime) -> int:
    """Look again now at what waits for the subscription of these referrers."""
    held = Target.objects.filter(
        hold=Target.Hold.SUBSCRIPTION, referral__referrer_id__in=referrer_ids
    )
    return _release(held, now=now)


def _release(held: QuerySet[Target], *, now: datetime) -> int:
    with transaction.atomic():
        rows = dict(
            held.filter(state=Target.State.ACTIVE, paused_at=None)
            .select_for_update(of=("self",))
            .order_by("id")
            .values_list("id", "account_id")
        )
        if rows:
            Target.objects.filter(pk__in=rows).update(next_due_at=Least(F("next_due_at"), now))
            schedule.lower(dict.fromkeys(rows.values(), now))
    return len(rows)
