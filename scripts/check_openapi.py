"""Fail when `docs/openapi.yaml` is not what the code says (`make openapi` writes it)."""

from __future__ import annotations

import difflib
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
KEPT = REPOSITORY / "docs" / "openapi.yaml"


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / "openapi.yaml"
        command = ["spectacular", "--validate", "--fail-on-warn", "--file", str(made)]
        subprocess.run([sys.executable, "manage.py", *command], cwd=REPOSITORY, check=True)
        text = made.read_text()
    kept = KEPT.read_text() if KEPT.exists() else ""
    if text == kept:
        return 0
    difference = difflib.unified_diff(
        kept.splitlines(), text.splitlines(), "docs/openapi.yaml", "the code", lineterm="", n=1
    )
    print("\n".join(list(difference)[:80]))
    print("docs/openapi.yaml is not what the code says: run `make openapi` and commit it")
    return 1


if __name__ == "__main__":
    sys.exit(main())
