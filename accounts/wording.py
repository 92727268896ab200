"""How pages say things to people, in the language that is active."""

from __future__ import annotations

import zoneinfo
from datetime import datetime

from django.utils.formats import date_format
from django.utils.translation import gettext as _


def when(moment: datetime, *, now: datetime, zone: zoneinfo.ZoneInfo) -> str:
    """A time as people say it: “today at 10:00”, “on Friday 20 November at 10:00”."""
    local, today = moment.astimezone(zone), now.astimezone(zone)
    values = {"time": date_format(local, "H:i")}
    match (local.date() - today.date()).days:
        case 0:
            return _("today at %(time)s") % values
        case 1:
            return _("tomorrow at %(time)s") % values
        case -1:
            return _("yesterday at %(time)s") % values
    values["date"] = date_format(local, "l j F" if local.year == today.year else "l j F Y")
    return _("on %(date)s at %(time)s") % values
