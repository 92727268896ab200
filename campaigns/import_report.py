"""What an import did, or in a dry run would do: as a whole, and row by row."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from campaigns.rows import Finding


@dataclass(slots=True)
class ImportReport:
    """What an import did. `paid` of the created or updated ones came as paid."""

    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    paid: int = 0
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


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one row, or would: created, updated, unchanged or refused."""

    row: int
    external_id: str
    outcome: str
    findings: list[Finding]
