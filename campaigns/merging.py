"""What a row of an import changes of what is known, before anything of it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from accounts.findings import Finding
from campaigns.corrections import CHANGEABLE
from campaigns.rows import Values


@dataclass(slots=True)
class Known:
    """A referral as it is stored (with a pk), or as a row said a moment ago."""

    values: Values
    referrer_id: int
    pk: int | None = None
    paid_at: datetime | None = None
    changed: bool = False
    newly_paid: bool = False
    phone_followed: bool = False


def take_over(
    row: Values,
    referrers: dict[str, int],
    known: dict[str, Known],
    phones: dict[str, str],
    findings: list[Finding],
) -> str:
    """Take a row over into `known`; what becomes of it: ``created``, ``updated`` …

    `referrers` are ids by external id, `known` referrals by external id, `phones` who came with a
    phone first, by external id; `known`, `phones` and `findings` are added to.
    """
    referrer_id = referrers.get(row.referrer)
    if referrer_id is None:
        findings.append(
            row.error(
                "referrer",
                "unknown",
                f"there is no referrer “{row.referrer}”: add them first, or correct the id",
            )
        )
        return "refused"
    entry = known.get(row.external_id)
    if entry is None:
        known[row.external_id] = Known(
            values=row,
            referrer_id=referrer_id,
            paid_at=row.paid_at,
            newly_paid=row.paid_at is not None,
        )
        outcome = "created"
    else:
        changed = _update(entry, row, referrer_id, findings)
        outcome = "updated" if changed else "unchanged"
    if known[row.external_id].paid_at is None:
        first = phones.setdefault(row.phone, row.external_id)
        if first != row.external_id:
            known[row.external_id].phone_followed = True
            findings.append(
                row.warning(
                    "phone",
                    "phone_followed",
                    f"the phone belongs to referral {first} already: it is followed once, "
                    "for whoever referred it first",
                )
            )
    return outcome


def _update(entry: Known, row: Values, referrer_id: int, findings: list[Finding]) -> bool:
    """Take over what `row` says differently; whether that was anything."""
    if referrer_id != entry.referrer_id:
        findings.append(
            row.warning(
                "referrer",
                "referrer_kept",
                f"the referral came from another referrer first, who keeps it; "
                f"“{row.referrer}” is not taken over",
            )
        )
    changed = False
    for name in CHANGEABLE:
        old, new = getattr(entry.values, name), getattr(row, name)
        if not new or new == old:
            continue
        findings.append(
            row.warning(
                name, "changed", f"the {name.replace('_', ' ')} was “{old}” and is now “{new}”"
            )
        )
        changed = True
    if changed:
        entry.values = entry.values.merged(row, CHANGEABLE)
        entry.changed = True
    if row.paid_at is not None and entry.paid_at is None:
        entry.paid_at = row.paid_at
        entry.newly_paid = changed = True
        findings.append(row.warning("paid_at", "paid", "the referral is now paid and left alone"))
    return changed
