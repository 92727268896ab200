"""What is queued, for whom, and how much."""

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns import claiming, planning, schedule
from campaigns.models import AccountSchedule, Delivery, Referral, Target
from campaigns.models import Template as Text
from tests.campaigns.conftest import due, many_due
from tests.factories import DAY, HOUR, NOW, make_campaign, make_media, make_referrer, make_tenant
from whatsapp.models import Account, Contact, Message, Usage

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def tenant():
    return make_tenant(variables={"offer": "-20 %"})


@pytest.fixture
def campaign(tenant):
    return make_campaign(tenant)


@pytest.fixture
def referrer(tenant, campaign):
    return make_referrer(tenant, name="Amina")


# ------------------------------------------------------------------------------ one message


def test_a_due_target_gets_its_message(referrer):
    target = due(referrer, name="Jean-Pierre Sow")

    report = planning.plan(now=NOW)

    assert report.queued == 1
    message = Message.objects.get()
    assert message.idempotency_key == f"target:{target.pk}:step:1"
    assert (message.state, message.body) == ("queued", "fr 1 Jean-Pierre")
    assert (message.account_id, message.contact.phone) == (target.account_id, target.phone)
    assert message.contact.name == "Jean-Pierre Sow"
    delivery = Delivery.objects.get()
    assert (delivery.target, delivery.number, delivery.language) == (target, 1, "fr")
    assert delivery.step.number == 1
    target.refresh_from_db()
    assert target.open_message == message
    assert target.slot_at == NOW


def test_nothing_is_queued_before_it_is_due(referrer):
    due(referrer, next_due_at=NOW + MINUTE)
    assert planning.plan(now=NOW).queued == 0
    assert planning.plan(now=NOW + MINUTE).queued == 1


def test_a_target_has_one_open_message(referrer):
    due(referrer)
    assert planning.plan(now=NOW).queued == 1
    assert planning.plan(now=NOW + 3 * DAY).queued == 0


def test_the_text_is_in_the_referrals_language(referrer):
    due(referrer, language="en", name="Ann")
    planning.plan(now=NOW)
    assert Message.objects.get().body == "en 1 Ann"


@pytest.mark.parametrize("language", ["", "es"])
def test_a_language_the_campaign_does_not_speak_means_its_default(referrer, language):
    due(referrer, language=language)
    planning.plan(now=NOW)
    assert Message.objects.get().body.startswith("fr 1")


def test_all_variables_are_filled_and_values_are_data(referrer, campaign):
    Text.objects.update(body="{{name}}|{{ referrer }}|{{link}}|{{offer}}")
    due(referrer, name="{{offer}} x", external_id="a/b c&d")
    planning.plan(now=NOW)
    assert Message.objects.get().body == ("{{offer}}|Amina|https://pay.example/a%2Fb%20c%26d|-20 %")


def test_a_step_carries_its_file(referrer, campaign, tenant):
    file = make_media(tenant)
    Text.objects.update(media=file)
    due(referrer)
    planning.plan(now=NOW)
    message = Message.objects.get()
    assert (message.kind, message.media) == ("media", file)


def test_inactive_steps_are_skipped(referrer, campaign):
    campaign.steps.filter(number__in=[2, 3]).update(active=False)
    due(referrer, steps_done=1)
    planning.plan(now=NOW)
    assert Delivery.objects.get().number == 4


def test_a_target_without_a_step_left_is_completed(referrer, campaign):
    target = due(referrer, steps_done=7)
    assert planning.plan(now=NOW).completed == 1
    target.refresh_from_db()
    assert (target.state, target.ended_at, target.next_due_at) == ("completed", NOW, None)


def test_a_payer_who_slipped_through_leaves_instead(referrer):
    target = due(referrer)
    Referral.objects.update(paid_at=NOW)
    assert planning.plan(now=NOW).exited == 1
    target.refresh_from_db()
    assert target.exit_reason == "paid"
    assert not Message.objects.exists()


def test_somebody_who_opted_out_leaves_instead(referrer):
    target = due(referrer)
    Contact.objects.create(tenant=referrer.tenant, phone=target.phone, opted_out_at=NOW)
    planning.plan(now=NOW)
    target.refresh_from_db()
    assert target.exit_reason == "opted_out"


# ------------------------------------------------------------------ who may send, how much


@pytest.mark.parametrize(
    "fields",
    [{"status": "disconnected"}, {"enabled": False}, {"sending_paused_at": NOW}],
    ids=["disconnected", "switched off", "paused"],
)
def test_an_account_that_cannot_send_plans_nothing_and_keeps_places(referrer, fields):
    target = due(referrer)
    Account.objects.update(**fields)
    assert planning.plan(now=NOW).queued == 0
    target.refresh_from_db()
    assert target.next_due_at == NOW

    Account.objects.update(status="connected", enabled=True, sending_paused_at=None)
    assert planning.plan(now=NOW + MINUTE).queued == 1


