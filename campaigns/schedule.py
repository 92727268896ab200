"""The lower bound of each account's next due target, kept in `AccountSchedule`.

Whoever makes a target due calls `lower` in the same transaction, after writing the target. Planning
raises the bound to what is left while it holds the row. So the bound may be early, which costs a
look, but never late, which would be a stall:

- a target written before planning computes the bound is counted in it;
- one committed later finds the row locked, waits, and lowers what planning wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import connection, transaction

from campaigns.models import AccountSchedule


def lower(due: Mapping[int, datetime]) -> None:
    """Account id -> time at which it has something due: no bound stays later than that.

    Rows are locked in the order of their ids, so that two callers cannot deadlock.
    """
    if not due:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO campaigns_accountschedule AS schedule (account_id, next_due_at)
            SELECT * FROM unnest(%s::bigint[], %s::timestamptz[]) AS d (account_id, due)
            ORDER BY d.account_id
            ON CONFLICT (account_id) DO UPDATE SET next_due_at = excluded.next_due_at
            WHERE schedule.next_due_at IS NULL OR schedule.next_due_at > excluded.next_due_at
            """,
            [list(due.keys()), list(due.values())],
        )


def raise_bounds(
    accounts: Sequence[int], *, now: datetime, served_at: datetime, full: Mapping[int, datetime]
) -> int:
    """Set the bounds of `accounts`, whose rows the caller has locked, to what is due next.

    An account with more due now gets `served_at`: it goes behind those not served yet. `full`
    names accounts whose day is used up, and when to look at them again. Returns how many accounts
    have nothing left to do now.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE campaigns_accountschedule AS schedule
            SET next_due_at = CASE
                WHEN next.due_at > %(now)s THEN next.due_at
                WHEN next.due_at IS NULL THEN NULL
                WHEN look.again_at IS NOT NULL THEN look.again_at
                ELSE %(served_at)s END
            FROM unnest(%(accounts)s::bigint[]) AS chosen (account_id)
            LEFT JOIN LATERAL (
                SELECT target.next_due_at AS due_at FROM campaigns_target AS target
                WHERE target.account_id = chosen.account_id AND target.state = 'active'
                  AND target.open_message_id IS NULL AND target.paused_at IS NULL
                ORDER BY target.next_due_at LIMIT 1
            ) AS next ON true
            LEFT JOIN unnest(%(full)s::bigint[], %(again)s::timestamptz[])
                AS look (account_id, again_at) ON look.account_id = chosen.account_id
            WHERE schedule.account_id = chosen.account_id
            RETURNING coalesce(schedule.next_due_at <> %(served_at)s, true)
            """,
            {
                "now": now,
                "served_at": served_at,
                "accounts": list(accounts),
                "full": list(full.keys()),
                "again": list(full.values()),
            },
        )
        return sum(done for (done,) in cursor.fetchall())


def put_off(account_id: int, *, now: datetime, until: datetime) -> None:
    """Look at an account that has something due again at `until`."""
    with transaction.atomic():
        rows = AccountSchedule.objects.filter(account=account_id)
        locked = list(rows.select_for_update(of=("self",)).values_list("account_id", flat=True))
        raise_bounds(locked, now=now, served_at=until, full=dict.fromkeys(locked, until))


def rebuild(*, now: datetime) -> int:
    """Lower every bound that is later than its account's earliest due target; returns how many.

    A repair, for targets that were changed in SQL or restored from a dump.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO campaigns_accountschedule AS schedule (account_id, next_due_at)
            SELECT account_id, min(next_due_at) FROM campaigns_target
            WHERE state = 'active' AND open_message_id IS NULL AND paused_at IS NULL
            GROUP BY account_id ORDER BY account_id
            ON CONFLICT (account_id) DO UPDATE SET next_due_at = excluded.next_due_at
            WHERE schedule.next_due_at IS NULL
               OR (schedule.next_due_at > excluded.next_due_at AND schedule.next_due_at > %s)
            """,
            [now],
        )
        return int(cursor.rowcount)
