"""CSV that is safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TextIO

from django.http import StreamingHttpResponse

# What a spreadsheet takes for the start of a formula, in ASCII and in full width.
FORMULA = re.compile(r"^\s*[=+\-@＝＋－＠]|^[\t\r\n|]")
NUMBER = re.compile(r"[+-]?[0-9][0-9 .]*")


def harmless(value: object) -> str:
    """`value` as a cell that is never a formula: an apostrophe goes before one that could be.

    Numbers, phone numbers with their plus included, stay as they are.
    """
    text = "" if value is None else str(value)
    if FORMULA.match(text) and not NUMBER.fullmatch(text):
        return "'" + text
    return text


def harmless_writer(file: TextIO) -> Callable[[Iterable[object]], None]:
    """Writes rows into `file`, which was opened with ``newline=""``; each cell harmless."""
    writer = csv.writer(file)
    return lambda row: writer.writerow([harmless(value) for value in row])


def csv_answer(
    filename: str, header: Sequence[str], rows: Iterable[Sequence[object]]
) -> StreamingHttpResponse:
    """A download: `rows` below `header`, as they come, which nobody on the way keeps."""
    return StreamingHttpResponse(
        stream_csv(header, rows),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{filename}"',
            "Cache-Control": "no-store",
        },
    )


def stream_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The lines of a CSV file with `rows` below `header`; each cell harmless."""
    writer = csv.writer(_Echo())
    yield "\ufeff"  # spreadsheets take it for Windows-1252 otherwise
    for row in chain([header], rows):
        yield writer.writerow([harmless(value) for value in row])


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, line: str) -> str:
        return line
