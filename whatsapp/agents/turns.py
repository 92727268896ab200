"""Ask an agent about each message that came in, once, and queue what it says.

A turn is written in the transaction that stored the message (intake.py); a task of the queue
`outside` claims it, asks outside of any transaction, and queues the answer under the turn's own
key. Whoever dies meanwhile has its claim run out, and the reconciler rings again. Turns of a chat
go one after the other. Nothing here waits for a browser: answers are messages as all others, ahead
of campaigns.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Q
from django.utils.translation import gettext, override

from accounts import activity, deadlocks
from accounts.activity import Verb
from whatsapp import doorbells, outbox
from whatsapp.agents import sessions
from whatsapp.agents.protocol import Answer, NoAnswer, Question
from whatsapp.agents.switchboard import connect, is_remote, language_of, variables_of
from whatsapp.clock import database_now
from whatsapp.failpoints import failpoint
from whatsapp.models import AgentSession, AgentTurn, Chat, ChatAgent, Message

log = structlog.get_logger(__name__)

State = AgentTurn.State

# What is left of a claim when the agent's time is over: to write the answer down.
CLAIM_MARGIN = 30  # seconds
MOST_ATTEMPTS = 3
LATE_DOORBELL = timedelta(seconds=5)


# -------------------------------------------------------------------------------------- asking


@dataclass(frozen=True, slots=True)
class _Heard:
    answer: Answer
    session: AgentSession


def answer(incoming_id: int) -> bool:
    """Ask about one message and queue the answer. False when there was nothing to do now.

    May be called at any time, twice, or for nothing. Uses the database's clock.
    """
    turn = claim(incoming_id)
    if turn is None:
        return False
    failpoint("agent.claimed")
    now = database_now()
    left = _skip_reason(turn, now=now)
    if left:
        _skip(turn, left, now=now)
    elif turn.attempts > MOST_ATTEMPTS:
        _fail(turn, NoAnswer("gave_up", "whoever asked the agent died again and again"))
    else:
        try:
            heard = _ask(turn, now=now)
        except NoAnswer as error:
            failpoint("agent.failed")
            _fail(turn, error)
        else:
            failpoint("agent.heard")
            _finish(turn, heard)
    waiting = AgentTurn.objects.filter(chat=turn.chat_id, state=State.WAITING)
    following = waiting.order_by("pk").values_list("pk", flat=True)[:1]
    doorbells.answer_on_commit(following)
    return True


def claim(incoming_id: int) -> AgentTurn | None:
    """The turn, for us alone until its claim runs out; None when it is not its turn."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE whatsapp_agentturn AS turn
            SET state = 'asking', attempts = attempts + 1, asked_at = clock_timestamp(),
                claimed_until = clock_timestamp()
                    + make_interval(secs => agent.timeout_seconds + %s)
            FROM whatsapp_chatagent AS agent
            WHERE turn.incoming_id = %s AND agent.id = turn.agent_id
              AND (turn.state = 'waiting'
                   OR (turn.state = 'asking' AND turn.claimed_until <= clock_timestamp()))
              AND NOT EXISTS (
                  SELECT FROM whatsapp_agentturn AS earlier
                  WHERE earlier.chat_id = turn.chat_id AND earlier.incoming_id < turn.incoming_id
                    AND earlier.state IN ('waiting', 'asking'))
            RETURNING turn.incoming_id
            """,
            [CLAIM_MARGIN, incoming_id],
        )
        if cursor.fetchone() is None:
            return None
    return AgentTurn.objects.select_related(
        "incoming", "agent__tenant", "chat__contact", "chat__account__tenant"
    ).get(pk=incoming_id)


def waiting(*, now: datetime) -> list[int]:
    """Turns whose doorbell was lost, or that somebody began and did not end."""
    lost = Q(state=State.WAITING, created_at__lt=now - LATE_DOORBELL)
    left = Q(state=State.ASKING, claimed_until__lt=now)
    rows = AgentTurn.objects.filter(lost | left, state__in=AgentTurn.OPEN)
    return list(rows.order_by("pk").values_list("pk", flat=True)[:1000])


def _skip_reason(turn: AgentTurn, *, now: datetime) -> str:
    if turn.chat.is_taken_over(now=now):
        return "taken_over"
    if turn.chat.contact.opted_out_at is not None:
        return "opted_out"
    if turn.chat.account.agent_id != turn.agent_id or not turn.agent.enabled:
        return "agent_changed"
    return ""


def _ask(turn: AgentTurn, *, now: datetime) -> _Heard:
    """Ask, in the current conversation or a new one. Raises `NoAnswer`."""
    until = time.monotonic() + turn.agent.timeout_seconds
    if is_remote(turn.agent):
        doorbells.show_typing(turn.chat.account_id, turn.pk)
    session = sessions.current(turn.chat, turn.agent, now=now)
    AgentTurn.objects.filter(pk=turn.pk).update(session=session)
    known = bool(session.external_id)
    try:
        return _ask_in(session, turn, until=until)
    except NoAnswer as error:
        if not known or error.code != "bad_status":
            raise
    # The agent has ended the conversation on its side: it is asked again, in a new one.
    sessions.end([session.pk], why=AgentSession.Why.FINISHED, now=now)
    session = sessions.current(turn.chat, turn.agent, now=now)
    AgentTurn.objects.filter(pk=turn.pk).update(session=session)
    return _ask_in(session, turn, until=until)


def _ask_in(session: AgentSession, turn: AgentTurn, *, until: float) -> _Heard:
    agent = connect(turn.agent)
    variables = variables_of(turn.chat.contact, turn.chat.account)
    if not session.external_id:
        name = agent.begin(variables, session=f"session-{session.pk}", deadline=_left(until))
        session.external_id = name
        AgentSession.objects.filter(pk=session.pk).update(external_id=name)
    said = agent.answer(
        Question(
            id=str(turn.pk),
            session=session.external_id,
            text=turn.incoming.body,
            kind=turn.incoming.kind,
            language=language_of(turn.chat.contact, turn.agent.tenant),
            variables=variables,
        ),
        deadline=_left(until),
    )
    return _Heard(said, session)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise NoAnswer("too_slow", "the agent did not answer in time")
    return left


# --------------------------------------------------------------------------- what comes of it


@deadlocks.retried
def _finish(turn: AgentTurn, heard: _Heard) -> None:
    now = database_now()
    with transaction.atomic():
        late = _lock(turn, now=now)
        if late:
            _skip(turn, late, now=now)
            return
        if not _move(turn, State.ANSWERED, heard_at=now, now=now):
            return
        _say(turn, heard.answer.texts, now=now)
        failpoint("agent.before-commit")
        if heard.answer.finished:
            sessions.end([heard.session.pk], why=AgentSession.Why.FINISHED, now=now)
        else:
            AgentSession.objects.filter(pk=heard.session.pk).update(last_at=now)
        _note_health(turn.agent, None, now=now)


@deadlocks.retried
def _fail(turn: AgentTurn, error: NoAnswer) -> None:
    """No answer: apologise once a conversation, and tell people who can mend it once."""
    now = database_now()
    log.warning("agent failed", agent_id=turn.agent_id, code=error.code)
    with transaction.atomic():
        late = _lock(turn, now=now)
        if late:
            _skip(turn, late, now=now)
            return
        moved = _move(
            turn,
            State.FAILED,
            heard_at=now,
            error_code=error.code,
            error=str(error)[:300],
            now=now,
        )
        if not moved:
            return
        open_session = AgentSession.objects.filter(
            chat=turn.chat_id, ended_at=None, apologised_at=None
        )
        if open_session.update(apologised_at=now):
            _say(turn, [_apology(turn)], now=now)
        _note_health(turn.agent, error.code, now=now)


def _skip(turn: AgentTurn, code: str, *, now: datetime) -> None:
    _move(turn, State.SKIPPED, error_code=code, now=now)


def _lock(turn: AgentTurn, *, now: datetime) -> str:
    """Hold the chat until the transaction ends: who takes it over waits, or was first.

    Returns why nothing may be said any more.
    """
    locked = Chat.objects.select_for_update(of=("self",)).select_related(
        "contact", "account__tenant"
    )
    # Its contact may have become one with another since it was asked, or while we wait.
    for last in (False, True):
        try:
            turn.refresh_from_db(fields=["chat"])
        except AgentTurn.DoesNotExist:
            return "agent_deleted"
        try:
            turn.chat = locked.get(pk=turn.chat_id)
            break
        except Chat.DoesNotExist:
            if last:
                raise
    return _skip_reason(turn, now=now)


def _move(turn: AgentTurn, to: State, *, now: datetime, **fields: Any) -> bool:
    """Only while it is ours: `attempts` is the number of our claim."""
    mine = AgentTurn.objects.filter(pk=turn.pk, state=State.ASKING, attempts=turn.attempts)
    return bool(mine.update(state=to, ended_at=now, claimed_until=None, **fields))


def _say(turn: AgentTurn, texts: tuple[str, ...] | list[str], *, now: datetime) -> None:
    drafts = [
        outbox.Draft(
            tenant_id=turn.chat.tenant_id,
            account_id=turn.chat.account_id,
            contact_id=turn.chat.contact_id,
            idempotency_key=f"agent:{turn.pk}" + (f":{number}" if number else ""),
            body=text,
            due_at=now,
            priority=outbox.AGENT,
            origin=Message.Origin.AGENT,
        )
        for number, text in enumerate(texts)
    ]
    made = outbox.queue_batch(drafts, now=now)
    first = made.get(f"agent:{turn.pk}")
    if first is not None:
        Chat.objects.filter(pk=turn.chat_id).update(last_outgoing_at=now)
        AgentTurn.objects.filter(pk=turn.pk).update(message=first)


def _apology(turn: AgentTurn) -> str:
    tenant = turn.agent.tenant
    language = language_of(turn.chat.contact, tenant)
    text: str = turn.agent.apology.get(language) or turn.agent.apology.get(
        tenant.default_language, ""
    )
    if not text:
        with override(language):
            text = gettext("Sorry, we cannot answer right now. Somebody will come back to you.")
    return text


def _note_health(agent: ChatAgent, code: str | None, *, now: datetime) -> None:
    """Record when an agent begins to fail and when it answers again; people are told once."""
    row = ChatAgent.objects.filter(pk=agent.pk)
    if code is None:
        if agent.failing_since is None or not row.exclude(failing_since=None).update(
            failing_since=None, alert_wanted=False
        ):
            return
        verb, detail = Verb.AGENT_RECOVERED, {}
    else:
        if not row.filter(failing_since=None).update(failing_since=now, alert_wanted=True):
            return
        verb, detail = Verb.AGENT_FAILED, {"code": code}
        doorbells.notify_on_commit()
    activity.record(tenant_id=agent.tenant_id, verb=verb, subject=agent, detail=detail, now=now)
