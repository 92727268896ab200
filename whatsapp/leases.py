"""Who may drive an account: one worker at a time, by a lease in PostgreSQL with a fence.

Time is the database's; `fence` rises with every take. A write of an older fence finds no row.
Rule 2 of docs/explanation/effectively-once.md.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.db import connection, transaction

from whatsapp import processes
from whatsapp.failpoints import failpoint
from whatsapp.models import Lease

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """One start of one worker. `worker` is its stable name, `instance` differs at each start."""

    worker: str
    instance: str = field(default_factory=lambda: str(uuid.uuid4()))
    host: str = field(default_factory=lambda: processes.machine()[0])
    boot_id: str = field(default_factory=lambda: processes.machine()[1])
    pid: int = field(default_factory=os.getpid)
    pid_started: int = field(
        default_factory=lambda: own.started if (own := processes.stat(os.getpid())) else 0
    )


@dataclass(slots=True)
class Held:
    """A lease of ours. `until` is when it ends by `time.monotonic`, never later than in truth."""

    account_id: int
    fence: int
    holder: Holder
    until: float

    @property
    def alive(self) -> bool:
        return time.monotonic() < self.until


class StillAlive(Exception):
    """The browser of the last holder could not be ended: taking over would make two."""


def take(account_id: int, holder: Holder) -> Held | None:
    """Take the lease if it is free, over, ours already, or its holder is dead on this machine.

    Ends the last holder's browser (its process group) before returning, where it ran on this
    machine. None when somebody else holds it. Raises `StillAlive`.
    """
    ttl = settings.WHATSAPP_LEASE_SECONDS
    before = time.monotonic()
    with transaction.atomic():
        Lease.objects.get_or_create(account_id=account_id)
        with connection.cursor() as cursor:
            cursor.execute(
                """
                SELECT fence, instance, host, boot_id, pid, pid_started, browser_group,
                       browser_started, lease_until > clock_timestamp() AS live
                FROM whatsapp_lease WHERE account_id = %s FOR UPDATE
                """,
                [account_id],
            )
            fence, instance, host, boot_id, pid, started, group, group_started, live = (
                cursor.fetchone()
            )
            here = (host, boot_id) == (holder.host, holder.boot_id)
            dead = here and pid is not None and not processes.is_running(pid, started)
            if live and instance != holder.instance and not dead:
                return None
            if here and group is not None and instance != holder.instance:
                # Under the row lock: nobody else can take the account while we end its browser.
                if not processes.end_group(group, group_started):
                    raise StillAlive(f"process group {group} does not end")
                log.info("ended the browser of the last holder", account_id=account_id, group=group)
            cursor.execute(
                """
                UPDATE whatsapp_lease
                SET fence = fence + 1, worker = %s, instance = %s, host = %s, boot_id = %s,
                    pid = %s, pid_started = %s, browser_group = NULL, browser_started = NULL,
                    memory = NULL, taken_at = clock_timestamp(),
                    lease_until = clock_timestamp() + make_interval(secs => %s)
                WHERE account_id = %s RETURNING fence
                """,
                [
                    holder.worker,
                    holder.instance,
                    holder.host,
                    holder.boot_id,
                    holder.pid,
                    holder.pid_started,
                    ttl,
                    account_id,
                ],
            )
            fence = cursor.fetchone()[0]
        failpoint("lease.before-commit")
    failpoint("lease.taken")
    # Ending a browser may have taken seconds, and the database read its clock after that; `before`
    # only makes our view end earlier.
    return Held(account_id=account_id, fence=fence, holder=holder, until=before + ttl)


def renew(helds: Iterable[Held], holder: Holder) -> set[int]:
    """One heartbeat for all leases of a worker, in one statement; returns the accounts lost.

    A lease that ended but that nobody took is renewed: its fence is still ours.
    """
    by_account = {held.account_id: held for held in helds}
    if not by_account:
        return set()
    ttl = settings.WHATSAPP_LEASE_SECONDS
    before = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE whatsapp_lease AS lease
            SET lease_until = clock_timestamp() + make_interval(secs => %s)
            FROM unnest(%s::bigint[], %s::bigint[]) AS mine (account_id, fence)
            WHERE lease.account_id = mine.account_id AND lease.fence = mine.fence
              AND lease.instance = %s
            RETURNING lease.account_id
            """,
            [
                ttl,
                list(by_account),
                [held.fence for held in by_account.values()],
                holder.instance,
            ],
        )
        renewed = {row[0] for row in cursor.fetchall()}
    for account_id in renewed:
        by_account[account_id].until = before + ttl
    return set(by_account) - renewed


def is_ours(held: Held) -> bool:
    """Whether nobody took the account since; inside a transaction, until that ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM whatsapp_lease WHERE account_id = %s AND fence = %s AND instance = %s "
            "FOR SHARE",
            [held.account_id, held.fence, held.holder.instance],
        )
        return cursor.fetchone() is not None


def record_browser(held: Held, group: int | None) -> bool:
    """Note the browser's process group, for whoever takes over. False when the lease is lost."""
    leader = processes.stat(group) if group else None
    return bool(
        Lease.objects.filter(
            account_id=held.account_id, fence=held.fence, instance=held.holder.instance
        ).update(browser_group=group, browser_started=leader.started if leader else None)
    )


def record_memory(held: Held, used: int) -> bool:
    """Note the bytes that the browser takes, for people. False when the lease is lost."""
    return bool(
        Lease.objects.filter(
            account_id=held.account_id, fence=held.fence, instance=held.holder.instance
        ).update(memory=used)
    )


def release(held: Held) -> bool:
    """Give the account back; call it after the browser has ended. False when it was lost."""
    return bool(
        Lease.objects.filter(
            account_id=held.account_id, fence=held.fence, instance=held.holder.instance
        ).update(
            lease_until=None,
            worker="",
            instance="",
            browser_group=None,
            browser_started=None,
            memory=None,
            pid=None,
            pid_started=None,
        )
    )
