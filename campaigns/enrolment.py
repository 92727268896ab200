"""Who enters a sequence: one set-based statement over the worklist.

The worklist is the partial index `referral_worklist`: referrals without target that have not paid.
A referral leaves it for ever with its target, or with the reason why it never gets one
(`Referral.skipped_reason`), so the cost of a run depends on what is new and on nothing else.

====================  =======================================================================
``phone_followed``    somebody else's target has this phone: the first referrer wins
``phone_paid``        another referral with this phone has paid: the same person
``opted_out``         the contact asked for no messages
``no_lawful_basis``   known from a group, and a person has withdrawn the basis; ends when one is
                      recorded again (lawful_basis.py)
====================  =======================================================================

Those who may enrol later stay in the worklist and are not even looked at meanwhile, because it is
searched by referrer: registered too recently, referrer paused or without subscription, account not
linked, no active campaign.

**Old referrals never burst.** The anchor of a referral that registered long ago is now, not then:
a thousand imported referrals have one message due each, in the order they registered, not seven.
Planning queues at most 20 of an account in a round and none beyond the day's limit; the limiter
spaces what is queued. What does not fit into a day keeps its place and goes first on the next.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import structlog
from django.db import connection, transaction

from accounts import activity, deadlocks, poison
from accounts.activity import Verb
from accounts.database import is_away
from campaigns import exits, lawful_basis
from campaigns.models import Referral
from whatsapp.failpoints import failpoint
from whatsapp.models import Account

log = structlog.get_logger(__name__)

# Referrals of one transaction. Payments wait for it (exits.PAYMENTS): some tenths of a second.
BATCH = 20_000

# INSERT ... SELECT draws ids in the order of the candidates, and a conflict keeps the row that
# came first: so the earliest registration of a phone wins, within a batch and against targets
# that exist, and equal due times are served in the order of registration.
ENROL = """
WITH starting AS MATERIALIZED (
    SELECT referrer.id AS referrer_id, referrer.account_id, campaign.id AS campaign_id,
           campaign.first_delay, step.delay
    FROM campaigns_referrer AS referrer
    JOIN whatsapp_account AS account ON account.id = referrer.account_id
        AND account.enabled AND account.status = ANY(%(linked)s)
    JOIN campaigns_campaign AS campaign ON campaign.tenant_id = referrer.tenant_id
        AND campaign.active
    JOIN LATERAL (
        SELECT delay FROM campaigns_step
        WHERE campaign_id = campaign.id AND active ORDER BY number LIMIT 1) AS step ON true
    WHERE referrer.subscribed AND NOT referrer.enrolment_paused
), candidate AS MATERIALIZED (
    SELECT referral.id, referral.tenant_id, referral.phone, starting.campaign_id,
           starting.account_id,
           greatest(referral.registered_at + starting.first_delay, %(now)s)
               + starting.delay AS slot_at,
           payment.paid_at,
           CASE
               WHEN contact.opted_out_at IS NOT NULL THEN 'opted_out'
               WHEN contact.source = 'group' AND contact.lawful_basis = '' THEN 'no_lawful_basis'
               WHEN EXISTS (
                   SELECT FROM campaigns_referral AS other
                   WHERE other.tenant_id = referral.tenant_id AND other.phone = referral.phone
                     AND other.paid_at IS NOT NULL) THEN 'phone_paid'
               ELSE ''
           END AS refused
    FROM starting
    JOIN campaigns_referral AS referral ON referral.referrer_id = starting.referrer_id
        AND referral.enrolled_at IS NULL AND referral.paid_at IS NULL
        AND referral.registered_at <= %(now)s - starting.first_delay
    LEFT JOIN whatsapp_contact AS contact
        ON contact.tenant_id = referral.tenant_id AND contact.phone = referral.phone
    LEFT JOIN campaigns_payment AS payment
        ON payment.tenant_id = referral.tenant_id AND payment.external_id = referral.external_id
    ORDER BY referral.registered_at, referral.id
    LIMIT %(batch)s
    FOR UPDATE OF referral SKIP LOCKED
), added AS (
    INSERT INTO campaigns_target
        (tenant_id, campaign_id, referral_id, account_id, phone, state, exit_reason, hold,
         hold_detail, steps_done, slot_at, next_due_at, enrolled_at)
    SELECT tenant_id, campaign_id, id, account_id, phone, 'active', '', '', '', 0, slot_at,
           slot_at, %(now)s
    FROM candidate WHERE paid_at IS NULL AND refused = ''
    ON CONFLICT DO NOTHING
    RETURNING referral_id, tenant_id, account_id, next_due_at
), marked AS (
    UPDATE campaigns_referral AS referral
    SET enrolled_at = CASE WHEN candidate.paid_at IS NULL THEN %(now)s END,
        paid_at = candidate.paid_at,
        skipped_reason = CASE
            WHEN added.referral_id IS NOT NULL OR candidate.paid_at IS NOT NULL THEN ''
            WHEN candidate.refused <> '' THEN candidate.refused
            WHEN EXISTS (SELECT FROM campaigns_target AS target
                         WHERE target.referral_id = candidate.id) THEN ''
            ELSE 'phone_followed' END
    FROM candidate LEFT JOIN added ON added.referral_id = candidate.id
    WHERE referral.id = candidate.id
), lowered AS (
    INSERT INTO campaigns_accountschedule AS schedule (account_id, next_due_at)
    SELECT account_id, min(next_due_at) FROM added GROUP BY account_id ORDER BY account_id
    ON CONFLICT (account_id) DO UPDATE SET next_due_at = excluded.next_due_at
    WHERE schedule.next_due_at IS NULL OR schedule.next_due_at > excluded.next_due_at
)
SELECT (SELECT count(*) FROM candidate),
       (SELECT coalesce(array_agg(ARRAY[tenant_id, n]), '{}') FROM (
           SELECT tenant_id, count(*) AS n FROM added GROUP BY tenant_id ORDER BY tenant_id) AS per)
