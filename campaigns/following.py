"""What becomes of a target when something happens to its message, its contact or its account.

Receivers of `whatsapp.signals` run in the sender's transaction: the message's change and the
target's are one commit. They lock the target's row; exits.py says why that cannot deadlock. What a
receiver had to leave, or a cancellation nobody signalled, `settle_lost` finds: planning runs it.
"""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.utils import timezone

from accounts import activity, poison
from accounts.activity import Actor, Verb
from accounts.models import Tenant
from campaigns import exits, holds, schedule
from campaigns.models import Campaign, Delivery, Referrer, Step, Target, Template
from whatsapp import outbox
from whatsapp.failpoints import failpoint
from whatsapp.models import Account, Contact, Message
from whatsapp.signals import contact_opted_out, message_changed, sending_resumed

log = structlog.get_logger(__name__)

State = Message.State
KEY_PREFIX = "target:"
# What a failed or cancelled message says about the person, not about the message.
EXITS = {
    "not_on_whatsapp": Target.ExitReason.NOT_ON_WHATSAPP,
    "opted_out": Target.ExitReason.OPTED_OUT,
}


@receiver(message_changed)
def on_message_changed(*, message: Message, old_state: str, now: datetime, **_: Any) -> None:
    if not message.idempotency_key.startswith(KEY_PREFIX) or message.state == State.SENDING:
        return
    if message.state in Message.ARRIVED and old_state in Message.ARRIVED:
        return
    # A message that was queued a moment ago may be waited for by an exit: do not wait for it.
    follow(message, now=now, wait=old_state != State.QUEUED)


def follow(message: Message, *, now: datetime, wait: bool) -> None:
    """Bring the target of `message` in line with the message's state; once or many times."""
    delivery = (
        Delivery.objects.filter(message_id=message.pk).values_list("target_id", "number").first()
    )
    if delivery is None:
        return
    target_id, number = delivery
    with transaction.atomic():
        target = (
            Target.objects.select_for_update(of=("self",), skip_locked=not wait)
            .filter(pk=target_id)
            .first()
        )
        if target is None:
            return
        failpoint("follow.locked")
        waits_here = target.open_message_id == message.pk
        was_held = (
            target.hold == Target.Hold.UNCERTAIN
            and target.steps_done == number
            and target.open_message_id is None
        )
        if message.state == State.QUEUED:
            _queued_again(target, message, number, ours=waits_here, now=now)
        elif message.state in Message.ARRIVED:
            _arrived(target, message, number, was_held=was_held, ours=waits_here, now=now)
        elif target.state != Target.State.ACTIVE or not (waits_here or was_held):
            return
        elif message.state == State.UNCERTAIN:
            _uncertain(target, number, now=now)
        elif reason := EXITS.get(message.error_code):
            exits.end_locked([target.pk], reason=reason, now=now)
        else:
            # Failed or cancelled: recorded on the message; the sequence goes on at its slot.
            _advance(target, number, slot_moved=was_held, now=now)


def _advance(target: Target, number: int, *, slot_moved: bool, now: datetime) -> None:
    """Step `number` is behind the target: its next slot, or the end. `target` is locked."""
    following = _step_after(target.campaign_id, number)
    target.steps_done = number
    target.open_message = None
    target.hold = target.hold_detail = ""
    if following is None:
        target.state = Target.State.COMPLETED
        target.ended_at = now
        target.next_due_at = target.paused_at = None
        target.paused_by = ""
    else:
        if not slot_moved:
            target.slot_at += following.delay
        target.next_due_at = _due(target, following)
        schedule_at = target.next_due_at
    target.save()
    if following is not None:
        schedule.lower({target.account_id: schedule_at})
    else:
        activity.record(tenant_id=target.tenant_id, verb=Verb.COMPLETED, subject=target, now=now)


def _due(target: Target, step: Step) -> datetime:
    if target.last_sent_at is None:
        return target.slot_at
    return max(target.slot_at, target.last_sent_at + step.min_spacing)


def _step_after(campaign_id: int, number: int) -> Step | None:
    steps = Step.objects.filter(campaign_id=campaign_id, active=True, number__gt=number)
    return steps.order_by("number").first()


def _arrived(
    target: Target, message: Message, number: int, *, was_held: bool, ours: bool, now: datetime
) -> None:
    sent_at = message.sent_at or now
    if target.last_sent_at is None or target.last_sent_at < sent_at:
        target.last_sent_at = sent_at
    if target.state == Target.State.ACTIVE and (ours or was_held):
        _advance(target, number, slot_moved=was_held, now=now)
        return
    # Too late to matter for the place in the sequence: the target ended or went on meanwhile.
    if target.state == Target.State.ACTIVE and target.open_message_id is None:
        following = _step_after(target.campaign_id, target.steps_done)
        if following is not None and target.next_due_at is not None:
            target.next_due_at = max(target.next_due_at, _due(target, following))
    if target.state != Target.State.ACTIVE:
        target.steps_done = max(target.steps_done, number)
    target.save()


