"""What keeps a number from being restricted: when a due message waits, and what for.

Each test switches on what it is about; the others are off (tests/conftest.py).
"""

import datetime as dt
import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from whatsapp import driving, limits, linking, messages, outbox, pace, quiet_hours, sending
from whatsapp.driver.base import Outgoing
from whatsapp.driver.memory import MemoryDriver
from whatsapp.models import Account, Contact, Incoming, Message, Usage

State = Message.State
ANA, BEA = "+33639980100", "+33639980101"
PARIS = zoneinfo.ZoneInfo("Europe/Paris")
MARTINIQUE = zoneinfo.ZoneInfo("America/Martinique")
NIGHT = quiet_hours.read("21:00-08:00")


def at(text: str, zone=PARIS) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def state_of(message) -> str:
    message.refresh_from_db()
    return message.state


def wrote(account, phone, *, ago=timedelta(minutes=1), **fields) -> None:
    """Somebody has written to the account."""
    contact = Contact.objects.get(tenant=account.tenant, phone=phone)
    Incoming.objects.create(
        account=account,
        contact=contact,
        wa_id=f"false_{phone}_{Incoming.objects.count()}",
        chat_id=fields.pop("chat_id", f"{phone[1:]}@c.us"),
        phone=phone,
        kind="chat",
        sent_at=timezone.now() - ago,
        received_at=timezone.now() - ago,
        **fields,
    )


# ------------------------------------------------------------------------------ quiet hours


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
    return end.replace(second=0, microsecond=0)


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
    awake = write(linked, "+12015550101")  # New York, six hours away
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


# ---------------------------------------------------------------------------- new chats a day


def test_only_so_many_new_chats_are_begun_in_a_day(linked, world, worker, write, settings):
    settings.WHATSAPP_NEW_CHATS = 2
    messages = [write(linked, f"+3363998020{n}") for n in range(4)]
    worker.drive(linked)
    assert [state_of(m) for m in messages] == [State.SENT] * 2 + [State.QUEUED] * 2
    assert Usage.objects.get().new_chats == 2
    held = messages[3]
    assert held.error_code == pace.NEW_CHATS
    tomorrow = timezone.now().astimezone(PARIS).date() + timedelta(days=1)
    midnight = datetime.combine(tomorrow, dt.time(), tzinfo=PARIS)
    assert abs(held.due_at - midnight) < timedelta(seconds=5)


def test_chats_that_exist_go_on_when_no_new_one_may_begin(linked, worker, write, settings):
    first = write(linked, ANA)
    worker.drive(linked)
    settings.WHATSAPP_NEW_CHATS = 0
    second, reply, new = write(linked, ANA), write(linked, BEA), write(linked, "+33639980102")
    wrote(linked, BEA)
    worker.drive(linked)
    assert [state_of(m) for m in (first, second, reply)] == [State.SENT] * 3
    assert state_of(new) == State.QUEUED
    assert Usage.objects.get().new_chats == 1


def test_a_chat_is_new_until_something_has_arrived(linked, world, worker, write):
    world.fail("nack", code=429)
    message = write(linked, ANA)
    worker.drive(linked)
    assert state_of(message) == State.QUEUED
    assert Usage.objects.get().new_chats == 1
    Message.objects.filter(pk=message.pk).update(due_at=timezone.now())
    worker.drive(linked)
    assert Usage.objects.get().new_chats == 2
    write(linked, ANA)
    worker.drive(linked)
    assert Usage.objects.get().new_chats == 2


def test_who_only_writes_into_a_group_is_a_new_chat_all_the_same(linked, worker, write, settings):
    settings.WHATSAPP_NEW_CHATS = 0
    message = write(linked, ANA)
    wrote(linked, ANA, chat_id="1203@g.us")
    worker.drive(linked)
    assert state_of(message) == State.QUEUED
    assert message.error_code == pace.NEW_CHATS

    held = worker.pool.get(linked.pk).held
    day = limits.today(linked.tenant, now=timezone.now())
    Message.objects.filter(pk=message.pk).update(due_at=timezone.now())
    with pytest.raises(sending.Refused, match="new_chats"):
        sending.intend(message, Outgoing("a@c.us", "true_a@c.us_1"), held=held, day=day)


