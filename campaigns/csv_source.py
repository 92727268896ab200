"""Referrals from a CSV file."""

from __future__ import annotations

from collections.abc import Iterator

from accounts.findings import Finding
from accounts.tables import CsvTable
from campaigns.rows import OPTIONAL, REQUIRED, Row


class CsvSource(CsvTable):
    """A `ReferralSource`."""

    required = REQUIRED
    optional = OPTIONAL
    holds = "referrals"

    def rows(self) -> Iterator[Row | Finding]:
        for record in self.records():
            if isinstance(record, Finding):
                yield record
            else:
                number, texts = record
                yield Row(row=number, **texts)
