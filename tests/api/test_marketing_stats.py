"""`/api/whatsapp/stats`: what a company has, and what became of its messages."""

import datetime as dt

import pytest
from django.utils import timezone

from tests import companies
from tests.factories import make_account
from whatsapp.models import Contact, Group, Incoming, Message

URL = "/api/whatsapp/stats"
NOW = timezone.now()


@pytest.fixture
def account(acme):
    return make_account(acme.tenant, name="amina")


def contact(company, n, **fields):
    return Contact.objects.create(tenant=company.tenant, phone=f"+336399800{n:02d}", **fields)


def message(account, person, state, **fields):
    sent = {"sent_at": NOW - dt.timedelta(hours=2)} if state in Message.ARRIVED else {}
    number = Message.objects.count()
    return Message.objects.create(
        tenant=account.tenant, account=account, contact=person, idempotency_key=f"k{number}",
        content_hash="h", body="Bonjour", due_at=NOW, state=state, **sent, **fields,
    )  # fmt: skip


def stats(company, who="max", **query):
    answer = companies.client(company.people[who]).get(URL, query)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def test_a_company_without_anything_has_zeros_and_no_rates(acme):
    found = stats(acme)

    assert found["contacts"]["total"] == 0
    assert set(found["messages"].values()) == {0}
    assert found["rates"] == {"delivery": None, "read": None, "reply": None, "failure": None}
    # Thirty times 24 hours: the clocks may have changed meanwhile.
    assert len(found["days"]) in {30, 31, 32}


def test_messages_are_counted_by_state_and_rated(acme, account):
    people = [contact(acme, n) for n in range(4)]
    for person, state in zip(people, ["sent", "delivered", "read", "read"], strict=True):
        message(account, person, state)
    message(account, people[0], "failed")
    Incoming.objects.create(
        account=account, contact=people[2], wa_id="w", chat_id="c", kind="chat", body="Oui",
        sent_at=NOW - dt.timedelta(hours=1), received_at=NOW,
    )  # fmt: skip

    found = stats(acme)

    counted = {state: n for state, n in found["messages"].items() if n}
    assert counted == {"sent": 1, "delivered": 1, "read": 2, "failed": 1}
    assert found["rates"] == {"delivery": 0.75, "read": 0.5, "reply": 0.25, "failure": 0.2}
    assert (found["incoming"], sum(day["sent"] for day in found["days"])) == (1, 4)


def test_who_wrote_before_we_did_has_not_replied(acme, account):
    person = contact(acme, 1)
    message(account, person, "read")
    Incoming.objects.create(
        account=account, contact=person, wa_id="w", chat_id="c", kind="chat", body="Oui",
        sent_at=NOW - dt.timedelta(hours=5), received_at=NOW,
    )  # fmt: skip

    assert stats(acme)["rates"]["reply"] == 0


def test_what_somebody_wrote_into_a_group_nobody_has_looked_for_is_no_reply(acme, account):
    person = contact(acme, 1)
    message(account, person, "read")
    Incoming.objects.create(
        account=account, contact=person, wa_id="w", chat_id="1@g.us", kind="chat", body="Oui",
        sent_at=NOW - dt.timedelta(hours=1), received_at=NOW,
    )  # fmt: skip

    assert stats(acme)["rates"]["reply"] == 0


def test_groups_and_contacts_are_counted_by_what_one_may_do_with_them(acme, account):
    contact(acme, 1)
    contact(acme, 2, opted_out_at=NOW)
    contact(acme, 3, source="group")
    for n, more in enumerate([{}, {"announce_only": True}, {"role": "left"}]):
        Group.objects.create(
            tenant=acme.tenant, account=account, chat_id=f"{n}@g.us", discovered_at=NOW,
            refreshed_at=NOW, **more,
        )  # fmt: skip

    found = stats(acme)

    assert found["contacts"] == {"total": 3, "optedOut": 1, "withoutLawfulBasis": 1}
    assert found["groups"] == {"total": 2, "writable": 1}


def test_nothing_of_another_company_is_counted(acme, other, account):
    message(account, contact(acme, 1), "read")

    found = stats(other, who="eve")

    assert (found["contacts"]["total"], found["messages"]["read"]) == (0, 0)
    assert sum(day["sent"] for day in found["days"]) == 0


def test_a_fixed_number_of_queries_answers(acme, account, django_assert_max_num_queries):
    for n in range(20):
        message(account, contact(acme, n), "read")

    with django_assert_max_num_queries(14):
        stats(acme)


@pytest.mark.parametrize(
    ("query", "field"),
    [({"since": "yesterday"}, "since"), ({"until": "0001-01-01T00:00:00Z"}, "until"),
     ({"since": "2020-01-01T00:00:00Z"}, "since"), ({"day": "1"}, "day")],
)  # fmt: skip
def test_a_bad_period_is_refused_with_its_name(acme, query, field):
    answer = companies.client(acme.people["max"]).get(URL, query)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_agents_get_no_numbers_of_the_whole_company(acme):
    assert companies.client(acme.people["amina"]).get(URL).status_code == 403
