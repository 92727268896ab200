"""A message in the admin: why it was (not) sent, what happened, what may be done about it."""

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Activity
from tests import factories
from tests.admin.test_actions import act
from whatsapp.models import Attempt, Contact, Message, Usage

LIST = "/admin/whatsapp/message/"


def page(message):
    return reverse("admin:whatsapp_message_change", args=[message.pk])


@pytest.fixture
def account(acme):
    return factories.make_account(acme, name="amina")


def make_message(account, *, name="Zoé Martin", **fields):
    """Queued and due now, unless `fields` says otherwise."""
    n = Message.objects.count()
    contact, _ = Contact.objects.get_or_create(
        tenant=account.tenant, name=name, defaults={"phone": factories.fiction_phone(n)}
    )
    defaults = {"idempotency_key": f"k{n}", "content_hash": "h", "due_at": timezone.now()}
    return Message.objects.create(
        tenant=account.tenant, account=account, contact=contact, body="Bonjour",
        **(defaults | fields),
    )  # fmt: skip


def why(client, message):
    return client.get(page(message)).context["story"]["why"]


def test_a_waiting_message_says_what_it_waits_for(operator, account):
    message = make_message(account)
    assert "waits for a worker to open “amina”" in why(operator, message)

    Message.objects.update(due_at=timezone.now() + dt.timedelta(hours=2))
    assert "its time has not come yet" in why(operator, message)

    account.daily_limit = 2
    account.save()
    Usage.objects.create(
        account=account, day=timezone.now().astimezone(account.tenant.zone).date(), count=2
    )
    assert "has sent its 2 messages of the day" in why(operator, message)

    account.sending_paused_at = timezone.now()
    account.save()
    assert "was paused" in why(operator, message)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "failed", "error_code": "not_on_whatsapp"}, "this number is not on WhatsApp"),
        ({"state": "failed", "error_code": "nack_463"}, "does not let this account begin new"),
        ({"state": "failed", "error_code": "nack_999"}, "refused it (999)"),
        ({"state": "cancelled", "error_code": "paid"}, "the person paid"),
        ({"state": "uncertain", "error_code": "holder_lost"}, "Look into the chat"),
        ({"state": "sent", "sent_at": factories.NOW}, "their phone has not got it yet"),
        ({"state": "delivered", "sent_at": factories.NOW}, "on their phone, not read"),
        ({"state": "read", "sent_at": factories.NOW}, "and read"),
    ],
)
def test_every_end_of_a_message_is_said_in_words(operator, account, fields, words):
    assert words in why(operator, make_message(account, **fields))


def test_the_page_tells_every_attempt_and_receipt_in_order(operator, account):
    begun = timezone.now() - dt.timedelta(hours=1)
    message = make_message(
        account, state="read", sending_at=begun, sent_at=begun,
        delivered_at=begun + dt.timedelta(minutes=1), read_at=begun + dt.timedelta(minutes=2),
    )  # fmt: skip
    Message.objects.update(created_at=begun - dt.timedelta(minutes=5))
    for number, outcome, code in ((1, "retry", "page_not_ready"), (2, "sent", "")):
        at = begun - dt.timedelta(minutes=3 - number)
        Attempt.objects.create(
            message=message, account=account, number=number, fence=1, worker="w1", wa_id="x",
            usage_day=at.date(), intent_at=at, finished_at=at, outcome=outcome, error_code=code,
        )  # fmt: skip

    entries = operator.get(page(message)).context["story"]["entries"]

    assert [entry.kind for entry in entries] == [
        "queued", "attempt", "waiting", "attempt", "good", "good", "good",
    ]  # fmt: skip
    assert "page was not ready" in entries[2].detail


def test_an_uncertain_message_shows_what_the_look_up_said(operator, account):
    message = make_message(
        account, state="uncertain", sending_at=timezone.now(), error="looked up: pending, ack 0"
    )

    entries = operator.get(page(message)).context["story"]["entries"]

    assert entries[-1].detail == "looked up: pending, ack 0"


