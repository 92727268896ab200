"""`/api/whatsapp/{tenant}/{agent}/…`: an agent is a named account of a company."""

import datetime as dt

import pytest
from django.utils import timezone

from accounts.models import Activity
from tests import companies
from tests.factories import make_account
from whatsapp import contacts, linking
from whatsapp.driver.base import QrCode
from whatsapp.models import Account, Contact, Incoming, Message

URL = "/api/whatsapp/acme"
PHONE = "+33639980100"


@pytest.fixture
def account(acme):
    return make_account(acme.tenant, name="amina", owner=acme.people["amina"], push_name="Amina")


def test_the_first_connect_makes_the_account_and_returns_the_code(acme, max_, monkeypatch):
    request = linking.request

    def request_and_show(account, **values):
        asked = request(account, **values)
        linking.publish_qr(account, QrCode(text="2@code", seq=1))
        return asked

    monkeypatch.setattr(linking, "request", request_and_show)

    body = max_.post(f"{URL}/amina/connect").json()

    assert body["success"] is True
    assert body["data"]["qrCodeDataUrl"].startswith("data:image/png;base64,")
    assert (body["data"]["agentId"], body["data"]["status"]) == ("amina", "pending")
    assert (body["data"]["qrCode"], body["data"]["subaccountId"]) == ("2@code", "acme")
    assert Account.objects.get().name == "amina"
    assert Activity.objects.filter(verb="account_created", actor_name="max").exists()


def test_an_agent_connects_their_own_account_and_makes_none(acme, account):
    amina = companies.client(acme.people["amina"])

    assert amina.post(f"{URL}/amina/connect").json()["data"]["status"] == "connected"
    assert amina.post(f"{URL}/bruno/connect").status_code == 404
    assert Account.objects.count() == 1


def test_status_and_connections_have_the_fields_that_callers_know(acme, max_, account):
    expected = {
        "subaccountId": "acme",
        "agentId": "amina",
        "status": "connected",
        "phoneNumber": account.phone,
        "platform": None,
        "pushname": "Amina",
        "connectedAt": account.linked_at.isoformat().replace("+00:00", "Z"),
        "createdBy": "amina",
    }

    assert max_.get(f"{URL}/amina/status").json() == {
        "success": True,
        "message": "connected",
        "data": expected,
    }
    assert max_.get(f"{URL}/connections").json()["data"] == [expected]


def test_disconnect_logs_the_device_out(acme, max_, account):
    body = max_.post(f"{URL}/amina/disconnect").json()

    assert (body["success"], body["data"]["status"]) == (True, "disconnected")
    account.refresh_from_db()
    assert account.logout_requested_at is not None


def test_a_text_is_queued_once_for_each_idempotency_key(acme, max_, account):
    def send(**headers):
        body = {"to": "33639980100", "message": "Bonjour !"}
        return max_.post(f"{URL}/amina/send", body, format="json", headers=headers)

    first, again = send(idempotency_key="a"), send(idempotency_key="a")
    other, free = send(idempotency_key="b"), send()

    ids = [answer.json()["data"]["messageId"] for answer in (first, again, other, free)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert first.json()["data"]["status"] == "queued"
    assert set(Message.objects.values_list("contact__phone", flat=True)) == {PHONE}


def test_sending_from_an_account_that_is_not_linked_is_a_conflict(acme, max_):
    make_account(acme.tenant, name="amina", connected=False)

    answer = max_.post(f"{URL}/amina/send", {"to": PHONE, "message": "x"}, format="json")

    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:relance:not_linked"
    assert (answer.json()["success"], answer.json()["message"]) == (
        False, "account: this account is not linked: connect it first",
    )  # fmt: skip


def test_messages_come_by_chat_in_both_directions(acme, max_, account):
    now = timezone.now()
    ids = contacts.ensure(tenant_id=acme.tenant.pk, people={PHONE: "Zoé"})
    contact = Contact.objects.get(pk=ids[PHONE])
    Message.objects.create(
        tenant=acme.tenant, account=account, contact=contact, idempotency_key="k",
        content_hash="h", body="Bonjour", due_at=now, state="read", sent_at=now,
        chat_id="33639980100@c.us",
    )  # fmt: skip
    Incoming.objects.create(
        account=account, contact=contact, wa_id="i", chat_id="33639980100@c.us", kind="chat",
        body="Oui ?", sent_at=now + dt.timedelta(minutes=1), received_at=now,
    )  # fmt: skip

    (chat,) = max_.get(f"{URL}/amina/messages?limit=20").json()["data"]

    assert [(said["role"], said["content"]) for said in chat["messages"]] == [
        ("assistant", "Bonjour"), ("user", "Oui ?"),
    ]  # fmt: skip
    assert (chat["chat_id"], chat["agent_id"], chat["chat_status"]) == (
        "33639980100@c.us", "amina", "open",
    )  # fmt: skip
    assert chat["metadata"] == {"whatsapp_phone": PHONE, "channel": "whatsapp"}
    newest = max_.get(f"{URL}/amina/messages?limit=1").json()["data"]
    assert [said["content"] for said in newest[0]["messages"]] == ["Oui ?"]


def test_another_company_and_one_that_does_not_exist_get_the_same_answer(acme, other, account):
    eve = companies.client(other.people["eve"])

    for path in ("amina/status", "connections", "amina/messages"):
        foreign, unknown = eve.get(f"{URL}/{path}"), eve.get(f"/api/whatsapp/nothing/{path}")
        assert foreign.status_code == 404
        assert foreign.json() == unknown.json()
    named = companies.client(other.people["eve"], HTTP_X_TENANT="other")
    assert named.get(f"{URL}/amina/status").status_code == 404


def test_a_short_name_that_is_an_address_of_ours_is_refused(db):
    from django.core.exceptions import ValidationError
    from django.db import IntegrityError, transaction

    from accounts.models import Tenant

    for slug in ("accounts", "groups", "messages", "stats", "api", "admin"):
        with pytest.raises(ValidationError, match="addresses"):
            Tenant(slug=slug, name="x").full_clean()
        with pytest.raises(IntegrityError), transaction.atomic():
            Tenant.objects.create(slug=slug, name="x")
