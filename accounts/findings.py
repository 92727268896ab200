"""What an import has to say about the rows it is given, and what it makes of their texts."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about one row that a person should know. An error means: not imported.

    `row` counts as spreadsheets do, the header being row 1; 0 is the whole file. `external_id` is
    what the row is called by its sender. `reason` is a plain English sentence without the row's
    own text where that could be long.
    """

    row: int
    external_id: str
    field: str
    level: Literal["error", "warning"]
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one row, or would: created, updated, unchanged or refused."""

    row: int
    external_id: str
    outcome: str
    findings: list[Finding]


@dataclass(slots=True)
class ImportReport:
    """What an import did, or in a dry run would do."""

    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    findings: list[Finding] = field(default_factory=list)
    findings_left_out: int = 0
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def good(self) -> int:
        """Rows that are, or would be, taken over."""
        return self.rows - self.refused

    def as_json(self) -> dict[str, Any]:
        """Plain values; each finding is an object with the names of `Finding`."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values["findings"] = [asdict(finding) for finding in self.findings]
        return values


def clean(text: str) -> str:
    """One line without control characters or spaces around, in composed form (é is one letter).

    Formulas and markup are data and stay: whoever writes a file or a page makes them harmless.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    composed = unicodedata.normalize("NFC", text)
    kept = (" " if c.isspace() else c for c in composed if c.isspace() or _is_text(c))
    return " ".join("".join(kept).split())


def _is_text(character: str) -> bool:
    # Format characters include direction overrides, which make a name read as something else;
    # the joiner of emoji is the one that people really have in their names.
    category = unicodedata.category(character)
    return category not in {"Cc", "Cf", "Cs", "Co", "Cn"} or character == "\u200d"
