"""Planning's fair claim beside oldest-first, under one account with a hostile backlog.

    python -m bench.planning [--rows 200000]

`rows` targets over rows/100 accounts, three in ten due; one account has the oldest tenth of those.
Due times and places on disk have nothing to do with each other, as after some weeks of work.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import sys
from collections import Counter
from collections.abc import Callable

from bench import scratch  # first: sets Django up
from bench.figures import median, seconds, verdict
from bench.scratch import run

# isort: split
from django.db import connection, transaction

from accounts.models import Tenant
from campaigns import planning, rendering, schedule
from campaigns.models import (
    Campaign,
    Delivery,
    Referrer,
    Step,
    Target,
    Template,
)
from whatsapp import contacts, doorbells, outbox
from whatsapp.models import Account, Contact

NOW = dt.datetime(2026, 11, 20, 9, 0, tzinfo=dt.UTC)
CLAIMED = planning.ACCOUNTS * planning.PER_ACCOUNT
NAIVE = 150
SHORT = "Bonjour {{name}}, ici {{referrer}}."

# The same columns with the same joins and locks, in the order in which they fell due.
OLDEST_FIRST = f"""
SELECT target.id, target.tenant_id, target.campaign_id, target.account_id, target.phone,
       target.steps_done, target.next_due_at, target.hold,
       referral.external_id, referral.name, referral.language, referral.paid_at IS NOT NULL,
       referrer.name, referrer.subscribed, contact.id, contact.opted_out_at IS NOT NULL
FROM (
    SELECT id, tenant_id, campaign_id, referral_id, account_id, phone, steps_done, next_due_at,
           hold
    FROM campaigns_target AS due
    WHERE due.state = 'active'
      AND due.open_message_id IS NULL AND due.paused_at IS NULL AND due.next_due_at <= %(now)s
    ORDER BY due.next_due_at, due.id LIMIT {CLAIMED}
    FOR UPDATE SKIP LOCKED
) AS target
JOIN campaigns_referral AS referral ON referral.id = target.referral_id
JOIN campaigns_referrer AS referrer ON referrer.id = referral.referrer_id
LEFT JOIN whatsapp_contact AS contact
    ON contact.tenant_id = target.tenant_id AND contact.phone = target.phone
