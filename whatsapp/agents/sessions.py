"""Conversations of agents: begun by a question, ended once, told to the agent at most once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import structlog
from django.db import connection, transaction
from django.dispatch import receiver

from whatsapp import doorbells
from whatsapp.agents.protocol import NoAnswer
from whatsapp.agents.switchboard import connect
from whatsapp.models import AgentSession, Chat, ChatAgent, Contact
from whatsapp.signals import chat_taken_over, contact_opted_out

log = structlog.get_logger(__name__)

Why = AgentSession.Why

# Telling an agent that a conversation is over is a courtesy: it may take this long.
TELL_SECONDS = 5.0
MOST_TOLD = 100


def current(chat: Chat, agent: ChatAgent, *, now: datetime) -> AgentSession:
    """The open conversation of `agent` in `chat`; what is over is ended and a new one begun."""
    with transaction.atomic():
        Chat.objects.select_for_update().get(pk=chat.pk)  # two questions begin one conversation
        found = AgentSession.objects.filter(chat=chat, ended_at=None).first()
        if found is not None:
            if found.agent_id != agent.pk:
                end([found.pk], why=Why.AGENT_CHANGED, now=now)
            elif found.last_at + agent.idle <= now:
                end([found.pk], why=Why.IDLE, now=now)
            else:
                AgentSession.objects.filter(pk=found.pk).update(last_at=now)
                return found
        return AgentSession.objects.create(chat=chat, agent=agent, started_at=now, last_at=now)


def end(session_ids: Iterable[int], *, why: Why, now: datetime) -> int:
    """End those that are open; returns how many. Agents are told after the commit."""
    ids = list(session_ids)
    rows = AgentSession.objects.filter(pk__in=ids, ended_at=None)
    with transaction.atomic():
        ended = rows.update(ended_at=now, why=why)
        doorbells.tell_ended_on_commit(ids if ended else ())
    return ended


def end_idle(*, now: datetime) -> int:
    """End the conversations in which nobody wrote for as long as their agent waits."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT session.id FROM whatsapp_agentsession AS session
            JOIN whatsapp_chatagent AS agent ON agent.id = session.agent_id
            WHERE session.ended_at IS NULL
              AND session.last_at + make_interval(mins => agent.idle_minutes) <= %s
              AND NOT EXISTS (SELECT FROM whatsapp_agentturn AS turn
                              WHERE turn.session_id = session.id
                                AND turn.state IN ('waiting', 'asking'))
            LIMIT 1000
            """,
            [now],
        )
        ids = [row[0] for row in cursor.fetchall()]
    return end(ids, why=Why.IDLE, now=now) if ids else 0


def untold() -> list[int]:
    """Ids of ended conversations whose agents have not been told yet."""
    rows = AgentSession.objects.filter(told_at=None, ended_at__isnull=False)
    return list(rows.order_by("ended_at").values_list("pk", flat=True)[:MOST_TOLD])


def tell(session_id: int, *, now: datetime) -> bool:
    """Tell the agent that a conversation is over. Claimed before: at most once, answer or not."""
    claimed = AgentSession.objects.filter(
        pk=session_id, told_at=None, ended_at__isnull=False
    ).update(told_at=now)
    if not claimed:
        return False
    session = AgentSession.objects.select_related("agent__tenant").get(pk=session_id)
    if not session.external_id:
        return False  # it never began there
    try:
        connect(session.agent).end(session.external_id, deadline=TELL_SECONDS)
    except NoAnswer as error:
        log.info("agent not told", session_id=session_id, code=error.code)
        return False
    return True


@receiver(chat_taken_over)
def on_taken_over(*, chat: Chat, now: datetime, **_: Any) -> None:
    rows = AgentSession.objects.filter(chat=chat, ended_at=None)
    end(list(rows.values_list("pk", flat=True)), why=Why.TAKEN_OVER, now=now)


@receiver(contact_opted_out)
def on_opted_out(*, contact: Contact, now: datetime, **_: Any) -> None:
    rows = AgentSession.objects.filter(chat__contact=contact, ended_at=None)
    end(list(rows.values_list("pk", flat=True)), why=Why.OPTED_OUT, now=now)
