"""Which incoming messages an agent is to answer: each becomes a turn with its message, or none.

Runs in the transaction that stores the message; turns.py asks the agent about it later.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q
from django.dispatch import receiver

from accounts import activity
from accounts.activity import Verb
from whatsapp import doorbells, stopping
from whatsapp.models import Account, AgentTurn, Chat, ChatAgent, Contact, Incoming, Message
from whatsapp.signals import incoming_stored

State = AgentTurn.State

# A message that was caught up so long after it came is for a person.
ANSWER_WITHIN = timedelta(hours=1)
# The same words so many times in a row are a machine's.
REPEATS = 3


@receiver(incoming_stored)
def on_incoming(*, incoming: Incoming, chat: Chat | None, now: datetime, **_: Any) -> None:
    """Write a turn down for a message that the account's agent is to answer."""
    agent = incoming.account.agent
    contact = incoming.contact
    if chat is None or contact is None or agent is None or not agent.enabled or incoming.from_me:
        return
    if contact.opted_out_at is not None or chat.is_taken_over(now=now):
        return
    if incoming.sent_at < now - ANSWER_WITHIN:
        return
    tenant = incoming.account.tenant
    if stopping.means(incoming.body, [*tenant.start_words, *tenant.stop_words]):
        return
    if not _is_kept(agent):
        return
    turn = AgentTurn(incoming=incoming, chat=chat, agent=agent, created_at=now)
    loop = _looks_like_a_loop(incoming, contact, agent, now=now)
    if loop:
        _leave_alone(turn, loop, now=now)
        return
    turn.save(force_insert=True)
    doorbells.answer_on_commit([turn.pk])


def _is_kept(agent: ChatAgent) -> bool:
    """Whether the agent is there, and stays until this transaction ends.

    Otherwise what comes in while somebody deletes the agent would be refused with its turn.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM whatsapp_chatagent WHERE id = %s FOR KEY SHARE", [agent.pk])
        return bool(cursor.rowcount)


def _looks_like_a_loop(
    incoming: Incoming, contact: Contact, agent: ChatAgent, *, now: datetime
) -> str:
    """Why answering would only bring the next message; empty when it would not."""
    tenant_id = incoming.account.tenant_id
    ours = Q(phone=contact.phone) if contact.phone else Q(pk__in=[])
    ours |= Q(lid=contact.lid) if contact.lid else Q(pk__in=[])
    if Account.objects.filter(ours, tenant=tenant_id).exists():
        return "own_number"
    an_hour_ago = now - timedelta(hours=1)
    answered = AgentTurn.objects.filter(chat__contact=contact, created_at__gt=an_hour_ago).exclude(
        state=State.SKIPPED
    )
    if answered.count() >= agent.answers_per_hour:
        return "too_many"
    said = stopping.plain(incoming.body)
    theirs = contact.incoming.filter(
        account=incoming.account_id, from_me=False, sent_at__gt=an_hour_ago
    ).order_by("-sent_at", "-pk")
    recent = list(theirs.values_list("body", flat=True)[: REPEATS + 1])
    if said and len(recent) > REPEATS and all(stopping.plain(body) == said for body in recent):
        return "repeats_itself"
    last = (
        contact.messages.filter(origin=Message.Origin.AGENT, created_at__gt=an_hour_ago)
        .order_by("-pk")
        .values_list("body", flat=True)
        .first()
    )
    return "echoes_us" if last and said and stopping.plain(last) == said else ""


def _leave_alone(turn: AgentTurn, code: str, *, now: datetime) -> None:
    """Note that a message is not answered; say so once an hour, not for each of a flood."""
    said = AgentTurn.objects.filter(
        chat=turn.chat, error_code=code, created_at__gt=now - timedelta(hours=1)
    ).exists()
    turn.state, turn.error_code, turn.ended_at = State.SKIPPED, code, now
    turn.save(force_insert=True)
    if not said:
        activity.record(
            tenant_id=turn.chat.tenant_id,
            verb=Verb.AGENT_SILENCED,
            subject=turn.agent,
            detail={"chat": turn.chat_id, "code": code},
            now=now,
        )
