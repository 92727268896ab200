"""When a message goes out that somebody chose a time for: the clock on whose wall?"""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from zoneinfo import ZoneInfo

from accounts import phones
from whatsapp.models import Account

TENANT, RECIPIENT = "tenant", "recipient"


def moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """The moment (UTC) at which clocks of `zone` show `wall`, a time without an offset.

    A time that the clocks leave out in spring is as much later (02:30 becomes 03:30); of one that
    they show twice in autumn the first counts.
    """
    return wall.replace(tzinfo=zone, fold=0).astimezone(dt.UTC)


def zone_for(phone: str, account: Account) -> ZoneInfo:
    """The zone that a recipient's number (E.164) tells; empty (a LID alone): the company's."""
    zone = account.tenant.zone
    return phones.zone_of(phone, otherwise=zone) if phone else zone
