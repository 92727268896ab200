"""What Redis holds of an account, taken apart and put together: the layout of `limits`."""

from __future__ import annotations

from whatsapp import limits


def read(account_id: int) -> dict[str, str]:
    """Empty when there is nothing."""
    text = limits.server().client.get(limits.key(account_id))
    if not text:
        return {}
    return {"epoch": text[:40], "day": text[40:50], "used": text[50:60], "times": text[60:]}


def write(account_id: int, **changes: str) -> None:
    state = read(account_id) | changes
    text = state["epoch"] + state["day"] + state["used"] + state["times"]
    limits.server().client.set(limits.key(account_id), text, ex=172_800)
