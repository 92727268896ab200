"""An account's score from what happens, what it does when that is bad, and how it comes back."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from accounts.activity import Actor, Verb
from accounts.models import Activity, User
from accounts.wording import when
from tests.whatsapp.conftest import state_of
from whatsapp import explaining, health, limits, linking, notices, obstacles, pace
from whatsapp.models import Account, Attempt, Contact, HealthSample, Message

State = Message.State
ANA, BEA = "+33639980100", "+33639980101"
HOUR = timedelta(hours=1)
SINCE = timezone.now()
WELL = health.Counts(
    SINCE, acked=50, in_time=50, settled=50, delivered=49, people=30, replied=6
)  # fmt: skip


# -------------------------------------------------------------------------------- the score


def test_an_account_where_all_goes_well_has_a_hundred():
    assert health.score(WELL) == (100, "")


@pytest.mark.parametrize(
    ("what", "worst", "points"),
    [
        ({"in_time": 25}, "acks", 85),
        ({"delivered": 20}, "delivery", 65),
        ({"replied": 0}, "replies", 90),
        ({"failed": 50}, "failures", 75),
        ({"opted_out": 6}, "opt_outs", 75),
        ({"cold_nacks": 1}, "refusals", 75),
        ({"cold_nacks": 9}, "refusals", 40),
        ({"other_nacks": 2}, "refusals", 90),
        ({"logged_out": 1}, "disconnects", 80),
        ({"logged_out": 9}, "disconnects", 60),
        ({"interrupted": 1}, "disconnects", 95),
    ],
)
def test_each_part_takes_what_the_formula_says(what, worst, points):
    counts = health.Counts(**{**_values(WELL), **what})
    assert health.score(counts) == (points, worst)


def _values(counts) -> dict[str, object]:
    return {name: getattr(counts, name) for name in health.Counts.__dataclass_fields__}


def test_the_worst_of_everything_is_zero_and_not_less():
    counts = health.Counts(
        SINCE, acked=50, failed=90, cold_nacks=9, logged_out=9, settled=50, people=50, opted_out=50
    )
    assert health.score(counts)[0] == 0


def test_little_says_nothing():
    assert health.score(health.Counts(SINCE)) == (None, "")
    assert health.score(health.Counts(SINCE, acked=5, people=5, settled=5)) == (None, "")


def test_one_refusal_of_new_chats_says_much_even_alone():
    assert health.score(health.Counts(SINCE, cold_nacks=1)) == (75, "refusals")


def make_sent(account, write, count, *, delivered, ago=2 * HOUR) -> None:
    """What sending leaves: messages with their attempts, so many of them on a phone."""
    at = timezone.now() - ago
    for number in range(count):
        message = write(account, f"+3363998{1000 + number}")
        Message.objects.filter(pk=message.pk).update(
            state=State.DELIVERED if number < delivered else State.SENT,
            sent_at=at,
            delivered_at=at if number < delivered else None,
        )
        Attempt.objects.create(
            message=message,
            account=account,
            number=1,
            fence=1,
            worker="w",
            wa_id="x",
            usage_day=at.date(),
            intent_at=at,
            finished_at=at + timedelta(seconds=1),
            outcome="sent",
        )


def test_what_happened_is_counted_from_what_is_stored(linked, write):
    make_sent(linked, write, 20, delivered=12)
    make_sent(linked, write, 3, delivered=3, ago=100 * HOUR)  # too long ago
    Message.objects.filter(pk=write(linked, ANA).pk).update(
        state=State.FAILED, error_code="not_on_whatsapp", ended_at=timezone.now()
    )
    Message.objects.filter(pk=write(linked, ANA).pk).update(
        state=State.FAILED, error_code="media_unreadable", ended_at=timezone.now()
    )
    Contact.objects.filter(phone="+33639981000").update(opted_out_at=timezone.now())
    linking.change_status(linked.pk, to="conflict", when=("connected",), now=timezone.now())
    linking.disconnect(linked, now=timezone.now())  # asked for: says nothing
    found = health.measure([linked.pk], now=timezone.now())[linked.pk]
    assert (found.acked, found.in_time, found.settled, found.delivered) == (20, 20, 20, 12)
    assert (found.failed, found.people, found.opted_out) == (1, 20, 1)
    assert (found.interrupted, found.logged_out) == (1, 0)


def test_what_happens_to_others_counts_for_nothing(linked, tenant, write):
    make_sent(linked, write, 20, delivered=0)
    other = Account.objects.create(tenant=tenant, name="other", status="disconnected")
    health.assess(now=timezone.now())
    other.refresh_from_db()
    assert (other.health_score, other.health_share) == (None, 100)


# ------------------------------------------------------------------- stopping and coming back


@pytest.fixture
def careful(settings):
    settings.WHATSAPP_HEALTH_PAUSE_BELOW, settings.WHATSAPP_HEALTH_STEP_HOURS = 70, 12


@pytest.fixture
def unwell(linked, write, careful):
    """None of 20 messages has reached a phone, and nobody answers: 55 of 100."""
    make_sent(linked, write, 20, delivered=0)
    linked.owner = User.objects.create_user("amina", email="amina@acme.example")
    linked.save()
    health.assess(now=timezone.now())
    linked.refresh_from_db()
    return linked


def test_below_the_threshold_it_stops_by_itself_and_says_why(unwell, worker, write):
    assert (unwell.health_score, unwell.health_share) == (55, 0)
    assert unwell.sending_paused_at is None
    message = write(unwell, ANA)
    worker.drive(unwell)
    assert state_of(message) == State.QUEUED
    assert "many messages do not reach a phone" in explaining.why(message, now=timezone.now())
    assert "rests until" in obstacles.obstacle(unwell, now=timezone.now())
    assert Activity.objects.filter(verb=Verb.HEALTH_PAUSED).count() == 1


def test_its_owner_is_told_once(unwell):
    for _ in range(2):
        notices.tell_owners(now=timezone.now())
        health.assess(now=timezone.now())
    [letter] = mail.outbox
    assert letter.to == ["amina@acme.example"]
    assert "se repose" in letter.subject, "in the company's language"
    assert "téléphone" in letter.body


def test_it_comes_back_by_quarters_as_time_passes(unwell):
    now, shares = timezone.now(), []
    for _ in range(6):
        now += 12 * HOUR + timedelta(minutes=1)
        health.assess(now=now)
        unwell.refresh_from_db()
        shares.append(unwell.health_share)
    assert shares == [25, 50, 75, 100, 100, 100]


def test_no_step_is_taken_before_its_time(unwell):
    health.assess(now=timezone.now() + 11 * HOUR)
    unwell.refresh_from_db()
    assert unwell.health_share == 0


def test_on_a_quarter_it_sends_a_quarter(unwell, worker, write):
    Account.objects.update(health_share=25, daily_limit=8)
    messages = [write(unwell, f"+3363998030{n}") for n in range(4)]
    worker.drive(unwell)
    assert [state_of(m) for m in messages] == [State.SENT] * 2 + [State.QUEUED] * 2


def test_what_goes_wrong_on_a_quarter_stops_it_again(unwell, write):
    now = timezone.now() + 13 * HOUR
    health.assess(now=now)
    make_sent(unwell, write, 20, delivered=0, ago=-14 * HOUR)
    health.assess(now=now + 5 * HOUR)
    unwell.refresh_from_db()
    assert unwell.health_share == 0


def test_what_stopped_it_is_not_held_against_it_when_it_comes_back(unwell):
    health.assess(now=timezone.now() + 13 * HOUR)
    unwell.refresh_from_db()
    assert (unwell.health_share, unwell.health_score) == (25, None)


def test_what_a_person_paused_stays_as_it_is(linked, write, careful):
    make_sent(linked, write, 20, delivered=0)
    linking.pause_sending(linked, now=timezone.now())
    health.assess(now=timezone.now())
    linked.refresh_from_db()
    assert (linked.health_share, linked.health_score) == (100, 55)
    assert linked.sending_paused_at is not None


def test_no_step_is_taken_while_a_person_has_paused_it(unwell):
    linking.pause_sending(unwell, now=timezone.now())
    health.assess(now=timezone.now() + 48 * HOUR)
    unwell.refresh_from_db()
    assert unwell.health_share == 0
    assert unwell.sending_paused_at is not None


def test_a_person_who_knows_better_lets_it_send_at_once(unwell, worker, write):
    message = write(unwell, ANA)
    worker.drive(unwell)
    assert health.lift(unwell, actor=Actor("user", "Olga"), now=timezone.now())
    assert not health.lift(unwell, now=timezone.now())
    health.assess(now=timezone.now())
    worker.drive(unwell)
    assert state_of(message) == State.SENT
    assert Activity.objects.get(verb=Verb.HOLDS_LIFTED).actor_name == "Olga"


def test_where_it_is_switched_off_nothing_stops(linked, write, settings):
    settings.WHATSAPP_HEALTH_PAUSE_BELOW = 0
    make_sent(linked, write, 20, delivered=0)
    health.assess(now=timezone.now())
    linked.refresh_from_db()
    assert (linked.health_score, linked.health_share) == (55, 100)


def test_samples_are_kept_each_hour_and_when_something_changes(linked, write):
    now = timezone.now()
    for minutes in (0, 10, 20, 61, 71):
        health.assess(now=now + timedelta(minutes=minutes))
    assert HealthSample.objects.count() == 2
    make_sent(linked, write, 20, delivered=0)
    health.assess(now=now + timedelta(minutes=81))
    last = HealthSample.objects.latest("at")
    assert (HealthSample.objects.count(), last.score, last.counts["settled"]) == (3, 55, 20)


def test_samples_are_forgotten_after_three_months(linked):
    health.assess(now=timezone.now() - timedelta(days=91))
    health.assess(now=timezone.now())
    assert health.forget_samples(now=timezone.now()) == 1
    assert HealthSample.objects.count() == 1


def test_the_queries_do_not_grow_with_the_accounts(tenant, django_assert_max_num_queries):
    for number in range(30):
        Account.objects.create(tenant=tenant, name=f"a{number}", status="disconnected")
    with django_assert_max_num_queries(6):
        health.assess(now=timezone.now())
    assert HealthSample.objects.count() == 30


# --------------------------------------------------------------------- 463: no new chats now


def test_new_chats_wait_when_whatsapp_refuses_them_and_nothing_fails(linked, world, worker, write):
    world.lock_cold_chats(linked.phone)
    first, second = write(linked, ANA), write(linked, BEA)
    worker.drive(linked)
    linked.refresh_from_db()
    assert [state_of(m) for m in (first, second)] == [State.QUEUED] * 2
    assert first.due_at == second.due_at == linked.cold_held_until
    assert abs(linked.cold_held_until - timezone.now() - 24 * HOUR) < timedelta(minutes=1)
    assert (first.error_code, first.retries) == ("nack_463", 0)
    assert (second.error_code, second.attempts_made) == (pace.COLD, 0)
    assert world.record == []
    why = explaining.why(second, now=timezone.now())
    assert "does not let this account begin new chats" in why
    # Tomorrow, but for an hour before and after a night in which the clocks change.
    assert when(linked.cold_held_until, now=timezone.now(), zone=linked.tenant.zone) in why


def test_replies_go_out_while_new_chats_wait(linked, world, worker, write):
    world.lock_cold_chats(linked.phone)
    write(linked, ANA)
    worker.drive(linked)
    world.inbound(linked.phone, BEA, "Bonjour ?")
    worker.settle()
    reply = write(linked, BEA)
    worker.drive(linked)
    assert state_of(reply) == State.SENT


def test_a_message_held_for_a_lock_goes_out_with_the_same_id_when_it_is_over(
    linked, world, worker, write
):
    world.lock_cold_chats(linked.phone)
    message = write(linked, ANA)
    worker.drive(linked)
    wa_id = Message.objects.get().wa_id
    world.lock_cold_chats(linked.phone, locked=False)
    past = timezone.now() - HOUR
    Account.objects.update(cold_held_until=past)
    Message.objects.update(due_at=past)
    worker.drive(linked)
    assert state_of(message) == State.SENT
    assert message.wa_id == wa_id


def test_each_refusal_soon_after_a_hold_holds_twice_as_long_up_to_a_week(linked):
    now, days = timezone.now(), []
    for _ in range(5):
        until = pace.note_cold_nack(linked.pk, now=now)
        assert pace.note_cold_nack(linked.pk, now=now + HOUR) == until  # one hold, not two
        days.append((until - now).days)
        now = until + HOUR
    assert days == [1, 2, 4, 7, 7]
    later = now + timedelta(days=30)
    assert (pace.note_cold_nack(linked.pk, now=later) - later).days == 1


def test_lifting_the_holds_lets_new_chats_begin(linked, world, worker, write):
    world.lock_cold_chats(linked.phone)
    message = write(linked, ANA)
    worker.drive(linked)
    world.lock_cold_chats(linked.phone, locked=False)
    assert health.lift(linked, now=timezone.now())
    worker.drive(linked)
    assert state_of(message) == State.SENT


def test_a_refusal_rings_for_the_health_at_once(linked, world, worker, write, monkeypatch):
    rung = []
    monkeypatch.setattr("whatsapp.doorbells.assess_on_commit", rung.append)
    world.fail("nack", code=429)
    write(linked, ANA)
    worker.drive(linked)
    assert set(rung) == {linked.pk}


def test_what_rests_is_offered_nothing_by_planning(unwell):
    assert limits.snapshot(unwell, now=timezone.now()).daily_limit == 0
    assert unwell not in Account.objects.sendable()
    assert unwell in Account.objects.resting()
