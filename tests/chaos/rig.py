"""A whole Relance of its own, to be broken: PostgreSQL, Redis, a simulated WhatsApp, workers, beat.

Nothing of it is shared with anybody, so that it can be killed, stopped and flushed. Everything of a
rig is below one directory, whose name is on the command line or in the environment of each of its
processes: that is how the witness finds what was left running.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import redis
from django.core.management import call_command
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from accounts.models import Tenant
from campaigns.models import Referral, Target
from demo import processes
from relance_project import local
from relance_project.local_supervisor import processes_in
from tests.chaos import outside, people
from tests.chaos.failpoints import Failpoints
from tests.chaos.pointing import pointed_at
from tests.chaos.watch import Watch, ours
from whatsapp import linking
from whatsapp.models import Account, Lease, Message
from whatsapp.simulator.client import SimulatorControl, SimulatorControlError
from whatsapp.simulator.process import SimulatorProcess

T = TypeVar("T")

LEASE_SECONDS = 10
SEND_SECONDS = 3
ARCHIVES = "size=64m,mode=700"
WORKERS = ("browser-1", "browser-2")
# A message whose sending began and whose worker is gone is decided after this, plus a restart.
DECIDED_AFTER = LEASE_SECONDS - 3 + SEND_SECONDS + 5
EVERYTHING_SECONDS = 90.0  # until anything that was disturbed has come to rest, on a busy machine


class NotInTime(AssertionError):
    """What was awaited did not happen; the message says what."""


def until(condition: Callable[[], T], seconds: float, what: str) -> T:
    """Wait for something true. Errors of a database that is being started again do not count."""
    deadline = time.monotonic() + seconds
    while True:
        found = None
        with patient():
            found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """Pass over a database that is away; the connection is made anew."""
    try:
        yield
    except (DatabaseError, InterfaceError):
        connection.close()


class Rig:
    """See the module. A context manager; while it is entered, Django here works on its database."""

    def __init__(self, *, accounts: int = 2, with_tight_one: bool = False) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="relance-chaos-", dir="/var/tmp"))
        self.directory.chmod(0o711)
        self.failpoints = Failpoints(self.directory / "failpoints")
        self.watch = Watch(self.directory)
        self.simulator = SimulatorProcess()
        self.accounts: list[Account] = []
        self.tenant: Tenant
        self.keys: set[str] = set()  # idempotency keys of messages that were accepted
        self.referred: set[str] = set()  # external ids of referrals that were accepted
        self.exits: dict[str, dt.datetime] = {}  # external id -> when the exit had been answered
        self.follows_up = True  # work includes people to follow up: two messages each
        self._count = accounts
        self._with_tight_one = with_tight_one
        self._numbers = itertools.count(1)
        self._stack = contextlib.ExitStack()
        self._stopped = False

    # ------------------------------------------------------------------------ life cycle

    def __enter__(self) -> Rig:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        for name in ("profiles", "media", "tmp", "archives"):
            (self.directory / name).mkdir(mode=0o700)
        self._mount_archives()
        self.services = self._stack.enter_context(
            local.start(self.directory / "services", fast=True)
        )
        self._stack.enter_context(
            pointed_at(
                self.services,
                self.directory,
                WHATSAPP_LEASE_SECONDS=LEASE_SECONDS,
                WHATSAPP_SEND_SECONDS=SEND_SECONDS,
                WHATSAPP_PER_MINUTE=people.PER_MINUTE,
                WEBHOOK_ALLOW_LOCAL=True,
            )
        )
        self._stack.callback(self.simulator.stop)
        self.simulator.start()
        self.outside = self._stack.enter_context(outside.around(self.control))
        call_command("migrate", verbosity=0, interactive=False)
        self.supervisor = processes.Supervisor(
            logs=self.directory / "log", environment=self.environment()
        )
        self._stack.callback(self._stop_workers)
        self.supervisor.start(
            processes.worker("default", queues="default", pool="prefork", concurrency=2),
            processes.outside_worker(),
            *(
                processes.worker(name, queues="browser", pool="threads", concurrency=4)
                for name in WORKERS
            ),
            processes.beat(PeriodicTask.objects.filter(name="reconcile").exists),
        )
        self.tenant, self.accounts = people.invent(self._count, with_tight_one=self._with_tight_one)
        self.outside.listen_for(self.tenant)
        self.supervisor.wait_ready()
        self._link()
        self.watch.start()

    def _mount_archives(self) -> None:
        """A small disk for saved profiles, which can be full; root only."""
        self.archives_are_a_disk = False
        if os.geteuid() == 0:
            command = ["mount", "-t", "tmpfs", "-o", ARCHIVES, "tmpfs", self.directory / "archives"]
            done = subprocess.run(command, check=False, capture_output=True)
            self.archives_are_a_disk = done.returncode == 0

    def environment(self) -> dict[str, str]:
        """What the processes of the rig find in their environment."""
        short = {
            "RELANCE_ENROL_EVERY": 1,
            "RELANCE_PLAN_EVERY": 1,
            "RELANCE_RECONCILE_EVERY": 2,
            "RELANCE_MESSAGE_DELAY_MS": 20,
            "WHATSAPP_PER_MINUTE": people.PER_MINUTE,
            "WHATSAPP_SAFE_PACE": 0,
            "WHATSAPP_LEASE_SECONDS": LEASE_SECONDS,
            "WHATSAPP_HEARTBEAT_SECONDS": 2,
            "WHATSAPP_SEND_SECONDS": SEND_SECONDS,
            "WHATSAPP_CALL_SECONDS": 5,
            "WHATSAPP_OPEN_SECONDS": 30,
            "WHATSAPP_PROFILE_SAVE_SECONDS": 20,
            "RESEND_NOT_FOUND": 1,
            "RELANCE_WEBHOOK_ALLOW_LOCAL": 1,
        }
        return {
            **os.environ,
            **{name: str(value) for name, value in short.items()},
            "DATABASE_URL": self.services.database_url,
            "REDIS_URL": self.services.redis_url,
            "WHATSAPP_WEB_URL": f"{self.simulator.url}/",
            "WHATSAPP_SESSION_PATH": str(self.directory / "profiles"),
            "PROFILE_ARCHIVE_PATH": str(self.directory / "archives"),
            "MEDIA_ROOT": str(self.directory / "media"),
            "RELANCE_FAILPOINT": f"{self.failpoints.directory}/",
            "TMPDIR": str(self.directory / "tmp"),
            "no_proxy": "127.0.0.1,localhost",
            "PYTHONPATH": str(processes.REPOSITORY),
            "PYTHONUNBUFFERED": "1",
        }

    def _link(self) -> None:
        """Every account's phone scans the code that its page shows."""
        for account in self.accounts:
            linking.request(account, now=timezone.now())
        phones = dict(zip((a.pk for a in self.accounts), people.PHONES, strict=False))

        def linked() -> bool:
            for account in self.accounts:
                account.refresh_from_db()
                if account.status == Account.Status.PENDING and account.pk in phones:
                    code = linking.current_qr(account.pk)
                    if code is None:
                        continue
                    # 409: the page has turned to the next code meanwhile.
                    with contextlib.suppress(SimulatorControlError):
                        self.control.scan(phones[account.pk], ref=code.text, name=account.name)
                        del phones[account.pk]
            return all(a.status == Account.Status.CONNECTED for a in self.accounts)

        until(linked, EVERYTHING_SECONDS, f"accounts linked; logs: {self.directory}/log")

    def _stop_workers(self) -> None:
        self.failpoints.clear()
        for name in ("default", "outside", *WORKERS):
            with contextlib.suppress(OSError, processes.ProgramFailed):
                os.kill(self.supervisor.pid(name), signal.SIGCONT)
        self.supervisor.stop()

    def stop(self) -> None:
        """Stop everything in order. What still runs afterwards is an orphan (`leftovers`)."""
        if self._stopped:
            return
        self._stopped = True
        self.watch.stop()
        self._stack.close()
        if getattr(self, "archives_are_a_disk", False):
            subprocess.run(["umount", "-l", self.directory / "archives"], check=False)

    def leftovers(self, seconds: float = 10.0) -> list[str]:
        """Command lines of what runs although everything was stopped; ends it."""
        until_gone = time.monotonic() + seconds
        while (found := ours(self.directory)) and time.monotonic() < until_gone:
            time.sleep(0.1)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return [f"{pid}: {command[:100]}" for pid, command in found.items()]

    def remove(self) -> None:
        """Forget the rig's directory, logs included."""
        shutil.rmtree(self.directory, ignore_errors=True)

    # --------------------------------------------------------------------------- its parts

    @property
    def control(self) -> SimulatorControl:
        return self.simulator.control

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.services.redis_url, socket_timeout=5)

    def redis_pid(self) -> int:
        return next(processes_in(self.services.directory / "redis"))

    def postgres_pid(self) -> int:
        """The postmaster."""
        text = (self.services.directory / "data" / "postmaster.pid").read_text()
        return int(text.split()[0])

    @property
    def referring(self) -> list[Account]:
        """The accounts that people are followed up from."""
        return [account for account in self.accounts if account.name != people.TIGHT]

    @property
    def tight(self) -> Account | None:
        """The account whose limits are always near."""
        return next((a for a in self.accounts if a.name == people.TIGHT), None)

    def wait_services(self) -> None:
        """Until PostgreSQL and Redis answer again."""
        connection.close()
        until(self._redis_answers, 30, "Redis answers")
        until(Account.objects.exists, 60, "PostgreSQL answers")

    def _redis_answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.redis() as client:
            return bool(client.ping())
        return False

    def holder(self, account: Account) -> str:
        """Name of the worker that drives the account now, as the supervisor knows it; or empty."""
        lease = Lease.objects.filter(account=account, lease_until__gt=timezone.now()).first()
        return lease.worker.partition("@")[0] if lease else ""

    # ---------------------------------------------------------------------------- its work

    def write(self, count: int, *, accounts: list[Account] | None = None) -> list[int]:
        """Queue `count` messages from each account, each with a body that nobody else has.

        Returns their ids. What this returns was accepted: it must not get lost.
        """
        made: list[int] = []
        for account in accounts or self.accounts:
            numbers = [next(self._numbers) for _ in range(count)]
            made += until(lambda a=account, n=numbers: people.queue(a, n), 60, "messages queued")
            self.keys.update(people.key(number) for number in numbers)
        self.outside.write_to(accounts or self.accounts)
        return made

    def refer(self, count: int, *, account: Account | None = None) -> list[str]:
        """`count` people who registered two hours ago, to be enrolled; their external ids."""
        numbers = [next(self._numbers) for _ in range(count)]
        chosen = account or self.accounts[0]
        ids = until(lambda: people.refer(chosen, numbers), 60, "referrals stored")
        self.referred.update(ids)
        return ids

    def drain(self, ids: list[int], seconds: float = EVERYTHING_SECONDS) -> bool:
        """Wait until none of these messages is on its way any more. False: not in time."""
        messages = Message.objects.filter(pk__in=ids, state__in=Message.OPEN)
        return self._came_true(lambda: not messages.exists(), seconds)

    def rest(self, seconds: float = EVERYTHING_SECONDS) -> bool:
        """Wait until there is nothing left to do, for nobody. False: not in time."""
        messages = Message.objects.filter(state__in=Message.OPEN)
        following = Target.objects.filter(state=Target.State.ACTIVE)
        waiting = Referral.objects.filter(enrolled_at=None, paid_at=None, skipped_reason="")

        def done() -> bool:
            # A referral first: it becomes a target, and that a message.
            if waiting.exists() or following.exists() or messages.exists():
                return False
            return self.outside.settled()

        return self._came_true(done, seconds)

    @staticmethod
    def _came_true(condition: Callable[[], bool], seconds: float) -> bool:
        try:
            return until(condition, seconds, "")
        except NotInTime:
            return False

    def stuck(self) -> str:
        """What is still open, for an error message."""
        rows = Message.objects.filter(state__in=Message.OPEN)[:5]
        said = [f"{m.pk} {m.state} {m.error_code} {m.attempts_made}" for m in rows]
        accounts = [f"{a.name} {a.status} {a.status_reason}" for a in Account.objects.all()]
        targets = Target.objects.filter(state=Target.State.ACTIVE)
        held = [f"target {t.pk} {t.hold} due {t.next_due_at}" for t in targets[:5]]
        return f"{said} {accounts} {held}; logs: {self.directory}/log"

    @contextlib.contextmanager
    def another_beat(self) -> Iterator[None]:
        """A second clock that ticks for everybody."""
        beat = processes.beat(lambda: True)
        with (self.directory / "log" / "beat-2.log").open("ab") as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *beat.command],
                cwd=processes.REPOSITORY,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            ticked = self.directory / "log" / "beat-2.log"
            until(lambda: b"Sending due task" in ticked.read_bytes(), 30, "the second beat ticks")
            yield
        finally:
            process.kill()
            process.wait(10)

    def start_web(self) -> str:
        """The API in a process of its own; its address."""
        port = processes.free_port()
        self.supervisor.start(processes.web(port=port))
        self.supervisor.wait_ready("web")
        return f"http://127.0.0.1:{port}"

    def wait_sent(self, more: int, *, seconds: float = 30.0) -> None:
        """Until the simulator has accepted `more` messages from now on."""
        self.control.wait_for_messages(self.control.totals()["messages"] + more, seconds)
