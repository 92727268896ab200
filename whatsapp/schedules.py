"""When a message goes out that somebody chose a time for: the clock on whose wall?"""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from zoneinfo import ZoneInfo

from whatsapp import quiet_hours
from whatsapp.models import Account

TENANT, RECIPIENT = "tenant", "recipient"


def moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """The moment (UTC) at which clocks of `zone` show `wall`, a time without an offset.

    A time that the clocks leave out in spring is as much later (02:30 becomes 03:30); of one that
    they show twice in autumn the first counts.
    """
    return wall.replace(tzinfo=zone, fold=0).astimezone(dt.UTC)


def zone_for(phone: str, account: Account) -> ZoneInfo:
    """The zone where a recipient's number (E.164) is at home, as far as the number tells.

    Where it leaves several (+1 without an area, Australian mobiles): the company's if that is one
    of them, else the one in their middle. A LID alone, or a number of no country: the company's.
    """
    ours = account.tenant.zone
    zones = quiet_hours.zones_of(phone)
    if not zones or ours in zones:
        return ours
    winter = datetime(2026, 1, 15, 12, tzinfo=dt.UTC)
    from_west = sorted(
        zones, key=lambda zone: (winter.astimezone(zone).utcoffset() or dt.timedelta(0), zone.key)
    )
    return from_west[len(from_west) // 2]
