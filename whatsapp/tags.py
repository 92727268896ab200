"""Tags and segments: short words by which people and groups are found again."""

from __future__ import annotations

from collections.abc import Iterable

from accounts.findings import clean

LONGEST = 40
MOST = 50


class BadTag(ValueError):
    """A tag that cannot be one; the message says why."""


def read(words: Iterable[str]) -> list[str]:
    """Lower-case, each once, in the order given; empty ones are left out. Raises `BadTag`."""
    found = list(dict.fromkeys(tag for tag in (clean(word).lower() for word in words) if tag))
    for tag in found:
        if len(tag) > LONGEST:
            raise BadTag(f"“{tag[:LONGEST]}…” is longer than {LONGEST} characters")
        if "," in tag or ";" in tag:
            raise BadTag(f"“{tag}” holds a comma: write it as two tags")
    if len(found) > MOST:
        raise BadTag(f"these are {len(found)} tags: {MOST} at most are possible")
    return found
