"""The admin's home: what waits for a person, how it is going, of one's own companies only."""

import datetime as dt
import json

import pytest
from django.utils import timezone

from accounts.models import Membership, User
from tests import factories
from tests.admin.test_pages import fill, list_of
from whatsapp.models import Contact, Message, Usage


def home(client, **query):
    return client.get("/admin/", query)


def test_what_waits_for_a_person_is_counted_and_leads_to_the_rows(operator, acme):
    fill(acme, rows=3)  # each with an uncertain message

    page = home(operator)

    (uncertain,) = [q for q in page.context["questions"] if "arrived" in q.text]
    assert uncertain.count == 3
    assert uncertain.link in page.content.decode().replace("&amp;", "&")
    listed = operator.get(uncertain.link)
    assert listed.context["cl"].result_count == 3


def test_every_question_leads_to_as_many_rows_as_it_counts(operator, acme):
    fill(acme, rows=2)
    now = timezone.now()
    old = now - timezone.timedelta(hours=3)
    account, contact = factories.make_account(acme), Contact.objects.first()
    for n, fields in enumerate(
        (
            {"state": "failed", "ended_at": now},
            {"state": "queued", "due_at": old},
            {"state": "queued", "due_at": old},
        )
    ):
        Message.objects.create(
            tenant=acme, account=account, contact=contact, content_hash="h",
            idempotency_key=f"more {n}", **({"due_at": now} | fields),
        )  # fmt: skip
    factories.make_account(acme, sending_paused_at=now)
    factories.make_account(acme, connected=False)
    factories.make_account(acme, daily_limit=0).usage.create(
        day=now.astimezone(acme.zone).date(), count=0
    )
    factories.make_target(
        factories.make_referral(factories.make_referrer(acme)), hold="subscription"
    )

    questions = home(operator).context["questions"]

    assert len(questions) == 8
    for question in questions:
        rows = operator.get(question.link).context["cl"].result_count
        assert (question.text, rows) == (question.text, question.count)


def test_plots_say_the_same_as_their_tables(operator, acme):
    fill(acme, rows=2)
    message = Message.objects.first()
    Message.objects.filter(pk=message.pk).update(state="sent", sent_at=timezone.now())

    page = home(operator)

    plots = {plot.name: plot for plot in page.context["plots"]}
    assert set(plots) == {"days", "funnel", "accounts", "failures"}
    drawn = json.loads(plots["days"].data)
    assert drawn["datasets"][0]["data"] == [row[1] for row in plots["days"].rows]
    assert drawn["datasets"][0]["data"][-1] == 1
    assert "1 sent in 14 days" in page.content.decode()


# 26 hours apart: at any hour the date is not UTC's in one of them at least.
@pytest.fixture(params=["Pacific/Kiritimati", "Etc/GMT+12"])
def today_of_acme(acme, request) -> dt.date:
    acme.timezone = request.param
    acme.save()
    return timezone.localdate(timezone=acme.zone)


def test_a_company_sees_whole_days_of_its_own_and_as_many_as_are_written_above(
    manager, acme, today_of_acme
):
    fill(acme)
    first = today_of_acme - dt.timedelta(days=13)
    just_begun = dt.datetime.combine(first, dt.time(0, 1), tzinfo=acme.zone)
    Message.objects.update(state="sent", sent_at=just_begun)

    page = home(manager)

    (days,) = [plot for plot in page.context["plots"] if plot.name == "days"]
    assert [row[1] for row in days.rows] == [1] + 13 * [0]
    assert "1 sent in 14 days" in page.text


def test_the_week_of_a_companys_usage_is_a_week_of_its_days(manager, acme, today_of_acme):
    account = factories.make_account(acme)
    for ago in range(9):
        account.usage.create(day=today_of_acme - dt.timedelta(days=ago), count=1)

    listed = manager.get(list_of(Usage), {"show": "week"}).context["cl"]

    assert [today_of_acme - usage.day for usage in listed.queryset] == [
        dt.timedelta(days=ago) for ago in range(7)
    ]


@pytest.fixture
def of_both(acme, rival):
    from tests.visitors import logged_in

    user = factories.make_user(acme, role="manager", is_staff=True)
    Membership.objects.create(tenant=rival, user=user, role="owner")
    return logged_in(user)


def test_a_company_is_chosen_and_everything_is_of_it(of_both, acme, rival):
    fill(acme, rows=2)
    fill(rival)

    everything, one = home(of_both), home(of_both, company=acme.pk)

    def uncertain(page):
        return page.context["questions"][0].count

    assert (uncertain(everything), uncertain(one)) == (3, 2)
    assert of_both.get(one.context["questions"][0].link).context["cl"].result_count == 2
    accounts = of_both.get("/admin/whatsapp/account/", {"company": rival.pk}).context["cl"]
    assert {account.tenant for account in accounts.queryset} == {rival}


def test_a_manager_sees_no_number_and_no_name_of_another_company(manager, acme, rival):
    fill(rival, rows=3)

    page = home(manager)

    assert page.status_code == 200
    assert "rival" not in page.content.decode().lower()
    assert page.context["questions"] == []
    assert all(plot.empty for plot in page.context["plots"])


@pytest.mark.parametrize("company", ["{rival}", "x", "-1", "9" * 30, "1 OR 1=1", "\x00"])
def test_a_company_one_does_not_administer_is_not_found(manager, acme, rival, company):
    assert home(manager, company=company.format(rival=rival.pk)).status_code == 404
    listed = manager.get("/admin/whatsapp/account/", {"company": company.format(rival=rival.pk)})
    assert listed.status_code in {200, 302}
    assert "rival" not in listed.content.decode().lower()


def test_staff_without_a_company_are_told_so(db):
    from tests.visitors import logged_in

    User.objects.create_user("vera", is_staff=True)

    page = home(logged_in(User.objects.get())).content.decode()

    assert "You administer no company" in page


def test_the_home_takes_few_queries_however_much_there_is(
    operator, acme, django_assert_max_num_queries
):
    fill(acme, rows=12)

    with django_assert_max_num_queries(15):
        page = home(operator)
    assert page.status_code == 200
