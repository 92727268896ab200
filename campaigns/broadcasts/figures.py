"""How far a broadcast has come, in recipients: one query over its ledger."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q

from campaigns.models import Broadcast, Recipient

State = Recipient.State


@dataclass(frozen=True, slots=True)
class Figures:
    """Recipients who ever got that far: `sent` counts those who have read it, too.

    `queued` to `replied` never fall. `waiting`, `uncertain`, `failed`, `opted_out` and `skipped`
    are where people stand now; somebody who said stop after it was sent is in both.
    """

    recipients: int
    waiting: int
    queued: int
    uncertain: int
    sent: int
    delivered: int
    read: int
    replied: int
    failed: int
    opted_out: int
    skipped: int


def of(broadcast: Broadcast) -> Figures:
    return Figures(
        **Recipient.objects.filter(broadcast=broadcast).aggregate(
            recipients=Count("pk"),
            queued=Count("queued_at"),
            sent=Count("sent_at"),
            delivered=Count("delivered_at"),
            read=Count("read_at"),
            replied=Count("replied_at"),
            **{
                state.value: Count("pk", filter=Q(state=state))
                for state in (
                    State.WAITING, State.UNCERTAIN, State.FAILED, State.OPTED_OUT, State.SKIPPED,
                )
            },
        )
    )  # fmt: skip
