"""Rows of a CSV file as people make them: any spreadsheet's separator, most encodings.

The file is read twice, a piece at a time: once to find its encoding, once for its rows.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, ClassVar, Generic, Self, TypeVar

from accounts.findings import Finding

R = TypeVar("R")

PIECE = 1 << 20
LONGEST_LINE = 1 << 20  # characters; a name and a phone are not a megabyte
SEPARATORS = (",", ";", "\t", "|")
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NOT_CSV = {
    b"PK\x03\x04": "an Excel or Open Document workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a compressed file",
}


class BadFile(ValueError):
    """The file as a whole cannot be used; the message says why and what to do."""


class CsvTable(Generic[R]):
    """A table whose header names its columns. `file` must be seekable; `name` is for messages.

    `row` makes a row of its number and its texts: ``row(row=2, phone="…", name="…")``.
    `BadFile` is raised by the constructor for what concerns the encoding and the header, and by
    `rows` for what shows later.
    """

    source = "csv"
    required: ClassVar[Sequence[str]] = ()
    optional: ClassVar[Sequence[str]] = ()
    holds: ClassVar[str] = "rows"
    row: Callable[..., R]

    def __init__(self, file: BinaryIO, *, name: str = "the file") -> None:
        self.name = name
        self._file = file
        self.encoding = self._find_encoding()
        self._notes: list[Finding] = []
        if self.encoding == "cp1252":
            self._notes.append(
                _note(
                    "encoding",
                    "the file is not UTF-8 and was read as Windows-1252 (Western European): look "
                    "at the accents, or save it as “CSV UTF-8”",
                )
            )
        self.separator, self.columns = self._read_header()

    @classmethod
    def open(cls, path: Path) -> Self:
        try:
            return cls(path.open("rb"), name=str(path))
        except OSError as error:
            raise BadFile(f"{path} cannot be opened: {error.strerror}") from error

    def close(self) -> None:
        self._file.close()

    def notes(self) -> list[Finding]:
        """What there is to say about the file as a whole, as warnings with row 0 or 1."""
        return list(self._notes)

    def rows(self) -> Iterator[R | Finding]:
        """Every row; a `Finding` says why there is none."""
        for record in self._records():
            if isinstance(record, Finding):
                yield record
            else:
                number, texts = record
                yield self.row(row=number, **texts)

    def _records(self) -> Iterator[tuple[int, dict[str, str]] | Finding]:
        """Row number, as spreadsheets count, and texts by column; or why there is no such row."""
        records = self._raw()
        next(records)
        width = len(self.columns)
        used = [(i, column) for i, column in enumerate(self.columns) if column]
        for number, record in records:
            if isinstance(record, Finding):
                yield record
            elif not any(cell.strip() for cell in record):
                continue
            elif len(record) > width:
                yield Finding(
                    number,
                    "",
                    "",
                    "error",
                    "too_many_fields",
                    f"the row has {len(record)} fields and the header {width}: is a text with "
                    f"“{self.separator}” not quoted?",
                )
            else:
                # Spreadsheets leave out empty cells at the end.
                yield number, {c: record[i] for i, c in used if i < len(record)}

    @property
    def _columns(self) -> tuple[str, ...]:
        return (*self.required, *self.optional)

    # ------------------------------------------------------------------------ the file

    def _find_encoding(self) -> str:
        self._file.seek(0)
        start = self._file.read(4096)
        if not start.strip():
            raise BadFile(f"{self.name} is empty")
        for magic, what in NOT_CSV.items():
            if start.startswith(magic):
                raise BadFile(f"{self.name} is {what}, not CSV: save it as “CSV UTF-8”")
        named = next((name for bom, name in BOMS if start.startswith(bom)), None)
        if named is None and start.count(b"\x00") > len(start) // 4:
            # UTF-16 without its mark: in Western text one byte of each two is 0.
            named = "utf-16-le" if start[1:2] == b"\x00" else "utf-16-be"
        if named is not None:
            self._check_decodes(named)
            return named
        try:
            self._check_decodes("utf-8")
        except BadFile:
            self._check_decodes("cp1252")
            return "cp1252"
        return "utf-8"

    def _check_decodes(self, encoding: str) -> None:
        decoder = codecs.getincrementaldecoder(encoding)()
        self._file.seek(0)
        try:
            while piece := self._file.read(PIECE):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            tried = "UTF-8 nor Windows-1252" if encoding == "cp1252" else encoding.upper()
            neither = "neither " if encoding == "cp1252" else "not "
            raise BadFile(
                f"{self.name} is {neither}{tried} text (byte {error.object[error.start]:#04x} "
                "cannot be read): save it as “CSV UTF-8”"
            ) from error

    def _lines(self) -> Iterator[str]:
        self._file.seek(0)
        # Not closed, which would close the file beneath; `detach` in the end for the same reason.
        text = io.TextIOWrapper(self._file, encoding=self.encoding, newline="")
        try:
            while line := text.readline(LONGEST_LINE):
                if len(line) >= LONGEST_LINE:
                    raise BadFile(
                        f"{self.name} has a line of a megabyte or more: this is not a CSV file "
                        f"of {self.holds}"
                    )
                yield line
        finally:
            text.detach()

    def _raw(self) -> Iterator[tuple[int, list[str] | Finding]]:
        """Row number, as spreadsheets count, and its fields; starts with the header."""
        reader = csv.reader(self._lines(), delimiter=self.separator)
        number = 0
        while True:
            number += 1
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield (
                    number,
                    Finding(
                        number,
                        "",
                        "",
                        "error",
                        "unreadable",
                        f"the row cannot be taken apart ({error}): is a quote left open?",
                    ),
                )
                continue
            if number == 1 and record and record[0].lower().startswith("sep="):
                number = 0  # Excel's hint about the separator, not a row
                continue
            yield number, record

    def _read_header(self) -> tuple[str, list[str]]:
        """The separator under which the header names most columns, and a name or "" for each."""
        best: tuple[int, str, list[str]] = (-1, ",", [])
        for separator in SEPARATORS:
            self.separator = separator
            _, header = next(self._raw(), (0, []))
            if isinstance(header, Finding):
                continue
            names = [" ".join(cell.split()).strip("\ufeff").lower() for cell in header]
            names = [name.replace(" ", "_").replace("-", "_") for name in names]
            known = sum(name in self._columns for name in names)
            if known > best[0]:
                best = (known, separator, names)
        _, separator, names = best
        self._check_header(names)
        return separator, [name if name in self._columns else "" for name in names]

    def _check_header(self, names: list[str]) -> None:
        missing = [name for name in self.required if name not in names]
        if len(missing) == len(self.required):
            raise BadFile(
                f"{self.name} has no header: its first row must name the columns "
                f"{', '.join(self.required)} and may name {', '.join(self.optional)}"
            )
        if missing:
            raise BadFile(f"{self.name} lacks the column {' and '.join(missing)}")
        twice = sorted({n for n in names if n in self._columns and names.count(n) > 1})
        if twice:
            raise BadFile(f"{self.name} has the column {' and '.join(twice)} twice: keep one")
        self._notes += [
            _note("unknown_column", f"the column “{name[:60]}” is not known and was left out")
            for name in names
            if name and name not in self._columns
        ]


def _note(code: str, reason: str) -> Finding:
    return Finding(1 if code == "unknown_column" else 0, "", "", "warning", code, reason)
