"""“typing…”, shown to whoever waits for an agent's answer."""

from __future__ import annotations

import structlog

from whatsapp.driver.base import DriverError
from whatsapp.models import AgentTurn
from whatsapp.sessions import SessionPool

log = structlog.get_logger(__name__)

CALL_SECONDS = 5.0


def show_typing(pool: SessionPool, incoming_id: int) -> None:
    """Show it while the agent is asked about a message, if this worker has the browser.

    Beside whatever is being sent; nobody has to see it. It ends with the answer, or by itself.
    """
    turn = (
        AgentTurn.objects.filter(pk=incoming_id, state=AgentTurn.State.ASKING)
        .select_related("incoming", "agent")
        .first()
    )
    session = pool.get(turn.incoming.account_id) if turn is not None else None
    if turn is None or session is None or not session.usable:
        return
    try:
        session.driver.typing(
            turn.incoming.chat_id, seconds=turn.agent.timeout_seconds, deadline=CALL_SECONDS
        )
    except DriverError as error:
        log.info("typing not shown", account_id=session.account_id, code=error.code)
