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
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Protocol

import structlog
from django.db import transaction

from accounts import activity, deadlocks
from accounts.activity import SYSTEM, Actor, Verb
from accounts.findings import Finding, Line
from accounts.models import Tenant
from campaigns import corrections, exits, lawful_basis
from campaigns.corrections import CHANGEABLE
from campaigns.import_report import ReferralReport
from campaigns.merging import Known, take_over
from campaigns.models import Payment, Referral, Referrer, Target, Template
from campaigns.rows import Reader, Row, Values
from whatsapp import suppression
from whatsapp.failpoints import failpoint

log = structlog.get_logger(__name__)

BATCH = 2_000  # rows of one transaction
KEPT_FINDINGS = 10_000  # held in memory; a sink gets all of them


class ReferralSource(Protocol):
    """Where referrals come from. `source` names it on payments and in logs: csv."""

    source: str

    def rows(self) -> Iterator[Row | Finding]:
        """Rows as they come, and findings where a row could not even be taken apart."""


def import_rows(
    tenant: Tenant,
    rows: Iterable[Row | Finding],
    *,
    now: datetime,
    source: str = "import",
    sink: Callable[[Finding], None] | None = None,
    told: Callable[[Line], None] | None = None,
    dry_run: bool = False,
    actor: Actor = SYSTEM,
) -> ReferralReport:
    """Store referrals of `tenant`, 2,000 rows a transaction; memory does not grow with the rows.

    `sink` is told every finding in order, `told` what became of every row; the report itself keeps
    the first 10,000 findings. A dry run says all the same and stores nothing; it remembers what it
    would have stored, about a kilobyte a row.
    """
    importer = _Importer(tenant, now=now, source=source, sink=sink, told=told, dry_run=dry_run)
    stream = iter(rows)
    while batch := list(islice(stream, BATCH)):
        importer.take(batch)
    report = importer.report
    counts = {name: getattr(report, name) for name in ("created", "updated", "refused", "paid")}
    if dry_run:
        return report
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


