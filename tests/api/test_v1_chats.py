"""`/api/v1/chats`: listed, read page by page, answered, taken over, given back."""

import pytest
from django.utils import timezone

from tests import companies
from tests.factories import NOW, make_account
from whatsapp.models import Chat, Contact, Incoming, Message

URL = "/api/v1/chats"
PHONE = "+33639980100"


def make_chat(account, phone=PHONE, **fields):
    contact, _ = Contact.objects.get_or_create(tenant=account.tenant, phone=phone, name="Zoé")
    return Chat.objects.create(
        tenant=account.tenant, account=account, contact=contact, started_at=NOW, **fields
    )


def say(chat, n, **fields):
    return Incoming.objects.create(
        account=chat.account, contact=chat.contact, wa_id=f"w{n}", chat_id="c", kind="chat",
        body=f"message {n}", sent_at=NOW, received_at=NOW, **fields,
    )  # fmt: skip


@pytest.fixture
def chat(account):
    return make_chat(account, unread=2)


def test_chats_are_listed_and_filtered(max_, account, chat, acme):
    read = make_chat(make_account(acme.tenant), "+33639980101")
    assert [row["id"] for row in max_.get(URL).json()["results"]] == [read.pk, chat.pk]
    for query, found in {
        f"account={account.pk}": [chat.pk],
        "contact=0639980101": [read.pk],
        "unread=true": [chat.pk],
        "unread=false": [read.pk],
        "takenOver=true": [],
    }.items():
        assert [row["id"] for row in max_.get(f"{URL}?{query}").json()["results"]] == found


def test_agents_see_chats_of_their_own_accounts_only(acme, chat):
    other = make_chat(make_account(acme.tenant), "+33639980101")
    amina = companies.client(acme.people["amina"])
    assert [row["id"] for row in amina.get(URL).json()["results"]] == [chat.pk]
    assert amina.get(f"{URL}/{other.pk}/messages").status_code == 404


def test_a_history_is_read_to_its_begin(max_, chat):
    first = say(chat, 0)
    for n in range(1, 5):
        say(chat, n, quoted_wa_id=first.wa_id)
    seen, before = [], ""
    while before is not None:
        page = max_.get(f"{URL}/{chat.pk}/messages?limit=2&before={before}").json()
        seen = [one["text"] for one in page["messages"]] + seen
        before = page["before"] and page["before"].replace("+", "%2B")
    assert seen == [f"message {n}" for n in range(5)]
    newest = max_.get(f"{URL}/{chat.pk}/messages").json()["messages"][-1]
    assert (newest["writer"], newest["quotedText"], newest["id"]) == ("contact", "message 0", "w4")


def test_a_person_who_answers_takes_the_chat_over_and_a_program_does_not(max_, chat, acme):
    program = companies.program(acme, "messages:send", "messages:read")
    answer = program.post(f"{URL}/{chat.pk}/messages", {"text": "Bonjour"}, format="json")
    assert (answer.status_code, answer.json()["writer"]) == (201, "direct")
    assert not max_.get(f"{URL}/{chat.pk}").json()["takenOver"]
    answer = max_.post(f"{URL}/{chat.pk}/messages", {"text": "C’est Max"}, format="json")
    assert answer.json()["by"] == "max"
    shown = max_.get(f"{URL}/{chat.pk}").json()
    assert (shown["takenOver"], shown["takenOverBy"], shown["unread"]) == (True, "max", 0)
    assert Message.objects.filter(contact=chat.contact, origin="direct").count() == 2


def test_an_answer_is_queued_once_under_its_key(max_, chat):
    body = {"text": "Bonjour", "idempotencyKey": "k1"}
    answers = [max_.post(f"{URL}/{chat.pk}/messages", body, format="json") for _ in range(2)]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert Message.objects.count() == 1


def test_nobody_is_answered_who_said_stop(max_, chat):
    Contact.objects.update(opted_out_at=timezone.now())
    answer = max_.post(f"{URL}/{chat.pk}/messages", {"text": "Bonjour"}, format="json")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "opted_out"


def test_a_chat_is_taken_over_given_back_and_read(max_, chat):
    taken = max_.post(f"{URL}/{chat.pk}/take-over").json()
    assert (taken["takenOver"], taken["takenOverBy"]) == (True, "max")
    assert not max_.post(f"{URL}/{chat.pk}/give-back").json()["takenOver"]
    assert max_.post(f"{URL}/{chat.pk}/read").json()["unread"] == 0


@pytest.mark.parametrize("before", ["x", "2026-11-20T10:00:00+00:00/in/0", "%00"])
def test_a_cursor_of_no_page_is_refused(max_, chat, before):
    answer = max_.get(f"{URL}/{chat.pk}/messages", {"before": before})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "before")


def test_viewers_read_and_do_not_write(acme, chat):
    vera = companies.client(acme.people["vera"])
    assert vera.get(f"{URL}/{chat.pk}/messages").status_code == 200
    for route in ("messages", "take-over", "give-back", "read"):
        assert (
            vera.post(f"{URL}/{chat.pk}/{route}", {"text": "x"}, format="json").status_code == 403
        )
