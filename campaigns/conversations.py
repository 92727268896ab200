"""What is said in a chat, and what that means for sequences and broadcasts.

An answer pauses a follow-up where its campaign says so (`Campaign.pause_on_reply`); only a person
lets it go on. A take-over of the chat always pauses it, and lets it go on when it ends, whether it
runs out or is given back: planning looks each minute (`release`, `hold`).

Locks: the chat, then targets, then their messages, which `targets.pause` touches by conditional
statements. Nobody who holds a target waits for a chat.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.dispatch import receiver

from accounts import deadlocks
from accounts.activity import SYSTEM, Actor, Verb
from accounts.models import Activity
from campaigns import targets
from campaigns.broadcasts import tracking
from campaigns.models import Target
from whatsapp.models import Chat, Incoming
from whatsapp.signals import chat_given_back, chat_taken_over, incoming_stored

PausedBy = Target.PausedBy


@receiver(incoming_stored)
def on_incoming(*, incoming: Incoming, chat: Chat | None, now: datetime, **_: Any) -> None:
    # In a group, or by the owner's own hand: neither is an answer.
    if chat is None or incoming.from_me:
        return
    tracking.replied(
        chat.contact_id,
        account_id=chat.account_id,
        quoted_wa_id=incoming.quoted_wa_id,
        at=incoming.sent_at,
    )
    answered = _followed(chat).filter(campaign__pause_on_reply=True, last_sent_at__isnull=False)
    ids = _lock(answered)
    if not ids:
        return
    targets.pause(ids, by=PausedBy.REPLY, now=now)
    # The take-over in which they answered ends by itself; what they answered stays.
    Target.objects.filter(pk__in=ids, paused_by=PausedBy.TAKEOVER).update(paused_by=PausedBy.REPLY)


@receiver(chat_taken_over)
def on_taken_over(*, chat: Chat, actor: Actor, now: datetime, **_: Any) -> None:
    # Those that an earlier take-over holds, too: they may just be let go (`release`).
    targets.pause(_lock(_followed(chat)), by=PausedBy.TAKEOVER, actor=actor, now=now)


@receiver(chat_given_back)
def on_given_back(*, chat: Chat, actor: Actor, now: datetime, **_: Any) -> None:
    held = _followed(chat).filter(paused_by=PausedBy.TAKEOVER)
    targets.resume(list(held.values_list("pk", flat=True)), actor=actor, now=now)


@deadlocks.retried
def release(*, now: datetime) -> int:
    """Let those go on whose take-over has run out; returns how many."""
    taken_over = Chat.objects.filter(
        account=OuterRef("account"),
        contact__tenant=OuterRef("tenant"),
        contact__phone=OuterRef("phone"),
        taken_over_until__gt=now,
    )
    held = Target.objects.filter(~Exists(taken_over), paused_by=PausedBy.TAKEOVER)
    with transaction.atomic():
        ids = _lock(held)
        # Asked once more when they are locked: a take-over or an answer that was first is seen
        # now, a later one waits for them and holds them again.
        still = held.filter(pk__in=ids).values_list("pk", flat=True)
        return targets.resume(list(still), actor=SYSTEM, now=now)


def hold(*, now: datetime) -> int:
    """Pause those who are followed, or known by their phone, only since their chat was taken over.

    Planning asks for it before it queues. Whom a person has let go on since is left. Returns how
    many.
    """
    taken_over = {
        (chat.tenant_id, chat.account_id, chat.contact.phone): chat.taken_over_at
        for chat in Chat.objects.taken_over(now=now).select_related("contact")
    }
    rows = Target.objects.filter(
        tenant__in={tenant for tenant, _, _ in taken_over},
        phone__in={phone for _, _, phone in taken_over if phone},
        state=Target.State.ACTIVE,
        paused_at=None,
    )
    since = {
        pk: taken_over[tenant, account, phone]
        for pk, tenant, account, phone in rows.values_list("pk", "tenant", "account", "phone")
        if (tenant, account, phone) in taken_over
    }
    resumed = Activity.objects.filter(
        subject_type=Target._meta.label_lower, subject_id__in=since, verb=Verb.TARGET_RESUMED
    )
    for pk, at in resumed.values_list("subject_id", "at"):
        if pk in since and at >= (since[pk] or at):
            del since[pk]
    return targets.pause(since, by=PausedBy.TAKEOVER, now=now)


def _lock(rows: QuerySet[Target]) -> list[int]:
    locked = rows.select_for_update(of=("self",)).order_by("pk")
    return list(locked.values_list("pk", flat=True))


def _followed(chat: Chat) -> QuerySet[Target]:
    return Target.objects.filter(
        tenant=chat.tenant_id,
        phone=chat.contact.phone,
        account=chat.account_id,
        state=Target.State.ACTIVE,
    ).exclude(phone="")
