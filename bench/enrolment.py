"""Enrolment beside the bare statement it is made of, and beside one query per referral.

    python -m bench.enrolment [--rows 30000]

Re-runs are measured at `rows` and at ten times as many targets; 100,000 gives the goal's sizes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys

from bench import scratch  # first: sets Django up
from bench.figures import median, seconds, verdict
from bench.scratch import run

# isort: split
from accounts.models import Tenant
from campaigns import enrolment
from campaigns.models import Campaign, Referral, Referrer, Step, Target
from whatsapp.models import Account

NOW = dt.datetime(2026, 11, 20, 9, 0, tzinfo=dt.UTC)
ONE_BY_ONE = 500  # three times
PER_REFERRER = 50

# What any set-based enrolment has to do: insert targets, and mark what was looked at.
RAW = """
WITH added AS (
    INSERT INTO campaigns_target
        (tenant_id, campaign_id, referral_id, account_id, phone, state, exit_reason, hold,
         hold_detail, steps_done, slot_at, next_due_at, enrolled_at)
    SELECT referral.tenant_id, campaign.id, referral.id, referrer.account_id, referral.phone,
           'active', '', '', '', 0, %(now)s, %(now)s, %(now)s
    FROM campaigns_referral AS referral
    JOIN campaigns_referrer AS referrer ON referrer.id = referral.referrer_id
    JOIN campaigns_campaign AS campaign ON campaign.tenant_id = referral.tenant_id
    WHERE referral.enrolled_at IS NULL AND referral.paid_at IS NULL
    ON CONFLICT DO NOTHING RETURNING referral_id
)
UPDATE campaigns_referral SET enrolled_at = %(now)s FROM added WHERE id = added.referral_id
"""


def fill(first: int, rows: int) -> None:
    """`rows` unpaid referrals, 50 to a referrer, numbered from `first`."""
    tenant = Tenant.objects.get()
    accounts = Account.objects.bulk_create(
        Account(
            tenant=tenant,
            name=f"a{n}",
            status="connected",
            phone=f"+1999{n:09d}",
            linked_at=NOW,
        )
        for n in range(first // PER_REFERRER, -(-(first + rows) // PER_REFERRER))
    )
    Referrer.objects.bulk_create(
        Referrer(tenant=tenant, external_id=account.name, name=account.name, account=account)
        for account in accounts
    )
    run(
        """
        INSERT INTO campaigns_referral
            (tenant_id, external_id, referrer_id, name, phone, region, language, registered_at,
             skipped_reason, created_at, updated_at)
        SELECT referrer.tenant_id, 'r' || n, referrer.id, 'Zoé Martin',
               '+999' || lpad(n::text, 9, '0'), 'FR', 'fr',
               %(now)s - interval '2 days' + n * interval '1 millisecond', '', now(), now()
        FROM generate_series(%(first)s, %(last)s - 1) AS n
        JOIN campaigns_referrer AS referrer ON referrer.external_id = 'a' || (n / 50)
        """,
        {"first": first, "last": first + rows, "now": NOW},
    )
    run("ANALYZE")


def forget() -> None:
    """Everybody is new again, in tables that are packed as after a restore."""
    run("TRUNCATE campaigns_target CASCADE")
    run("TRUNCATE campaigns_accountschedule")
    run("UPDATE campaigns_referral SET enrolled_at = NULL")
    run("VACUUM FULL campaigns_referral")
    run("ANALYZE")


def one_by_one() -> None:
    """As the system before did it: look, then insert, for each referral; and mark it like both
    others, so that all three leave the same rows behind."""
    campaign = Campaign.objects.get()
    for referral in Referral.objects.select_related("referrer")[:ONE_BY_ONE]:
        if Target.objects.filter(campaign=campaign, referral=referral).exists():
            continue
        Target.objects.create(
            tenant_id=referral.tenant_id,
            campaign=campaign,
            referral=referral,
            account_id=referral.referrer.account_id,
            phone=referral.phone,
            slot_at=NOW,
            next_due_at=NOW,
            enrolled_at=NOW,
        )
        Referral.objects.filter(pk=referral.pk).update(enrolled_at=NOW)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=30_000)
    rows = parser.parse_args(arguments).rows
    with scratch.database():
        tenant = Tenant.objects.create(slug="bench", name="Bench")
        campaign = Campaign.objects.create(tenant=tenant, name="bench", active=True)
        Step.objects.create(campaign=campaign, number=1, delay=dt.timedelta(0))
        fill(0, rows)
        raw, ours, theirs = [], [], []
        for _ in range(3):  # in turn: the machine's speed drifts
            forget()
            raw.append(seconds(lambda: run(RAW, {"now": NOW})))
            forget()
            theirs.append(seconds(one_by_one))
            forget()
            ours.append(seconds(lambda: enrolment.enrol(now=NOW)))
            assert Target.objects.count() == rows
        forget()
        enrolment.enrol(now=NOW)
        run("VACUUM ANALYZE")
        at_n = median(lambda: enrolment.enrol(now=NOW), 50)
        fill(rows, rows * 9)
        enrolment.enrol(now=NOW)
        run("VACUUM ANALYZE")
        at_10n = median(lambda: enrolment.enrol(now=NOW), 50)
    speed, naive = rows / min(ours), ONE_BY_ONE / min(theirs)
    print(
        f"enrolment, {rows} new: {speed:,.0f} rows/s; raw {rows / min(raw):,.0f}; "
        f"one by one {naive:,.0f}"
    )
    print(
        f"nothing new: {at_n * 1000:.2f} ms at {rows} targets, {at_10n * 1000:.2f} ms at "
        f"{rows * 10}"
    )
    met = [
        verdict(
            "against raw INSERT ... SELECT",
            min(raw) / min(ours),
            ">= 0.9",
            met=min(raw) / min(ours) >= 0.9,
        ),
        verdict(
            "against one SELECT and INSERT each", speed / naive, ">= 50", met=speed / naive >= 50
        ),
        verdict(
            "nothing new, ten times the targets", at_10n / at_n, "<= 1.5", met=at_10n / at_n <= 1.5
        ),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
