"""Sub-commands of ``celery -A relance_project``, for whoever runs Relance.

Celery loads this through the entry points in pyproject.toml, before it knows the application: so
what needs Django is imported when a command runs. docs/reference/cli.md describes each.
Exit codes: 0 done, 1 refused or not done, 2 wrong usage, 69 something is away.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click
from celery.bin.base import CeleryCommand
from celery.platforms import EX_UNAVAILABLE
from rich.console import Console
from rich.table import Table

Found = TypeVar("Found")

ANSWER_SECONDS = 5.0  # a worker answers at once, unless its machine is busy
LOOK_EVERY = 0.5


class CommandError(click.ClickException):
    """One sentence for the operator: what is wrong and how to mend it."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc] # as click's own do


def _command(function: Callable[..., None]) -> click.Command:
    """A sub-command with ``--json``, run when Django is set up; what is away is said plainly."""

    @functools.wraps(function)
    def run(**arguments: Any) -> None:
        with _plain_errors():
            function(**arguments)

    as_json = click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
    return click.command(cls=CeleryCommand)(as_json(run))


_account = click.argument("account")


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    import django

    # Sets the settings module and, where the settings name no servers, starts the embedded ones.
    from relance_project.celery import app

    django.setup()
    app.set_current()

    from django.conf import settings
    from django.db import Error as DatabaseError
    from kombu.exceptions import OperationalError
    from redis.exceptions import RedisError

    from whatsapp.limits import Unavailable
    from whatsapp.overview import UnknownAccount

    try:
        yield
    except UnknownAccount as error:
        raise CommandError(str(error)) from error
    except DatabaseError as error:
        where = settings.DATABASES["default"]
        raise CommandError(
            f"PostgreSQL at {where['HOST'] or 'localhost'} cannot be used: {_first_line(error)}. "
            "Is it running, is DATABASE_URL right, are its migrations applied? "
            "`manage.py doctor` looks closer.",
            EX_UNAVAILABLE,
        ) from error
    except (OperationalError, RedisError, Unavailable) as error:
        raise CommandError(
            f"Redis cannot be used: {_first_line(error)}. Is it running, are REDIS_URL and its "
            "password right? `manage.py doctor` looks closer.",
            EX_UNAVAILABLE,
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


# -------------------------------------------------------------------------------- looking


@_command
def sessions(*, as_json: bool) -> None:
    """Who drives which account: worker, status, memory, since when, and what is unsent."""
    from whatsapp import overview

    rows: list[dict[str, Any]] = [
        {
            "account": str(row.account),
            "id": row.account.pk,
            "tenant": row.account.tenant.slug,
            "worker": row.worker,
            "driven": row.driven,
            "status": row.account.status,
            "reason": row.account.status_reason,
            "memory": row.memory,
            "since": row.since,
            "unsent": row.unsent,
        }
        for row in overview.sessions()
    ]
    if as_json:
        _print_json(rows)
        return
    table = Table("account", "id", "worker", "status", "memory", "since (UTC)", "unsent")
    for row in rows:
        worker = row["worker"] or "nobody"
        table.add_row(
            row["account"],
            str(row["id"]),
            worker if row["driven"] or not row["worker"] else f"{worker} (silent)",
            row["status"] + (f": {row['reason']}" if row["reason"] else ""),
            f"{row['memory'] / 2**20:.0f} MB" if row["memory"] else "",
            f"{row['since']:%Y-%m-%d %H:%M:%S}" if row["since"] else "",
            str(row["unsent"]),
        )
    _print_table(table)


@_command
def queue(*, as_json: bool) -> None:
    """Messages that are not decided yet: waiting, due, in flight, uncertain."""
    from whatsapp import overview
    from whatsapp.models import Account

    counted = overview.queue()
    names = Account.objects.select_related("tenant").in_bulk([row["account"] for row in counted])
    rows: list[dict[str, Any]] = [
        {
            "account": str(names[row["account"]]),
            "id": row["account"],
            "tenant": names[row["account"]].tenant.slug,
            "waiting": row["waiting"],
            "due": row["due"],
            "inFlight": row["in_flight"],
            "uncertain": row["uncertain"],
            "oldestDue": row["oldest_due"],
        }
        for row in counted
    ]
    columns = ("waiting", "due", "inFlight", "uncertain")
    total = {column: sum(row[column] for row in rows) for column in columns}
    if as_json:
        _print_json({"accounts": rows, "total": total})
        return
    table = Table("account", "waiting", "due", "in flight", "uncertain", "oldest due (UTC)")
    for row in rows:
        oldest = f"{row['oldestDue']:%Y-%m-%d %H:%M:%S}" if row["oldestDue"] else ""
        table.add_row(row["account"], *(str(row[column]) for column in columns), oldest)
    table.add_section()
    table.add_row("all", *(str(total[column]) for column in columns), "")
    _print_table(table)
    if total["uncertain"]:
        click.echo("uncertain: a person settles them, see docs/how-to/uncertain-messages.md")


@_command
@_account
def limits(*, account: str, as_json: bool) -> None:
    """What ACCOUNT may still send: remaining, reset time, and the limits behind them."""
    from django.utils import timezone

    from whatsapp import overview

    found = overview.allowance(overview.find_account(account), now=timezone.now())
    if as_json:
        _print_json(found)
        return
    paced = found["paced"]
    table = Table("", found["account"], show_header=True)
    table.add_row("remaining", str(found["remaining"]))
    table.add_row("limited now", "yes" if found["isLimited"] else "no")
    table.add_row("more in", _duration(found["resetIn"] / 1000))
    warm = ", warming up" if found["warmsUp"] else ""
    share = f", {found['share']} % of its limit" if found["share"] < 100 else ""
    table.add_row("today", f"{found['sentToday']} of {found['perDay']}{warm}{share}")
    table.add_row("new chats", f"{found['newChatsToday']} of {found['newChatsPerDay']}")
    minute = f"{paced['minute']} of " if paced else ""
    table.add_row("in 60 seconds", f"{minute}{found['perMinute']}")
    table.add_row("gap", f"{found['gapMs']} ms and up to {found['jitterMs']} ms by chance")
    table.add_row("health", "not known yet" if found["health"] is None else f"{found['health']}")
    for held in found["holds"]:
        table.add_row("held", f"until {held['until']:%Y-%m-%d %H:%M} UTC: {held['reason']}")
    table.add_row("Redis", found["redis"])
    _print_table(table)


# --------------------------------------------------------------------------------- acting


@_command
@_account
def ring(*, account: str, as_json: bool) -> None:
    """Have a worker look at ACCOUNT now, instead of at the reconciler's next round."""
    from whatsapp import doorbells, overview

    found = overview.find_account(account)
    worker = overview.holder(found)
    doorbells.send(found.pk, doorbells.own_queue(worker) if worker else doorbells.SHARED_QUEUE)
    why_not = overview.nothing_to_do(found)
    if as_json:
        _print_json({"account": str(found), "rung": worker or "any", "nothingToDo": why_not})
        return
    click.echo(f"rung for {found}: {worker or 'the first browser worker that is free'}")
    if why_not:
        click.echo(f"it will find nothing to do: {why_not}", err=True)


@_command
@_account
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait for it.")
def recycle(*, account: str, timeout: float, as_json: bool) -> None:
    """Close the browser of ACCOUNT, its profile saved, and open it again."""
    from whatsapp import overview
    from whatsapp.models import Lease

    found = overview.find_account(account)
    worker = overview.holder(found)
    if not worker:
        raise CommandError(
            f"no worker has a browser open for {found}: `celery -A relance_project ring {found}` "
            "asks for one"
        )
    before = Lease.objects.get(account=found)
    began = time.monotonic()
    _tell(worker, "recycle", account_id=found.pk)

    def reopened() -> Lease | None:
        # A new take has a new fence, and the browser is noted once its page is usable.
        return Lease.objects.filter(
            account=found, fence__gt=before.fence, browser_group__isnull=False
        ).first()

    after = _wait(reopened, timeout)
    took = round(time.monotonic() - began, 1)
    if after is None:
        found.refresh_from_db()
        raise CommandError(
            f"{worker} closes the browser of {found}, but none was open again after "
            f"{timeout:.0f} s. The account is {found.get_status_display()}"
            + (f": {found.status_reason}" if found.status_reason else "")
        )
    if as_json:
        _print_json(
            {
                "account": str(found),
                "worker": after.worker,
                "browserPid": after.browser_group,
                "seconds": took,
            }
        )
        return
    click.echo(f"{found}: a new browser (process {after.browser_group}) after {took} s")


@_command
@click.argument("worker")
@click.option("--timeout", default=150.0, show_default=True, help="Seconds to wait for it.")
@click.option("--undo", is_flag=True, help="Let a drained worker take accounts again.")
def drain(*, worker: str, timeout: float, undo: bool, as_json: bool) -> None:
    """Have WORKER finish what it sends, save its profiles and hand its accounts over.

    It takes no account until --undo, or until it is started anew.
    """
    from whatsapp import overview
    from whatsapp.models import Account

    if undo:
        _tell(worker, "undrain")
        if as_json:
            _print_json({"worker": worker, "state": "taking"})
        else:
            click.echo(f"{worker} takes accounts again")
        return
    began = time.monotonic()
    had = _tell(worker, "drain")["accounts"]
    left = len(had)

    def drained() -> dict[str, Any] | None:
        nonlocal left
        now = _ask(worker, "sessions")
        if len(now["sessions"]) != left and not as_json:
            left = len(now["sessions"])
            click.echo(f"{worker}: {left} browsers left", err=True)
        return now if now["state"] == "drained" else None

    done = _wait(drained, timeout)
    took = round(time.monotonic() - began, 1)
    if done is None:
        raise CommandError(
            f"{worker} still has {left} browsers after {timeout:.0f} s: it goes on; "
            f"`celery -A relance_project inspect sessions -d {worker}` shows them"
        )
    accounts = Account.objects.filter(pk__in=had).select_related("tenant", "lease")
    rows = [{"account": str(account), "now": overview.holder(account)} for account in accounts]
    if as_json:
        _print_json({"worker": worker, "state": "drained", "seconds": took, "accounts": rows})
        return
    for row in rows:
        click.echo(f"{row['account']}: {row['now'] or 'waits for a worker'}")
    click.echo(f"{worker} is drained after {took} s, which gave {len(rows)} accounts back")


# --------------------------------------------------------------------------------- workers


def _tell(worker: str, command: str, **arguments: Any) -> dict[str, Any]:
    """The worker's answer to a control command; raises `CommandError` with what it refuses."""
    answer = _ask(worker, command, **arguments)
    if "error" in answer:
        raise CommandError(f"{worker}: {answer['error']}")
    return answer


def _ask(worker: str, command: str, **arguments: Any) -> dict[str, Any]:
    from relance_project.celery import app

    replies = app.control.broadcast(
        command,
        arguments=arguments,
        destination=[worker],
        reply=True,
        timeout=ANSWER_SECONDS,
        limit=1,
    )
    for reply in replies or []:
        answer: dict[str, Any] = reply[worker]
        return answer
    raise CommandError(
        f"no worker called {worker} answered within {ANSWER_SECONDS:.0f} s: "
        "`celery -A relance_project status` lists those that do",
        EX_UNAVAILABLE,
    )


def _wait(look: Callable[[], Found | None], seconds: float) -> Found | None:
    until = time.monotonic() + seconds
    while (found := look()) is None and time.monotonic() < until:
        time.sleep(LOOK_EVERY)
    return found


# --------------------------------------------------------------------------------- output


def _print_json(value: Any) -> None:
    from django.core.serializers.json import DjangoJSONEncoder

    click.echo(json.dumps(value, cls=DjangoJSONEncoder, indent=2))


def _print_table(table: Table) -> None:
    # Not a terminal: nothing may be cut off at 80 columns.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _duration(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours} h {minute} min" if hours else f"{minute} min {second} s"
