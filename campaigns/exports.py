"""CSV that is safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from typing import TextIO

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


def write_csv(file: TextIO, header: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Write `rows` below `header`, each cell harmless; returns the number of rows.

    `file` must have been opened with ``newline=""``.
    """
    writer = csv.writer(file)
    writer.writerow([harmless(name) for name in header])
    count = 0
    for row in rows:
        writer.writerow([harmless(value) for value in row])
        count += 1
    return count
