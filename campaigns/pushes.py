"""Referrals that people and other systems send in bulk, with an answer for each row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from accounts.activity import SYSTEM, Actor
from accounts.findings import Finding, clean
from accounts.models import Tenant
from campaigns.models import Referral
from campaigns.referrals import import_rows
from campaigns.rows import Row

Outcome = Literal["created", "updated", "unchanged", "refused"]
# Findings that say the referral was changed (referrals.py).
CHANGES = frozenset({"changed", "paid"})


@dataclass(slots=True)
class RowResult:
    """What became of one row; `row` counts from 0."""

    row: int
    external_id: str
    result: Outcome
    findings: list[Finding] = field(default_factory=list)


def push(
    *,
    tenant: Tenant,
    rows: Sequence[Mapping[str, str]],
    source: str,
    actor: Actor = SYSTEM,
    now: datetime,
) -> list[RowResult]:
    """Import `rows` (fields of `Row`), good ones although others are bad; one result for each.

    Repeating a push changes nothing and says so: ``unchanged``.
    """
    ids = [clean(row["external_id"]) for row in rows]
    known = set(
        Referral.objects.filter(tenant=tenant, external_id__in=ids).values_list(
            "external_id", flat=True
        )
    )
    found: dict[int, list[Finding]] = defaultdict(list)
    import_rows(
        tenant,
        (Row(row=index, **row) for index, row in enumerate(rows)),
        now=now,
        source=source,
        sink=lambda finding: found[finding.row].append(finding),
        actor=actor,
    )
    results = []
    for index, external_id in enumerate(ids):
        outcome = _outcome(found[index], is_known=external_id in known)
        if outcome != "refused":
            known.add(external_id)
        results.append(RowResult(index, external_id, outcome, found[index]))
    return results


def _outcome(findings: Sequence[Finding], *, is_known: bool) -> Outcome:
    if any(finding.level == "error" for finding in findings):
        return "refused"
    if not is_known:
        return "created"
    return "updated" if any(finding.code in CHANGES for finding in findings) else "unchanged"
