"""Pictures of every screen for docs/screenshots, taken by the tests that look at them anyway.

    python -m scripts.screenshots             all
    python -m scripts.screenshots referrer    those of one group

A picture is kept as 256 colours: good enough to read, a third of the size.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
PICTURES = REPOSITORY / "docs" / "screenshots"
# Group -> the test, and which of its pictures are kept; a group's name begins the file's name.
GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "referrer": (
        "tests/pages/test_in_browser.py",
        (
            "login-360",
            "new-360",
            "code-360",
            "code-1280",
            "connected-360",
            "connected-1280",
            "connected-dark",
            "logged-out-360",
            "trouble-360",
            "disconnect-360",
        ),
    ),
    "admin": (
        "tests/admin/test_in_browser.py",
        (
            "login",
            "home",
            "referrals",
            "targets",
            "target",
            "campaigns",
            "referrers",
            "accounts",
            "account",
            "messages",
            "message",
            "incoming",
            "users",
            "confirm",
            "docs",
        ),
    ),
    "marketing": (
        "tests/admin/test_marketing_journey.py",
        (
            "texts-written-light-1280",
            "activate-light-1280",
            "import-dry-run-light-1280",
            "import-done-light-1280",
            "dry-run-light-1280",
            "target-light-1280",
            "dashboard-light-1280",
            "dashboard-dark-1280",
        ),
    ),
}


def take(group: str) -> list[str]:
    """Take the pictures of a group; returns what did not come."""
    test, names = GROUPS[group]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", test],
            check=False,
            cwd=REPOSITORY,
            env={**os.environ, "SCREENSHOTS": folder},
        )
        missing = [f"{test} fails"] if done.returncode else []
        for name in names:
            picture = Path(folder) / f"{name}.png"
            if not picture.exists():
                missing.append(f"{test} took no picture {name}")
                continue
            with Image.open(picture) as image:
                small = image.convert("RGB").quantize(256)
            small.save(PICTURES / f"{group}-{name}.png", optimize=True)
    return missing


def main() -> int:
    missing = [line for group in sys.argv[1:] or GROUPS for line in take(group)]
    for line in missing:
        print(line)
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
