"""The calendar: what is planned, was sent and failed, by day and account; moved and cancelled."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Activity
from campaigns import calendars
from campaigns.models import Broadcast
from tests.factories import (
    make_account,
    make_campaign,
    make_referral,
    make_referrer,
    make_target,
    make_user,
)
from tests.visitors import logged_in
from whatsapp import outbox
from whatsapp.models import Contact, Group, Message

PARIS = ZoneInfo("Europe/Paris")
CALENDAR = "/admin/campaigns/campaign/calendar/"
# A Wednesday; clocks go back on the 25th.
NOW = dt.datetime(2026, 10, 21, 10, 0, tzinfo=PARIS)


def at(day, hour=12, minute=0):
    return dt.datetime(2026, 10, day, hour, minute, tzinfo=PARIS)


@pytest.mark.parametrize(
    ("address", "active"),
    [
        (CALENDAR, "Calendar"),
        ("/admin/campaigns/campaign/", "Campaigns"),
        ("/admin/campaigns/campaign/add/", "Campaigns"),
        ("/admin/", "Today"),
    ],
)
def test_the_sidebar_marks_where_one_is_and_nothing_else(manager, address, active):
    groups = manager.get(address).context["sidebar_navigation"]
    marked = [str(item["title"]) for group in groups for item in group["items"] if item["active"]]
    assert marked == [active]


@pytest.fixture
def account(acme):
    return make_account(acme, name="amina")


def make_message(account, state="queued", *, to="+33639980100", **fields):
    contact, _ = Contact.objects.get_or_create(tenant=account.tenant, phone=to)
    n = Message.objects.count()
    fields.setdefault("due_at", NOW)
    return Message.objects.create(
        tenant=account.tenant, account=account, contact=contact, idempotency_key=f"m{n}",
        content_hash="h", body=f"text {n}", state=state, **fields,
    )  # fmt: skip


def october(tenant, **fields):
    span = calendars.Span(dt.date(2026, 10, 1), dt.date(2026, 10, 31), PARIS)
    return {
        day.date.day: day for day in calendars.days([tenant.pk], span, **{"now": NOW, **fields})
    }


def figures(day):
    total = day.total
    return total.planned, total.sent, total.failed


def test_each_message_counts_on_the_day_of_its_time_on_the_companys_clock(acme, account):
    make_message(account, due_at=at(23, 0, 5))
    make_message(account, due_at=at(22, 23, 55))
    make_message(account, "read", sent_at=at(20, 0, 30))
    make_message(account, "failed", ended_at=at(19))
    make_message(account, "cancelled", ended_at=at(19))
    days = october(acme)

    assert {n: figures(day) for n, day in days.items() if day.total.all} == {
        19: (0, 0, 1), 20: (0, 1, 0), 22: (1, 0, 0), 23: (1, 0, 0),
    }  # fmt: skip
    assert len(days) == 31


def test_the_day_on_which_clocks_change_has_all_its_hours(acme, account):
    for hour in (0, 2, 23):
        make_message(account, due_at=at(25, hour, 30))
    make_message(account, due_at=at(25, 2, 30).replace(fold=1))

    assert figures(october(acme)[25]) == (4, 0, 0)


def test_what_is_overdue_is_planned_for_today_and_what_is_held_back_for_no_day(acme, account):
    make_message(account, due_at=at(3))
    make_message(account, due_at=outbox.NEVER)

    assert {n for n, day in october(acme).items() if day.total.all} == {21}
    november = calendars.Span(dt.date(2026, 11, 1), dt.date(2026, 11, 30), PARIS)
    assert not any(day.total.all for day in calendars.days([acme.pk], november, now=NOW))


def test_accounts_are_counted_apart_and_another_companys_not_at_all(acme, rival, account):
    bruno = make_account(acme, name="bruno")
    make_message(account)
    make_message(bruno)
    make_message(bruno)
    make_message(make_account(rival))

    today = october(acme)[21]
    assert {pk: counts.planned for pk, counts in today.accounts.items()} == {
        account.pk: 1, bruno.pk: 2,
    }  # fmt: skip
    assert figures(october(acme, account_id=bruno.pk)[21]) == (2, 0, 0)


def test_sequences_and_broadcasts_are_counted_before_they_are_queued(acme, account):
    campaign = make_campaign(acme)
    referrer = make_referrer(acme, account=account)
    make_target(make_referral(referrer), campaign=campaign, next_due_at=at(24))
    make_target(make_referral(referrer), campaign=campaign, next_due_at=at(2))
    make_target(make_referral(referrer), campaign=campaign, next_due_at=at(24), hold="template")
    running = Broadcast.objects.create(tenant=acme, name="Now", state="running", started_at=NOW)
    waiting = Contact.objects.create(tenant=acme, phone="+33639980200")
    running.recipients.create(contact=waiting, account=account, due_at=at(23))
    Broadcast.objects.create(tenant=acme, name="Later", state="scheduled", starts_at=at(28, 9))

    days = october(acme)

    assert {n: (d.total.sequences, d.total.broadcasts) for n, d in days.items() if d.total.all} == {
        21: (1, 0), 23: (0, 1), 24: (1, 0),
    }  # fmt: skip
    assert [broadcast.name for broadcast in days[28].starting] == ["Later"]


# -------------------------------------------------------------------------------- the pages


@pytest.fixture
def tomorrow():
    day = timezone.now().astimezone(PARIS) + dt.timedelta(days=1)
    return day.replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.mark.parametrize("view", ["", "month", "week", "day"])
def test_every_view_opens_and_shows_what_is_planned(manager, account, tomorrow, view):
    make_message(account, due_at=tomorrow)
    page = manager.get(CALENDAR, {"view": view, "on": tomorrow.date().isoformat()})

    assert page.status_code == 200
    assert "1 planned" in page.text
    assert "amina" in page.text


def test_a_day_lists_its_messages_with_whom_they_go_to_and_what_they_say(
    manager, acme, account, tomorrow
):
    make_message(account, due_at=tomorrow, scheduled_for=tomorrow)
    group = Group.objects.create(
        tenant=acme, account=account, chat_id="1@g.us", subject="Parents", discovered_at=NOW,
        refreshed_at=NOW,
    )  # fmt: skip
    place = make_message(
        account, due_at=tomorrow, kind="location",
        content={"latitude": 1, "longitude": 2, "name": "<b>Boutique</b>", "address": ""},
    )  # fmt: skip
    Message.objects.filter(pk=place.pk).update(contact=None, group=group, body="")

    page = manager.get(CALENDAR, {"view": "day", "on": tomorrow.date().isoformat()}).text

    assert "+33639980100" in page
    assert "text 0" in page
    assert "Parents" in page
    assert "&lt;b&gt;Boutique&lt;/b&gt;" in page


def test_a_planned_message_is_moved_by_the_clock_on_the_companys_wall(manager, account, tomorrow):
    message = make_message(account, due_at=tomorrow, scheduled_for=tomorrow)
    later = tomorrow + dt.timedelta(days=2)
    day = f"view=day&on={tomorrow.date()}"

    answer = manager.post(
        f"{CALENDAR}{message.pk}/move/?{day}", {"at": later.strftime("%Y-%m-%dT18:30")}
    )

    assert (answer.status_code, answer.url) == (302, f"{CALENDAR}?{day}")
    message.refresh_from_db()
    assert message.due_at == message.scheduled_for == later.replace(hour=18, minute=30)
    line = Activity.objects.get(verb="message_moved")
    assert line.subject_id == message.pk
    assert "18:30" in manager.get(answer.url).text


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "This is no time"),
        ("soon", "This is no time"),
        ("2026-02-31T10:00", "This is no time"),
        ("0001-01-01T00:00", "This is no time"),
        ("9999-12-31T23:59", "This is no time"),
        ("2020-01-01T10:00", "This time is over"),
        ("2090-01-01T10:00", "within a year"),
    ],
)
def test_a_time_that_cannot_be_is_said_so_and_changes_nothing(
    manager, account, tomorrow, written, said
):
    message = make_message(account, due_at=tomorrow)

    page = manager.post(f"{CALENDAR}{message.pk}/move/", {"at": written}, follow=True)

    assert said in page.text
    message.refresh_from_db()
    assert message.due_at == tomorrow


def test_a_planned_message_is_cancelled_once(manager, account, tomorrow):
    message = make_message(account, due_at=tomorrow)
    address = f"{CALENDAR}{message.pk}/cancel/"

    assert "is cancelled" in manager.post(address, follow=True).text
    message.refresh_from_db()
    assert message.state == "cancelled"
    assert "not waiting any more" in manager.post(address, follow=True).text
    moved = manager.post(f"{CALENDAR}{message.pk}/move/", {"at": f"{tomorrow:%Y-%m-%dT%H:%M}"})
    assert "not waiting any more" in manager.get(moved.url).text


def test_nothing_of_another_company_is_seen_or_changed(manager, rival, tomorrow):
    theirs = make_message(make_account(rival, name="zz-rival"), due_at=tomorrow)

    assert manager.post(f"{CALENDAR}{theirs.pk}/cancel/").status_code == 404
    assert manager.post(f"{CALENDAR}{theirs.pk}/move/", {"at": "x"}).status_code == 404
    page = manager.get(CALENDAR, {"view": "day", "on": tomorrow.date().isoformat()})
    assert "zz-rival" not in page.text
    assert manager.get(CALENDAR, {"company": rival.pk}).status_code == 404
    theirs.refresh_from_db()
    assert theirs.state == "queued"


@pytest.mark.parametrize(
    "query",
    [
        {"on": "2026-02-31"}, {"on": "1999-12-31"}, {"view": "year"}, {"show": "x"},
        {"view": "day", "page": "99"}, {"view": "day", "page": "x"},
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_not_found(manager, query):
    assert manager.get(CALENDAR, query).status_code == 404


@pytest.mark.parametrize("on", ["2000-01-01", "2099-12-31", "x", ""])
@pytest.mark.parametrize("view", ["month", "week", "day"])
def test_the_first_and_the_last_year_open(manager, view, on):
    assert manager.get(CALENDAR, {"view": view, "on": on}).status_code == 200


def test_whoever_administers_nothing_does_not_come_in(acme):
    nobody = logged_in(make_user(acme, role="viewer", is_staff=True))

    assert nobody.get(CALENDAR).status_code == 403


def test_it_is_found_in_the_sidebar(manager):
    assert reverse("admin:campaigns_calendar") == CALENDAR
    assert CALENDAR in manager.get("/admin/").text


def test_a_hundred_thousand_messages_take_as_few_queries_as_one(manager, acme, account):
    message = make_message(account, due_at=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO whatsapp_message (public_id, tenant_id, account_id, contact_id,
                idempotency_key, content_hash, kind, body, priority, due_at, state, sent_at,
                ended_at, error_code, error, attempts_made, retries, ack, wa_id, chat_id,
                created_at)
            SELECT gen_random_uuid(), %s, %s, %s, 'many-' || n, 'h', 'text', 'Bonjour', 0,
                now() + n %% 20 * interval '1 day',
                CASE n %% 3 WHEN 0 THEN 'queued' WHEN 1 THEN 'sent' ELSE 'failed' END,
                CASE n %% 3 WHEN 1 THEN now() - n %% 20 * interval '1 day' END,
                CASE n %% 3 WHEN 2 THEN now() - n %% 20 * interval '1 day' END,
                '', '', 0, 0, 0, '', '', now()
            FROM generate_series(1, 100000) AS n
            """,
            [acme.pk, account.pk, message.contact_id],
        )
        cursor.execute("ANALYZE whatsapp_message")
    asked = {}
    for view in ("month", "week", "day"):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert manager.get(CALENDAR, {"view": view}).status_code == 200
        asked[view] = len(queries)

    assert max(asked.values()) <= 16, asked