def test_a_day_is_never_overbooked(referrer):
    Account.objects.update(daily_limit=30)
    many_due(referrer, 40)
    Usage.objects.create(account=referrer.account, day=NOW.date(), count=3)

    assert planning.plan(now=NOW).queued == 27
    assert planning.plan(now=NOW + MINUTE).queued == 0


def test_what_waits_already_counts_whoever_queued_it(referrer):
    Account.objects.update(daily_limit=5)
    many_due(referrer, 3)
    planning.plan(now=NOW)
    more = many_due(referrer, 5)
    assert planning.plan(now=NOW + planning.FULL_RECHECK).queued == 2
    assert Target.objects.filter(pk__in=[t.pk for t in more], open_message=None).count() == 3


def test_what_does_not_fit_goes_first_the_day_after(referrer):
    Account.objects.update(daily_limit=2)
    targets = many_due(referrer, 5)
    planning.plan(now=NOW)
    Usage.objects.create(account=referrer.account, day=NOW.date(), count=2)
    Message.objects.update(state="sent", sent_at=NOW)

    assert planning.plan(now=NOW + HOUR).queued == 0
    assert planning.plan(now=NOW + DAY).queued == 2
    queued = Message.objects.filter(state="queued").values_list("delivery__target", flat=True)
    assert sorted(queued) == [targets[2].pk, targets[3].pk]


def test_an_account_whose_day_is_used_up_is_left_alone_for_a_while(referrer):
    Account.objects.update(daily_limit=3)
    many_due(referrer, 5)

    report = planning.plan(now=NOW)

    assert (report.queued, report.rounds) == (3, 1)
    assert AccountSchedule.objects.get().next_due_at == NOW + planning.FULL_RECHECK


def test_who_is_held_takes_no_place_of_the_day(referrer):
    Account.objects.update(daily_limit=2)
    Text.objects.filter(step__number=1, language="en").delete()
    many_due(referrer, 3, language="en", next_due_at=NOW - HOUR)
    many_due(referrer, 2)

    report = planning.plan(now=NOW)

    assert (report.queued, report.held) == (2, 3)


def test_the_day_is_the_tenants(referrer):
    """23:30 in Paris is another day than 00:30 there, and both are the same day in UTC."""
    evening = dt.datetime(2026, 11, 20, 22, 30, tzinfo=dt.UTC)
    Account.objects.update(daily_limit=1)
    Usage.objects.create(account=referrer.account, day=dt.date(2026, 11, 20), count=1)
    due(referrer)
    assert planning.plan(now=evening).queued == 0
    assert planning.plan(now=evening + HOUR).queued == 1


def test_a_limit_of_zero_sends_nothing(referrer):
    Account.objects.update(daily_limit=0)
    due(referrer)
    assert planning.plan(now=NOW).queued == 0


def test_an_account_with_a_hostile_backlog_takes_20_of_a_round(referrer, tenant):
    """It is the oldest that is due by far, and still everybody gets their turn in one round."""
    Account.objects.update(daily_limit=10_000)
    many_due(referrer, 150, next_due_at=NOW - 30 * DAY)
    others = [make_referrer(tenant) for _ in range(8)]
    for other in others:
        due(other)

    report = planning.plan(now=NOW, limit=1)

    assert report.rounds == 1
    assert report.per_account[referrer.account_id] == planning.PER_ACCOUNT == 20
    assert all(report.per_account[other.account_id] == 1 for other in others)


def test_accounts_take_turns(referrer, tenant, monkeypatch):
    """More hostile accounts than fit into a round do not keep a single other one waiting."""
    monkeypatch.setattr(planning, "ACCOUNTS", 2)
    monkeypatch.setattr(planning, "PER_ACCOUNT", 2)
    hostile = [referrer, make_referrer(tenant), make_referrer(tenant)]
    for one in hostile:
        many_due(one, 8, next_due_at=NOW - DAY)
    quiet = make_referrer(tenant)
    due(quiet)

    report = planning.plan(now=NOW, limit=7)

    assert report.rounds == 2
    assert report.per_account[quiet.account_id] == 1
    assert sorted(report.per_account[h.account_id] for h in hostile) == [2, 2, 2]


def test_within_an_account_the_oldest_goes_first(referrer, monkeypatch):
    monkeypatch.setattr(planning, "PER_ACCOUNT", 2)
    late = [due(referrer, next_due_at=NOW - n * HOUR) for n in range(4)]
    planning.plan(now=NOW, limit=1)
    opened = set(Target.objects.exclude(open_message=None).values_list("pk", flat=True))
    assert opened == {late[3].pk, late[2].pk}