def test_the_intent_refuses_a_new_chat_over_the_budget_whatever_was_read_before(
    linked, worker, write, settings
):
    first, second = write(linked, ANA), write(linked, BEA)
    held = worker.pool.get(linked.pk).held
    day = limits.today(linked.tenant, now=timezone.now())
    settings.WHATSAPP_NEW_CHATS = 1
    sending.intend(first, Outgoing("a@c.us", "true_a@c.us_1"), held=held, day=day)
    with pytest.raises(sending.Refused, match="new_chats"):
        sending.intend(second, Outgoing("b@c.us", "true_b@c.us_2"), held=held, day=day)
    usage = Usage.objects.get()
    assert (usage.count, usage.new_chats) == (1, 1)
    assert state_of(second) == State.QUEUED


def test_a_message_that_is_gone_is_not_taken_for_a_day_that_is_full(linked, worker, write):
    message = write(linked, ANA)
    Message.objects.filter(pk=message.pk).delete()
    held = worker.pool.get(linked.pk).held
    day = limits.today(linked.tenant, now=timezone.now())
    with pytest.raises(sending.Refused, match="message_gone"):
        sending.intend(message, Outgoing("a@c.us", "true_a@c.us_1"), held=held, day=day)


def test_what_is_held_goes_out_when_its_reason_has_gone(linked, worker, write, settings):
    settings.WHATSAPP_NEW_CHATS = 0
    message = write(linked, ANA)
    worker.drive(linked)
    settings.WHATSAPP_NEW_CHATS = 1
    assert pace.ask_again(linked, now=timezone.now()) == 1
    worker.drive(linked)
    assert state_of(message) == State.SENT


def test_what_a_person_holds_back_is_not_asked_again(linked, worker, write, settings):
    settings.WHATSAPP_NEW_CHATS = 0
    message = write(linked, ANA)
    worker.drive(linked)
    outbox.hold_back([message.pk])
    assert pace.ask_again(linked, now=timezone.now()) == 0


# ------------------------------------------------------------------------- warm-up and jitter


@pytest.fixture
def ramp(settings):
    settings.WHATSAPP_WARM_UP_DAYS, settings.WHATSAPP_WARM_UP_START = 4, 20
    settings.WHATSAPP_DAILY_LIMIT = 100


TODAY = dt.date(2026, 11, 20)


def test_a_new_number_rises_to_its_limit_day_by_day(ramp):
    account = Account(first_linked_on=TODAY)
    days = [account.limit_on(TODAY + timedelta(days=n)) for n in range(-1, 6)]
    assert days == [20, 20, 40, 60, 80, 100, 100]


def test_a_limit_below_the_first_days_is_kept_as_it_is(ramp):
    assert Account(first_linked_on=TODAY, daily_limit=5).limit_on(TODAY) == 5
    assert Account(first_linked_on=TODAY, daily_limit=0).limit_on(TODAY) == 0


def test_an_account_may_do_without_a_warm_up(ramp):
    assert Account(first_linked_on=TODAY, warm_up_days=0).limit_on(TODAY) == 100


@pytest.mark.parametrize(("share", "limit"), [(0, 0), (25, 5), (50, 10), (100, 20)])
def test_health_takes_its_share_of_what_the_warm_up_leaves(ramp, share, limit):
    assert Account(first_linked_on=TODAY, health_share=share).limit_on(TODAY) == limit


def test_a_share_of_little_is_one_message_and_not_none():
    assert Account(daily_limit=2, health_share=25).limit_on(TODAY) == 1


@pytest.mark.parametrize("daily", [None, 0, 1, 5, 90, 1000])
@pytest.mark.parametrize("share", [0, 25, 100])
@pytest.mark.parametrize("age", [None, 0, 1, 3, 4])
def test_the_question_who_is_at_the_limit_knows_warm_up_and_health(
    ramp, account, daily, share, age
):
    """`limit_on` and the SQL beside it say the same."""
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


