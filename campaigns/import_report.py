"""What an import of referrals did, or in a dry run would do."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.findings import ImportReport


@dataclass(slots=True)
class ReferralReport(ImportReport):
    """`paid` of the created or updated ones came as paid."""

    paid: int = 0
