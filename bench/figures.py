"""Times, and figures beside their goals."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median(work: Callable[[], object], times: int) -> float:
    return statistics.median(seconds(work) for _ in range(times))


def verdict(what: str, value: float, goal: str, *, met: bool, unit: str = "x") -> bool:
    """Print one figure beside its goal; returns whether it is met."""
    print(f"{'ok  ' if met else 'MISS'} {what:<58} {value:8.2f}{unit:<3} goal {goal}")
    sys.stdout.flush()
    return met
