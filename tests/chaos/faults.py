"""The faults of the reliability yardstick, by number; each is done to a rig that has work to do.

`strike` chooses victim, step and details by the random generator it is given, does it, undoes what
has to be undone, and says what it did; an empty answer: the moment did not come. Recovery is not
awaited. Steps are failpoints (whatsapp/failpoints.py): the process that gets there is killed,
stopped or held at exactly that step.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
from django.db import connection

from tests.chaos import watch
from tests.chaos.faults_deploy import (
    deploy_while_people_pay,
    fill_the_disk,
    flip_the_day,
    restore_older_profile,
)
from tests.chaos.rig import LEASE_SECONDS, WORKERS, Rig, until
from whatsapp import doorbells
from whatsapp.models import Lease

BEFORE_INTENT = ("send.before-prepare", "send.prepared", "send.reserved", "intent.before-commit")
BEFORE_SEND = ("intent.after-commit", "send.before")
AFTER_SEND = ("send.after", "finish.before-move")
SENDING = (*BEFORE_INTENT, *BEFORE_SEND, *AFTER_SEND, "send.finished")
OPENING = ("lease.before-commit", "lease.taken", "open.before", "open.before-record")
PLANNING = (
    *("enrol.before-commit", "plan.claimed", "queue.before-commit", "plan.queued"),
    *("plan.before-open", "doorbell.before"),
)


def work(rig: Rig, rng: random.Random) -> None:
    """Something to do for everybody."""
    if rig.follows_up:
        rig.refer(rng.randint(1, 2), account=rng.choice(rig.referring))
    rig.write(rng.randint(2, 5))


# ------------------------------------------------------------------------------------ workers


def kill_at(rig: Rig, rng: random.Random, step: str) -> str:
    """kill -9 whoever gets to `step` next."""
    rig.failpoints.arm(step, "kill")
    work(rig, rng)
    pid = rig.failpoints.reached(step)
    return f"killed {pid} at {step}" if pid else ""


def kill_before_intent(rig: Rig, rng: random.Random) -> str:
    return kill_at(rig, rng, rng.choice(BEFORE_INTENT))


def kill_before_send(rig: Rig, rng: random.Random) -> str:
    """Now and then the next one too, which is opening the account again, or recovering."""
    said = kill_at(rig, rng, rng.choice(BEFORE_SEND))
    if said and rng.random() < 0.4:
        step = rng.choice((*OPENING, "recover.found", "recover.before-commit"))
        rig.failpoints.arm(step, "kill")
        again = rig.failpoints.reached(step, 25)
        said += f", then {again} at {step}" if again else ""
    return said


def kill_after_send(rig: Rig, rng: random.Random) -> str:
    return kill_at(rig, rng, rng.choice((*AFTER_SEND, "receipt.before-commit")))


def freeze(rig: Rig, rng: random.Random, step: str, *, seconds: float) -> str:
    """SIGSTOP at `step`; SIGCONT when others have taken its accounts, or after `seconds`."""
    rig.failpoints.arm(step, "stop")
    if step in OPENING:
        # Its accounts are opened anew.
        holder = rig.holder(rng.choice(rig.accounts)) or rng.choice(WORKERS)
        rig.supervisor.signal(holder, signal.SIGKILL)
    work(rig, rng)
    pid = rig.failpoints.reached(step)
    if pid is None:
        return ""
    try:
        # Others hold them all, and each has a browser.
        mine = Lease.objects.exclude(browser_group__isnull=False) | Lease.objects.filter(pid=pid)
        end = time.monotonic() + seconds
        with contextlib.suppress(AssertionError):
            until(lambda: not mine.exists(), seconds, "the accounts are taken over")
        taken = time.monotonic() < end
    finally:
        os.kill(pid, signal.SIGCONT)
    return f"froze {pid} at {step} {'until others had taken over' if taken else 'for a while'}"


def freeze_past_lease(rig: Rig, rng: random.Random) -> str:
    """In the middle of a send, or while it opens an account."""
    step = rng.choice((rng.choice(SENDING), rng.choice(SENDING), rng.choice(OPENING)))
    return freeze(rig, rng, step, seconds=LEASE_SECONDS + 10)


def kill_prefork_child(rig: Rig, rng: random.Random) -> str:
    """In the middle of planning or enrolling, or whatever it is at."""
    if rng.random() < 0.7:
        return kill_at(rig, rng, rng.choice(PLANNING))
    work(rig, rng)
    child = rng.choice(sorted(watch.children(rig.supervisor.pid("default"))) or [0])
    if child:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    return f"killed child {child} of the default worker" if child else ""


# ----------------------------------------------------------------------------------- browsers


@contextlib.contextmanager
def held(rig: Rig, rng: random.Random, step: str) -> Iterator[int | None]:
    """Somebody waits at `step` while the body does its worst."""
    with rig.failpoints.held(step, lambda: work(rig, rng)) as pid:
        yield pid


def kill_browser(rig: Rig, rng: random.Random, step: str = "") -> str:
    step = step or rng.choice(SENDING)
    with held(rig, rng, step) as pid:
        if pid is None:
            return ""
        theirs = set(Lease.objects.filter(pid=pid).values_list("account_id", flat=True))
        found = watch.browsers(rig.directory)
        victims = [browser for browser, account in found.items() if account in theirs]
        for victim in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
    return f"killed Chromium {victims} at {step}" if victims else ""


def kill_chromedriver(rig: Rig, rng: random.Random) -> str:
    step = rng.choice(SENDING)
    with held(rig, rng, step) as pid:
        victims = sorted(watch.chromedrivers(rig.directory))
        if pid is None or not victims:
            return ""
        victim = rng.choice(victims)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    return f"killed chromedriver {victim} at {step}"


# ---------------------------------------------------------------------------- Redis, PostgreSQL


def kill_redis(rig: Rig, rng: random.Random) -> str:
    step = rng.choice(SENDING)
    with held(rig, rng, step):
        os.kill(rig.redis_pid(), signal.SIGKILL)
        rig.wait_services()
    return f"killed Redis at {step}"


def flush_redis(rig: Rig, rng: random.Random) -> str:
    step = rng.choice(SENDING)
    with held(rig, rng, step), rig.redis() as client:
        client.flushall()
    return f"FLUSHALL at {step}"


def stop_redis(rig: Rig, rng: random.Random, seconds: float = 0.0) -> str:
    """SIGSTOP for longer than every time-out of ours; now and then for a whole minute."""
    seconds = seconds or rng.choice((7, 7, 12, 12, 60))
    pid = rig.redis_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        work(rig, rng)
        time.sleep(seconds)  # the fault is its length
    finally:
        os.kill(pid, signal.SIGCONT)
    return f"stopped Redis for {seconds} s"


def fill_redis(rig: Rig, rng: random.Random, seconds: float = 4.0) -> str:
    with rig.redis() as client:
        client.config_set("maxmemory", "1")
        try:
            work(rig, rng)
            time.sleep(seconds)  # the fault is its length
        finally:
            client.config_set("maxmemory", "0")
    return f"Redis refused writes for {seconds} s"


def kill_postgres(rig: Rig, rng: random.Random, step: str = "") -> str:
    """The postmaster, with SIGKILL; every second time in the middle of an intent's commit."""
    step = step or rng.choice(("intent.before-commit", rng.choice(SENDING)))
    with held(rig, rng, step):
        os.kill(rig.postgres_pid(), signal.SIGKILL)
        rig.wait_services()
    return f"killed PostgreSQL at {step}"


