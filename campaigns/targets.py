"""What people do with somebody who is followed: hold them back, let them go on, take them out.

A pause is a person's, or follows from what was said in the chat (conversations.py), apart from the
holds that planning sets and mends by itself: nothing but `resume` ends it. The target keeps its
step; a message that is queued already is held back, one that is being sent goes out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from django.db import connection, transaction

from accounts import deadlocks
from accounts.activity import SYSTEM, Actor, Verb, record_each
from campaigns import exits, schedule
from campaigns.exits import ExitResult
from campaigns.models import Delivery, Target
from whatsapp import outbox
from whatsapp.models import Message


@deadlocks.retried
def pause(target_ids: Iterable[int], *, by: str = "", actor: Actor = SYSTEM, now: datetime) -> int:
    """Send nothing more to these until `resume`; returns how many were not paused before.

    `by` is a `Target.PausedBy`, or empty: by hand.
    """
    with transaction.atomic():
        rows = _lock(target_ids, paused=False)
        Target.objects.filter(pk__in=rows).update(paused_at=now, paused_by=by)
        # After the rows are locked: planning has queued what it will, and nothing comes after.
        outbox.hold_back(_queued(rows))
        _record(rows, Verb.TARGET_PAUSED, actor, now)
    return len(rows)


@deadlocks.retried
def resume(target_ids: Iterable[int], *, actor: Actor = SYSTEM, now: datetime) -> int:
    """Go on with these; returns how many were paused.

    Their places move on by the length of the pause. What their account was paused for is left to
    `linking.resume_sending`, so that no time counts twice.
    """
    with transaction.atomic():
        rows = _lock(target_ids, paused=True)
        with connection.cursor() as cursor:
            # The account is read after its targets are locked: a resumption of the account that
            # we do not see here waits for these rows, and counts from where we stop.
            cursor.execute(
                """
                UPDATE campaigns_target AS target
                SET slot_at = slot_at + pause.length, next_due_at = next_due_at + pause.length,
                    paused_at = NULL, paused_by = ''
                FROM (
                    SELECT paused.id, greatest(
                        '0', least(%s, account.sending_paused_at) - paused.paused_at) AS length
                    FROM campaigns_target AS paused
                    JOIN whatsapp_account AS account ON account.id = paused.account_id
                    WHERE paused.id = ANY(%s)
                ) AS pause
                WHERE target.id = pause.id RETURNING target.account_id, target.next_due_at
                """,
                [now, list(rows)],
            )
            due: dict[int, datetime] = {}
            for account_id, at in cursor.fetchall():
                due[account_id] = min(at, due.get(account_id, at))
        outbox.let_go(_queued(rows), now=now)
        schedule.lower(due)
        _record(rows, Verb.TARGET_RESUMED, actor, now)
    return len(rows)


def exit(  # noqa: A001  read as targets.exit
    target_ids: Iterable[int],
    *,
    reason: str = Target.ExitReason.BY_HAND,
    actor: Actor = SYSTEM,
    now: datetime,
) -> ExitResult:
    """Take these out of the sequence for ever; those that ended before stay as they are."""
    return exits.exit_targets(target_ids, reason=reason, actor=actor, now=now)


def _lock(target_ids: Iterable[int], *, paused: bool) -> dict[int, int]:
    """Lock those that are followed, by id like every bulk write; target id -> tenant id."""
    rows = Target.objects.filter(
        pk__in=list(target_ids), state=Target.State.ACTIVE, paused_at__isnull=not paused
    )
    locked = rows.select_for_update(of=("self",)).order_by("id")
    return dict(locked.values_list("id", "tenant_id"))


def _queued(target_ids: Iterable[int]) -> list[int]:
    return list(
        Delivery.objects.filter(
            target_id__in=list(target_ids), message__state=Message.State.QUEUED
        ).values_list("message_id", flat=True)
    )


def _record(rows: dict[int, int], verb: Verb, actor: Actor, now: datetime) -> None:
    by_tenant: dict[int, list[int]] = defaultdict(list)
    for target_id, tenant_id in rows.items():
        by_tenant[tenant_id].append(target_id)
    for tenant_id, ids in by_tenant.items():
        record_each(tenant_id=tenant_id, verb=verb, actor=actor, model=Target, ids=ids, now=now)
