"""Which phones are on WhatsApp."""

from __future__ import annotations

from typing import Any, Literal

from whatsapp.simulator.wids import LID_SERVER, digits, lid_of, phone_of_lid, server_of


class Directory:
    """Which phones are on WhatsApp, and their LIDs.

    `open`: every phone is, except those in `absent`. `listed`: only those added are. `names` are
    what people call themselves (push names). Of a phone that is `hidden`, pages are told the LID
    only, until they ask for that very phone.
    """

    def __init__(self) -> None:
        self.mode: Literal["open", "listed"] = "open"
        self.absent: set[str] = set()
        self.hidden: set[str] = set()
        self.businesses: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self._lids: dict[str, str] = {}
        self._phones: dict[str, str] = {}

    def add(
        self,
        phone: str,
        *,
        lid: str | None = None,
        business: str | None = None,
        name: str | None = None,
        hidden: bool | None = None,
    ) -> None:
        """Somebody is on WhatsApp; of what is None, what was known holds."""
        chosen = lid or self.lid(phone)
        self._lids[phone] = chosen
        self._phones[chosen] = phone
        self.absent.discard(phone)
        if business:
            self.businesses[phone] = business
        if name:
            self.names[phone] = name
        if hidden is not None:
            (self.hidden.add if hidden else self.hidden.discard)(phone)

    def lid(self, phone: str) -> str:
        return self._lids.get(phone) or lid_of(phone)

    def phone(self, wid: str) -> str | None:
        """The phone behind ``..@c.us`` or ``..@lid``, None when it cannot be known."""
        if server_of(wid) == LID_SERVER:
            user = wid.split("@")[0].split(":")[0]
            return self._phones.get(f"{user}@{LID_SERVER}") or phone_of_lid(wid)
        return digits(wid)

    def knows(self, phone: str) -> bool:
        if phone in self.absent:
            return False
        # A LID mistaken for a phone number must not "exist" only because everything does.
        return phone in self._lids or (self.mode == "open" and phone_of_lid(phone) is None)

    def describe(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "users": [
                {
                    "phone": phone,
                    "lid": lid,
                    "business": self.businesses.get(phone),
                    "name": self.names.get(phone),
                    "hidden": phone in self.hidden,
                }
                for phone, lid in self._lids.items()
            ],
            "absent": sorted(self.absent),
        }

    def restore(self, described: dict[str, Any]) -> None:
        """What `describe` gave, in an empty directory."""
        self.mode = described["mode"]
        for user in described["users"]:
            self.add(**user)
        self.absent = set(described["absent"])