def cut_sessions(rig: Rig, rng: random.Random, step: str = "") -> str:
    """`pg_terminate_backend` on every connection."""
    step = step or rng.choice((*SENDING, "plan.queued", "receipt.before-commit"))
    with held(rig, rng, step), psycopg.connect(rig.services.database_url) as session:
        cut = session.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchone()
        connection.close()  # ours was one of them
    return f"ended {cut[0] if cut else 0} sessions of PostgreSQL at {step}"


# ------------------------------------------------------------------- the network, bells, clocks


def cut_network(rig: Rig, rng: random.Random, mode: str = "") -> str:
    """After the send: the ack is lost, the socket is cut in its place, or the send is swallowed."""
    ack: str | bool = mode or rng.choice(("lost", "cut", False))
    before = rig.control.totals()["attempts"]
    rig.control.config(ack={"mode": ack, "times": rng.randint(1, 2)})
    try:
        work(rig, rng)
        rig.control.wait_until(
            lambda answer: answer["totals"]["attempts"] >= before + 3, 30, op="record"
        )
    finally:
        rig.control.config(ack=True)
    return f"network cut after a send: {ack or 'swallowed'}"


def drop_sockets(rig: Rig, rng: random.Random) -> str:
    """Belongs to 14: nothing is being sent, or everything is; for some seconds or an instant."""
    step = rng.choice(SENDING)
    seconds = rng.choice((0, 0, 3))
    with held(rig, rng, step):
        if seconds:
            rig.control.offline(seconds)
        else:
            rig.control.drop()
    return f"sockets dropped at {step} for {seconds} s"


def second_beat(rig: Rig, rng: random.Random) -> str:
    with rig.another_beat():
        work(rig, rng)
        work(rig, rng)
        rig.wait_sent(1)
    return "two beats"


def ring_a_hundred_times(rig: Rig, rng: random.Random) -> str:
    """The same doorbell, on the shared queue and on those of the workers."""
    work(rig, rng)
    queues = (doorbells.SHARED_QUEUE, *(doorbells.own_queue(f"{w}@relance") for w in WORKERS))
    for _ in range(100):
        doorbells.send(rng.choice(rig.accounts).pk, rng.choice(queues))
    return "100 doorbells"


def clocks_and_zones(rig: Rig, rng: random.Random) -> str:
    """The tenant's day becomes another one, forth and back, while messages are sent."""
    return flip_the_day(rig, rng, work)


def full_disk(rig: Rig, rng: random.Random) -> str:
    """While a profile is saved."""
    return fill_the_disk(rig, rng, work)


@dataclass(frozen=True, slots=True)
class Fault:
    number: int
    strike: Callable[[Rig, random.Random], str]


FAULTS = (
    Fault(1, kill_before_intent),
    Fault(2, kill_before_send),
    Fault(3, kill_after_send),
    Fault(4, freeze_past_lease),
    Fault(5, kill_prefork_child),
    Fault(6, kill_browser),
    Fault(7, kill_chromedriver),
    Fault(8, kill_redis),
    Fault(9, flush_redis),
    Fault(10, stop_redis),
    Fault(11, fill_redis),
    Fault(12, kill_postgres),
    Fault(13, cut_sessions),
    Fault(14, cut_network),
    Fault(14, drop_sockets),
    Fault(15, second_beat),
    Fault(16, ring_a_hundred_times),
    Fault(17, clocks_and_zones),
    Fault(18, restore_older_profile),
    Fault(19, full_disk),
    Fault(20, deploy_while_people_pay),
)
