"""The longer faults: another day, an older profile, a full disk, a deployment."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator

from django.utils import timezone

from accounts.models import Tenant
from campaigns import exits
from campaigns.models import Target
from tests.chaos.rig import WORKERS, Rig, until
from whatsapp import archives, profiles
from whatsapp.driver.processes import end_group
from whatsapp.models import Account, Lease, Message, Profile

Work = Callable[[Rig, random.Random], None]

# Their dates always differ, whatever the time is.
ZONES = ("Etc/GMT+12", "Etc/GMT-14")


def flip_the_day(rig: Rig, rng: random.Random, work: Work) -> str:
    for zone in (*ZONES, "Europe/Paris"):
        until(lambda zone=zone: Tenant.objects.update(timezone=zone), 30, "the zone is changed")
        work(rig, rng)
        rig.wait_sent(2)
    return "the tenant's day changed three times"


def restore_older_profile(rig: Rig, rng: random.Random, *, step: str = "") -> str:
    """The host of an account is lost while it sends; all there is is an archive of before.

    That messages were sent since is a reason to ask a person, who says: restore it.
    """
    account = rng.choice(rig.referring)
    step = step or rng.choice(("intent.after-commit", "send.before", "send.after"))
    until(
        lambda: Profile.objects.filter(account=account).exclude(file="").exists(),
        40,
        f"{account} has a saved profile",
    )
    # Only this account may get to the failpoint: the others have nothing to do, or no room.
    open_ = Message.objects.filter(account__in=rig.referring, state__in=Message.OPEN)
    until(lambda: not open_.exists(), 60, "nothing else is being sent")
    sent = rig.write(1, accounts=[account])
    rig.drain(sent)
    with rig.failpoints.held(step, lambda: rig.write(2, accounts=[account])) as pid:
        lease = Lease.objects.filter(account=account, pid=pid).first() if pid else None
        if lease is None or pid is None:
            return ""
        os.kill(pid, signal.SIGSTOP)
        if lease.browser_group:
            end_group(lease.browser_group, grace=0)
        rig.outside.lose_host(account)
        path = rig.directory / "profiles" / str(account.pk)
        path.rename(path.with_name(f"{account.pk}.lost-{lease.fence}"))
        Profile.objects.filter(account=account).update(live_disk="a disk that is lost")
        os.kill(pid, signal.SIGKILL)
    until(lambda: _asks_for_a_person(account), 60, "a person is asked about the older profile")
    assert profiles.allow_restore(account, by="chaos", now=timezone.now())
    return f"an older profile restored after the host was lost at {step}"


def _asks_for_a_person(account: Account) -> bool:
    account.refresh_from_db()
    return "restore that older profile" in account.status_reason


@contextlib.contextmanager
def full(rig: Rig) -> Iterator[None]:
    """The disk of saved profiles takes nothing more; without one of its own it is no directory."""
    disk = rig.directory / "archives"
    if not rig.archives_are_a_disk:
        aside = disk.rename(disk.with_name("archives.aside"))
        disk.touch()
        try:
            yield
        finally:
            disk.unlink()
            aside.rename(disk)
        return
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            # Nearly: some of an archive still fits, and not the rest.
            for _ in range(1 << 12):
                file.write(bytes(1 << 16))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    try:
        yield
    finally:
        filler.unlink()


def fill_the_disk(rig: Rig, rng: random.Random, work: Work) -> str:
    """A worker that stops saves its profiles then: it cannot, and those of before stay whole."""
    work(rig, rng)
    name = rng.choice(WORKERS)
    with full(rig):
        rig.supervisor.signal(name, signal.SIGTERM)
        check_archives(rig)
    return f"disk full while {name} stopped"


def saved(rig: Rig) -> dict[int, tuple[int, str]]:
    rows = Profile.objects.exclude(file="").values_list("account_id", "generation", "file")
    return {account: (generation, file) for account, generation, file in rows}


def check_archives(rig: Rig) -> None:
    """Every saved profile can be opened."""
    for account, (generation, file) in saved(rig).items():
        sealed = (rig.directory / "archives" / file).read_bytes()
        archives.unseal(sealed, account_id=account, generation=generation)


def deploy_while_people_pay(rig: Rig, rng: random.Random) -> str:
    """SIGTERM to every worker, one after the other, while payments come in for people whose
    messages are waiting and being sent."""
    payers = [person for a in rig.referring for person in rig.refer(4, account=a)]
    rig.write(8)
    mine = Target.objects.filter(referral__external_id__in=payers)
    until(lambda: mine.count() == len(payers), 30, "the payers are followed")
    # Two pay where a message of theirs is being sent, the rest as it comes.
    deploy = threading.Thread(target=_roll, args=[rig], name="deploy")
    deploy.start()
    rng.shuffle(payers)
    cancelled = in_flight = 0
    for number, person in enumerate(payers):
        if number < 2:
            _wait_until_sending()
        result = exits.exit_referral(
            tenant=rig.tenant, external_id=person, now=timezone.now(), source="chaos"
        )
        # The database's transaction is over when this clock is read: both are of this machine.
        rig.exits[person] = dt.datetime.now(dt.UTC)
        cancelled += result.messages_cancelled
        in_flight += result.in_flight
    deploy.join(120)
    return f"deployed while {len(payers)} paid: {cancelled} cancelled, {in_flight} in flight"


def _roll(rig: Rig) -> None:
    for name in (*WORKERS, "default", "outside"):
        rig.supervisor.signal(name, signal.SIGTERM)


def _wait_until_sending() -> None:
    sending = Message.objects.filter(state=Message.State.SENDING)
    with contextlib.suppress(AssertionError):
        until(sending.exists, 5, "something is being sent")
