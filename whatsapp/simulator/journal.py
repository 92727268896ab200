"""What happened, line by line, so that a simulator that was killed still knows it.

Each change is one line of JSON, handed to the kernel before anybody is told: what a page was
acknowledged is in the file, whatever happens to this process. A line that was cut off by the end
is the last one, and nobody was told of it either.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Entry = tuple[str, Any]


class Journal:
    """A file of entries, ``(kind, data)``; `data` is JSON."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._path = path
        self._file = path.open("ab", buffering=0)

    def write(self, kind: str, data: Any) -> None:
        self._file.write(json.dumps([kind, data]).encode() + b"\n")

    def read(self) -> Iterator[Entry]:
        """All entries, oldest first; cuts a torn end off, so that what follows stays readable."""
        whole = 0
        with self._path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                kind, data = json.loads(line)
                yield kind, data
        self._file.truncate(whole)

    def forget(self) -> None:
        self._file.truncate(0)
