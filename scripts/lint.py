"""Every check of `make lint`. All of them run; those that failed are listed at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
# Tests are checked by running them.
TYPED = ["accounts", "bench", "campaigns", "demo", "relance_project", "scripts", "whatsapp"]


def checks() -> dict[str, list[str]]:
    python, manage = str(BIN / "python"), ["manage.py"]
    typed = [name for name in TYPED if any((REPOSITORY / name).rglob("*.py"))]
    return {
        "ruff check": [f"{BIN}/ruff", "check", "."],
        "ruff format": [f"{BIN}/ruff", "format", "--check", "."],
        "mypy": [f"{BIN}/mypy", *typed, "manage.py"],
        "import-linter": [f"{BIN}/lint-imports", "--no-cache"],
        "manage.py check": [python, *manage, "check", "--fail-level", "WARNING"],
        "manage.py makemigrations": [python, *manage, "makemigrations", "--check", "--dry-run"],
        "openapi": [python, "scripts/check_openapi.py"],
        # The schema comes with check-jsonschema; nothing is fetched.
        "compose schema": [
            f"{BIN}/check-jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            "compose.yaml",
        ],
        "translations": [python, "-m", "scripts.translations", "--check"],
        "registry addresses": [python, "scripts/check_addresses.py"],
        "dead links": [python, "scripts/check_links.py"],
    }


def main() -> int:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    failed = []
    for name, command in checks().items():
        began = time.monotonic()
        done = subprocess.run(
            command,
            check=False,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        verdict = "ok" if done.returncode == 0 else "FAILED"
        print(f"{name:<26}{verdict:<8}{time.monotonic() - began:5.1f} s", flush=True)
        if done.returncode != 0:
            failed.append(name)
            print(done.stdout, flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