"""  # noqa: S608


def fill(rows: int) -> None:
    number = max(rows // 100, planning.ACCOUNTS * 2)
    tenant = Tenant.objects.create(slug="bench", name="Bench")
    campaign = Campaign.objects.create(tenant=tenant, name="bench", active=True)
    step = Step.objects.create(campaign=campaign, number=1, delay=dt.timedelta(0))
    Template.objects.create(step=step, language="fr", body=SHORT)
    accounts = Account.objects.bulk_create(
        Account(
            tenant=tenant,
            name=f"a{n}",
            status="connected",
            phone=f"+1999{n:09d}",
            linked_at=NOW,
            daily_limit=1_000_000,
        )
        for n in range(number)
    )
    referrers = Referrer.objects.bulk_create(
        Referrer(tenant=tenant, external_id=account.name, name=account.name, account=account)
        for account in accounts
    )
    ids = {"first_account": accounts[0].pk, "first_referrer": referrers[0].pk, "number": number}
    common = {"tenant": tenant.pk, "campaign": campaign.pk, "rows": rows, "now": NOW, **ids}
    # One row in 31 is the hostile account's, and due for months; of the others three in eleven.
    run(
        """
        INSERT INTO campaigns_referral
            (tenant_id, external_id, referrer_id, name, phone, region, language, registered_at,
             skipped_reason, created_at, updated_at, enrolled_at)
        SELECT %(tenant)s, 'r' || n,
               %(first_referrer)s + CASE WHEN n %% 31 = 0 THEN 0 ELSE 1 + n %% (%(number)s - 1) END,
               'Zoé Martin', '+999' || lpad(n::text, 9, '0'), 'FR', 'fr', %(now)s, '', now(),
               now(), %(now)s
        FROM generate_series(1, %(rows)s) AS n
        """,
        common,
    )
    run(
        """
        INSERT INTO campaigns_target
            (tenant_id, campaign_id, referral_id, account_id, phone, state, exit_reason, hold,
             hold_detail, steps_done, slot_at, next_due_at, enrolled_at)
        SELECT tenant_id, %(campaign)s, referral.id,
               referrer_id - %(first_referrer)s + %(first_account)s, phone, 'active', '', '', '',
               0, %(now)s,
               CASE WHEN referrer_id = %(first_referrer)s
                    THEN %(now)s - interval '30 days' * (1 + random())
                    WHEN referral.id %% 11 < 3 THEN %(now)s - random() * interval '1 day'
                    ELSE %(now)s + interval '1 hour' + random() * interval '1 day' END,
               %(now)s
        FROM campaigns_referral AS referral
        """,
        common,
    )
    # For the peer: it would have to sort everything that is due.
    run(
        """
        CREATE INDEX bench_oldest ON campaigns_target (next_due_at, id)
        WHERE state = 'active' AND open_message_id IS NULL
        """
    )
    run("VACUUM ANALYZE")
    schedule.rebuild(now=NOW)


def undone(work: Callable[[], object]) -> float:
    """Seconds of `work` in a transaction that is rolled back."""
    with transaction.atomic():
        took = seconds(work)
        transaction.set_rollback(True)
    return took


def fair_claim() -> list[int]:
    """Accounts by turn and their targets: what a round does before it looks at them."""
    return _taken(planning.claim(now=NOW, round_now=NOW))


def oldest_first() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(OLDEST_FIRST, {"now": NOW})
        return _taken(cursor.fetchall())


def _taken(rows: list[tuple[int, ...]]) -> list[int]:
    """Take claimed targets out of what is due; a claim is one only then. Their accounts."""
    run(
        "UPDATE campaigns_target SET next_due_at = %(later)s WHERE id = ANY(%(ids)s)",
        {"ids": [row[0] for row in rows], "later": NOW + dt.timedelta(days=1)},
    )
    return [row[3] for row in rows]


def naive() -> None:
    """One target after the other, as a loop over a queryset does it; a doorbell for each."""
    due = Target.objects.filter(state="active", open_message=None, next_due_at__lte=NOW)
    for pk in list(due.order_by("next_due_at", "id").values_list("pk", flat=True)[:NAIVE]):
        with transaction.atomic():
            target = (
                Target.objects.select_for_update(of=("self",))
                .select_related("tenant", "account", "campaign", "referral__referrer")
                .get(pk=pk)
            )
            step = target.campaign.steps.get(number=target.steps_done + 1)
            body = rendering.render(
                step.templates.get(language=target.referral.language).body,
                {"name": target.referral.name, "referrer": target.referral.referrer.name},
            )
            people = {target.phone: target.referral.name}
            contact = contacts.ensure(tenant_id=target.tenant_id, people=people)[target.phone]
            message = outbox.queue(
                tenant=target.tenant,
                account=target.account,
                contact=Contact.objects.get(pk=contact),
                idempotency_key=f"target:{target.pk}:step:{step.number}",
                body=body,
                now=NOW,
            )
            Delivery.objects.create(
                target=target, step=step, number=step.number, language="fr", message=message
            )
            target.open_message = message
            target.save()
        doorbells.ring([target.account_id])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    rows = parser.parse_args(arguments).rows
    with scratch.database():
        fill(rows)
        with transaction.atomic():
            most = Counter(fair_claim()).most_common(1)[0][1]
            hostile = Counter(oldest_first()).most_common(1)[0][1]
            transaction.set_rollback(True)
        claimed: list[int] = []
        # Both meet the same disturbances, neither starts cold, and who begins changes.
        fair, oldest = [], []
        for turn in range(20):
            for side in ("fair", "oldest") if turn % 2 else ("oldest", "fair"):
                if side == "fair":
                    fair.append(undone(lambda: claimed.append(len(fair_claim()))))
                else:
                    oldest.append(undone(oldest_first))
        fair_speed = statistics.median(claimed) / statistics.median(fair)
        oldest_speed = CLAIMED / statistics.median(oldest)
        run("DROP INDEX bench_oldest")
        loop = NAIVE / seconds(naive)
        reports: list[planning.PlanReport] = []
        took = statistics.median(
            seconds(lambda: reports.append(planning.plan(now=NOW, limit=1))) for _ in range(7)
        )
        whole = statistics.median(report.queued for report in reports) / took
        at_most = max(max(report.per_account.values(), default=0) for report in reports)
        run("UPDATE campaigns_target SET next_due_at = %(t)s", {"t": NOW + dt.timedelta(days=1)})
        run(
            "UPDATE campaigns_accountschedule SET next_due_at = %(t)s",
            {"t": NOW + dt.timedelta(days=1)},
        )
        run("VACUUM ANALYZE")
        idle = median(lambda: planning.plan(now=NOW), 20) * 1000
    print(
        f"planning, {rows} targets: fair claim {fair_speed:,.0f} rows/s, oldest first "
        f"{oldest_speed:,.0f} (and {hostile} of {CLAIMED} to one account); claim to doorbell "
        f"{whole:,.0f} rows/s, naive loop {loop:,.0f}"
    )
    met = [
        verdict(
            "fair claim against oldest first",
            fair_speed / oldest_speed,
            ">= 1.0",
            met=fair_speed >= oldest_speed,
        ),
        verdict(
            "most of one account in a round",
            max(most, at_most),
            "<= 20",
            unit="",
            met=max(most, at_most) <= planning.PER_ACCOUNT,
        ),
        verdict("tick with nothing due", idle, "<= 50 ms", unit="ms", met=idle <= 50),
        verdict(
            "claim to doorbell against a naive loop", whole / loop, ">= 10", met=whole / loop >= 10
        ),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