def _uncertain(target: Target, number: int, *, now: datetime) -> None:
    """Wait for a person, one delay at most; then planning goes on with the step after.

    The target moves on already, to a time one delay from now, so nothing has to remember it.
    """
    following = _step_after(target.campaign_id, number)
    step = following or Step.objects.filter(campaign=target.campaign_id, number=number).first()
    delay = step.delay if step else dt.timedelta(0)
    target.steps_done = number
    target.open_message = None
    target.hold = Target.Hold.UNCERTAIN
    target.hold_detail = f"message of step {number}"
    target.slot_at += delay
    target.next_due_at = max(target.slot_at, now + delay)
    target.save()
    schedule.lower({target.account_id: target.next_due_at})
    log.warning("target waits for a person", target_id=target.pk, step=number)


def _queued_again(
    target: Target, message: Message, number: int, *, ours: bool, now: datetime
) -> None:
    """Refused before it left, or a person wants it sent again: unless nobody is to get it now."""
    # The step before the next one, which a person sends again: the target goes back to it.
    was_last = target.steps_done == number and target.open_message_id is None
    if target.state == Target.State.ACTIVE and (ours or was_last):
        if target.paused_at is not None:
            outbox.hold_back([message.pk])
        if ours:
            return
        following = _step_after(target.campaign_id, number)
        step = following or Step.objects.filter(campaign=target.campaign_id, number=number).first()
        target.slot_at -= step.delay if step else dt.timedelta(0)
        target.steps_done = number - 1
        target.open_message = message
        target.hold = target.hold_detail = ""
        target.save()
        return
    reason = target.exit_reason or "sequence_went_on"
    outbox.cancel([message.pk], reason=reason, now=now)
    log.info("message cancelled", message_id=message.pk, target_id=target.pk, reason=reason)


def settle_lost(*, now: datetime, limit: int = 500) -> int:
    """Follow up messages that ended without their target hearing of it; returns how many.

    `outbox.cancel` does not signal (an operator may have cancelled by hand), and a receiver does
    not wait for a target that somebody else holds.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT message.id FROM campaigns_target AS target
            JOIN whatsapp_message AS message ON message.id = target.open_message_id
            WHERE target.open_message_id IS NOT NULL AND message.state NOT IN ('queued', 'sending')
            LIMIT %s
            """,
            [limit],
        )
        ids = [row[0] for row in cursor.fetchall()]
    for message in Message.objects.filter(pk__in=ids):
        with poison.apart("message not followed", message_id=message.pk):
            follow(message, now=now, wait=False)
    return len(ids)


@receiver(contact_opted_out)
def on_contact_opted_out(*, contact: Contact, actor: Actor, now: datetime, **_: Any) -> None:
    exits.exit_phone(
        tenant_id=contact.tenant_id,
        phone=contact.phone,
        reason=Target.ExitReason.OPTED_OUT,
        actor=actor,
        now=now,
    )


@receiver(sending_resumed)
def on_sending_resumed(
    *, account: Account, paused_for: dt.timedelta, now: datetime, **_: Any
) -> None:
    """Every place moves on by the length of the pause; of a newer target by what it saw of it.

    One that is paused itself moves by what came before that: `targets.resume` adds the rest.
    """
    params: dict[str, Any] = {"account": account.pk, "paused": paused_for, "now": now}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH locked AS (
                SELECT id, paused_at, enrolled_at FROM campaigns_target
                WHERE account_id = %(account)s AND state = 'active' ORDER BY id FOR UPDATE
            ), moved AS (
                SELECT id, greatest('0', coalesce(paused_at, %(now)s)
                                         - greatest(%(now)s - %(paused)s, enrolled_at)) AS by
                FROM locked)
            UPDATE campaigns_target AS target
            SET slot_at = slot_at + moved.by, next_due_at = next_due_at + moved.by
            FROM moved WHERE target.id = moved.id
            """,
            params,
        )
        log.info("places moved on", account_id=account.pk, targets=cursor.rowcount)


# ---------------------------------------------------- what mends a hold releases it at once


@receiver(post_save, sender=Template)
@receiver(post_save, sender=Step)
@receiver(post_save, sender=Campaign)
@receiver(post_save, sender=Tenant)
@receiver(post_save, sender=Referrer)
def on_mended(
    *,
    instance: Template | Step | Campaign | Tenant | Referrer,
    created: bool,
    **_: Any,
) -> None:
    """Planning looks again within minutes by itself; an edit in the admin is seen in the next."""
    now = timezone.now()
    match instance:
        case Template():
            holds.release_campaigns(Campaign.objects.filter(steps=instance.step_id), now=now)
        case Step():
            holds.release_campaigns(Campaign.objects.filter(pk=instance.campaign_id), now=now)
        case Campaign() if not created:
            holds.release_campaigns(Campaign.objects.filter(pk=instance.pk), now=now)
        case Tenant() if not created:
            holds.release_campaigns(Campaign.objects.filter(tenant=instance), now=now)
        case Referrer() if instance.subscribed and not created:
            holds.release_referrers([instance.pk], now=now)
