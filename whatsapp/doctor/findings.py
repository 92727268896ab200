"""One thing that was looked at: fine, doubtful, or broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """`said`: what is the matter; `mend`: what to do about it, empty when all is well."""

    status: Literal["ok", "warning", "fail"]
    said: str
    mend: str = ""


def ok(said: str) -> Finding:
    return Finding("ok", said)


def warning(said: str, mend: str) -> Finding:
    return Finding("warning", said, mend)


def fail(said: str, mend: str) -> Finding:
    return Finding("fail", said, mend)


def first_line(error: BaseException) -> str:
    """What an error says, without the rest of its lines."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def megabytes(size: float) -> str:
    return f"{size / 2**20:.0f} MB" if size < 2**30 else f"{size / 2**30:.1f} GB"
