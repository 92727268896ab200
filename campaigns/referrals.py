"""Referrals come in: from a CSV file, from the user service, later from anything that has rows.

A source yields `Row`s, text as somebody wrote it; `import_rows` reads, checks and stores them in
batches, and says about each row what it did not like. Good rows of a bad file are imported.

What a second import does to a referral that exists: an empty cell says nothing and changes nothing;
another name, phone, region, language or date is taken over and said; another referrer is not (the
first one wins); a payment ends what runs, and is never taken back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from itertools import islice
from typing import Any, Protocol

import structlog
from django.db import connection, transaction

from accounts import activity
from accounts.activity import SYSTEM, Actor, Verb
from accounts.models import Tenant
from campaigns import deadlocks, exits
from campaigns.models import Payment, Referral, Referrer, Target, Template
from campaigns.rows import Finding, Reader, Row, Values
from whatsapp.failpoints import failpoint

__all__ = ["Finding", "ImportReport", "ReferralSource", "Row", "import_rows"]

log = structlog.get_logger(__name__)

BATCH = 2_000  # rows of one transaction
KEPT_FINDINGS = 10_000  # held in memory; a sink gets all of them
CHANGEABLE = ("name", "phone", "region", "language", "registered_at")


class ReferralSource(Protocol):
    """Where referrals come from. `source` names it on payments and in logs: csv."""

    source: str

    def rows(self) -> Iterator[Row | Finding]:
        """Rows as they come, and findings where a row could not even be taken apart."""


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

    def as_json(self) -> dict[str, Any]:
        """Plain values; each finding is an object with the names of `Finding`."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values["findings"] = [asdict(finding) for finding in self.findings]
        return values


def import_rows(
    tenant: Tenant,
    rows: Iterable[Row | Finding],
    *,
    now: datetime,
    source: str = "import",
    sink: Callable[[Finding], None] | None = None,
    actor: Actor = SYSTEM,
) -> ImportReport:
    """Store referrals of `tenant`, 2,000 rows a transaction; memory does not grow with the rows.

    `sink` is told every finding in order; the report itself keeps the first 10,000.
    """
    importer = _Importer(tenant, now=now, source=source, sink=sink)
    stream = iter(rows)
    while batch := list(islice(stream, BATCH)):
        importer.take(batch)
    report = importer.report
    counts = {name: getattr(report, name) for name in ("created", "updated", "refused", "paid")}
    if any(counts.values()):
        activity.record(
            tenant_id=tenant.pk,
            verb=Verb.REFERRALS_IMPORTED,
            actor=actor,
            detail={"source": source, **counts},
            now=now,
        )
    log.info(
        "referrals imported",
        tenant=tenant.slug,
        source=source,
        created=report.created,
        updated=report.updated,
        unchanged=report.unchanged,
        refused=report.refused,
    )
    return report


@dataclass(slots=True)
class _Known:
    """What is known of one external id in a batch: stored (with a pk), or read a moment ago."""

    values: Values
    referrer_id: int
    pk: int | None = None
    paid_at: datetime | None = None
    changed: bool = False
    newly_paid: bool = False
    phone_followed: bool = False


