"""What planning takes in one round: accounts by turn, and what is due of each, locked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection

from whatsapp.models import Account

Row = tuple[Any, ...]

# Turn and claim at once: a row for each target, or one without target for an account of which
# nothing is due. Three things are there for the planner's sake. The limits are numbers in the text:
# of a column it guesses three rows an account, and joins the rest by loops, a third slower. That
# the joins name `turn`, for nothing, tells it that no referral and no phone comes twice: else it
# keeps each in a cache. And `tenant_id + 0` leaves for contacts only the index of phones: while the
# table's statistics are old it would take the tenant's, and read all its contacts for each target.
CLAIM = """
WITH turn AS MATERIALIZED (
    SELECT schedule.account_id
    FROM campaigns_accountschedule AS schedule
    JOIN whatsapp_account AS account ON account.id = schedule.account_id
    WHERE {whose} AND account.status = ANY(%(linked)s)
      AND account.enabled AND account.sending_paused_at IS NULL
    ORDER BY schedule.next_due_at, schedule.account_id LIMIT %(accounts)s
    FOR UPDATE OF schedule SKIP LOCKED
)
SELECT target.id, target.tenant_id, target.campaign_id, turn.account_id, target.phone,
       target.steps_done, target.next_due_at, target.hold,
       referral.external_id, referral.name, referral.language, referral.paid_at IS NOT NULL,
       referrer.name, referrer.subscribed, contact.id, contact.opted_out_at IS NOT NULL
FROM turn
LEFT JOIN LATERAL (
    SELECT id, tenant_id, campaign_id, referral_id, phone, steps_done, next_due_at, hold
    FROM campaigns_target AS due
    WHERE due.account_id = turn.account_id AND due.state = 'active'
      AND due.open_message_id IS NULL AND due.paused_at IS NULL AND due.next_due_at <= %(now)s
    ORDER BY due.next_due_at, due.id LIMIT %(each)s
    FOR UPDATE SKIP LOCKED
) AS target ON true
LEFT JOIN campaigns_referral AS referral
    ON referral.id = target.referral_id + 0 * turn.account_id
LEFT JOIN campaigns_referrer AS referrer ON referrer.id = referral.referrer_id
LEFT JOIN whatsapp_contact AS contact
    ON contact.phone = coalesce(target.phone, turn.account_id::text)
    AND contact.tenant_id + 0 = target.tenant_id
"""
IN_TURN = CLAIM.format(whose="schedule.next_due_at <= %(turn)s")
OF_ONE = CLAIM.format(whose="schedule.account_id = %(account)s")


def claim(
    *, now: datetime, round_now: datetime, accounts: int, each: int, account_id: int | None = None
) -> list[Row]:
    """Lock `accounts` accounts whose turn it is, or the one that is named whether it is or not,
    and up to `each` targets due of each: the rows of `CLAIM`."""
    with connection.cursor() as cursor:
        cursor.execute(
            IN_TURN if account_id is None else OF_ONE,
            {
                "turn": round_now,
                "account": account_id,
                "now": now,
                "linked": [str(status) for status in Account.LINKED_STATUSES],
                "accounts": accounts,
                "each": each,
            },
        )
        rows: list[Row] = cursor.fetchall()
    return rows
