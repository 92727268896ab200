"""The numbers of the dashboard and of the API's stats: set-based, a fixed number of queries.

Every function takes the ids of the tenants it is about; a day is a day in the tenant's own zone.
`since` is inclusive, `until` is not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, QuerySet, Value
from django.db.models.functions import Concat

from campaigns.models import Step, Target
from whatsapp.models import Account, Message

ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Funnel:
    """Targets enrolled in a time, and how far they came.

    `reached[n - 1]` counts those that have step n behind them; `exited` counts by exit reason.
    """

    enrolled: int
    reached: tuple[int, ...]
    active: int
    completed: int
    exited: dict[str, int]


@dataclass(frozen=True, slots=True)
class OpenQuestions:
    """What waits for a person, or should not last: counts of rows."""

    uncertain: int
    stuck: int
    failed_today: int
    accounts_to_link: int
    accounts_paused: int
    accounts_resting: int
    accounts_at_limit: int
    accounts_without_worker: int
    held: dict[str, int]


def funnel(
    tenant_ids: Collection[int],
    *,
    since: datetime,
    until: datetime,
    campaign_id: int | None = None,
) -> Funnel:
    """How far those came who were enrolled between `since` and `until`."""
    targets = Target.objects.filter(
        tenant__in=tenant_ids, enrolled_at__gte=since, enrolled_at__lt=until
    )
    steps = Step.objects.filter(campaign__tenant__in=tenant_ids)
    if campaign_id is not None:
        targets, steps = targets.filter(campaign=campaign_id), steps.filter(campaign=campaign_id)
    else:
        steps = steps.filter(campaign__active=True)
    groups = list(targets.values_list("steps_done", "state", "exit_reason").annotate(Count("pk")))
    last = max(
        steps.aggregate(last=Max("number"))["last"] or 0,
        *(done for done, *_ in groups),
        0,
    )
    exited: dict[str, int] = {}
    for _, state, reason, count in groups:
        if state == Target.State.EXITED:
            exited[reason] = exited.get(reason, 0) + count
    by_state = {
        wanted: sum(count for _, state, _, count in groups if state == wanted)
        for wanted in Target.State.values
    }
    return Funnel(
        enrolled=sum(by_state.values()),
        reached=tuple(
            sum(count for done, *_, count in groups if done >= number)
            for number in range(1, last + 1)
        ),
        active=by_state[Target.State.ACTIVE],
        completed=by_state[Target.State.COMPLETED],
        exited=exited,
    )


def open_questions(tenant_ids: Collection[int], *, now: datetime) -> OpenQuestions:
    """What waits for a person now, all in one query."""
    messages = Message.objects.filter(tenant__in=tenant_ids)
    numbers = Account.objects.filter(tenant__in=tenant_ids)
    asked: Sequence[tuple[str, QuerySet[Any]]] = [
        ("uncertain", messages.uncertain()),
        ("stuck", messages.stuck(now=now)),
        ("failed_today", messages.failed_since(now - ONE_DAY)),
        ("accounts_to_link", numbers.to_link(now=now)),
        ("accounts_paused", numbers.paused()),
        ("accounts_resting", numbers.resting()),
        ("accounts_at_limit", numbers.at_limit(now=now)),
        ("accounts_without_worker", numbers.without_worker(now=now)),
    ]
    held = (
        Target.objects.filter(tenant__in=tenant_ids)
        .exclude(hold="")
        .annotate(question=Concat(Value("held: "), "hold"))
        .values_list("question")
        .annotate(Count("pk"))
    )
    counts = [
        rows.annotate(question=Value(name)).order_by().values_list("question").annotate(Count("pk"))
        for name, rows in asked
    ]
    found: dict[str, int] = dict(counts[0].union(*counts[1:], held, all=True))
    return OpenQuestions(
        **{name: found.get(name, 0) for name, _ in asked},
        held={
            hold: found[f"held: {hold}"]
            for hold in Target.Hold.values
            if found.get(f"held: {hold}")
        },
    )
