"""Planning's fair claim beside oldest-first, under one account with a hostile backlog.

    python -m bench.planning [--rows 1000000]

`rows` targets over rows/100 accounts, three in ten due; one account has the oldest tenth of those.
Due times and places on disk have nothing to do with each other, and everybody is a contact, as
after some weeks of work.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bench import scratch  # first: sets Django up
from bench.figures import median, seconds, verdict
from bench.scratch import run

# isort: split
from django.db import connection, transaction

from accounts.models import Tenant
from campaigns import claiming, planning, rendering, schedule
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
PAIRS = 30  # of claims, each of other accounts
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
    ON contact.phone = target.phone AND contact.tenant_id + 0 = target.tenant_id
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
    # One row in 31 is the hostile account's, and due for months; of each of the
    # others' three in eleven.
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
                    WHEN referral.id / %(number)s %% 11 < 3
                        THEN %(now)s - random() * interval '1 day'
                    ELSE %(now)s + interval '1 hour' + random() * interval '1 day' END,
               %(now)s
        FROM campaigns_referral AS referral
        """,
        common,
    )
    run(
        """
        INSERT INTO whatsapp_contact
            (tenant_id, phone, name, lid, source, opt_out_reason, created_at)
        SELECT tenant_id, phone, name, '', 'referral', '', now() FROM campaigns_referral
        ORDER BY random()
        """
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


def messages(number: int) -> Iterator[int]:
    """Ids of messages that wait, for targets to wait for."""
    account = Account.objects.earliest("pk")
    contact = Contact.objects.earliest("pk")
    drafts = [
        outbox.Draft(
            tenant_id=account.tenant_id,
            account_id=account.pk,
            contact_id=contact.pk,
            idempotency_key=f"bench:{n}",
            body="",
            media_id=None,
            due_at=NOW,
        )
        for n in range(number)
    ]
    made = [
        outbox.queue_batch(drafts[n : n + 5000], now=NOW).values() for n in range(0, number, 5000)
    ]
    return itertools.chain.from_iterable(made)


def fair_claim() -> list[tuple[Any, ...]]:
    """Accounts by turn and their targets: what a round does before it looks at them."""
    return claiming.claim(
        now=NOW, round_now=NOW, accounts=planning.ACCOUNTS, each=planning.PER_ACCOUNT
    )


def oldest_first() -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(OLDEST_FIRST, {"now": NOW})
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


@dataclass(slots=True)
class Side:
    """Claims that follow each other, each of other rows and committed, as in use."""

    claim: Callable[[], list[tuple[Any, ...]]]
    messages: Iterator[int]
    takes_turns: bool
    speeds: list[float] = field(default_factory=list)  # targets per second
    most: int = 0  # targets of one account in a claim

    def go_on(self) -> None:
        """Claim, and take what is claimed out of what is due as planning does: one only then."""
        with transaction.atomic():
            began = time.perf_counter()
            rows = self.claim()
            opened = dict(zip([row[0] for row in rows], self.messages, strict=False))
            planning.open_messages(opened, now=NOW)
            self.speeds.append(len(rows) / (time.perf_counter() - began))
            if self.takes_turns:  # as a round does at its end, for all that it changed
                served_at = NOW + dt.timedelta(microseconds=1)
                accounts = list({row[3] for row in rows})
                schedule.raise_bounds(accounts, now=NOW, served_at=served_at, full={})
        if len(rows) < CLAIMED // 2:
            raise RuntimeError("less is due than claims take: give more --rows")
        self.most = max(self.most, *Counter(row[3] for row in rows).values())


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
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args(arguments).rows
    with scratch.database():
        fill(rows)
        waiting = messages(2 * (PAIRS + 1) * CLAIMED)
        fair = Side(fair_claim, waiting, takes_turns=True)
        oldest = Side(oldest_first, waiting, takes_turns=False)
        for turn in range(PAIRS + 1):
            # Both meet the same disturbances, and who begins changes.
            for side in (fair, oldest) if turn % 2 else (oldest, fair):
                side.go_on()
        # Without the first, which is cold.
        fair_speed = statistics.median(fair.speeds[1:])
        oldest_speed = statistics.median(oldest.speeds[1:])
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
        f"{oldest_speed:,.0f} (and {oldest.most} of {CLAIMED} to one account); claim to doorbell "
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
            max(fair.most, at_most),
            "<= 20",
            unit="",
            met=max(fair.most, at_most) <= planning.PER_ACCOUNT,
        ),
        verdict("tick with nothing due", idle, "<= 50 ms", unit="ms", met=idle <= 50),
        verdict(
            "claim to doorbell against a naive loop", whole / loop, ">= 10", met=whole / loop >= 10
        ),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
