"""A short form of every fault of the reliability yardstick, on real services and real browsers.

One rig serves all of them: PostgreSQL, Redis, workers and beat of its own, Chromium on the
simulator, whose de-duplication of stanza ids is off. After each fault everything has to come to
rest by itself, and the witness must find nothing lost, doubled, beyond a limit, or told wrongly.
`make chaos` does the same for as long as one likes, in random order.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from django.db.models import F, Sum
from django.utils import timezone
from rest_framework_simplejwt.tokens import RefreshToken

from accounts.models import User
from campaigns.models import Referrer, Target
from tests.chaos import faults, faults_deploy, watch, witness
from tests.chaos.rig import Rig, until
from tests.factories import make_user
from whatsapp import limits
from whatsapp.models import Account, Attempt, Message, Usage

pytestmark = [pytest.mark.chaos, pytest.mark.browser, pytest.mark.slow]

State = Message.State


@pytest.fixture(scope="module")
def whole(request, django_db_blocker) -> Iterator[Rig]:
    """The rig, for all tests of this file. Its logs are kept when something failed."""
    failed = request.session.testsfailed
    with django_db_blocker.unblock():
        rig = Rig()
        with rig:
            rig.control.config(dedup=False)
            rig.follows_up = False  # it takes four seconds each; those who need it say so
            yield rig
        rig.leftovers(0)
        if request.session.testsfailed == failed:
            rig.remove()


@pytest.fixture(scope="module")
def known() -> set[str]:
    """What the witness has complained of already: a test answers for its own fault only."""
    return set()


@pytest.fixture
def rig(whole: Rig, known: set[str]) -> Iterator[Rig]:
    """At rest before and after; and the witness finds nothing new."""
    yield whole
    whole.failpoints.clear()
    assert whole.rest(60), whole.stuck()
    found = witness.count(whole)
    new = [detail for detail in found.details if detail not in known]
    known.update(new)
    assert new == []
    assert not found.two_browsers, dict(whole.watch.most)


@pytest.fixture
def rng(request) -> random.Random:
    return random.Random(request.node.name)


# ------------------------------------------------------------------------------------ workers


@pytest.mark.parametrize("step", ["send.reserved", "intent.before-commit"])
def test_01_a_worker_killed_before_the_intent_commits_loses_nothing(rig, rng, step):
    before = Usage.objects.aggregate(n=Sum("count"))["n"] or 0
    sent = rig.control.totals()["messages"]
    assert faults.kill_at(rig, rng, step)
    assert rig.rest(60), rig.stuck()
    # Nothing of the intent remains: no place of the day is used up.
    used = Usage.objects.aggregate(n=Sum("count"))["n"] - before
    assert used == rig.control.totals()["messages"] - sent


def test_02_a_worker_killed_between_intent_and_send_sends_once_more_with_the_same_id(rig, rng):
    assert faults.kill_at(rig, rng, "send.before")
    assert rig.rest(60), rig.stuck()
    # Another account's message may have been at the same step.
    found = list(Message.objects.filter(attempts__outcome=Attempt.Outcome.NOT_SENT).distinct())
    assert found
    for message in found:
        assert message.state in Message.ARRIVED
        assert message.attempts.values("wa_id").distinct().count() == 1
        assert message.attempts.count() == 2


def test_03_a_worker_killed_after_the_send_finds_it_on_the_server(rig, rng):
    before = timezone.now()
    assert faults.kill_at(rig, rng, "send.after")
    assert rig.rest(60), rig.stuck()
    written = Message.objects.filter(created_at__gt=before)
    assert any(message.attempts_made == 1 for message in written)
    for message in written:
        # Another account's message may have been at an earlier step: it was found not sent.
        first, *later = message.attempts.order_by("number")
        assert not later or first.outcome == Attempt.Outcome.NOT_SENT


def test_04_a_worker_stopped_past_its_lease_wakes_up_and_sends_nothing(rig, rng):
    said = faults.freeze(rig, rng, "send.before", seconds=40)
    assert "until others had taken over" in said


def test_04_a_worker_stopped_while_it_opens_an_account_is_no_obstacle(rig, rng):
    """Its browser runs already and is in no lease yet."""
    said = faults.freeze(rig, rng, "open.before-record", seconds=40)
    assert "until others had taken over" in said


def test_05_a_killed_child_of_the_default_worker_plans_again(rig, rng, monkeypatch):
    monkeypatch.setattr(rig, "follows_up", True)
    assert faults.kill_at(rig, rng, "plan.queued")
    assert rig.rest(60), rig.stuck()
    assert Target.objects.filter(state=Target.State.COMPLETED).exists()


# ----------------------------------------------------------------------------------- browsers


@pytest.mark.parametrize("step", ["send.prepared", "send.before", "send.after"])
def test_06_a_killed_chromium_is_replaced_at_every_step(rig, rng, step):
    assert faults.kill_browser(rig, rng, step)


def test_07_with_chromedriver_its_browser_ends_too(rig, rng):
    before = watch.browsers(rig.directory)
    assert faults.kill_chromedriver(rig, rng)
    until(lambda: set(before) - set(watch.browsers(rig.directory)), 10, "a browser has ended")


# --------------------------------------------------------------------------- Redis, PostgreSQL


def test_08_redis_killed_in_mid_send(rig, rng):
    assert faults.kill_redis(rig, rng)


def test_09_a_flushed_redis_is_filled_from_postgresql_and_doorbells_ring_again(rig, rng):
    assert faults.flush_redis(rig, rng)


def test_10_with_redis_stopped_the_api_answers(rig, rng):
    referrer = Referrer.objects.get(account=rig.accounts[0])
    referrer.user = User.objects.filter(username="asks").first() or make_user(
        rig.tenant, username="asks", password="only for this test 4711"
    )
    referrer.save()
    token = RefreshToken.for_user(referrer.user).access_token
    address = rig.start_web()

    def status() -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{address}/api/relance/status"
        return httpx.get(url, headers=headers, timeout=20, trust_env=False)

    assert status().status_code == 200
    pid = rig.redis_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = status()
        took = time.monotonic() - began
        rig.write(2)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert answer.status_code == 200, answer.text
    assert took < 15


def test_11_a_full_redis_holds_messages_back_and_loses_none(rig, rng):
    assert faults.fill_redis(rig, rng, seconds=2)


def test_12_postgresql_killed_while_an_intent_commits(rig, rng):
    assert faults.kill_postgres(rig, rng, "intent.before-commit")


def test_13_every_session_of_postgresql_ended(rig, rng):
    assert faults.cut_sessions(rig, rng, "send.after")


# ------------------------------------------------------------------- the network, bells, clocks


def test_14_an_ack_that_never_comes_ends_uncertain_and_is_not_sent_again(rig, rng):
    before = timezone.now()
    assert faults.cut_network(rig, rng, "lost")
    assert rig.rest(60), rig.stuck()
    lost = Message.objects.filter(state=State.UNCERTAIN, sending_at__gt=before)
    assert lost.exists()
    assert {message.attempts_made for message in lost} == {1}
    # What cannot be told stays so until a person decides: the witness counted one copy of each.


def test_15_two_beats_do_no_harm(rig, rng):
    assert faults.second_beat(rig, rng)


def test_16_the_same_doorbell_a_hundred_times(rig, rng):
    assert faults.ring_a_hundred_times(rig, rng)


def begin(account: Account, day: dt.date) -> bool:
    """What an intent does to the books."""
    usage, _ = Usage.objects.get_or_create(account=account, day=day)
    room = Usage.objects.filter(pk=usage.pk, count__lt=account.limit_per_day)
    return bool(room.update(count=F("count") + 1))


@pytest.mark.parametrize(
    ("zone", "edge", "hours"),
    [
        ("Europe/Paris", dt.date(2027, 3, 28), 23),
        ("Europe/Paris", dt.date(2026, 10, 25), 25),
        ("America/Santiago", dt.date(2027, 4, 4), 24),
        ("Pacific/Apia", dt.date(2027, 1, 1), 24),
    ],
)
def test_17_no_jump_of_the_clock_gives_a_day_more_than_its_limit(
    rig, rng, zone, edge, hours, monkeypatch
):
    """The limiter and the books alone, with clocks of the test: days around an edge, in any order,
    an hour back and forth included; no browser takes part."""
    tenant = rig.tenant
    monkeypatch.setattr(tenant, "timezone", zone)
    account = Account(tenant=tenant, name=f"edge-{zone}-{edge:%j}", daily_limit=2, gap_ms=0)
    account.save()
    start = dt.datetime.combine(edge, dt.time(), tzinfo=tenant.zone)
    assert limits.seconds_to_midnight(tenant, now=start) == hours * 3600
    moments = [start + dt.timedelta(minutes=30 * n) for n in range(-6, 60, 3)]
    rng.shuffle(moments)
    begun: Counter[dt.date] = Counter()
    for now in moments:
        monkeypatch.setattr(limits.timezone, "now", lambda now=now: now)
        place = limits.reserve(account)
        if isinstance(place, limits.Reserved):
            assert place.day == now.astimezone(tenant.zone).date()
            if begin(account, place.day):
                begun[place.day] += 1
            else:
                limits.release(place)
    assert max(begun.values()) == 2
    assert dict(Usage.objects.filter(account=account).values_list("day", "count")) == begun
    account.delete()


def test_17_a_tenants_day_may_become_another_one_while_messages_are_sent(rig, rng):
    assert faults.clocks_and_zones(rig, rng)


# ------------------------------------------------------------------------------- the long ones


def test_18_an_older_profile_is_restored_by_a_person_and_its_message_uncertain(rig, rng):
    before = timezone.now()
    assert faults_deploy.restore_older_profile(rig, rng, step="send.before")
    assert rig.rest(60), rig.stuck()
    assert Message.objects.filter(state=State.UNCERTAIN, sending_at__gt=before).count() == 1


def test_19_a_full_disk_leaves_the_saved_profile_whole(rig, rng):
    until(lambda: faults_deploy.saved(rig), 30, "a profile is saved")
    assert faults.full_disk(rig, rng)


def test_20_no_intent_follows_an_exit_while_workers_are_deployed(rig, rng):
    assert faults_deploy.deploy_while_people_pay(rig, rng)
    assert rig.exits


def test_21_nothing_is_left_running_when_everything_was_stopped(whole):
    whole.stop()
    assert whole.leftovers() == []