class _Importer:
    def __init__(
        self,
        tenant: Tenant,
        *,
        now: datetime,
        source: str,
        sink: Callable[[Finding], None] | None,
    ) -> None:
        self.tenant = tenant
        self.now = now
        self.source = source
        self.sink = sink
        self.report = ImportReport()
        spoken = Template.objects.filter(step__campaign__tenant=tenant)
        self.reader = Reader(
            region=tenant.region,
            zone=tenant.zone,
            languages=frozenset(spoken.values_list("language", flat=True).distinct()),
            now=now,
        )

    def take(self, batch: list[Row | Finding]) -> None:
        report, findings = self._store(batch)
        # Only now: a batch that is tried again after a deadlock is counted and told once.
        self.report.rows += len(batch)
        for name in ("created", "updated", "unchanged", "refused", "paid"):
            setattr(self.report, name, getattr(self.report, name) + report[name])
        for finding in findings:
            self.report.codes[finding.code] += 1
            if self.sink is not None:
                self.sink(finding)
            if len(self.report.findings) < KEPT_FINDINGS:
                self.report.findings.append(finding)
            else:
                self.report.findings_left_out += 1

    @deadlocks.retried
    def _store(self, batch: list[Row | Finding]) -> tuple[Counter[str], list[Finding]]:
        """Locks: payments, then referrals, then targets, as in exits.py."""
        counts: Counter[str] = Counter()
        findings: list[Finding] = []
        with transaction.atomic():
            readable = self._read(batch, counts, findings)
            referrers = dict(
                Referrer.objects.filter(
                    tenant=self.tenant, external_id__in={row.referrer for row in readable}
                ).values_list("external_id", "id")
            )
            known = self._known(readable)
            phones = self._phones(readable)
            for row in readable:
                self._apply(row, referrers, known, phones, counts, findings)
            self._write(known, findings)
            failpoint("import.before-commit")
        counts["paid"] = sum(entry.newly_paid for entry in known.values())
        return counts, findings

    def _read(
        self, batch: list[Row | Finding], counts: Counter[str], findings: list[Finding]
    ) -> list[Values]:
        readable = []
        for row in batch:
            if isinstance(row, Finding):
                findings.append(row)
                counts["refused"] += 1
                continue
            values, found = self.reader.read(row)
            findings += found
            if values is None:
                counts["refused"] += 1
            else:
                readable.append(values)
        return readable

    def _known(self, rows: list[Values]) -> dict[str, _Known]:
        stored = Referral.objects.filter(
            tenant=self.tenant, external_id__in={row.external_id for row in rows}
        )
        return {
            r.external_id: _Known(
                values=Values(
                    row=0,
                    external_id=r.external_id,
                    referrer="",
                    name=r.name,
                    phone=r.phone,
                    region=r.region,
                    language=r.language,
                    registered_at=r.registered_at,
                    paid_at=r.paid_at,
                ),
                referrer_id=r.referrer_id,
                pk=r.pk,
                paid_at=r.paid_at,
            )
            for r in stored
        }

    def _phones(self, rows: list[Values]) -> dict[str, str]:
        """Phone -> external id of the referral that came with it first and may be followed."""
        first: dict[str, str] = {}
        stored = Referral.objects.filter(
            tenant=self.tenant,
            phone__in={row.phone for row in rows},
            paid_at=None,
            skipped_reason="",
        ).order_by("id")
        for phone, external_id in stored.values_list("phone", "external_id"):
            first.setdefault(phone, external_id)
        followed = Target.objects.filter(
            tenant=self.tenant,
            phone__in={row.phone for row in rows},
            state=Target.State.ACTIVE,
        )
        first.update(followed.values_list("phone", "referral__external_id"))
        return first

    def _apply(
        self,
        row: Values,
        referrers: dict[str, int],
        known: dict[str, _Known],
        phones: dict[str, str],
        counts: Counter[str],
        findings: list[Finding],
    ) -> None:
        referrer_id = referrers.get(row.referrer)
        if referrer_id is None:
            findings.append(
                row.error("referrer", "unknown", f"there is no referrer “{row.referrer}”")
            )
            counts["refused"] += 1
            return
        entry = known.get(row.external_id)
        if entry is None:
            known[row.external_id] = _Known(
                values=row,
                referrer_id=referrer_id,
                paid_at=row.paid_at,
                newly_paid=row.paid_at is not None,
            )
            counts["created"] += 1
        else:
            counts[
                "updated" if self._update(entry, row, referrer_id, findings) else "unchanged"
            ] += 1
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

    def _update(
        self, entry: _Known, row: Values, referrer_id: int, findings: list[Finding]
    ) -> bool:
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
            findings.append(
                row.warning("paid_at", "paid", "the referral is now paid and left alone")
            )
        return changed

    def _write(self, known: dict[str, _Known], findings: list[Finding]) -> None:
        payments = {key: e.paid_at for key, e in known.items() if e.newly_paid and e.paid_at}
        if payments:
            exits.record_payments(tenant=self.tenant, payments=payments, source=self.source)
        new = {key: entry for key, entry in known.items() if entry.pk is None}
        already = dict(
            Payment.objects.filter(tenant=self.tenant, external_id__in=new.keys()).values_list(
                "external_id", "paid_at"
            )
        )
        for key in already.keys() - payments.keys():
            new[key].newly_paid = True
            findings.append(
                new[key].values.warning(
                    "paid_at", "paid", "a payment came before the import: imported as paid"
                )
            )
        Referral.objects.bulk_create(
            (
                Referral(
                    tenant=self.tenant,
                    referrer_id=entry.referrer_id,
                    paid_at=already.get(key, entry.paid_at),
                    # Decided here, not by the date in a later row: who came first is followed.
                    enrolled_at=self.now if entry.phone_followed else None,
                    skipped_reason="phone_followed" if entry.phone_followed else "",
                    **{name: getattr(entry.values, name) for name in ("external_id", *CHANGEABLE)},
                )
                for key, entry in sorted(new.items())
            ),
            ignore_conflicts=True,  # another import of the same file at the same time
        )
        self._write_changes(
            [(e.pk, e.values) for e in known.values() if e.changed and e.pk is not None]
        )
        if payments:
            exits.exit_payers(
                tenant=self.tenant, payments=payments, source=self.source, now=self.now
            )

    def _write_changes(self, changes: list[tuple[int, Values]]) -> None:
        if not changes:
            return
        changes.sort(key=lambda change: change[0])
        with connection.cursor() as cursor:
            cursor.execute(
                """
                UPDATE campaigns_referral AS referral
                SET name = new.name, phone = new.phone, region = new.region,
                    language = new.language, registered_at = new.registered_at, updated_at = %s
                FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[],
                            %s::timestamptz[])
                    AS new (id, name, phone, region, language, registered_at)
                WHERE referral.id = new.id
                """,
                [
                    self.now,
                    [pk for pk, _ in changes],
                    *([getattr(values, name) for _, values in changes] for name in CHANGEABLE),
                ],
            )
            # The corrected number is the one to follow, unless somebody else is followed there.
            cursor.execute(
                """
                SELECT DISTINCT ON (referral.phone) target.id, referral.phone
                FROM campaigns_referral AS referral
                JOIN campaigns_target AS target ON target.referral_id = referral.id
                WHERE referral.id = ANY(%s) AND target.state = 'active'
                  AND target.phone <> referral.phone
                  AND NOT EXISTS (
                      SELECT FROM campaigns_target AS other
                      WHERE other.tenant_id = target.tenant_id AND other.state = 'active'
                        AND other.phone = referral.phone)
                ORDER BY referral.phone, target.id
                """,
                [[pk for pk, _ in changes]],
            )
            moved = cursor.fetchall()
            if moved:
                cursor.execute(
                    """
                    WITH locked AS (
                        SELECT target.id, moved.phone FROM campaigns_target AS target
                        JOIN unnest(%s::bigint[], %s::text[]) AS moved (id, phone) USING (id)
                        WHERE target.state = 'active' ORDER BY target.id FOR UPDATE OF target)
                    UPDATE campaigns_target AS target SET phone = locked.phone
                    FROM locked WHERE target.id = locked.id
                    """,
                    [[pk for pk, _ in moved], [phone for _, phone in moved]],
                )