# ------------------------------------------------------------------------------------ typing


def test_typing_is_shown_before_a_text_and_holds_no_place_meanwhile(linked, world, worker, write):
    Account.objects.update(typing_ms=50)
    message = write(linked, ANA, "Bonjour Ana")
    worker.drive(linked)
    assert state_of(message) == State.SENT
    assert [(t.chat_id, t.seconds) for t in world.typed] == [(message.chat_id, 0.05)]
    assert Usage.objects.get().count == 1


def test_typing_is_part_of_the_gap(linked, world, worker, write):
    Account.objects.update(typing_ms=200, gap_ms=250)
    for phone in (ANA, BEA):
        write(linked, phone, "Bonjour")
    began = timezone.now()
    worker.drive(linked)
    took = timezone.now() - began
    assert len(world.record) == len(world.typed) == 2
    # The first waits for its typing, the second for the gap alone.
    assert timedelta(seconds=0.45) <= took < timedelta(seconds=5)


@pytest.mark.parametrize(("length", "seconds"), [(1, 0.315), (40, 0.9), (4000, 2.0)])
def test_a_longer_text_takes_longer_to_type_up_to_a_bound(length, seconds):
    message = Message(contact_id=1, kind="text", body="x" * length)
    assert pace.typing_time(message, Account(typing_ms=2000)) == pytest.approx(seconds)


def test_nobody_types_a_picture_or_to_a_group():
    account = Account(typing_ms=2000)
    assert pace.typing_time(Message(contact_id=1, kind="media", body="look"), account) == 0
    assert pace.typing_time(Message(group_id=1, kind="text", body="hello"), account) == 0


def test_a_message_is_sent_although_typing_could_not_be_shown(
    linked, world, worker, write, monkeypatch
):
    Account.objects.update(typing_ms=20)

    def refuse(*_, **__):
        raise driving.Retryable("busy")

    monkeypatch.setattr("whatsapp.driver.memory.MemoryDriver.typing", refuse)
    message = write(linked, ANA)
    worker.drive(linked)
    assert state_of(message) == State.SENT


# ------------------------------------------------------------- numbers that are not on WhatsApp


def asked(world, monkeypatch) -> list[str]:
    """Whom the sessions asked WhatsApp for, from now on."""
    found = []
    find = MemoryDriver._find

    def note(self, phone):
        found.append(phone)
        return find(self, phone)

    monkeypatch.setattr(MemoryDriver, "_find", note)
    return found


def test_a_number_that_is_not_on_whatsapp_is_not_asked_for_again_and_again(
    linked, world, worker, write, monkeypatch
):
    world.absent.add(ANA)
    numbers = asked(world, monkeypatch)
    first, second = write(linked, ANA), write(linked, ANA)
    worker.drive(linked)
    assert [state_of(m) for m in (first, second)] == [State.FAILED] * 2
    assert second.error_code == "not_on_whatsapp"
    assert numbers == [ANA]


def test_it_is_asked_for_again_after_a_while(linked, world, worker, write, settings, monkeypatch):
    settings.WHATSAPP_NUMBER_CHECK_DAYS = 30
    Contact.objects.create(
        tenant=linked.tenant,
        phone=ANA,
        on_whatsapp=False,
        checked_at=timezone.now() - timedelta(days=31),
    )
    numbers = asked(world, monkeypatch)
    message = write(linked, ANA)
    worker.drive(linked)
    assert state_of(message) == State.SENT
    assert numbers == [ANA]
    assert Contact.objects.get(phone=ANA).on_whatsapp is True


def test_whoever_tries_a_message_again_has_its_number_asked_for_anew(linked, world, worker, write):
    world.absent.add(ANA)
    message = write(linked, ANA)
    worker.drive(linked)
    world.absent.clear()
    message.refresh_from_db()
    assert messages.retry(message, now=timezone.now())
    worker.drive(linked)
    assert state_of(message) == State.SENT
