"""Times on somebody's wall: the company's, or the recipient's."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from accounts.models import Tenant
from whatsapp import schedules
from whatsapp.models import Account

PARIS = ZoneInfo("Europe/Paris")
DENVER = ZoneInfo("America/Denver")


@pytest.mark.parametrize(
    ("wall", "utc"),
    [
        ("2026-11-20T10:00:00", "2026-11-20T09:00:00+00:00"),
        ("2026-07-01T10:00:00", "2026-07-01T08:00:00+00:00"),
        # Clocks jump from 02:00 to 03:00: what is left out comes as much later.
        ("2026-03-29T02:30:00", "2026-03-29T01:30:00+00:00"),
        ("2026-03-29T03:00:00", "2026-03-29T01:00:00+00:00"),
        # Clocks show 02:30 twice: the first counts.
        ("2026-10-25T02:30:00", "2026-10-25T00:30:00+00:00"),
        ("2026-10-25T03:00:00", "2026-10-25T02:00:00+00:00"),
    ],
)
def test_a_time_on_the_wall_of_paris_is_one_moment(wall, utc):
    assert schedules.moment(dt.datetime.fromisoformat(wall), PARIS).isoformat() == utc


def zone_for(phone, *, company: ZoneInfo) -> ZoneInfo:
    return schedules.zone_for(phone, Account(tenant=Tenant(timezone=company.key)))


@pytest.mark.parametrize(
    ("phone", "zone"),
    [
        ("+33639980001", "Europe/Paris"),
        ("+447700900001", "Europe/Isle_of_Man"),  # as in London
        ("+12125550101", "America/New_York"),
        ("+596696000000", "America/Martinique"),
        ("+590690000000", "America/Guadeloupe"),
        ("", "Europe/Paris"),
    ],
)
def test_a_number_tells_where_it_is_at_home(phone, zone):
    assert zone_for(phone, company=PARIS).key == zone


def test_a_number_of_a_country_with_many_zones_is_where_the_company_is_if_that_is_one():
    assert zone_for("+15555550100", company=DENVER) == DENVER
    assert "America/" in zone_for("+15555550100", company=PARIS).key


def test_a_number_of_no_country_has_the_companys_clock():
    assert zone_for("+883510000000", company=PARIS) == PARIS
