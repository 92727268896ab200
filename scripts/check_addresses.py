"""Fails when a committed file says where packages come from: that is each machine's own business.

Lock files name versions and hashes. With an address in them, a clone elsewhere would need the
network that they were made in, and an address can carry credentials.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

ANYWHERE = {
    # The brackets keep this file from finding itself.
    "a package index": re.compile(r"--(?:extra-)?index[-]url|--find[-]links|_INDEX[_]URL\s*="),
    "an npm registry": re.compile(r"^\s*(?:@[\w-]+:)?registry\s*=|registry\.npm[j]s", re.M),
    "a URL with a password": re.compile(r"https?://[^\s/:@{}<>$]+:[^\s/:@{}<>$]+@"),
}
IN_LOCKS = {
    "an address": re.compile(r"(?:https?|file|git\+\w+)://\S+"),
    "a resolved address": re.compile(r'"resolved"\s*:'),
    "a package without hash": re.compile(r"^[\w.-]+==[^\\\n]*$", re.M),
}
# Home pages that npm records about funding are not where packages come from.
FUNDING = re.compile(r'"url"\s*:\s*"[^"]*"')


def problems(name: str, text: str) -> list[str]:
    patterns = dict(ANYWHERE)
    if name.startswith("tests/"):
        del patterns["a URL with a password"]  # what a test gives to code that must refuse it
    if re.fullmatch(r"requirements/.*\.txt|package-lock\.json", name):
        patterns |= IN_LOCKS
        text = FUNDING.sub("", text)
    found = []
    for what, pattern in patterns.items():
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{name}:{line}: {what}: {match.group().strip()}")
    return found


def main() -> int:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    ).stdout
    found = []
    for name in filter(None, listed.split("\0")):
        path = REPOSITORY / name
        if path.is_file() and not path.is_symlink():
            found += problems(name, path.read_text(errors="replace"))
    print("\n".join(found) or "no registry addresses")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
