"""Contacts in and out: as rows of a file or a call, and as CSV.

What an import does to somebody who is known: an empty cell says nothing; a name, a language and a
persona are taken over and said, tags are added; a lawful basis is recorded with its note; an
opt-out holds, and no import takes one back. Whoever asked to be forgotten is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from itertools import islice

from django.db import transaction
from django.db.models import QuerySet

from accounts import activity, deadlocks, phones
from accounts.activity import SYSTEM, Actor, Verb
from accounts.findings import Finding, ImportReport, Line, clean
from accounts.models import Tenant
from accounts.tables import CsvTable
from whatsapp import contacts, suppression, tags
from whatsapp.models import Contact

REQUIRED = ("phone",)
OPTIONAL = ("name", "language", "persona", "tags", "lawful_basis", "basis_note", "opted_out")
LONGEST = {"name": 200, "persona": 80, "basis_note": 300, "tags": 2_000}
BATCH = 500  # rows of one transaction
KEPT_FINDINGS = 10_000
YES = frozenset({"yes", "true", "1", "oui", "vrai", "x"})
NO = frozenset({"", "no", "false", "0", "non", "faux"})
HEADER = (
    "phone", "lid", "name", "language", "persona", "tags", "source", "source_detail", "engagement",
    "lawful_basis", "basis_note", "basis_at", "basis_by", "opted_out", "opted_out_at",
    "created_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A contact as text. Empty is empty, whether the source had the field or not."""

    row: int
    phone: str = ""
    name: str = ""
    language: str = ""
    persona: str = ""
    tags: str = ""
    lawful_basis: str = ""
    basis_note: str = ""
    opted_out: str = ""


class ContactTable(CsvTable[Row]):
    """Contacts from a CSV file."""

    required = REQUIRED
    optional = OPTIONAL
    holds = "contacts"
    row = Row


class _Refused(Exception):
    def __init__(self, column: str, code: str, reason: str) -> None:
        super().__init__(reason)
        self.column, self.code, self.reason = column, code, reason


@dataclass(slots=True)
class _Person:
    """Somebody as a row says, or as they are stored (or would be, in a dry run)."""

    name: str = ""
    language: str = ""
    persona: str = ""
    tags: list[str] = field(default_factory=list)
    basis: str = ""
    basis_note: str = ""
    opted_out: bool = False
    is_new: bool = True


def import_rows(
    tenant: Tenant,
    rows: Iterable[Row | Finding],
    *,
    now: datetime,
    source: str = Contact.Source.IMPORT,
    told: Callable[[Line], None] | None = None,
    dry_run: bool = False,
    actor: Actor = SYSTEM,
) -> ImportReport:
    """Store contacts of `tenant`, 500 rows a transaction; good rows although others are bad.

    `told` hears what became of every row. A dry run says all the same and stores nothing.
    """
    importer = _Importer(tenant, source=source, actor=actor, dry_run=dry_run, now=now)
    stream = iter(rows)
    while batch := list(islice(stream, BATCH)):
        importer.take(batch, told)
    report = importer.report
    counts = {name: getattr(report, name) for name in ("created", "updated", "refused")}
    if any(counts.values()) and not dry_run:
        activity.record(
            tenant_id=tenant.pk,
            verb=Verb.CONTACTS_IMPORTED,
            actor=actor,
            detail={"source": source, **counts},
            now=now,
        )
    return report