"""
ENROL_OF_SOME = ENROL.replace(
    "WHERE referrer.subscribed", "WHERE referrer.id = ANY(%(referrers)s) AND referrer.subscribed"
)


def enrol(*, now: datetime) -> int:
    """Give every referral that may start now its target; returns how many started.

    A payer never starts, whatever came first, the import or the payment. Runs at the same time
    wait for each other. Where one referrer's cannot start, the others' do.
    """
    if not _somebody_waits():
        return 0
    # Most have theirs since the import or the scrape: this finds those whose phone came later.
    lawful_basis.of_referrals(now=now)
    done: Counter[str] = Counter()
    try:
        _enrol_all(done, now=now)
    except Exception as error:
        if is_away(error):
            raise
        log.warning("enrolment done again in parts", error=type(error).__name__)
        _enrol_in_parts(done, now=now)
    if done["seen"]:
        log.info(
            "referrals enrolled",
            started=done["started"],
            not_started=done["seen"] - done["started"],
        )
    return done["started"]


def _enrol_all(done: Counter[str], *, now: datetime, referrers: list[int] | None = None) -> None:
    looked_at = BATCH
    while looked_at == BATCH:
        looked_at, added = _enrol_batch(now=now, referrers=referrers)
        done.update(seen=looked_at, started=added)


def _enrol_in_parts(done: Counter[str], *, now: datetime) -> None:
    """Somebody's cannot start, a delay without end for instance: they are left for the next run."""
    waiting = Referral.objects.filter(enrolled_at=None, paid_at=None).order_by("referrer")
    ids = list(waiting.values_list("referrer", flat=True).distinct())
    for referrer_id, error in poison.alone(
        lambda some: _enrol_all(done, now=now, referrers=list(some)), ids
    ):
        log.error("referrals not enrolled", referrer_id=referrer_id, exc_info=error)


def _somebody_waits() -> bool:
    """Whether the worklist holds anybody at all: one look at the top of its index."""
    return Referral.objects.filter(enrolled_at=None, paid_at=None).exists()


@deadlocks.retried
def _enrol_batch(*, now: datetime, referrers: list[int] | None) -> tuple[int, int]:
    with transaction.atomic(), connection.cursor() as cursor:
        # A statement of its own: the next one must see the payments this waited for.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [exits.PAYMENTS])
        linked = list(Account.LINKED_STATUSES)
        cursor.execute(
            ENROL if referrers is None else ENROL_OF_SOME,
            {"now": now, "batch": BATCH, "linked": linked, "referrers": referrers},
        )
        looked_at, added = cursor.fetchone()
        for tenant_id, count in added:
            activity.record(
                tenant_id=tenant_id, verb=Verb.ENROLLED, detail={"count": count}, now=now
            )
        if looked_at:
            failpoint("enrol.before-commit")
    return looked_at, sum(count for _, count in added)
