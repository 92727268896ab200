"""Leaving the loop: whoever paid, said stop or is taken out gets nothing more.

Locks, everywhere in this app: contact, then payment and referral, then **target**, then its
messages, then the account's schedule. Two doors come from the other side, with a message locked:

- *finish* (sending -> sent, failed, queued again, uncertain) locks the message, signals, and its
  receiver locks the target. An exit that holds the target cannot be waiting for that message: it
  cancels by ``UPDATE ... WHERE state = 'queued'``, the committed state is `sending`, and
  PostgreSQL passes over a row whose committed version does not match. So nobody waits in a circle.
- *a queued message fails or is cancelled before any intent*: here the committed state is `queued`
  and the exit would wait. The receiver therefore does not wait for the target (SKIP LOCKED) and
  leaves it to planning's sweep (following.py) - for the exit, which ends the target anyway.

An intent (queued -> sending) never touches a target; an exit waits for it, and counts it as in
flight. An intent that begins after the exit finds the message cancelled.

**Payments and enrolment.** A payment takes `PAYMENTS` shared before it looks for the referral;
enrolment takes it alone. So a payment is either seen by enrolment or finds the target.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from django.db import connection, transaction
from django.db.models import DateTimeField, Func, Q, QuerySet

from accounts import activity, deadlocks
from accounts.activity import SYSTEM, Actor, Verb
from accounts.models import Tenant
from campaigns.models import Delivery, Referral, Target
from whatsapp import outbox
from whatsapp.failpoints import failpoint
from whatsapp.models import Message, WebhookEndpoint
from whatsapp.webhooks import outgoing

log = structlog.get_logger(__name__)

# Key of an advisory lock; any number that nothing else in this database uses.
PAYMENTS = 7_305_417_001
CLOCK = Func(function="clock_timestamp", output_field=DateTimeField())


@dataclass(frozen=True, slots=True)
class ExitResult:
    """What leaving did. `in_flight` messages were already being sent and may still arrive;
    `known` is whether the person was a referral of the tenant."""

    targets_exited: int
    messages_cancelled: int
    in_flight: int
    known: bool


@deadlocks.retried
def exit_referral(
    *,
    tenant: Tenant,
    external_id: str,
    now: datetime,
    reason: str = Target.ExitReason.PAID,
    paid_at: datetime | None = None,
    source: str = "",
    actor: Actor = SYSTEM,
) -> ExitResult:
    """Take a person out of every sequence of `tenant`. May be repeated; the answer stays true.

    With reason ``paid`` the payment is kept, so that a person who is not known yet is not
    enrolled later. Somebody else's target with the same phone number is ended, too: it is the
    same person, referred twice.
    """
    with transaction.atomic():
        if reason == Target.ExitReason.PAID:
            record_payments(tenant=tenant, payments={external_id: paid_at or now}, source=source)
        people = list(
            Referral.objects.filter(tenant=tenant, external_id=external_id).values_list(
                "id", "phone"
            )
        )
        return _exit_people(tenant, people, reason=reason, actor=actor, now=now)


def exit_payers(
    *,
    tenant: Tenant,
    payments: Mapping[str, datetime],
    source: str,
    actor: Actor = SYSTEM,
    now: datetime,
) -> ExitResult:
    """The same for many payers at once, external id -> time of payment (an import)."""
    with transaction.atomic():
        record_payments(tenant=tenant, payments=payments, source=source)
        people = list(
            Referral.objects.filter(tenant=tenant, external_id__in=payments.keys())
            .order_by("id")
            .values_list("id", "phone")
        )
        return _exit_people(tenant, people, reason=Target.ExitReason.PAID, actor=actor, now=now)


def record_payments(*, tenant: Tenant, payments: Mapping[str, datetime], source: str) -> None:
    """Keep payments, and mark the referrals that are known as paid. The first payment counts.

    Inside the caller's transaction, before it locks any referral.
    """
    ids = sorted(payments)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [PAYMENTS])
        cursor.execute(
            """
            INSERT INTO campaigns_payment (tenant_id, external_id, paid_at, source)
            SELECT %s, external_id, paid_at, %s
            FROM unnest(%s::text[], %s::timestamptz[]) AS p (external_id, paid_at)
            ORDER BY external_id ON CONFLICT (tenant_id, external_id) DO NOTHING
            """,
            [tenant.pk, source, ids, [payments[i] for i in ids]],
        )
        cursor.execute(
            """
            WITH unpaid AS (
                SELECT r.id, p.paid_at FROM campaigns_referral AS r
                JOIN campaigns_payment AS p USING (tenant_id, external_id)
                WHERE r.tenant_id = %s AND r.external_id = ANY(%s) AND r.paid_at IS NULL
                ORDER BY r.id FOR UPDATE OF r)
            UPDATE campaigns_referral AS r SET paid_at = unpaid.paid_at
            FROM unpaid WHERE r.id = unpaid.id
            """,
            [tenant.pk, ids],
        )


@deadlocks.retried
def exit_targets(
    target_ids: Iterable[int], *, reason: str, actor: Actor = SYSTEM, now: datetime
) -> ExitResult:
    """Take these targets out by hand; those that ended before are left as they are."""
    with transaction.atomic():
        targets = Target.objects.filter(pk__in=list(target_ids))
        return _exit(targets, reason=reason, actor=actor, now=now)


def exit_phone(
    *, tenant_id: int, phone: str, reason: str, actor: Actor = SYSTEM, now: datetime
) -> ExitResult:
    """Take out whoever of the tenant is followed under `phone`."""
    with transaction.atomic():
        targets = Target.objects.filter(tenant_id=tenant_id, phone=phone)
        return _exit(targets, reason=reason, actor=actor, now=now)


def end_locked(
    target_ids: Sequence[int], *, reason: str, actor: Actor = SYSTEM, now: datetime
) -> list[int]:
    """End active targets whose rows the caller has locked; ids of the messages cancelled."""
    if not target_ids:
        return []
    ending = Target.objects.filter(pk__in=target_ids, state=Target.State.ACTIVE)
    by_tenant: dict[int, list[int]] = defaultdict(list)
    for tenant_id, pk in ending.order_by("id").values_list("tenant_id", "id"):
        by_tenant[tenant_id].append(pk)
    ending.update(
        state=Target.State.EXITED,
        exit_reason=reason,
        ended_at=now,
        next_due_at=None,
        open_message=None,
        paused_at=None,
        paused_by="",
        hold="",
        hold_detail="",
    )
    failpoint("exit.ended")
    open_ids = Delivery.objects.filter(
        target_id__in=target_ids, message__state=Message.State.QUEUED
    ).values_list("message_id", flat=True)
    cancelled = outbox.cancel(list(open_ids), reason=reason, now=now)
    # By the database's clock, as intents are, and after the cancel: an intent that it let pass has
    # an earlier time, one that comes later finds its message cancelled. That can be checked.
    Target.objects.filter(pk__in=target_ids, state=Target.State.EXITED).update(ended_at=CLOCK)
    for tenant_id, ids in by_tenant.items():
        activity.record_each(
            tenant_id=tenant_id,
            verb=Verb.EXITED,
            actor=actor,
            model=Target,
            ids=ids,
            detail={"reason": reason},
            now=now,
        )
        _tell(tenant_id, ids, reason=reason, now=now)
    return cancelled


def _tell(tenant_id: int, target_ids: Sequence[int], *, reason: str, now: datetime) -> None:
    """The company's own systems (webhooks): one event for each."""
    if not outgoing.wanted(tenant_id, WebhookEndpoint.Event.TARGET_EXITED):
        return
    rows = Target.objects.filter(pk__in=target_ids).select_related("referral")
    for target in rows.order_by("pk"):
        outgoing.emit(
            tenant_id=tenant_id,
            event=WebhookEndpoint.Event.TARGET_EXITED,
            object_type="target",
            object_id=target.pk,
            data={
                "target": target.pk,
                "campaign": target.campaign_id,
                "referral": target.referral.external_id,
                "reason": reason,
                "stepsDone": target.steps_done,
            },
            now=now,
        )


