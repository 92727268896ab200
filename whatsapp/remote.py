"""What a browser worker can be asked and told from outside: ``celery inspect`` and ``control``.

Celery runs these on the thread that reads its queues, so they only look and start things; whoever
waits for the outcome asks again (commands.py does). The command line needs their names before
Django has any model, so nothing here touches one.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from celery.worker.control import control_command, inspect_command

if TYPE_CHECKING:
    from whatsapp.sessions import Session, SessionPool

pools: list[SessionPool] = []  # one in a browser worker, none elsewhere; tasks.py opens it

NO_BROWSERS = {"error": "this worker has no browsers: name one that was started with -Q browser"}


@inspect_command()
def sessions(_state: Any, **_: Any) -> dict[str, Any]:
    """Browsers of this worker, and whether it takes accounts."""
    if not pools:
        return {"state": "no browsers", "sessions": []}
    pool = pools[0]
    found = sorted(pool.all(), key=lambda session: session.account_id)
    return {"state": pool.state, "sessions": [_describe(session) for session in found]}


def _describe(session: Session) -> dict[str, Any]:
    """JSON: seconds, and bytes as of the last look at it (each minute)."""
    now = time.monotonic()
    if session.closing.is_set():
        state = "closing"
    elif not session.opened:
        state = "opening"
    elif session.link_ends is not None:
        state = "linking"
    else:
        state = "open" if session.usable else session.lost or "lease over"
    return {
        "account": session.account_id,
        "state": state,
        "browserPid": session.driver.process_group,
        "memory": session.memory or None,
        "openFor": round(now - session.opened_at),
        "idleFor": round(now - session.used_at),
        "leaseEndsIn": round(session.held.until - now, 1),
    }


@control_command()
def drain(state: Any, **_: Any) -> dict[str, Any]:
    """Finish what is being sent, save and hand over every account; take no new ones."""
    if not pools:
        return NO_BROWSERS
    pool = pools[0]
    for name in list(state.app.amqp.queues.consume_from):
        if name.partition(".")[0] == "browser":  # the shared one, and its own: see doorbells.py
            # First, so that no doorbell for an account given back comes here and is lost.
            state.consumer.call_soon(state.consumer.cancel_task_queue, name)
            _left.add(name)
    accounts = [session.account_id for session in pool.all()]
    threading.Thread(target=pool.drain, name="draining", daemon=True).start()
    return {"ok": "draining", "accounts": accounts}


_left: set[str] = set()  # queues that `drain` left


@control_command()
def undrain(state: Any, **_: Any) -> dict[str, Any]:
    """Take accounts again after a drain."""
    if not pools:
        return NO_BROWSERS
    if not pools[0].undrain():
        return {"error": "it is still draining, or stops: ask again, or start it anew"}
    for name in sorted(_left):
        state.consumer.call_soon(state.consumer.add_task_queue, name)
    _left.clear()
    return {"ok": "takes accounts again"}


@control_command(signature="<account id>", args=[("account_id", int)])
def recycle(_state: Any, account_id: int, **_: Any) -> dict[str, Any]:
    """Close the browser of an account, saved, and open it again."""
    if not pools:
        return NO_BROWSERS
    session = pools[0].get(account_id)
    if session is None:
        return {"error": f"no browser of account {account_id} is open in this worker"}
    # Noticed by whoever drives it, after the message that is being sent.
    session.lost = "recycled by hand"
    pools[0].wake(account_id)
    return {"ok": "recycling"}
