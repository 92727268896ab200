"""Nobody is written to by night, by the clock where they live."""

import zoneinfo
from datetime import UTC, datetime, time, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from tests.whatsapp.conftest import state_of, wrote
from whatsapp import limits, pace, quiet_hours
from whatsapp.driver.memory import MemoryDriver
from whatsapp.models import Account, Contact, Message

State = Message.State
ANA, BEA = "+33639980100", "+33639980101"
PARIS = zoneinfo.ZoneInfo("Europe/Paris")
NIGHT = quiet_hours.read("21:00-08:00")


def at(text: str, zone=PARIS) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-20T20:59", "2026-11-20T20:59"),
        ("2026-11-20T21:00", "2026-11-21T08:00"),
        ("2026-11-20T23:59", "2026-11-21T08:00"),
        ("2026-11-21T00:00", "2026-11-21T08:00"),
        ("2026-11-21T07:59", "2026-11-21T08:00"),
        ("2026-11-21T08:00", "2026-11-21T08:00"),
    ],
)
def test_the_night_goes_over_midnight(now, until):
    assert NIGHT.until(at(now), [PARIS]) == at(until)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-20T11:59", "2026-11-20T11:59"),
        ("2026-11-20T12:00", "2026-11-20T14:00"),
        ("2026-11-20T14:00", "2026-11-20T14:00"),
    ],
)
def test_hours_may_lie_within_a_day(now, until):
    assert quiet_hours.read("12:00-14:00").until(at(now), [PARIS]) == at(until)


def test_a_night_in_which_clocks_go_forward_is_an_hour_shorter():
    until = NIGHT.until(at("2026-03-28T21:00"), [PARIS])
    assert until == at("2026-03-29T08:00")
    assert until - at("2026-03-28T21:00").astimezone(UTC) == timedelta(hours=10)


def test_a_night_in_which_clocks_go_back_is_an_hour_longer():
    until = NIGHT.until(at("2026-10-24T21:00"), [PARIS])
    assert until - at("2026-10-24T21:00").astimezone(UTC) == timedelta(hours=12)


def test_an_end_that_the_clocks_leap_over_is_the_moment_after_the_leap():
    hours = quiet_hours.read("22:00-02:30")
    assert hours.until(at("2026-03-29T01:59"), [PARIS]) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_an_hour_that_comes_twice_is_quiet_twice():
    hours = quiet_hours.read("22:00-02:30")
    first_end = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30, summer time
    assert hours.until(at("2026-10-25T01:00"), [PARIS]) == first_end
    again = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # 02:10, winter time
    assert hours.until(again, [PARIS]) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