def _exit_people(
    tenant: Tenant,
    people: Sequence[tuple[int, str]],
    *,
    reason: str,
    actor: Actor,
    now: datetime,
) -> ExitResult:
    referral_ids = [pk for pk, _ in people]
    phones = [phone for _, phone in people]
    theirs = Q(referral_id__in=referral_ids)
    if reason == Target.ExitReason.PAID:
        theirs |= Q(phone__in=phones)
    targets = Target.objects.filter(theirs, tenant=tenant)
    result = _exit(targets, reason=reason, actor=actor, now=now)
    if not people:
        return result
    # Ended targets count as well: a repetition gives the same answer while a send is under way.
    in_flight = _in_flight(Target.objects.filter(referral_id__in=referral_ids))
    return replace(result, known=True, in_flight=max(in_flight, result.in_flight))


def _exit(targets: QuerySet[Target], *, reason: str, actor: Actor, now: datetime) -> ExitResult:
    # By id, here and in every bulk write: two of them never lock in two orders.
    locked = list(
        targets.filter(state=Target.State.ACTIVE)
        .select_for_update(of=("self",))
        .order_by("id")
        .values_list("id", flat=True)
    )
    cancelled = end_locked(locked, reason=reason, actor=actor, now=now)
    failpoint("exit.before-commit")
    in_flight = _in_flight(Target.objects.filter(pk__in=locked))
    if locked:
        log.info(
            "targets exited",
            target_ids=locked[:20],
            count=len(locked),
            reason=reason,
            messages_cancelled=len(cancelled),
            in_flight=in_flight,
        )
    return ExitResult(len(locked), len(cancelled), in_flight, known=bool(locked))


def _in_flight(targets: QuerySet[Target]) -> int:
    sending = Delivery.objects.filter(target__in=targets, message__state=Message.State.SENDING)
    return sending.count()
