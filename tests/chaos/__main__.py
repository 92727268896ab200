"""``python -m tests.chaos --rounds N --seed S [--no-dedup]``: break everything, and count.

A round is one fault, done to a system that is sending. Faults, victims and steps follow from the
seed; after every ten rounds the system has to come to rest. Half of the runs of ten are played
with a WhatsApp that delivers the same stanza id twice when it gets it twice (``--no-dedup``: all).

Ends with 1 unless lost, twice, over limit and orphans (and what else must not be) are 0.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import sys
from pathlib import Path

SEGMENT = 10  # rounds until everything has to come to rest
REST_SECONDS = 180.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None, help="repeats a run's choices")
    parser.add_argument("--no-dedup", action="store_true", help="never drop a repeated stanza id")
    parser.add_argument("--faults", default="", help="only these numbers: 1,2,14")
    parser.add_argument("--keep", action="store_true", help="keep the directory with the logs")
    options = parser.parse_args()
    set_django_up()

    from tests.chaos.run import Run  # Django has to be set up first

    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    only = {int(number) for number in options.faults.split(",") if number}
    run = Run(seed=seed, rounds=options.rounds, no_dedup=options.no_dedup, only=only)
    passed = run.play(segment=SEGMENT, rest_seconds=REST_SECONDS)
    if passed and not options.keep:
        run.rig.remove()
    return 0 if passed else 1


def set_django_up() -> None:
    """With settings of our own; the services are the rig's (rig.pointed_at)."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    for name in ("SECRET_KEY", "JWT_SIGNING_KEY", "WHATSAPP_SESSION_SECRET"):
        os.environ[name] = secrets.token_hex(32)
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    os.environ["DJANGO_SETTINGS_MODULE"] = "relance_project.settings"

    import django

    django.setup()
    logging.disable(logging.WARNING)  # the terminal is for the rounds; processes have their logs


if __name__ == "__main__":
    sys.exit(main())
