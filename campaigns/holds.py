"""Targets that cannot go on for now: why, until when, and how they come back.

A held target keeps its place and has a next time like any other, `RECHECK` later: planning meets it
again by itself and goes on if what was missing is there. `release_*` only make that sooner.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import structlog
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Least

from campaigns import schedule
from campaigns.content import Due, Held
from campaigns.models import Campaign, Target

log = structlog.get_logger(__name__)

RECHECK = dt.timedelta(minutes=5)
# Holds that mend without a person deciding about a message. When such a target goes on its slot
# becomes "now": its later messages keep their distance instead of catching up.
MENDABLE = (Target.Hold.SUBSCRIPTION, Target.Hold.TEMPLATE, Target.Hold.CAMPAIGN)


# Everything due of the referrers whose subscription lapsed, at once: twenty at a time they would
# stand in the way of a referrer who shares the account for more than one round.
HOLD_LAPSED = """
WITH lapsed AS (
    SELECT target.id FROM campaigns_referrer AS referrer
    JOIN campaigns_referral AS referral ON referral.referrer_id = referrer.id
    JOIN campaigns_target AS target ON target.referral_id = referral.id
    WHERE referrer.id IN (
        SELECT referrer_id FROM campaigns_referral WHERE id IN (
            SELECT referral_id FROM campaigns_target WHERE id = ANY(%(claimed)s)
        )
    ) AND NOT referrer.subscribed
      AND target.account_id = ANY(%(accounts)s) AND target.state = 'active'
      AND target.open_message_id IS NULL AND target.paused_at IS NULL
      AND target.next_due_at <= %(now)s
    FOR UPDATE OF target SKIP LOCKED
), changed AS (
    UPDATE campaigns_target AS target
    SET hold = 'subscription', hold_detail = '', next_due_at = %(again)s
    FROM lapsed WHERE target.id = lapsed.id
)
SELECT count(*) FROM lapsed
"""


def hold(held: Iterable[tuple[Due, Held]], *, now: datetime) -> None:
    """Have targets whose rows the caller holds wait, each for its reason."""
    by_reason: dict[Held, list[Due]] = defaultdict(list)
    for target, reason in held:
        by_reason[reason].append(target)
    for reason, targets in by_reason.items():
        Target.objects.filter(pk__in=[target.id for target in targets]).update(
            hold=reason.hold, hold_detail=reason.detail[:200], next_due_at=now + RECHECK
        )
        new = [target for target in targets if target.hold != reason.hold]
        if new:
            log.error(
                "targets held",
                hold=str(reason.hold),
                detail=reason.detail,
                campaign_id=new[0].campaign_id,
                count=len(new),
                target_ids=[target.id for target in new[:10]],
            )


def hold_lapsed(claimed: list[Due], *, now: datetime) -> int:
    """Hold these targets, and whatever else is due of their referrers on these accounts."""
    if not claimed:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            HOLD_LAPSED,
            {
                "claimed": [target.id for target in claimed],
                "accounts": list({target.account_id for target in claimed}),
                "now": now,
                "again": now + RECHECK,
            },
        )
        count: int = cursor.fetchone()[0]
    log.info("targets held", hold="subscription", count=count)
    return count


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
