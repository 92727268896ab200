"""One row of referrals as somebody wrote it, read into values; or why it cannot be."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Protocol

import phonenumbers
from django.conf.locale import LANG_INFO

from accounts import phones
from accounts.findings import Finding, clean

REQUIRED = ("external_id", "referrer", "phone", "registered_at")
OPTIONAL = ("name", "region", "language", "paid_at")
LONGEST = {
    "external_id": 100,
    "referrer": 100,
    "name": 200,
    "phone": 60,
    "region": 20,
    "language": 20,
    "registered_at": 60,
    "paid_at": 60,
}
# Clocks of two systems differ: this much ahead of ours is not the future.
SKEW = dt.timedelta(minutes=5)
EARLIEST = datetime(2000, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """A referral as text. Empty is empty, whether the source had the field or not."""

    row: int
    external_id: str = ""
    referrer: str = ""
    name: str = ""
    phone: str = ""
    region: str = ""
    language: str = ""
    registered_at: str = ""
    paid_at: str = ""


@dataclass(frozen=True, slots=True)
class Values:
    """A readable row: phone in E.164, times in UTC, language empty for the campaign's default."""

    row: int
    external_id: str
    referrer: str
    name: str
    phone: str
    region: str
    language: str
    registered_at: datetime
    paid_at: datetime | None

    def error(self, field: str, code: str, reason: str) -> Finding:
        return Finding(self.row, self.external_id, field, "error", code, reason)

    def warning(self, field: str, code: str, reason: str) -> Finding:
        return Finding(self.row, self.external_id, field, "warning", code, reason)

    def merged(self, newer: Values, names: Iterable[str]) -> Values:
        """With those of `names` that `newer` says anything about."""
        told = {name: getattr(newer, name) for name in names if getattr(newer, name)}
        return replace(self, **told)


class _Refused(Exception):
    def __init__(self, field: str, code: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.code, self.reason = field, code, reason


class Reader:
    """Reads rows by the rules of one tenant.

    `region` applies to phones written nationally, `zone` to times without an offset; `languages`
    are those its campaigns speak (empty: none is written yet, any real language will do).
    """

    def __init__(
        self, *, region: str, zone: zoneinfo.ZoneInfo, languages: frozenset[str], now: datetime
    ) -> None:
        self.region = region
        self.zone = zone
        self.languages = languages
        self.now = now

    def read(self, row: Row) -> tuple[Values | None, list[Finding]]:
        """The row's values, or None with an error among the findings."""
        shown = clean(row.external_id)[:100]
        found: list[Finding] = []

        def warn(field: str, code: str, reason: str) -> None:
            found.append(Finding(row.row, shown, field, "warning", code, reason))

        try:
            self._check_texts(row)
            region = self._region(clean(row.region), warn)
            phone = self._phone(clean(row.phone), region)
            registered_at = self._time("registered_at", clean(row.registered_at))
            if registered_at > self.now + SKEW:
                raise _Refused("registered_at", "future", "the registration lies in the future")
            values = Values(
                row=row.row,
                external_id=shown,
                referrer=clean(row.referrer),
                name=clean(row.name),
                phone=phone,
                region=region if row.region.strip() else "",
                language=self._language(clean(row.language), warn),
                registered_at=registered_at,
                paid_at=self._paid_at(clean(row.paid_at), warn),
            )
        except _Refused as why:
            found.append(Finding(row.row, shown, why.field, "error", why.code, why.reason))
            return None, found
        return values, found

    def _check_texts(self, row: Row) -> None:
        for field in fields(Row):
            if field.name == "row":
                continue
            text: str = getattr(row, field.name)
            label = field.name
            if "\x00" in text:
                raise _Refused(label, "nul", f"{label} contains a NUL byte: is the file damaged?")
            if len(text) > LONGEST[label]:
                raise _Refused(
                    label,
                    "too_long",
                    f"{label} has {len(text)} characters: at most {LONGEST[label]} are possible",
                )
        for label in ("external_id", "referrer"):
            if not clean(getattr(row, label)):
                raise _Refused(label, "missing", f"{label} is missing")

    def _region(self, text: str, warn: Warn) -> str:
        region = text.upper()
        if not region:
            return self.region
        if region not in phonenumbers.SUPPORTED_REGIONS:
            warn("region", "unknown", f"there is no region “{text}”: {self.region} is used")
            return self.region
        return region

    def _phone(self, text: str, region: str) -> str:
        try:
            return phones.parse(text, region=region)
        except phones.BadPhone as error:
            raise _Refused("phone", error.code, str(error)) from error

    def _language(self, text: str, warn: Warn) -> str:
        """The best language for `text`: as written (pt-br), its base (pt), or empty."""
        if not text:
            return ""
        language = text.lower().replace("_", "-")
        choices = [language, language.partition("-")[0]]
        for choice in choices:
            if choice in self.languages or (not self.languages and choice in LANG_INFO):
                return choice[:8]
        warn(
            "language",
            "unknown",
            f"no campaign speaks “{text}”: the campaign's default language is used",
        )
        # A real language is kept: somebody may write it later.
        return next((choice[:8] for choice in choices if choice in LANG_INFO), "")

    def _time(self, field: str, text: str) -> datetime:
        if not text:
            raise _Refused(field, "missing", f"{field} is missing")
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=self.zone)
            moment = moment.astimezone(dt.UTC)
        except (ValueError, OverflowError) as error:
            raise _Refused(
                field,
                "unreadable",
                f"{field} cannot be read as a date: write 2026-11-10T08:00:00+00:00",
            ) from error
        if moment < EARLIEST:
            raise _Refused(field, "too_early", f"{field} lies before the year 2000")
        return moment

    def _paid_at(self, text: str, warn: Warn) -> datetime | None:
        """Unreadable is refused: rather no message than one to somebody who may have paid."""
        if not text:
            return None
        paid_at = self._time("paid_at", text)
        if paid_at > self.now + SKEW:
            warn("paid_at", "future", "the payment lies in the future: taken as paid now")
            return self.now
        return paid_at


class Warn(Protocol):
    def __call__(self, field: str, code: str, reason: str) -> None: ...
