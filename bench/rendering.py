"""Rendering a template beside str.format, which evaluates what a hostile template asks for.

python -m bench.rendering [--renders 100000]
"""

from __future__ import annotations

import argparse
import sys

from bench import scratch  # noqa: F401  first: sets Django up
from bench.figures import seconds, verdict

# isort: split
from campaigns import rendering

OURS = "Bonjour {{name}}, c'est {{referrer}}. Ton abonnement n'est pas encore actif : {{link}}"
THEIRS = "Bonjour {name}, c'est {referrer}. Ton abonnement n'est pas encore actif : {link}"
VALUES = {"name": "Zoé", "referrer": "Amina", "link": "https://pay.invalid/ref-0001"}
ROUNDS = 7
HOSTILE = ["{{name.__class__}}", "{{ name|safe }}", "{% include 'x' %}{{", "{{config}}", "{{name"]


def refused(template: str) -> bool:
    try:
        rendering.check(template)
    except rendering.TemplateError:
        return True
    return False


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=int, default=100_000)
    given = parser.parse_args(argv)
    times = range(given.renders)
    ratios = sorted(
        seconds(lambda: [rendering.render(OURS, VALUES) for _ in times])
        / seconds(lambda: [THEIRS.format(**VALUES) for _ in times])
        for _ in range(ROUNDS)
    )
    let_through = sum(not refused(template) for template in HOSTILE)
    met = [
        verdict("render / str.format", ratios[3], "<= 3.00", met=ratios[3] <= 3),
        verdict("hostile templates let through", let_through, "0", met=not let_through, unit=""),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