class _Importer:
    def __init__(
        self,
        tenant: Tenant,
        *,
        now: datetime,
        source: str,
        sink: Callable[[Finding], None] | None,
        told: Callable[[Line], None] | None,
        dry_run: bool,
    ) -> None:
        self.tenant = tenant
        self.now = now
        self.source = source
        self.sink = sink
        self.told = told
        self.dry_run = dry_run
        # What a dry run would have stored so far, as later rows would find it.
        self._imagined: dict[str, Known] = {}
        self._taken_phones: dict[str, str] = {}
        self.report = ReferralReport()
        spoken = Template.objects.filter(step__campaign__tenant=tenant)
        self.reader = Reader(
            region=tenant.region,
            zone=tenant.zone,
            languages=frozenset(spoken.values_list("language", flat=True).distinct()),
            now=now,
        )

    def take(self, batch: list[Row | Finding]) -> None:
        report, findings, outcomes = self._store(batch)
        if self.told is not None:
            self._tell(outcomes, findings)
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

    def _tell(self, outcomes: dict[int, tuple[str, str]], findings: list[Finding]) -> None:
        by_row: dict[int, list[Finding]] = {}
        for finding in findings:
            by_row.setdefault(finding.row, []).append(finding)
        for row in sorted(outcomes.keys() | by_row.keys()):
            said = by_row.get(row, [])
            shown = said[0].external_id if said else ""
            external_id, outcome = outcomes.get(row, (shown, "refused"))
            assert self.told is not None  # noqa: S101
            self.told(Line(row, external_id, outcome, said))

    @deadlocks.retried
    def _store(
        self, batch: list[Row | Finding]
    ) -> tuple[Counter[str], list[Finding], dict[int, tuple[str, str]]]:
        """Locks: contacts, payments, then referrals, then targets, as in exits.py."""
        counts: Counter[str] = Counter()
        findings: list[Finding] = []
        outcomes: dict[int, tuple[str, str]] = {}
        with transaction.atomic():
            suppression.hold(self.tenant)
            readable = self._read(batch, counts, findings)
            referrers = dict(
                Referrer.objects.filter(
                    tenant=self.tenant, external_id__in={row.referrer for row in readable}
                ).values_list("external_id", "id")
            )
            known = self._known(readable)
            phones = self._phones(readable)
            for row in readable:
                outcome = take_over(row, referrers, known, phones, findings)
                counts[outcome] += 1
                outcomes[row.row] = (row.external_id, outcome)
            payments = self._payments(known, findings)
            if not self.dry_run:
                self._write(known, payments)
                failpoint("import.before-commit")
        counts["paid"] = sum(entry.newly_paid for entry in known.values())
        if self.dry_run:
            self._imagine(known, phones)
        return counts, findings, outcomes

    def _imagine(self, known: dict[str, Known], phones: dict[str, str]) -> None:
        for key, entry in known.items():
            if entry.pk is None or entry.changed or entry.newly_paid:
                stored = replace(entry, pk=entry.pk or 0, changed=False, newly_paid=False)
                self._imagined[key] = stored
        self._taken_phones |= phones

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
        forgotten = suppression.suppressed(self.tenant, {row.phone for row in readable})
        for values in readable if forgotten else ():
            if values.phone in forgotten:
                reason = "this person asked to be forgotten"
                findings.append(values.error("phone", "suppressed", reason))
                counts["refused"] += 1
        return [values for values in readable if values.phone not in forgotten]

    def _known(self, rows: list[Values]) -> dict[str, Known]:
        stored = Referral.objects.filter(
            tenant=self.tenant, external_id__in={row.external_id for row in rows}
        )
        known = {
            r.external_id: Known(
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
        wanted = {row.external_id for row in rows}
        # A copy each: what this batch does to an entry is no part of what was before.
        return known | {k: replace(e) for k, e in self._imagined.items() if k in wanted}

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
            if self._has_still(external_id, phone):
                first.setdefault(phone, external_id)
        followed = Target.objects.filter(
            tenant=self.tenant,
            phone__in={row.phone for row in rows},
            state=Target.State.ACTIVE,
        )
        first |= {
            phone: external_id
            for phone, external_id in followed.values_list("phone", "referral__external_id")
            if self._has_still(external_id, phone)
        }
        wanted = {row.phone for row in rows}
        return {p: who for p, who in self._taken_phones.items() if p in wanted} | first

    def _has_still(self, external_id: str, phone: str) -> bool:
        """Whether a stored referral would have its phone yet, and be unpaid, after this far."""
        imagined = self._imagined.get(external_id)
        if imagined is None:
            return True
        return imagined.values.phone == phone and imagined.paid_at is None

    def _payments(self, known: dict[str, Known], findings: list[Finding]) -> dict[str, datetime]:
        """External id -> payment, of those who are new here and paid before, or pay now."""
        payments = {key: e.paid_at for key, e in known.items() if e.newly_paid and e.paid_at}
        new = {key: entry for key, entry in known.items() if entry.pk is None}
        already = Payment.objects.filter(tenant=self.tenant, external_id__in=new.keys())
        for key, paid_at in already.values_list("external_id", "paid_at"):
            if key in payments:
                continue
            new[key].paid_at, new[key].newly_paid = paid_at, True
            findings.append(
                new[key].values.warning(
                    "paid_at", "paid", "a payment came before the import: imported as paid"
                )
            )
        return payments

    def _write(self, known: dict[str, Known], payments: dict[str, datetime]) -> None:
        lawful_basis.of_imported(
            tenant_id=self.tenant.pk,
            phones=(entry.values.phone for entry in known.values()),
            now=self.now,
        )
        if payments:
            exits.record_payments(tenant=self.tenant, payments=payments, source=self.source)
        new = {key: entry for key, entry in known.items() if entry.pk is None}
        # The first payment counts, whatever the file says.
        already = dict(
            Payment.objects.filter(tenant=self.tenant, external_id__in=new.keys()).values_list(
                "external_id", "paid_at"
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
        corrections.write(
            [(e.pk, e.values) for e in known.values() if e.changed and e.pk is not None],
            now=self.now,
        )
        if payments:
            exits.exit_payers(
                tenant=self.tenant, payments=payments, source=self.source, now=self.now
            )
