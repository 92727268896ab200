"""Phone numbers: read as people write them, stored in E.164."""

from __future__ import annotations

import phonenumbers
from phonenumbers import PhoneNumberType

# Kinds that cannot carry a WhatsApp account. FIXED_LINE_OR_MOBILE (US) can.
CANNOT = {
    PhoneNumberType.FIXED_LINE: "landline",
    PhoneNumberType.PREMIUM_RATE: "premium_rate",
    PhoneNumberType.SHARED_COST: "shared_cost",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "company_number",
    PhoneNumberType.VOICEMAIL: "voicemail",
}


class BadPhone(ValueError):
    """`code` is one of missing, unreadable, too_short, too_long, not_a_number, landline, ..."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse(text: str, *, region: str) -> str:
    """E.164 of a phone number that can be on WhatsApp.

    `text` as a person writes it (``0639980000``, ``+33 6 39 98 00 00``, ``0033…``, or the digits
    of an international number without its plus); `region` (``FR``) applies to national numbers.
    Raises `BadPhone`.
    """
    text = text.strip()
    if not text:
        raise BadPhone("missing", "the phone number is missing")
    number = _read(text, region)
    if number is None:
        raise BadPhone("unreadable", "this cannot be read as a phone number")
    match phonenumbers.is_possible_number_with_reason(number):
        case phonenumbers.ValidationResult.TOO_SHORT:
            raise BadPhone("too_short", "the phone number is too short")
        case phonenumbers.ValidationResult.TOO_LONG:
            raise BadPhone("too_long", "the phone number is too long")
    kind = phonenumbers.number_type(number)
    if kind in CANNOT:
        raise BadPhone(CANNOT[kind], f"a {CANNOT[kind].replace('_', ' ')} cannot be on WhatsApp")
    if not phonenumbers.is_possible_number(number):
        raise BadPhone("not_a_number", "no such phone number can exist")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _read(text: str, region: str) -> phonenumbers.PhoneNumber | None:
    """National or international reading; bare digits such as 33639980003 are tried with a plus."""
    readings = []
    for candidate in (text, "+" + text.lstrip("+")):
        try:
            readings.append(phonenumbers.parse(candidate, region))
        except phonenumbers.NumberParseException:
            continue
    valid = [n for n in readings if phonenumbers.is_valid_number(n)]
    return next(iter(valid or readings), None)
