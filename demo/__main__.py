"""``python -m demo``: the demo proper, on the stage that ``manage.py demo`` has set (`stage`)."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import django
from django.conf import settings

from relance_project import local

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relance_project.settings")
django.setup()

from django.core.management import call_command  # noqa: E402  - Django is set up first
from django.db import DatabaseError, connection  # noqa: E402
from django.utils import timezone  # noqa: E402
from django_celery_beat.models import PeriodicTask  # noqa: E402
from rich.console import Console  # noqa: E402

from campaigns import sequences  # noqa: E402
from campaigns.models import Target  # noqa: E402
from demo import conversations, processes, progress, scenario, verdict  # noqa: E402
from demo.stage import FIRST_PORT, REFERRALS, SEQUENCE, STEPS  # noqa: E402
from whatsapp.models import Message  # noqa: E402
from whatsapp.simulator.client import SimulatorControl, SimulatorControlError  # noqa: E402

RECEIPT_SECONDS = 15.0


class Interrupted(Exception):
    """Somebody wants this to end."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--once", action="store_true")
    once = parser.parse_args().once
    if "RELANCE_DEMO_DIRECTORY" not in os.environ:
        parser.error("run `make demo` or `manage.py demo`, which prepares what this needs")

    def whole(play: Play) -> bool:
        passed = play.run()
        if not once:
            play.stay()
        return passed

    return perform(whole)


def perform(work: Callable[[Play], bool]) -> int:
    """Do `work` on the stage and stop everything after it; returns the exit status."""

    def leave(*_: object) -> None:
        raise Interrupted

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    logging.disable(logging.INFO)  # the terminal is for the progress; processes have their logs
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    directory = Path(os.environ["RELANCE_DEMO_DIRECTORY"])
    # A user of the embedded services, if it is they: they stay until we have stopped in order.
    embedded = local.start(local.state_dir() / "services") if _is_embedded() else None
    try:
        with contextlib.closing(Play(console, directory)) as play:
            return 0 if work(play) else 1
    except Interrupted:
        console.print("stopped: nothing of the demo is running any more")
        return 130
    except (processes.ProgramFailed, scenario.Refused, SimulatorControlError) as problem:
        console.print(f"demo: {problem}", markup=False, style="bold red")
        return 1
    finally:
        if embedded is not None:
            connection.close()
            embedded.leave()


def _is_embedded() -> bool:
    return str(local.state_dir() / "services") in settings.DATABASE_URL.replace("%2F", "/")


