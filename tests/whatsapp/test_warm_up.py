"""A new number rises to its limit day by day, and no two gaps are of one length."""

import datetime as dt
from datetime import timedelta

import hypothesis
import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.whatsapp.conftest import state_of
from whatsapp import limits, linking
from whatsapp.models import Account, Message, Usage
from whatsapp.models.pace import limit_on_sql

State = Message.State
ANA, BEA = "+33639980100", "+33639980101"
TODAY = dt.date(2026, 11, 20)


@pytest.fixture
def ramp(settings):
    settings.WHATSAPP_WARM_UP_DAYS, settings.WHATSAPP_WARM_UP_START = 4, 20
    settings.WHATSAPP_DAILY_LIMIT = 100


def test_a_new_number_rises_to_its_limit_day_by_day(ramp):
    account = Account(first_linked_on=TODAY)
    days = [account.limit_on(TODAY + timedelta(days=n)) for n in range(-1, 6)]
    assert days == [20, 20, 40, 60, 80, 100, 100]


def test_a_limit_below_the_first_days_is_kept_as_it_is(ramp):
    assert Account(first_linked_on=TODAY, daily_limit=5).limit_on(TODAY) == 5
    assert Account(first_linked_on=TODAY, daily_limit=0).limit_on(TODAY) == 0


def test_an_account_may_do_without_a_warm_up(ramp):
    assert Account(first_linked_on=TODAY, warm_up_days=0).limit_on(TODAY) == 100


@pytest.mark.parametrize("days", [0, 4])
def test_a_number_linked_tomorrow_has_the_limit_of_its_first_day(ramp, days):
    """Its tenant moved west: the day on which it was linked is still to come there."""
    account = Account(first_linked_on=TODAY + timedelta(days=1), warm_up_days=days)
    assert account.limit_on(TODAY) == (20 if days else 100)


@pytest.mark.parametrize(("share", "limit"), [(0, 0), (25, 5), (50, 10), (100, 20)])
def test_health_takes_its_share_of_what_the_warm_up_leaves(ramp, share, limit):
    assert Account(first_linked_on=TODAY, health_share=share).limit_on(TODAY) == limit


def test_a_share_of_little_is_one_message_and_not_none():
    assert Account(daily_limit=2, health_share=25).limit_on(TODAY) == 1


@pytest.mark.parametrize("daily", [None, 0, 1, 5, 90, 1000])
@pytest.mark.parametrize("share", [0, 25, 100])
@pytest.mark.parametrize("age", [None, -1, 0, 1, 3, 4])
@pytest.mark.parametrize("warm_up", [0, 4])
def test_the_question_who_is_at_the_limit_knows_warm_up_and_health(
    settings, ramp, account, daily, share, age, warm_up
):
    """`limit_on` and the SQL beside it say the same."""
    settings.WHATSAPP_WARM_UP_DAYS = warm_up
    today = limits.today(account.tenant, now=timezone.now())
    first = None if age is None else today - timedelta(days=age)
    Account.objects.update(
        status="connected",
        phone="+33639980001",
        linked_at=timezone.now(),
        daily_limit=daily,
        health_share=share,
        first_linked_on=first,
    )
    account.refresh_from_db()
    usage = Usage.objects.create(account=account, day=today, count=account.limit_on(today))
    at_limit = Account.objects.at_limit(now=timezone.now())
    if share == 0:
        assert not at_limit  # it rests, which is another reason
        return
    assert list(at_limit) == [account]
    if usage.count:
        Usage.objects.update(count=usage.count - 1)
        assert not at_limit.all()


def test_the_first_days_limit_is_kept_from_the_scan_to_the_intent(ramp, linked, worker, write):
    Account.objects.update(daily_limit=1000)
    today = limits.today(linked.tenant, now=timezone.now())
    assert linked.first_linked_on == today
    Usage.objects.create(account=linked, day=today, count=19)
    first, second = write(linked, ANA), write(linked, BEA)
    worker.drive(linked)
    assert [state_of(m) for m in (first, second)] == [State.SENT, State.QUEUED]
    assert limits.snapshot(linked, now=timezone.now()).daily_limit == 20


def link_again(account, world, worker, phone) -> Account:
    linking.disconnect(account, now=timezone.now())
    worker.drive(account)
    account.refresh_from_db()
    linking.request(account, now=timezone.now())
    worker.drive(account)
    world.scan(phone)
    worker.settle()
    account.refresh_from_db()
    return account


def test_a_number_that_is_linked_again_is_not_new(linked, world, worker):
    long_ago = dt.date(2026, 1, 1)
    Account.objects.update(first_linked_on=long_ago)
    assert link_again(linked, world, worker, "+33639980001").first_linked_on == long_ago


def test_another_number_on_the_same_account_is_new(linked, world, worker):
    Account.objects.update(first_linked_on=dt.date(2026, 1, 1))
    today = limits.today(linked.tenant, now=timezone.now())
    assert link_again(linked, world, worker, "+33639980002").first_linked_on == today


def test_a_number_that_moves_to_another_account_is_not_new(linked, tenant, world, worker):
    long_ago = dt.date(2026, 1, 1)
    Account.objects.update(first_linked_on=long_ago)
    linking.disconnect(linked, now=timezone.now())
    worker.drive(linked)
    other = Account.objects.create(tenant=tenant, name="other")
    linking.request(other, now=timezone.now())
    worker.drive(other)
    world.scan("+33639980001")
    worker.settle()
    other.refresh_from_db()
    assert other.first_linked_on == long_ago


def test_a_gap_is_longer_by_chance_and_never_shorter(account):
    account.gap_ms, account.gap_jitter_ms = 1000, 500
    waits = []
    for _ in range(30):
        limits.forget(account.pk)
        limits.reserve(account)
        wait = limits.reserve(account)
        again = limits.reserve(account)
        # Whoever asks twice is told the same end.
        assert again.seconds <= wait.seconds < again.seconds + 0.2
        waits.append(wait.seconds)
    assert min(waits) > 0.8
    assert max(waits) <= 1.5
    assert max(waits) - min(waits) > 0.2


LIMITS = st.one_of(st.none(), st.integers(0, 200), st.integers(0, 2**31 - 1))
AGES = st.one_of(st.none(), st.integers(-2, 20), st.integers(-400, 400))


@hypothesis.settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    daily=LIMITS,
    share=st.sampled_from([0, 25, 50, 75, 100]),
    age=AGES,
    own=st.one_of(st.none(), st.integers(0, 365)),
    default=st.integers(0, 30),
    start=st.integers(1, 120),
)
def test_python_and_sql_say_the_same_of_every_limit(
    settings, account, daily, share, age, own, default, start
):
    settings.WHATSAPP_WARM_UP_DAYS, settings.WHATSAPP_WARM_UP_START = default, start
    account.first_linked_on = None if age is None else TODAY - timedelta(days=age)
    account.daily_limit, account.health_share, account.warm_up_days = daily, share, own
    account.save()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {limit_on_sql('%(day)s::date')} FROM whatsapp_account AS account",  # noqa: S608
            {"day": TODAY},
        )
        [(found,)] = cursor.fetchall()
    assert found == account.limit_on(TODAY)
    assert 0 <= found <= account.limit_per_day
