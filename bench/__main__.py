"""``python -m bench [name ...]``: every comparison, one after the other, then how each went.

A comparison is a module of this package with a function ``main() -> int`` that prints its goal
beside each figure and returns 1 where one is missed. Each runs in a process of its own.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def comparisons() -> list[str]:
    """Names of the modules that have a `main`; found by reading, for importing has effects."""
    found = []
    for path in sorted(HERE.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if "main" in functions and not path.stem.startswith("__"):
            found.append(path.stem)
    return found


def run_all() -> int:
    known = comparisons()
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(known)}")
    names = parser.parse_args().names or known
    if unknown := set(names) - set(known):
        parser.error(f"there is no {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    results = []
    for name in names:
        print(f"--- {name}", flush=True)
        began = time.monotonic()
        code = subprocess.run(
            [sys.executable, "-m", f"bench.{name}"], check=False, cwd=HERE.parent
        ).returncode
        results.append((name, code, time.monotonic() - began))
    print("---")
    for name, code, seconds in results:
        print(f"{name:<24}{'ok' if code == 0 else f'MISSED ({code})':<14}{seconds:6.1f} s")
    return int(any(code for _, code, _ in results))


if __name__ == "__main__":
    sys.exit(run_all())