def test_a_persons_page_leads_to_what_was_written_to_them(operator, account):
    wanted = make_message(account)
    make_message(account, name="Bruno")
    contact = wanted.contact

    shown = operator.get(f"/admin/whatsapp/contact/{contact.pk}/change/").content.decode()
    link = f"{LIST}?contact__id__exact={contact.pk}"

    assert link in shown
    assert list(operator.get(link).context["cl"].queryset) == [wanted]


@pytest.mark.parametrize(
    ("state", "actions"),
    [
        ("uncertain", ["settle_sent", "settle_again"]),
        ("failed", ["retry"]),
        ("queued", ["cancel"]),
        ("cancelled", []),
    ],
)
def test_only_what_is_legal_can_be_pressed(operator, account, state, actions):
    message = make_message(account, state=state)

    assert [b.action for b in operator.get(page(message)).context["story"]["buttons"]] == actions


def test_failed_messages_are_tried_again_after_a_question_that_counts(operator, account):
    failed = [make_message(account, state="failed", error_code="timeout") for _ in range(2)]
    waiting = make_message(account)

    asked = act(operator, LIST, "retry", [*failed, waiting], sure=False)
    assert "This is about 2 rows." in asked.content.decode()
    assert "1 other you chose is left out" in asked.content.decode()
    assert Message.objects.filter(state="failed").count() == 2

    act(operator, LIST, "retry", [*failed, waiting])
    assert Message.objects.filter(state="queued").count() == 3
    assert Activity.objects.filter(verb="retried", actor_name="operator").count() == 2


def test_waiting_messages_are_cancelled_after_a_question_that_counts(operator, account):
    waiting, sent = (
        make_message(account),
        make_message(account, state="sent", sent_at=factories.NOW),
    )

    act(operator, LIST, "cancel", [waiting, sent], sure=False)
    assert not Message.objects.filter(state="cancelled").exists()

    act(operator, LIST, "cancel", [waiting, sent])
    assert Message.objects.get(state="cancelled") == waiting
    assert Activity.objects.get(verb="cancelled").actor_name == "operator"


def test_a_button_of_the_page_comes_back_to_it(operator, account):
    message = make_message(account, state="uncertain")

    done = operator.post(
        LIST,
        {
            "action": "settle_sent", "_selected_action": message.pk, "from_page": message.pk,
            "confirmed": "yes",
        },
    )  # fmt: skip

    assert done.url == page(message)
    message.refresh_from_db()
    assert message.state == "sent"


@pytest.mark.parametrize("action", ["retry", "cancel"])
def test_another_companys_messages_stay_as_they_are(manager, rival, action):
    state = {"retry": "failed", "cancel": "queued"}[action]
    theirs = make_message(factories.make_account(rival), state=state)

    act(manager, LIST, action, [theirs])

    theirs.refresh_from_db()
    assert theirs.state == state


@pytest.mark.parametrize(
    "text", ["zoé", "Zoé Mar", "+33 639 98 00 00", "06 39 98 00 00", "0033639980000", "amina"]
)
def test_messages_are_found_by_how_a_name_or_number_begins(manager, account, text):
    wanted = make_message(account)
    other = factories.make_account(account.tenant)
    make_message(other, name="Bruno")

    found = manager.get(LIST, {"q": text}).context["cl"].queryset

    assert list(found) == [wanted]


def test_messages_are_found_by_their_ids(manager, account):
    wanted = make_message(account, wa_id="true_33639980001@c.us_3EB0")
    make_message(account, name="Bruno")

    for text in (str(wanted.public_id), wanted.wa_id):
        assert list(manager.get(LIST, {"q": text}).context["cl"].queryset) == [wanted]


def test_a_search_finds_nothing_of_another_company(manager, acme, rival):
    account = factories.make_account(rival, name="theirs")
    message = make_message(account, wa_id="true_33639980001@c.us_3EB0")

    for text in ("Zoé", "+3363998", "theirs", str(message.public_id), message.wa_id):
        assert not manager.get(LIST, {"q": text}).context["cl"].queryset.exists()
