"""How far everybody is, from the database, and live on the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Self

from django.db import DatabaseError, connection
from django.db.models import Count, Q
from rich.console import Console
from rich.live import Live
from rich.table import Table

from accounts.models import Tenant
from campaigns.models import Target
from whatsapp.models import Account, Message

EVERY = 0.5  # seconds between two looks
PLAIN_EVERY = 5.0  # seconds between two lines where the output is no terminal
State = Message.State


@dataclass(slots=True)
class Counts:
    """How many of one account. `sent` includes what was delivered, `delivered` what was read."""

    enrolled: int = 0
    queued: int = 0
    sent: int = 0
    delivered: int = 0
    read: int = 0
    failed: int = 0
    completed: int = 0
    exited: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)))


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the database: account name -> (status, counts)."""

    accounts: dict[str, tuple[str, Counts]]

    @property
    def total(self) -> Counts:
        return sum((counts for _, counts in self.accounts.values()), Counts())

    @property
    def followed(self) -> int:
        """Targets that are still in the loop."""
        total = self.total
        return total.enrolled - total.completed - total.exited


def look(tenant: Tenant) -> Look:
    """Count everything of `tenant` now. Raises `DatabaseError` while PostgreSQL is away."""
    found: dict[int, Counts] = {}
    names: dict[int, tuple[str, str]] = {}
    accounts = Account.objects.filter(tenant=tenant).order_by("name")
    for pk, name, status in accounts.values_list("id", "name", "status"):
        names[pk] = (name, status)
        found[pk] = Counts()
    targets = (
        Target.objects.filter(tenant=tenant)
        .values("account_id")
        .annotate(
            enrolled=Count("id"),
            completed=Count("id", filter=Q(state=Target.State.COMPLETED)),
            exited=Count("id", filter=Q(state=Target.State.EXITED)),
        )
    )
    messages = (
        Message.objects.filter(tenant=tenant)
        .values("account_id")
        .annotate(
            queued=Count("id", filter=Q(state__in=Message.OPEN)),
            sent=Count("id", filter=Q(state__in=Message.ARRIVED)),
            delivered=Count("id", filter=Q(state__in=[State.DELIVERED, State.READ])),
            read=Count("id", filter=Q(state=State.READ)),
            failed=Count("id", filter=Q(state__in=[State.FAILED, State.UNCERTAIN])),
        )
    )
    for row in [*targets, *messages]:
        for column, value in row.items():
            if column != "account_id":
                setattr(found[row["account_id"]], column, value)
    return Look({names[pk][0]: (names[pk][1], counts) for pk, counts in found.items()})


class Progress:
    """Shows looks at the database: as a table that changes, or as a line now and then."""

    def __init__(self, console: Console, tenant: Tenant) -> None:
        self._console = console
        self._tenant = tenant
        self._began = time.monotonic()
        self._last_line = 0.0
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def until(self, condition: Callable[[Look], bool], *, seconds: float) -> Look:
        """Show looks until `condition` holds for one; returns that one, or the last in time."""
        until = time.monotonic() + seconds
        latest = Look({})
        while True:
            try:
                latest = look(self._tenant)
                self._show(latest)
                if condition(latest):
                    return latest
            except DatabaseError:
                connection.close()  # PostgreSQL is being started again
            if time.monotonic() > until:
                return latest
            time.sleep(EVERY)

    def _show(self, now: Look) -> None:
        seconds = time.monotonic() - self._began
        if self._live:
            self._live.update(_table(now, seconds), refresh=True)
        elif time.monotonic() - self._last_line >= PLAIN_EVERY:
            self._last_line = time.monotonic()
            numbers = "  ".join(f"{f.name} {getattr(now.total, f.name)}" for f in fields(Counts))
            self._console.print(f"{seconds:5.0f} s  {numbers}")


def _table(now: Look, seconds: float) -> Table:
    table = Table(title=f"follow-ups, {seconds:.0f} s", title_justify="left")
    table.add_column("account")
    table.add_column("status")
    for column in fields(Counts):
        table.add_column(column.name, justify="right", min_width=6)
    for name, (status, counts) in now.accounts.items():
        table.add_row(name, status, *(str(getattr(counts, f.name)) for f in fields(Counts)))
    table.add_section()
    table.add_row("all", "", *(str(getattr(now.total, f.name)) for f in fields(Counts)))
    return table
