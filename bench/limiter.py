"""The limiter beside a bare PING, and beside the pair of hits that the `limits` library makes.

    python -m bench.limiter [--calls 4000]

The library knows windows only, so a minute and a day are two hits on two keys, with nothing
between them: where the second is refused, the first has been spent. That is counted as leaked.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading

from bench import scratch  # first: sets Django up
from bench.figures import seconds, verdict

# isort: split
from django.conf import settings
from django.db import connections
from limits import RateLimitItemPerDay, RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from accounts.models import Tenant
from whatsapp import limits
from whatsapp.models import Account

ROUNDS = 7
DAY = "2026-11-20"


def rate(work, calls: int) -> float:
    """Calls a second of `work`, on one thread."""
    return calls / seconds(lambda: [work() for _ in range(calls)])


def script(calls: int):
    """The reservation alone, on accounts that have been seeded, as they are once a day.

    A new account after each 20 calls: every call is granted, as those of the peer are.
    """
    server = limits.server()
    server.client.ping()
    number = itertools.count()
    for account_id in range(calls // 20 + 1):
        server.run(limits.SEED, 10**6 + account_id, server.run_id, DAY, 0, "")

    def call() -> None:
        account_id = 10**6 + next(number) // 20
        answer = server.run(limits.RESERVE, account_id, f"{server.run_id}{DAY}1000000000 20 0 0")
        if not isinstance(answer, str):
            raise RuntimeError(f"not granted: {answer}")

    return call


def library():
    """The same with two hits on two windows."""
    url = settings.REDIS_URL.replace("unix://", "redis+unix://")
    strategy = MovingWindowRateLimiter(RedisStorage(url))
    minute, day = RateLimitItemPerMinute(20), RateLimitItemPerDay(100)
    number = itertools.count()

    def call() -> None:
        name = f"account-{next(number) // 20}"
        if strategy.hit(minute, name):
            strategy.hit(day, name)

    return call


def contest(account: Account, per_day: int) -> tuple[int, int]:
    """32 threads want more than there is; returns (granted above the limit, leaked below it)."""
    limits.forget(account.pk)
    account.daily_limit, account.per_minute, account.gap_ms = per_day, 10**6, 0
    granted: list[bool] = []

    def work() -> None:
        try:
            granted.extend(isinstance(limits.reserve(account), limits.Reserved) for _ in range(10))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(0, sum(granted) - per_day), max(0, per_day - sum(granted))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4000)
    given = parser.parse_args(argv)
    with scratch.database():
        tenant = Tenant.objects.create(slug="bench", name="Bench")
        account = Account.objects.create(tenant=tenant, name="bench")
        client = limits.server().client
        ours, pair = script(ROUNDS * given.calls), library()
        to_ping, to_pair = [], []
        for _ in range(ROUNDS):  # in turn: the machine's speed drifts
            ping, own, theirs = (rate(work, given.calls) for work in (client.ping, ours, pair))
            to_ping.append(own / ping)
            to_pair.append(own / theirs)
        to_ping.sort()
        to_pair.sort()
        over, leaked = contest(account, per_day=150)
    middle = ROUNDS // 2
    met = [
        verdict("one script / PING", to_ping[middle], ">= 0.70", met=to_ping[middle] >= 0.7),
        verdict("one script / limits' pair", to_pair[middle], ">= 2.00", met=to_pair[middle] >= 2),
        verdict("over-admitted, 32 threads", over, "0", met=over == 0, unit=""),
        verdict("leaked, 32 threads", leaked, "0", met=leaked == 0, unit=""),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
