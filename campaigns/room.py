"""What still fits into an account's day, before anything is planned for it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q

from whatsapp import limits, outbox, pace
from whatsapp.models import Account, Message, Usage


@dataclass(frozen=True, slots=True)
class Room:
    """Messages that still fit into an account's day, and whether it may begin new chats on it."""

    left: int
    begins: bool


def room_of(accounts: dict[int, Account], *, now: datetime) -> dict[int, Room]:
    """The room of each account, those waiting counted in.

    One that is being sent is in the usage already, which the intent has raised. One that waits
    for a new chat takes no place of today's, and no other begins one before it.
    """
    days = {pk: limits.today(account.tenant, now=now) for pk, account in accounts.items()}
    rows = Usage.objects.filter(account_id__in=accounts, day__in=set(days.values()))
    used = {
        account_id: (count, begun)
        for account_id, day, count, begun in rows.values_list(
            "account_id", "day", "count", "new_chats"
        )
        if days[account_id] == day
    }
    held = Q(error_code__in=[pace.NEW_CHATS, pace.COLD, pace.COLD_NACK])
    queued = Message.objects.filter(
        account_id__in=accounts,
        state=Message.State.QUEUED,
        # Broadcasts give way to sequences, not the other way.
        priority__lt=outbox.BROADCAST,
    ).values_list("account_id")
    waiting = {
        account_id: (count, stalled)
        for account_id, count, stalled in queued.annotate(
            n=Count("id", filter=~held & Q(due_at__lt=now + dt.timedelta(days=1))),
            stalled=Count("id", filter=held),
        )
    }
    room = {}
    for pk, account in accounts.items():
        sent, begun = used.get(pk, (0, 0))
        count, stalled = waiting.get(pk, (0, 0))
        room[pk] = Room(
            left=max(0, account.limit_on(days[pk]) - sent - count),
            begins=not stalled and begun < account.new_chats_limit,
        )
    return room
