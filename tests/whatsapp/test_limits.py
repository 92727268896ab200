"""Never more than a day, a minute and the gap allow, whatever happens to Redis."""

import dataclasses
import threading
from datetime import UTC, datetime, timedelta

import pytest
import redis
from django.db import connections
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Tenant
from tests.whatsapp import redis_state
from whatsapp import limits
from whatsapp.models import Account, Attempt, Usage


def reserve_all(account, times):
    return [limits.reserve(account) for _ in range(times)]


def granted(results):
    return [r for r in results if isinstance(r, limits.Reserved)]


def test_the_day_is_granted_up_to_its_limit(account):
    account.daily_limit, account.per_minute = 3, 100
    results = reserve_all(account, 5)
    assert len(granted(results)) == 3
    assert results[-1].reason == "day"
    assert 0 < results[-1].seconds <= 25 * 3600


def test_the_minute_is_granted_up_to_its_limit_and_says_when_there_is_room(account):
    account.per_minute = 2
    results = reserve_all(account, 3)
    assert len(granted(results)) == 2
    assert results[-1].reason == "minute"
    assert 55 < results[-1].seconds <= 60


def test_the_gap_lies_between_two_messages(account):
    account.gap_ms = 3000
    first, second = reserve_all(account, 2)
    assert isinstance(first, limits.Reserved)
    assert second.reason == "gap"
    assert 2 < second.seconds <= 3


def test_the_minute_rolls_and_is_no_fixed_window(account):
    account.per_minute = 2
    reserve_all(account, 2)
    now = timezone.now().timestamp()
    set_times(account, [int((now - ago) * 1e6) for ago in (61, 30)])
    assert isinstance(limits.reserve(account), limits.Reserved)
    waits = limits.reserve(account)
    assert waits.reason == "minute"
    assert 25 < waits.seconds <= 30


def set_times(account, times):
    redis_state.write(account.pk, times="".join(f"{at:016d}" for at in times))


def test_the_gap_counts_from_the_end_of_a_send_not_from_its_beginning(account):
    account.gap_ms = 3000
    place = limits.reserve(account)
    began = int(place.at) - 2_500_000  # the send took as long
    redis_state.write(account.pk, times=f"{began:016d}")
    limits.used(dataclasses.replace(place, at=f"{began:016d}"))
    waits = limits.reserve(account)
    assert waits.reason == "gap"
    assert waits.seconds > 2.5


def test_a_send_that_ends_after_another_reservation_moves_nothing(account):
    account.gap_ms = 0
    first, _ = reserve_all(account, 2)
    before = redis_state.read(account.pk)
    limits.used(first)
    assert redis_state.read(account.pk) == before


def test_the_minute_is_seeded_from_the_ends_of_sends(account, write):
    spend(account, write, 1)
    now = timezone.now()
    Attempt.objects.update(
        intent_at=now - timedelta(seconds=70), finished_at=now - timedelta(seconds=50)
    )
    account.per_minute = 1
    waits = limits.reserve(account)
    assert waits.reason == "minute"
    assert 8 < waits.seconds <= 10


def test_a_place_given_back_can_be_taken_again(account):
    account.daily_limit = 1
    place = limits.reserve(account)
    limits.release(place)
    assert isinstance(limits.reserve(account), limits.Reserved)


def test_a_place_is_given_back_once(account):
    account.daily_limit = 2
    first, _ = reserve_all(account, 2)
    limits.release(first)
    limits.release(first)
    results = reserve_all(account, 2)
    assert len(granted(results)) == 1


def spend(account, write, count):
    """What sending leaves in PostgreSQL: usage, and an attempt for each intent."""
    day = limits.today(account.tenant, now=timezone.now())
    Usage.objects.create(account=account, day=day, count=count)
    message = write(account)
    for number in range(count):
        Attempt.objects.create(
            message=message,
            account=account,
            number=number,
            fence=1,
            worker="w",
            wa_id="x",
            usage_day=day,
            intent_at=timezone.now(),
        )


def test_a_flushed_redis_is_seeded_from_postgresql(account, write):
    spend(account, write, 5)
    account.daily_limit = 6
    limits.server().client.flushdb()
    assert len(granted(reserve_all(account, 3))) == 1


def test_the_minute_is_seeded_from_the_times_of_intents(account, write):
    spend(account, write, 5)
    account.per_minute = 5
    waits = limits.reserve(account)
    assert waits.reason == "minute"


def test_a_redis_restored_to_an_older_state_is_seeded_again(account, write):
    reserve_all(account, 1)
    spend(account, write, 5)
    # The run id of the server that took the snapshot is not that of the one which restored it.
    redis_state.write(account.pk, epoch="0" * 40)
    account.daily_limit = 6
    assert len(granted(reserve_all(account, 3))) == 1