@given(
    zone=st.sampled_from(
        ["Europe/Paris", "America/St_Johns", "Africa/Cairo", "America/Havana", "Asia/Kathmandu"]
    ),
    now=st.datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    begin=st.integers(0, 95),
    long=st.integers(1, 95),
)
def test_quiet_hours_end_as_soon_as_the_wall_says_so_in_every_zone(zone, now, begin, long):
    """Or up to an hour later, where the clocks leap over the end."""
    wall = [time(n // 4, n % 4 * 15) for n in (begin, (begin + long) % 96)]
    hours, there = quiet_hours.QuietHours(*wall), zoneinfo.ZoneInfo(zone)
    until = hours.until(now, [there])
    assert not hours.hold(until, there)
    waited = int((until - now - timedelta(hours=1)) / timedelta(minutes=10))
    assert all(hours.hold(now + n * timedelta(minutes=10), there) for n in range(waited))


def test_a_number_that_may_be_in_several_zones_waits_until_it_is_day_in_all():
    zones = [zoneinfo.ZoneInfo("America/New_York"), zoneinfo.ZoneInfo("America/Los_Angeles")]
    morning = at("2026-11-20T09:00", zones[0])
    assert NIGHT.until(morning, zones) == at("2026-11-20T08:00", zones[1])


def test_zones_all_around_the_world_are_never_all_awake():
    zones = [zoneinfo.ZoneInfo(f"Etc/GMT{n:+d}") for n in range(-12, 13)]
    assert NIGHT.until(timezone.now(), zones) is None


@pytest.mark.parametrize(
    ("phone", "zones"),
    [
        ("+33639980100", ["Europe/Paris"]),
        ("+596696301234", ["America/Martinique"]),
        ("+12015550101", ["America/New_York"]),
        ("+262692123456", ["Indian/Reunion"]),
        ("+881612345678", []),
        ("", []),
    ],
)
def test_the_zone_of_a_number_follows_its_region(phone, zones):
    assert [zone.key for zone in quiet_hours.zones_of(phone)] == zones


@pytest.mark.parametrize(
    "text",
    ["08:00-08:00", "24:00-08:00", "8-20", "21:00", "21:60-08:00", "quiet", " off", "21:00-08:00 "],
)
def test_hours_that_mean_nothing_are_refused_with_how_to_write_them(account, text):
    with pytest.raises(ValueError, match=r"21:00-08:00|write off for none"):
        quiet_hours.read(text)
    account.quiet_hours = text
    with pytest.raises(ValidationError) as refused:
        account.full_clean()
    assert list(refused.value.message_dict) == ["quiet_hours"]


def test_the_database_keeps_unreadable_hours_out(account):
    with (
        pytest.raises(IntegrityError, match="account_quiet_hours_are_readable"),
        transaction.atomic(),
    ):
        Account.objects.filter(pk=account.pk).update(quiet_hours="at night")


@pytest.fixture
def always_night(settings):
    """Quiet hours that are on now, wherever somebody is in Europe, and for another five hours."""
    now = timezone.now().astimezone(PARIS)
    begin, end = now - timedelta(hours=5), now + timedelta(hours=5)
    settings.WHATSAPP_QUIET_HOURS = f"{begin:%H:%M}-{end:%H:%M}"
    # Of two zones, times that the clocks show twice or leave out are never equal.
    return end.replace(second=0, microsecond=0).astimezone(UTC)


def test_a_sequence_waits_for_the_morning_of_whom_it_is_for(
    linked, world, worker, write, always_night
):
    message = write(linked, ANA)
    worker.drive(linked)
    assert state_of(message) == State.QUEUED
    assert (message.error_code, message.error) == (pace.QUIET, "Europe/Paris")
    assert message.due_at == always_night
    assert world.record == []


def test_those_where_it_is_day_do_not_wait_for_those_where_it_is_night(
    linked, world, worker, write, always_night
):
    asleep = write(linked, ANA)
    # Los Angeles, nine hours away; eight while only one of them has summer time. New York would be
    # five then, and asleep.
    awake = write(linked, "+12135550101")
    worker.drive(linked)
    assert state_of(asleep) == State.QUEUED
    assert state_of(awake) == State.SENT


def test_what_is_prepared_by_day_is_not_sent_when_night_has_fallen_meanwhile(
    linked, world, worker, write, settings, monkeypatch, always_night
):
    night, settings.WHATSAPP_QUIET_HOURS = settings.WHATSAPP_QUIET_HOURS, "off"
    find = MemoryDriver._find

    def find_late(self, phone):
        settings.WHATSAPP_QUIET_HOURS = night
        return find(self, phone)

    monkeypatch.setattr(MemoryDriver, "_find", find_late)
    message = write(linked, ANA)
    worker.drive(linked)
    assert state_of(message) == State.QUEUED
    assert (message.error_code, message.due_at) == (pace.QUIET, always_night)
    assert world.record == []
    assert limits.paced(linked).today == 0, "it took no place"


@pytest.mark.parametrize("origin", [Message.Origin.AGENT, Message.Origin.DIRECT])
def test_answers_and_what_somebody_writes_by_hand_go_out_at_night(
    linked, worker, write, always_night, origin
):
    message = write(linked, ANA, origin=origin)
    worker.drive(linked)
    assert state_of(message) == State.SENT


def test_whoever_wrote_within_the_hour_is_awake(linked, worker, write, always_night):
    awake, asleep = write(linked, ANA), write(linked, BEA)
    wrote(linked, ANA, ago=timedelta(minutes=59))
    wrote(linked, BEA, ago=timedelta(minutes=61))
    worker.drive(linked)
    assert state_of(awake) == State.SENT
    assert state_of(asleep) == State.QUEUED


def test_what_the_owner_wrote_on_the_phone_wakes_nobody(linked, worker, write, always_night):
    message = write(linked, ANA)
    wrote(linked, ANA, from_me=True)
    worker.drive(linked)
    assert state_of(message) == State.QUEUED


def test_quiet_hours_of_an_account_go_before_the_default(linked, worker, write, always_night):
    Account.objects.filter(pk=linked.pk).update(quiet_hours="off")
    message = write(linked, ANA)
    worker.drive(linked)
    assert state_of(message) == State.SENT


def test_somebody_known_by_lid_alone_sleeps_when_the_company_does(tenant, account, settings):
    settings.WHATSAPP_QUIET_HOURS = "21:00-08:00"
    message = Message(contact=Contact(phone="", lid="1234@lid"), account=account)
    found = pace._quiet(message, account, now=at("2026-11-20T23:00"))
    assert (found.until, found.detail) == (at("2026-11-21T08:00"), "Europe/Paris")