def test_a_call_goes_on_until_nothing_is_due(referrer):
    many_due(referrer, 65)
    report = planning.plan(now=NOW)
    assert (report.queued, report.rounds) == (65, 4)


def test_a_round_takes_a_fixed_number_of_statements(referrer):
    def statements(n):
        many_due(referrer, n)
        with CaptureQueriesContext(connection) as queries:
            assert planning.plan(now=NOW).queued == n
        return len(queries)

    Account.objects.update(daily_limit=1000)
    statements(1)
    assert statements(3) == statements(19)


def test_nothing_due_takes_two_statements_in_three_at_most(referrer):
    due(referrer, next_due_at=NOW + DAY)
    with CaptureQueriesContext(connection) as queries:
        planning.plan(now=NOW)
    assert len([q for q in queries if "SAVEPOINT" not in q["sql"]]) == 2


# --------------------------------------------------------------------------------- schedule


def test_the_bound_rises_to_what_is_left(referrer):
    due(referrer)
    due(referrer, next_due_at=NOW + DAY)
    planning.plan(now=NOW)
    assert AccountSchedule.objects.get().next_due_at == NOW + DAY


def test_the_bound_of_an_account_with_nothing_left_is_empty(referrer):
    due(referrer)
    planning.plan(now=NOW)
    assert AccountSchedule.objects.get().next_due_at is None


def test_a_bound_that_was_lost_is_found_again(referrer):
    due(referrer)
    AccountSchedule.objects.update(next_due_at=None)
    assert planning.plan(now=NOW).queued == 0
    assert schedule.rebuild(now=NOW) == 1
    assert planning.plan(now=NOW).queued == 1
    assert schedule.rebuild(now=NOW) == 0


def test_people_are_looked_up_by_phone_while_the_tables_statistics_are_old(referrer):
    """Everybody of the company for each target made a turn ten times slower, until ANALYZE came."""
    for _ in range(5):
        due(referrer)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute(
            """
            INSERT INTO whatsapp_contact
                (tenant_id, phone, name, lid, source, opt_out_reason, created_at)
            SELECT %s, '+3363998' || lpad(n::text, 4, '0'), '', '', 'api', '', now()
            FROM generate_series(5000, 7999) AS n
            """,
            [referrer.tenant_id],
        )
        with CaptureQueriesContext(connection) as queries:
            rows = claiming.claim(now=NOW, round_now=NOW, accounts=50, each=20)
        assert len(rows) == 5
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + queries[0]["sql"])
        steps = _steps(cursor.fetchone()[0][0]["Plan"])
    read = [
        (step["Actual Rows"] + step.get("Rows Removed by Filter", 0)) * step["Actual Loops"]
        for step in steps
        if step.get("Relation Name") == "whatsapp_contact"
    ]
    assert read
    assert sum(read) <= 3000, "each contact once at most"


def _steps(plan):
    return [plan, *(step for part in plan.get("Plans", ()) for step in _steps(part))]


# ------------------------------------------------------------------- the budget of new chats


def test_who_waits_for_a_new_chat_does_not_keep_out_who_is_under_way(referrer, settings):
    settings.WHATSAPP_NEW_CHATS = 2
    account = referrer.account
    Usage.objects.create(account=account, day=NOW.date(), count=2, new_chats=2)
    new = many_due(referrer, 3, next_due_at=NOW - HOUR)
    under_way = due(referrer, steps_done=1)

    report = planning.plan(now=NOW)

    assert report.queued == 1
    assert Delivery.objects.get().target == under_way
    # Nothing but first steps is left over: they are next when the company's day begins.
    midnight = dt.datetime(2026, 11, 20, 23, 0, tzinfo=dt.UTC)
    assert AccountSchedule.objects.get(account=account).next_due_at == midnight
    assert planning.plan(now=midnight).queued == len(new)


@pytest.mark.parametrize("code", ["new_chats", "cold_chats", "nack_463"])
def test_a_message_held_for_a_new_chat_takes_no_place_and_lets_no_other_begin(referrer, code):
    Account.objects.update(daily_limit=2)
    many_due(referrer, 2, next_due_at=NOW - HOUR)
    planning.plan(now=NOW - HOUR)
    Message.objects.update(error_code=code, due_at=NOW + HOUR)
    due(referrer, next_due_at=NOW - MINUTE)
    under_way = [due(referrer, steps_done=2) for _ in range(3)]

    assert planning.plan(now=NOW).queued == 2

    planned = Delivery.objects.filter(number=3).values_list("target_id", flat=True)
    assert set(planned) == {target.pk for target in under_way[:2]}
