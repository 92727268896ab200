"""Hours of the day in which nobody wants a message: read from text, and asked by time zones.

Knows no settings and no models: the settings themselves are read with it.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import phonenumbers
from phonenumbers import timezone as phone_zones

OFF = "off"
FORM = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
UNKNOWN_ZONE = "Etc/Unknown"
# Zones of one number lie so far apart at most that their quiet hours leave nothing of a day.
LONGEST = dt.timedelta(days=2)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `begin` until before `end` by the clock on the wall; over midnight when `end` is less.

    Where the clocks change, the wall is right: an hour that comes twice is quiet twice.
    """

    begin: dt.time
    end: dt.time

    def hold(self, now: datetime, zone: zoneinfo.ZoneInfo) -> bool:
        """Whether it is quiet at `now` (aware) in `zone`."""
        wall = now.astimezone(zone).time()
        if self.begin < self.end:
            return self.begin <= wall < self.end
        return wall >= self.begin or wall < self.end

    def until(self, now: datetime, zones: Sequence[zoneinfo.ZoneInfo]) -> datetime | None:
        """When it is no longer quiet in any of `zones`: `now` if it is not, None if always."""
        moment = now.astimezone(dt.UTC)
        while moment - now < LONGEST:
            quiet = [zone for zone in zones if self.hold(moment, zone)]
            if not quiet:
                return moment
            moment = max(self._end(moment, zone) for zone in quiet)
        return None

    def _end(self, now: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
        """The next time the wall shows `end`; the moment after the leap where it never does."""
        wall = now.astimezone(zone)
        day = wall.date() + dt.timedelta(days=wall.time() >= self.end)
        end = datetime.combine(day, self.end, tzinfo=zone).astimezone(dt.UTC)
        # Twice on the wall: when the first has passed, the second is meant.
        if end <= now:
            end = datetime.combine(day, self.end, tzinfo=zone).replace(fold=1).astimezone(dt.UTC)
        return end if end > now else now + dt.timedelta(hours=1)


@functools.lru_cache(maxsize=256)
def read(text: str) -> QuietHours | None:
    """``21:00-08:00``; None of ``off``. Raises `ValueError`, which says what is wrong."""
    if text == OFF:
        return None
    found = FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"write hours as 21:00-08:00, or off, not “{text[:20]}”")
    hours = [int(part) for part in found.groups()]
    begin, end = dt.time(hours[0], hours[1]), dt.time(hours[2], hours[3])
    if begin == end:
        raise ValueError(f"they begin and end at {begin:%H:%M}: write off for none")
    return QuietHours(begin, end)


@functools.lru_cache(maxsize=10_000)
def zones_of(phone: str) -> tuple[zoneinfo.ZoneInfo, ...]:
    """Time zones that a number (E.164) may be in, by its region; nothing where nobody knows."""
    if not phone:
        return ()
    names = phone_zones.time_zones_for_geographical_number(phonenumbers.parse(phone))
    found = []
    for name in names:
        if name != UNKNOWN_ZONE:
            try:
                found.append(zoneinfo.ZoneInfo(name))
            except zoneinfo.ZoneInfoNotFoundError:  # this machine's list is older
                continue
    return tuple(found)


def place(zone: zoneinfo.ZoneInfo) -> str:
    """The place that stands for a zone: “Martinique” of America/Martinique."""
    return (zone.key or "UTC").rpartition("/")[2].replace("_", " ")
