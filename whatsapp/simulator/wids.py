"""Phone numbers, LIDs and WhatsApp ids (wids).

A phone is digits only, country code first (``33639980001``). A wid is ``<user>@<server>``:
``33639980001@c.us`` a phone, ``1011...@lid`` its LID, ``1203...@g.us`` a group.

WhatsApp's LIDs say nothing about the phone. Ours can be turned back into it (see `lid_of`), so
that the record names the phone even after a restart of the simulator; explicit LIDs given through
the control API win over that rule.
"""

from __future__ import annotations

import re

PHONE_SERVER = "c.us"
LID_SERVER = "lid"
GROUP_SERVER = "g.us"

# E.164 allows 15 digits; 7 is the shortest number in use.
_PHONE = re.compile(r"[1-9]\d{6,14}")
_LID_PREFIX = "10"


class WidError(ValueError):
    """A string is not a phone number or wid; the message says which and what was expected."""


def digits(text: str) -> str:
    """The digits of anything a caller writes for a phone: ``+33 6..``, ``336..@c.us``, ``336..``.

    Raises `WidError` when what is left is not an international phone number.
    """
    user = text.split("@")[0].split(":")[0]
    found = re.sub(r"[\s().+-]", "", user)
    if not _PHONE.fullmatch(found):
        raise WidError(
            f"{text!r} is not a phone number; write the country code and digits, "
            "for example 33639980001"
        )
    return found


def phone_wid(phone: str) -> str:
    return f"{phone}@{PHONE_SERVER}"


def lid_of(phone: str) -> str:
    """The LID the simulator gives to `phone` when nobody chose one: reversible, 15 digits or so."""
    return f"{_LID_PREFIX}{len(phone):02d}{phone[::-1]}@{LID_SERVER}"


def phone_of_lid(lid: str) -> str | None:
    """The phone behind a LID made by `lid_of`, None for any other."""
    user = lid.split("@")[0].split(":")[0]
    if not user.startswith(_LID_PREFIX) or len(user) < 4:
        return None
    phone = user[4:][::-1]
    if int(user[2:4]) != len(phone) or not _PHONE.fullmatch(phone):
        return None
    return phone


def server_of(wid: str) -> str:
    return wid.rpartition("@")[2]


def with_device(wid: str, device: int) -> str:
    """``1@c.us`` -> ``1:7@c.us``: the id of one linked device."""
    user, _, server = wid.partition("@")
    return f"{user}:{device}@{server}"