def test_a_day_that_lies_in_the_future_is_not_believed(account):
    reserve_all(account, 1)
    redis_state.write(account.pk, day="2999-01-01")
    assert isinstance(limits.reserve(account), limits.Reserved)


def test_a_new_day_begins_with_a_whole_allowance(account):
    account.daily_limit = 1
    reserve_all(account, 1)
    redis_state.write(account.pk, day="2020-01-01")
    assert isinstance(limits.reserve(account), limits.Reserved)


def test_times_from_a_clock_that_ran_ahead_hold_messages_back_a_minute_at_most(account):
    account.per_minute = 1
    reserve_all(account, 1)
    ahead = int((timezone.now() + timedelta(days=3)).timestamp() * 1e6)
    set_times(account, [ahead])
    waits = limits.reserve(account)
    assert waits.seconds <= 60


def test_nothing_is_granted_while_redis_is_away(account, settings, monkeypatch):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(limits, "server", limits._Server)
    with pytest.raises(limits.Unavailable):
        limits.reserve(account)


def test_a_full_redis_is_an_error_and_no_grant(account, monkeypatch):
    limits.reserve(account)

    def full(*_):
        raise redis.ResponseError("OOM command not allowed when used memory > 'maxmemory'.")

    monkeypatch.setattr(limits.server(), "run", full)
    with pytest.raises(limits.Unavailable):
        limits.reserve(account)


@pytest.mark.django_db(transaction=True)
def test_32_threads_are_granted_no_place_too_many_and_none_is_lost():
    tenant = Tenant.objects.create(slug="busy", name="Busy")
    account = Account.objects.create(
        tenant=tenant, name="many", daily_limit=50, per_minute=1000, gap_ms=0
    )
    results: list[object] = []

    def work():
        try:
            for _ in range(4):
                place = limits.reserve(account)
                if isinstance(place, limits.Reserved) and len(results) % 3 == 0:
                    limits.release(place)
                    continue
                results.append(place)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = len(granted(results))
    while isinstance(limits.reserve(account), limits.Reserved):
        kept += 1
    assert kept == 50


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        (datetime(2026, 6, 1, 22, 0, tzinfo=UTC), 24),  # midnight in Paris, summer
        (datetime(2026, 3, 28, 23, 0, tzinfo=UTC), 23),  # the night clocks go forward
        (datetime(2026, 10, 24, 22, 0, tzinfo=UTC), 25),  # the night they go back
    ],
)
def test_the_day_ends_at_midnight_of_the_tenant_also_when_clocks_change(now, hours):
    tenant = Tenant(timezone="Europe/Paris")
    assert limits.seconds_to_midnight(tenant, now=now) == hours * 3600


# Midnight is left out in Cairo and Santiago, comes twice in Havana; in Nuuk the hour before it is.
@given(
    zone=st.sampled_from(
        [
            "Europe/Paris", "America/St_Johns", "Africa/Cairo", "America/Santiago",
            "America/Havana", "America/Nuuk", "Asia/Kathmandu", "Pacific/Kiritimati", "Etc/GMT+12",
        ]
    ),
    now=st.datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)  # fmt: skip
def test_a_day_ends_where_the_next_one_begins_in_every_zone(zone, now):
    tenant = Tenant(timezone=zone)
    today = limits.today(tenant, now=now)
    midnight = now + timedelta(seconds=limits.seconds_to_midnight(tenant, now=now))
    assert limits.today(tenant, now=midnight) == today + timedelta(days=1)
    assert limits.today(tenant, now=midnight - timedelta(milliseconds=1)) == today


def test_what_is_left_is_told_without_redis(account, write, monkeypatch):
    spend(account, write, 3)
    monkeypatch.setattr(limits, "server", None)
    account.daily_limit, account.per_minute = 10, 20
    left = limits.snapshot(account, now=timezone.now())
    assert (left.sent_today, left.remaining, left.is_limited) == (3, 7, False)


def test_an_exhausted_minute_tells_when_it_ends(account, write):
    spend(account, write, 3)
    account.per_minute = 3
    left = limits.snapshot(account, now=timezone.now())
    assert left.is_limited
    assert 50_000 < left.reset_in_ms <= 60_000


def test_a_day_that_is_used_up_goes_on_the_next_one_not_a_moment_before(account, write):
    spend(account, write, 3)
    account.daily_limit = 3
    now = timezone.now().replace(microsecond=123_456)
    left = limits.snapshot(account, now=now)
    again = (now + timedelta(milliseconds=left.reset_in_ms)).astimezone(account.tenant.zone)
    assert (again.hour, again.minute, again.second) == (0, 0, 0)


def test_an_exhausted_day_tells_when_it_ends(account, write):
    spend(account, write, 3)
    account.daily_limit = 3
    left = limits.snapshot(account, now=timezone.now())
    assert left.is_limited
    assert left.remaining == 0