class _Importer:
    def __init__(
        self, tenant: Tenant, *, source: str, actor: Actor, dry_run: bool, now: datetime
    ) -> None:
        self.tenant, self.source, self.actor = tenant, source, actor
        self.dry_run, self.now = dry_run, now
        self.report = ImportReport()
        self._imagined: dict[str, _Person] = {}

    def take(self, batch: Sequence[Row | Finding], told: Callable[[Line], None] | None) -> None:
        lines, imagined = self._store(batch)
        # Only now: a batch that is tried again after a deadlock is counted and told once.
        self._imagined |= imagined
        for line in lines:
            self.report.rows += 1
            setattr(self.report, line.outcome, getattr(self.report, line.outcome) + 1)
            self.report.codes.update(finding.code for finding in line.findings)
            for finding in line.findings:
                if len(self.report.findings) < KEPT_FINDINGS:
                    self.report.findings.append(finding)
                else:
                    self.report.findings_left_out += 1
            if told is not None:
                told(line)

    @deadlocks.retried
    def _store(self, batch: Sequence[Row | Finding]) -> tuple[list[Line], dict[str, _Person]]:
        readable: list[tuple[Row, str, _Person]] = []
        lines: dict[int, Line] = {}
        for row in batch:
            if isinstance(row, Finding):
                lines[row.row] = Line(row.row, "", "refused", [row])
                continue
            shown = clean(row.phone)[:60]
            try:
                readable.append((row, *self._read(row)))
            except _Refused as why:
                finding = Finding(row.row, shown, why.column, "error", why.code, why.reason)
                lines[row.row] = Line(row.row, shown, "refused", [finding])
        with transaction.atomic():
            suppression.hold(self.tenant)
            phones_here = {phone for _row, phone, _told in readable}
            forgotten = suppression.suppressed(self.tenant, phones_here).keys()
            known = self._known(phones_here)
            for row, phone, said in readable:
                if phone in forgotten:
                    reason = "this person asked to be forgotten"
                    finding = Finding(row.row, "", "phone", "error", "suppressed", reason)
                    lines[row.row] = Line(row.row, "", "refused", [finding])
                    continue
                lines[row.row] = self._apply(row, phone, said, known)
        return [lines[number] for number in sorted(lines)], known

    def _known(self, wanted: set[str]) -> dict[str, _Person]:
        found = {
            contact.phone: _Person(
                name=contact.name,
                language=contact.language,
                persona=contact.persona,
                tags=list(contact.tags),
                basis=contact.lawful_basis,
                basis_note=contact.lawful_basis_note,
                opted_out=contact.opted_out_at is not None,
                is_new=False,
            )
            for contact in Contact.objects.filter(tenant=self.tenant, phone__in=wanted)
        }
        return found | {phone: p for phone, p in self._imagined.items() if phone in wanted}

    def _apply(self, row: Row, phone: str, said: _Person, known: dict[str, _Person]) -> Line:
        """Take over what a row says that was not so before."""
        person = known.setdefault(phone, _Person())
        created, person.is_new = person.is_new, False
        findings: list[Finding] = []
        changes: dict[str, str | list[str]] = {}
        for name in ("name", "language", "persona"):
            old, new = getattr(person, name), getattr(said, name)
            if new and new != old:
                changes[name] = new
                if old:
                    reason = f"the {name} was “{old}” and is now “{new}”"
                    findings.append(Finding(row.row, phone, name, "warning", "changed", reason))
        joined = [*person.tags, *(tag for tag in said.tags if tag not in person.tags)]
        if joined != person.tags:
            changes["tags"] = joined
        basis = said.basis and (said.basis, said.basis_note) != (person.basis, person.basis_note)
        stops = said.opted_out and not person.opted_out
        if person.opted_out and row.opted_out.strip() and not said.opted_out:
            reason = "they asked for no more messages: no import takes that back"
            findings.append(Finding(row.row, phone, "opted_out", "warning", "kept", reason))
        if not self.dry_run and (created or changes or basis or stops):
            self._write(phone, changes, said if basis else None, stops=stops)
        for name, value in changes.items():
            setattr(person, name, value)
        if basis:
            person.basis, person.basis_note = said.basis, said.basis_note
        person.opted_out = person.opted_out or stops
        changed = "updated" if changes or basis or stops else "unchanged"
        return Line(row.row, phone, "created" if created else changed, findings)

    def _write(
        self, phone: str, changes: dict[str, str | list[str]], basis: _Person | None, *, stops: bool
    ) -> None:
        ids = contacts.ensure(tenant_id=self.tenant.pk, people={phone: ""}, source=self.source)
        Contact.objects.filter(pk=ids[phone]).update(**changes)
        if basis is None and not stops:
            return
        contact = Contact.objects.get(pk=ids[phone])
        if basis is not None:
            contacts.record_basis(
                contact,
                basis=basis.basis,
                note=basis.basis_note,
                how="import",
                actor=self.actor,
                now=self.now,
            )
        if stops:
            contacts.opt_out(
                contact, reason="said so in an import", how="import", actor=self.actor, now=self.now
            )

    # ------------------------------------------------------------------- reading a row

    def _read(self, row: Row) -> tuple[str, _Person]:
        """The phone and what is said of it. Raises `_Refused`."""
        for name in fields(Row):
            text = getattr(row, name.name)
            if isinstance(text, str) and ("\x00" in text or len(text) > LONGEST.get(name.name, 60)):
                raise _Refused(
                    name.name,
                    "unreadable",
                    f"{name.name} is longer than {LONGEST.get(name.name, 60)} characters, or holds "
                    "a NUL byte",
                )
        try:
            phone = phones.parse(clean(row.phone), region=self.tenant.region)
        except phones.BadPhone as error:
            raise _Refused("phone", error.code, str(error)) from error
        try:
            labels = tags.read(re.split(r"[,;|]", row.tags))
        except tags.BadTag as error:
            raise _Refused("tags", "invalid", str(error)) from error
        return phone, _Person(
            name=clean(row.name),
            language=self._language(clean(row.language)),
            persona=clean(row.persona),
            tags=labels,
            basis=self._basis(clean(row.lawful_basis), clean(row.basis_note)),
            basis_note=clean(row.basis_note),
            opted_out=self._yes(clean(row.opted_out).lower()),
        )

    def _language(self, text: str) -> str:
        language = text.lower().replace("_", "-")
        if language and not re.fullmatch(contacts.LANGUAGE, language):
            raise _Refused("language", "unknown", "write a language as fr, en or pt-br")
        return language

    def _basis(self, text: str, note: str) -> str:
        basis = text.lower().replace(" ", "_").replace("-", "_")
        if not basis:
            if note:
                raise _Refused("lawful_basis", "missing", "there is a basis_note, but no basis")
            return ""
        if basis not in Contact.LawfulBasis.values:
            known = ", ".join(Contact.LawfulBasis.values)
            raise _Refused("lawful_basis", "unknown", f"write one of {known}")
        if not note:
            raise _Refused(
                "basis_note", "missing", "say in basis_note where the lawful basis comes from"
            )
        return basis

    def _yes(self, text: str) -> bool:
        if text in YES or text in NO:
            return text in YES
        raise _Refused("opted_out", "unreadable", "write yes or no")


def exported(rows: QuerySet[Contact]) -> Iterator[Sequence[object]]:
    """The cells of `HEADER` for each contact, as they come; importable again."""
    for contact in rows.order_by("id").iterator(chunk_size=2_000):
        yield (
            contact.phone,
            contact.lid,
            contact.name,
            contact.language,
            contact.persona,
            "; ".join(contact.tags),
            contact.source,
            contact.source_detail,
            contact.engagement,
            contact.lawful_basis,
            contact.lawful_basis_note,
            _time(contact.lawful_basis_at),
            contact.lawful_basis_by,
            "yes" if contact.opted_out_at else "no",
            _time(contact.opted_out_at),
            _time(contact.created_at),
        )


def _time(moment: datetime | None) -> str:
    return moment.isoformat(timespec="seconds") if moment else ""
