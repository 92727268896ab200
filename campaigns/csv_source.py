"""Referrals from a CSV file."""

from __future__ import annotations

from accounts.tables import CsvTable
from campaigns.rows import OPTIONAL, REQUIRED, Row


class CsvSource(CsvTable[Row]):
    """A `ReferralSource`."""

    required = REQUIRED
    optional = OPTIONAL
    holds = "referrals"
    row = Row