class Play:
    """One demo, from the first process to the last."""

    def __init__(self, console: Console, directory: Path) -> None:
        self.console = console
        self.directory = directory
        self.began = time.monotonic()
        self.simulator_url = settings.WHATSAPP_WEB_URL.rstrip("/")
        self.port = processes.free_port(FIRST_PORT)
        self.supervisor = processes.Supervisor(logs=directory / "log", environment=os.environ)
        self.control = SimulatorControl(self.simulator_url)
        self.payments: list[scenario.Payment] = []
        self.scenes: list[conversations.Scene] = []
        self.api = scenario.Api(f"http://127.0.0.1:{self.port}")

    def close(self) -> None:
        # A second Ctrl-C must not leave half of them running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        with self.step("stopping"):
            self.supervisor.stop()

    def run(self) -> bool:
        """Everything up to the verdict; whether nothing was lost, doubled, late or too much."""
        self.start()
        cast = self.prepare()
        with self.step("web, beat and workers are ready"):
            self.supervisor.wait_ready()
        self.control.config(delivered_after=0.3, read_after=1.0)
        with self.step("four accounts linked: the simulator scanned the codes our API returned"):
            self.link_everybody(cast)
        finished = self.follow(cast)
        found = self.judge(cast)
        verdict.show(found, self.console)
        self.addresses(cast)
        passed = found.passed and finished
        words = "[bold green]passed[/]" if passed else "[bold red]failed[/]"
        self.console.print(f"{words} after {time.monotonic() - self.began:.0f} s")
        return passed

    def judge(self, cast: scenario.Cast) -> verdict.Verdict:
        """The sequence by account, then each scene."""
        record = self.control.messages()
        found = verdict.judge(cast.tenant, record, apart=conversations.ids_of(self.scenes))
        for scene in self.scenes:
            found.scenes[scene.name], wrong = conversations.judge(scene, record)
            found.details += wrong
        return found

    def start(self) -> None:
        """All processes, at once; the database is made meanwhile."""
        port = int(self.simulator_url.rpartition(":")[2])
        self.supervisor.start(
            processes.simulator(port=port, state=self.directory / "simulator.json")
        )
        with self.step(f"database {settings.DATABASES['default']['NAME']} with its tables"):
            call_command("migrate", verbosity=0, interactive=False)
        self.supervisor.start(
            processes.default_worker(),
            processes.outside_worker(),
            processes.browser_worker(),
            processes.web(port=self.port),
            processes.beat(_beat_has_begun),
        )

    def prepare(self) -> scenario.Cast:
        """People, texts and referrals."""
        cast = scenario.invent_people()
        delay = int(os.environ["RELANCE_DEMO_STEP_SECONDS"])
        with self.step(f"sequence loaded: {STEPS} steps, {delay} s apart instead of a day"):
            sequences.load(
                SEQUENCE,
                tenant=cast.tenant,
                activate=True,
                step_delay=dt.timedelta(seconds=delay),
                now=timezone.now(),
            )
        report = scenario.import_referrals(
            cast.tenant, REFERRALS, copy=self.directory / "referrals.csv"
        )
        self.targets = scenario.expected_targets(cast.tenant)
        self.console.print(
            f"  {report.created} referrals imported with {self.targets} phones: "
            f"{self.targets * STEPS} messages if nobody pays\n"
            f"  limits raised to what that takes: {settings.WHATSAPP_DAILY_LIMIT} a day, "
            f"{settings.WHATSAPP_PER_MINUTE} a minute, {settings.WHATSAPP_GAP_MS} ms apart "
            "(usual: 100, 20, 3000)"
        )
        return cast

    def link_everybody(self, cast: scenario.Cast) -> None:
        with ThreadPoolExecutor(len(cast.referrers)) as pool:
            linking = [
                pool.submit(scenario.link, self.api, self.control, person)
                for person in cast.referrers
            ]
            for future in linking:
                future.result()

    def follow(self, cast: scenario.Cast) -> bool:
        """Watch until nobody is in the loop any more; three pay half-way. False: never ended."""
        delay = int(os.environ["RELANCE_DEMO_STEP_SECONDS"])
        deadline = STEPS * delay + 180

        def everybody_is_followed(now: progress.Look) -> bool:
            return now.total.enrolled >= self.targets and now.total.sent > 0

        def half_way(now: progress.Look) -> bool:
            return now.total.enrolled >= self.targets and (
                now.total.sent >= self.targets * STEPS // 2
            )

        def ended(now: progress.Look) -> bool:
            total = now.total
            if total.enrolled < self.targets or now.followed or total.queued:
                return False
            return all(scene.is_over for scene in self.scenes)

        with progress.Progress(self.console, cast.tenant) as shown:
            shown.until(everybody_is_followed, seconds=deadline)
            self.scenes = conversations.begin(self.api, cast, self.control)
            shown.until(half_way, seconds=deadline)
            for external_id in scenario.choose_payers(cast.tenant):
                self.payments.append(scenario.pay(self.api, cast, external_id))
            latest = shown.until(ended, seconds=deadline)
            done = ended(latest) and all(scene.is_over for scene in self.scenes)
            # Receipts come after the sends: nothing waits for them, but people like to see them.
            shown.until(lambda now: now.total.read >= now.total.sent, seconds=RECEIPT_SECONDS)
        for paid in self.payments:
            self.console.print(
                f"  {paid.external_id} paid half-way: "
                f"{paid.cancelled} messages cancelled, {paid.in_flight} in flight"
            )
        if not done:
            self.tell_missing(cast, deadline)
        return done

    def tell_missing(self, cast: scenario.Cast, deadline: float) -> None:
        """What kept the demo from ending."""
        self.console.print(f"not finished within {deadline:.0f} s; what is missing:")
        targets = Target.objects.filter(tenant=cast.tenant, state=Target.State.ACTIVE)
        for target in targets.select_related("open_message", "account")[:10]:
            message = target.open_message
            self.console.print(
                f"  {target.account}: {target.phone} after step {target.steps_done}, due "
                f"{target.next_due_at}, {target.hold or 'not held'}, "
                f"message {f'{message.pk} {message.state}' if message else 'none'}",
                markup=False,
            )
        open_ = Message.objects.filter(tenant=cast.tenant, state__in=Message.OPEN).count()
        self.console.print(f"  {targets.count()} targets in the loop, {open_} messages open")
        self.console.print(f"  logs: {self.directory / 'log'}")

    def addresses(self, cast: scenario.Cast) -> None:
        """Where people can look, and how they get in."""
        base = f"http://127.0.0.1:{self.port}"
        self.console.print(
            f"admin      {base}/admin/   user {cast.admin.name}, password {cast.admin.password}\n"
            f"marketing  {base}/admin/   user {cast.marketing.name}, "
            f"password {cast.marketing.password}\n"
            f"referrer   {base}/   user {cast.referrers[0].name}, "
            f"password {cast.referrers[0].password}\n"
            f"API        {base}/api/docs/   the same user\n"
            f"simulator  {self.simulator_url}/   phones: {self.simulator_url}/phone\n"
            f"logs       {self.directory / 'log'}",
            markup=False,
        )

    def stay(self) -> None:
        """Until Ctrl-C."""
        self.console.print("everything stays up; Ctrl-C ends it")
        while True:
            signal.pause()

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Say `what` when it is done, and how long it took."""
        began = time.monotonic()
        yield
        self.console.print(f"{time.monotonic() - began:5.1f} s  {what}", markup=False)


def _beat_has_begun() -> bool:
    try:
        return bool(PeriodicTask.objects.filter(name="reconcile").exists())
    except DatabaseError:
        return False


if __name__ == "__main__":
    sys.exit(main())
