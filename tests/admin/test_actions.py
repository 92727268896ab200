"""What operators do: write texts, import referrals, take people out, settle, pause, disconnect."""

from pathlib import Path

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from accounts.models import Activity
from campaigns.models import Payment
from tests import factories
from whatsapp.models import Account, Contact, Message

REPOSITORY = Path(__file__).resolve().parents[2]


def act(client, path, action, rows, *, sure=True, **data):
    data |= {"action": action, "_selected_action": [row.pk for row in rows]}
    if sure:
        data["confirmed"] = "yes"
    return client.post(path, data, follow=True)


# ---------------------------------------------------------------------------------- settling


def uncertain(tenant):
    account = factories.make_account(tenant)
    contact = Contact.objects.create(tenant=tenant, phone="+33639980001")
    now = timezone.now()
    return Message.objects.create(
        tenant=tenant, account=account, contact=contact, idempotency_key="k", content_hash="h",
        body="Bonjour", due_at=now, state="uncertain", sending_at=now, wa_id="true_x",
    )  # fmt: skip


@pytest.mark.parametrize(("action", "state"), [("settle_sent", "sent"), ("settle_again", "queued")])
def test_an_uncertain_message_is_settled_after_a_question(operator, acme, action, state):
    message = uncertain(acme)
    path = "/admin/whatsapp/message/"

    asked = act(operator, path, action, [message], sure=False)
    message.refresh_from_db()
    assert message.state == "uncertain"
    assert "Look at the phone" in asked.content.decode()

    act(operator, path, action, [message])
    message.refresh_from_db()
    assert message.state == state
    assert "operator" in message.error
    assert LogEntry.objects.filter(object_id=str(message.pk)).count() == 1


def test_a_message_that_is_not_uncertain_is_left_alone(operator, acme):
    message = uncertain(acme)
    Message.objects.update(state="failed")

    answer = act(operator, "/admin/whatsapp/message/", "settle_again", [message])

    message.refresh_from_db()
    assert message.state == "failed"
    assert "None of these is uncertain" in answer.content.decode()


def test_staff_cannot_settle_another_companys_message(manager, acme, rival):
    message = uncertain(rival)

    act(manager, "/admin/whatsapp/message/", "settle_sent", [message])

    message.refresh_from_db()
    assert message.state == "uncertain"


# -------------------------------------------------------------------------- accounts, targets


def test_accounts_are_paused_resumed_and_disconnected_by_the_same_functions_as_the_api(
    operator, acme
):
    account = factories.make_account(acme)
    path = "/admin/whatsapp/account/"

    act(operator, path, "pause", [account])
    account.refresh_from_db()
    assert account.sending_paused_at is not None
    act(operator, path, "resume", [account])
    account.refresh_from_db()
    assert account.sending_paused_at is None
    act(operator, path, "disconnect", [account], sure=False)
    account.refresh_from_db()
    assert account.status == "connected"
    act(operator, path, "disconnect", [account])
    account.refresh_from_db()
    assert (account.status, account.logout_requested_at is None) == ("disconnected", False)


def test_somebody_is_marked_as_paid_and_leaves(operator, acme):
    target = factories.make_target(factories.make_referral(factories.make_referrer(acme)))

    act(operator, "/admin/campaigns/referral/", "mark_paid", [target.referral])

    target.refresh_from_db()
    assert (target.state, target.exit_reason) == ("exited", "paid")
    assert Payment.objects.get().source == "admin: operator"


def test_somebody_who_said_stop_on_the_phone_is_opted_out_by_hand(operator, acme):
    contact = Contact.objects.create(tenant=acme, phone="+33639980001")

    act(operator, "/admin/whatsapp/contact/", "opt_out", [contact])

    contact.refresh_from_db()
    assert contact.opted_out_at is not None
    (line,) = Activity.objects.filter(verb="opted_out")
    assert (line.actor_name, line.subject_id) == ("operator", contact.pk)


def test_saving_a_form_writes_what_was_edited_and_nothing_else(operator, acme, monkeypatch):
    """A worker changes the status while the form is being saved."""
    account = factories.make_account(acme)
    clean = Account.clean

    def worker_comes_first(self):
        Account.objects.filter(pk=self.pk).update(status="reconnecting")
        clean(self)

    monkeypatch.setattr(Account, "clean", worker_comes_first)
    page = f"/admin/whatsapp/account/{account.pk}/change/"

    saved = operator.post(page, {"name": account.name, "enabled": "on", "daily_limit": 7})

    assert saved.status_code == 302, saved.context["errors"]
    account.refresh_from_db()
    assert (account.daily_limit, account.status) == (7, "reconnecting")


def test_a_referrer_gets_an_account_and_a_user_of_their_own_company(operator, acme, rival):
    referrer = factories.make_referrer(acme)
    theirs, stranger = factories.make_account(rival), factories.make_user(rival)
    page = f"/admin/campaigns/referrer/{referrer.pk}/change/"

    answer = operator.post(
        page, {"external_id": "x", "name": "X", "account": theirs.pk, "user": stranger.pk}
    )

    assert set(answer.context["adminform"].form.errors) == {"account", "user"}
