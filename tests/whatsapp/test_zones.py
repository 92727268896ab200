"""A tenant moves to another time zone: the day of its accounts goes along.

These two zones are 26 hours apart, so that no moment has the same date in both.
"""

import itertools
import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Tenant
from tests import races
from tests.whatsapp.conftest import intend, state_of
from whatsapp import limits, sending, zones
from whatsapp.models import Account, Attempt, Message, Usage

EARLIEST, LATEST = "Pacific/Kiritimati", "Etc/GMT+12"
ANA, BEA, CLEO = "+33639980100", "+33639980101", "+33639980102"
State = Message.State


def move(tenant: Tenant, zone: str) -> None:
    """As the admin does it: another object of the same row is saved."""
    moved = Tenant.objects.get(pk=tenant.pk)
    moved.timezone = zone
    moved.save()


def today(tenant: Tenant):
    tenant.refresh_from_db()
    return limits.today(tenant, now=timezone.now())


def usage_of(account) -> dict:
    return {day: (n, new) for day, n, new in account.usage.values_list("day", "count", "new_chats")}


@pytest.mark.parametrize(("here", "there"), [(EARLIEST, LATEST), (LATEST, EARLIEST)])
def test_what_was_sent_today_counts_after_a_move(
    linked, worker, write, django_capture_on_commit_callbacks, here, there
):
    move(linked.tenant, here)
    Account.objects.update(daily_limit=2)
    for phone in (ANA, BEA):
        write(linked, phone)
    worker.drive(linked)
    with django_capture_on_commit_callbacks(execute=True):
        move(linked.tenant, there)
    third = write(linked, CLEO)
    worker.drive(linked)
    assert state_of(third) == State.QUEUED
    linked.tenant.refresh_from_db()
    assert limits.snapshot(linked, now=timezone.now()).sent_today == 2


def test_a_move_west_leaves_no_day_that_is_used_up_before_it_has_begun(linked, worker, write):
    move(linked.tenant, EARLIEST)
    write(linked, ANA)
    worker.drive(linked)
    move(linked.tenant, LATEST)
    assert usage_of(linked) == {today(linked.tenant): (1, 1)}


def test_a_move_takes_no_place_of_today_for_what_was_sent_yesterday(account, write):
    """Yesterday over there is today over here: a full day would be waited out twice."""
    move(account.tenant, EARLIEST)
    here = today(account.tenant)
    spent(account, write(account), at=[timezone.now() - timedelta(hours=25)] * 3)
    for ago in (1, 2):
        Usage.objects.create(account=account, day=here - timedelta(days=ago), count=3)
    move(account.tenant, LATEST)
    account.tenant.refresh_from_db()
    assert limits.snapshot(account, now=timezone.now()).sent_today == 0


def spent(account, message, *, at: list[datetime]) -> None:
    """Attempts of these moments."""
    numbers = itertools.count(1 + Attempt.objects.filter(message=message).count())
    Attempt.objects.bulk_create(
        Attempt(
            message=message, account=account, number=next(numbers), fence=1, worker="w",
            wa_id="x", usage_day=moment.date(), intent_at=moment,
        )
        for moment in at
    )  # fmt: skip


NOW = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # half an hour before Europe's clocks leap
SOMEWHERE = st.sampled_from(
    [
        EARLIEST, LATEST, "Europe/Paris", "Asia/Kathmandu", "America/St_Johns", "America/Nuuk",
        "Africa/Cairo", "America/Santiago", "Australia/Lord_Howe", "Pacific/Chatham", "UTC",
    ]
)  # fmt: skip
HOURS = st.floats(min_value=0, max_value=60)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    moves=st.lists(SOMEWHERE, min_size=1, max_size=4),
    ages=st.lists(HOURS, max_size=12),
    now=st.sampled_from([NOW, NOW + timedelta(hours=1), NOW + timedelta(hours=11, minutes=29)]),
)
def test_wherever_it_moves_its_day_is_what_was_tried_since_midnight_there(
    account, write, moves, ages, now
):
    """Never over the limit of the tenant's day, and never a day without room after midnight."""
    Usage.objects.all().delete()
    Attempt.objects.all().delete()
    times = [now - timedelta(hours=age) for age in ages]
    spent(account, write(account), at=times)
    for zone in moves:
        tenant = Tenant(pk=account.tenant_id, timezone=zone)
        zones.recount(tenant, now=now)
        day = now.astimezone(tenant.zone).date()
        same_day = [at for at in times if at.astimezone(tenant.zone).date() == day]
        kept = usage_of(account)
        assert kept.get(day, (0, 0))[0] == len(same_day)
        assert all(known <= day for known in kept)


def test_new_chats_of_the_day_are_those_of_the_new_day(linked, worker, write):
    move(linked.tenant, LATEST)
    write(linked, ANA)
    worker.drive(linked)
    write(linked, ANA)
    write(linked, BEA)
    worker.drive(linked)
    before = usage_of(linked)[today(linked.tenant)]
    move(linked.tenant, EARLIEST)
    assert usage_of(linked)[today(linked.tenant)] == before == (3, 2)


def test_another_change_of_a_tenant_counts_nothing_anew(account):
    Usage.objects.create(account=account, day=today(account.tenant), count=7)
    tenant = Tenant.objects.get(pk=account.tenant_id)
    tenant.name = "Another"
    tenant.save()
    tenant.timezone = "Europe/Berlin"
    tenant.save(update_fields=["name"])
    assert usage_of(account) == {today(account.tenant): (7, 0)}


@pytest.mark.django_db(transaction=True)
def test_an_intent_that_waits_for_a_move_is_refused_for_its_day(linked, held, write):
    """It read the old zone before it came to the lock."""
    message = write(linked)
    day = today(linked.tenant)
    with pytest.raises(sending.Refused, match="day_changed"):
        races.behind(
            lambda: move(linked.tenant, LATEST if day > limits_day(LATEST) else EARLIEST),
            lambda: intend(message, held, linked, day=day),
        )
    assert not Attempt.objects.exists()


def limits_day(zone: str):
    return timezone.now().astimezone(zoneinfo.ZoneInfo(zone)).date()
