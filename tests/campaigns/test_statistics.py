"""The numbers behind the dashboard and the API's stats."""

import datetime as dt

import pytest

from campaigns import statistics
from tests import factories
from tests.factories import DAY, HOUR, NOW
from whatsapp import statistics as numbers
from whatsapp.models import Contact, Lease, Message, Usage

pytestmark = pytest.mark.django_db
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def acme():
    return factories.make_tenant("acme")


@pytest.fixture
def rival():
    return factories.make_tenant("rival")


def make_message(account, **fields):
    """Sent an hour before `NOW`, unless `fields` says otherwise."""
    n = Message.objects.count()
    contact = Contact.objects.create(tenant=account.tenant, phone=factories.fiction_phone(n))
    defaults = {"state": "sent", "sent_at": NOW - HOUR, "due_at": NOW - HOUR, "body": "Bonjour"}
    return Message.objects.create(
        tenant=account.tenant, account=account, contact=contact, idempotency_key=f"k{n}",
        content_hash="h", **(defaults | fields),
    )  # fmt: skip


def last_days(tenant, count):
    return numbers.days([tenant.pk], since=NOW - count * DAY, until=NOW)


def test_a_day_counts_what_was_sent_on_it_and_what_became_of_that(acme):
    account = factories.make_account(acme)
    make_message(account)
    make_message(account, state="delivered", delivered_at=NOW)
    make_message(account, state="read", delivered_at=NOW, read_at=NOW)
    make_message(account, state="read", read_at=NOW)  # WhatsApp may tell of reading only
    make_message(account, state="queued", sent_at=None)
    make_message(account, sent_at=NOW - 2 * DAY)

    days = last_days(acme, 3)

    assert [day.day for day in days] == [NOW.date() - n * DAY for n in (3, 2, 1, 0)]
    assert [day.sent for day in days] == [0, 1, 0, 4]
    assert (days[-1].delivered, days[-1].read) == (3, 2)


def test_a_day_is_the_tenants_day(acme):
    acme.timezone = "Pacific/Auckland"  # thirteen hours ahead in November
    acme.save()
    make_message(factories.make_account(acme), sent_at=dt.datetime(2026, 11, 19, 12, tzinfo=dt.UTC))

    days = {day.day: day.sent for day in last_days(acme, 3)}

    assert days[dt.date(2026, 11, 20)] == 1
    assert sum(days.values()) == 1


def test_a_day_of_25_hours_is_counted_once(acme):
    midnight = dt.datetime(2026, 10, 24, 22, tzinfo=dt.UTC)  # clocks go back at night
    account = factories.make_account(acme)
    make_message(account, sent_at=midnight)
    make_message(account, sent_at=midnight + 25 * HOUR - MINUTE)
    make_message(account, sent_at=midnight + 25 * HOUR)

    days = numbers.days([acme.pk], since=midnight - DAY, until=midnight + 2 * DAY)

    assert {day.day.day: day.sent for day in days} == {24: 0, 25: 2, 26: 1}


def test_the_funnel_says_how_far_those_came_who_were_enrolled(acme):
    campaign = factories.make_campaign(acme, days=3)
    referrer = factories.make_referrer(acme)
    for done, fields in (
        (0, {}),
        (2, {}),
        (3, {"state": "completed"}),
        (1, {"state": "exited", "exit_reason": "paid"}),
        (1, {"enrolled_at": NOW - 30 * DAY}),
    ):
        factories.make_target(
            factories.make_referral(referrer), campaign=campaign, steps_done=done, **fields
        )

    funnel = statistics.funnel([acme.pk], since=NOW - DAY, until=NOW)

    assert funnel == statistics.Funnel(
        enrolled=4, reached=(3, 2, 1), active=2, completed=1, exited={"paid": 1}
    )


def test_usage_is_of_the_tenants_today_and_the_fullest_come_first(acme):
    today = NOW.date()
    for name, limit, used in (("low", 100, 10), ("full", 5, 5), ("half", 10, 5), ("none", 10, 0)):
        account = factories.make_account(acme, name=name, daily_limit=limit)
        Usage.objects.create(account=account, day=today, count=used)
        Usage.objects.create(account=account, day=today - DAY, count=99)
    factories.make_account(acme, name="new", connected=False, daily_limit=50)

    usage = numbers.usage([acme.pk], now=NOW, fullest=3)

    assert (usage.used, usage.limit, usage.accounts) == (20, 125, 4)
    assert [(row.name, row.percent) for row in usage.fullest] == [
        ("full", 100), ("half", 50), ("low", 10),
    ]  # fmt: skip


def test_failures_are_counted_by_reason(acme):
    account = factories.make_account(acme)
    for code, ended_at in (("a", NOW), ("b", NOW), ("b", NOW - HOUR), ("b", NOW - 9 * DAY)):
        make_message(account, state="failed", sent_at=None, error_code=code, ended_at=ended_at)

    failures = numbers.failures([acme.pk], since=NOW - DAY, until=NOW + MINUTE)

    assert (failures.total, list(failures.by_code.items())) == (3, [("b", 2), ("a", 1)])


def test_every_open_question_is_counted(acme):
    account = factories.make_account(acme)
    make_message(account, state="uncertain", sent_at=None)
    make_message(account, state="failed", sent_at=None, ended_at=NOW - HOUR)
    make_message(account, state="queued", sent_at=None, due_at=NOW - 2 * HOUR)
    factories.make_account(acme, connected=False)
    factories.make_account(acme, connected=False, status="pending", link_requested_at=NOW)
    factories.make_account(acme, sending_paused_at=NOW)
    full = factories.make_account(acme, daily_limit=2)
    Usage.objects.create(account=full, day=NOW.date(), count=2)
    driven = factories.make_account(acme)
    Lease.objects.create(account=driven, worker="w1", lease_until=NOW + MINUTE)
    for waiting in (full, driven):
        make_message(waiting, state="queued", sent_at=None, due_at=NOW - 10 * MINUTE)
    factories.make_target(factories.make_referral(factories.make_referrer(acme)), hold="template")

    assert statistics.open_questions([acme.pk], now=NOW) == statistics.OpenQuestions(
        uncertain=1,
        stuck=1,
        failed_today=1,
        accounts_to_link=1,
        accounts_paused=1,
        accounts_resting=0,
        accounts_at_limit=1,
        accounts_without_worker=1,
        held={"template": 1},
    )


def test_no_number_is_of_another_company(acme, rival):
    account = factories.make_account(rival, sending_paused_at=NOW)
    make_message(account)
    make_message(account, state="failed", sent_at=None, ended_at=NOW - HOUR)
    make_message(account, state="uncertain", sent_at=None)
    Usage.objects.create(account=account, day=NOW.date(), count=2)
    factories.make_target(
        factories.make_referral(factories.make_referrer(rival, account=account)), hold="template"
    )
    ours, time = [acme.pk], {"since": NOW - DAY, "until": NOW}

    assert sum(day.sent for day in numbers.days(ours, **time)) == 0
    assert statistics.funnel(ours, **time).enrolled == 0
    assert sum(numbers.accounts(ours).by_status.values()) == 0
    assert numbers.usage(ours, now=NOW).accounts == 0
    assert numbers.failures(ours, **time).total == 0
    questions = statistics.open_questions(ours, now=NOW)
    assert (questions.uncertain, questions.accounts_paused, questions.held) == (0, 0, {})


def test_nothing_is_asked_for_no_company():
    assert numbers.days([], since=NOW - DAY, until=NOW) == []
