"""`/api/whatsapp/messages`: what marketing's tools send to people, groups and many at once."""

import datetime as dt
import json

import pytest
from django.utils import timezone

from accounts.models import Activity
from tests import companies
from tests.api.conftest import wrong
from tests.factories import NOW, make_account, make_media
from whatsapp import contacts, suppression
from whatsapp.models import Contact, Message

URL = "/api/whatsapp/messages"
ANA, BRUNO, CARL = "+33639980100", "+33639980101", "+33639980102"


@pytest.fixture
def account(acme):
    return make_account(acme.tenant, name="amina", owner=acme.people["amina"], phone="+33639980001")


@pytest.fixture
def post(max_, account):
    def send(*, status=201, client=max_, headers=None, **body):
        whole = {"accountId": account.pk, "messageText": "Bonjour", **body}
        answer = client.post(
            URL, json.dumps(whole), content_type="application/json", headers=headers or {}
        )
        assert answer.status_code == status, answer.json()
        return answer.json()

    return send


def make_contact(account, phone, **fields):
    return Contact.objects.create(tenant=account.tenant, phone=phone, **fields)


def test_a_text_goes_to_a_person_and_keeps_what_the_caller_calls_it(post, max_):
    made = post(targetPhone="06 39 98 01 00", campaignId="spring", contentId=17)

    assert (made["targetPhone"], made["messageType"], made["channelType"], made["status"]) == (
        ANA, "text", "individual", "queued",
    )  # fmt: skip
    assert (made["campaignId"], made["contentId"]) == ("spring", "17")
    assert max_.get(f"{URL}/{made['id']}").json() == made


@pytest.mark.parametrize("name", ["pk", "chat_id"])
def test_a_picture_goes_to_a_group_by_our_id_or_by_whatsapps(post, account, group, name):
    picture = make_media(account.tenant)
    made = post(
        channelType="group", targetGroupId=str(getattr(group, name)), messageType="image",
        mediaId=picture.pk,
    )  # fmt: skip

    assert (made["targetGroupId"], made["messageType"], made["messageText"]) == (
        group.pk, "image", "Bonjour",
    )  # fmt: skip


def test_a_broadcast_is_one_message_each_and_says_who_is_left_out(post, account, max_):
    ana = make_contact(account, ANA, tags=["vip"])
    stopped = make_contact(account, BRUNO, tags=["vip"])
    contacts.opt_out(stopped, reason="stop", now=timezone.now())
    scraped = make_contact(account, CARL, source="group")
    me = make_contact(account, account.phone, tags=["vip"])

    made = post(
        channelType="broadcast", targetTags=["vip"], targetPhones=[CARL, "06 39 98 01 09"],
        campaignId="spring",
    )  # fmt: skip

    assert made["leftOut"] == [
        {"contactId": stopped.pk, "reason": "opted_out"},
        {"contactId": scraped.pk, "reason": "no_lawful_basis"},
        {"contactId": me.pk, "reason": "own_number"},
    ]
    sent = Message.objects.order_by("contact__phone")
    assert made["queued"] == 2
    assert [message.contact.phone for message in sent] == [ANA, "+33639980109"]
    assert {message.priority for message in sent} == {1}
    assert Activity.objects.filter(verb="message_queued", actor_name="max").count() == 2
    assert Contact.objects.get(phone="+33639980109").source == "api"
    listed = max_.get(URL, {"channelType": "broadcast", "campaignId": "spring"}).json()["results"]
    assert {row["id"] for row in listed} == set(made["messageIds"])
    assert ana.messages.count() == 1


def test_a_broadcast_that_is_sent_again_reaches_nobody_twice_and_nobody_new(post, account):
    make_contact(account, ANA, tags=["vip"])
    key = {"Idempotency-Key": "spring"}
    body = {"channelType": "broadcast", "targetTags": ["vip"]}
    first = post(**body, headers=key)
    make_contact(account, BRUNO, tags=["vip"])

    assert post(**body, headers=key) == first
    assert wrong(post(status=409, **body, messageText="Bonsoir", headers=key))[1] == "used"
    assert Message.objects.count() == 1


def test_a_broadcast_makes_no_contact_of_somebody_who_asked_to_be_forgotten(post, account):
    suppression.suppress(account.tenant, BRUNO, now=NOW)

    answer = post(status=400, channelType="broadcast", targetPhones=[ANA, BRUNO])

    assert wrong(answer) == ("targetPhones[1]", "suppressed")
    assert not Contact.objects.exists()


def test_a_broadcast_reaches_each_at_ten_on_their_own_clock(post, account):
    tomorrow = timezone.now() + dt.timedelta(days=2)
    post(
        channelType="broadcast", targetPhones=[ANA, "+596696000000"], timezone="recipient",
        scheduledAt=tomorrow.strftime("%Y-%m-%dT10:00:00"),
    )  # fmt: skip

    paris, martinique = (
        Message.objects.get(contact__phone=phone).scheduled_for for phone in (ANA, "+596696000000")
    )
    assert (martinique - paris).total_seconds() in (5 * 3600, 6 * 3600)


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "targetPhone", "required"),
        ({"channelType": "group"}, "targetGroupId", "required"),
        ({"channelType": "group", "targetGroupId": "999"}, "targetGroupId", "unknown"),
        ({"channelType": "group", "targetGroupId": "9" * 40}, "targetGroupId", "unknown"),
        ({"channelType": "broadcast"}, "targetPhones", "required"),
        ({"channelType": "broadcast", "targetPhones": ["x"]}, "targetPhones[0]", "unreadable"),
        ({"channelType": "broadcast", "targetTags": ["nobody"]}, "targetTags", "nobody"),
        ({"channelType": "broadcast", "targetPhones": [ANA] * 1001}, "targetPhones", "max_length"),
        ({"channelType": "newspaper"}, "channelType", "invalid_choice"),
        ({"targetPhone": ANA, "messageType": "image"}, "mediaUrl", "required"),
        ({"targetPhone": ANA, "messageType": "image", "mediaId": 999}, "mediaId", "unknown"),
        (
            {"targetPhone": ANA, "messageType": "video", "mediaUrl": "http://10.0.0.1/a"},
            "mediaUrl",
            "private_address",
        ),
        ({"targetPhone": ANA, "messageType": "location", "latitude": 1}, "longitude", "required"),
        (
            {"targetPhone": ANA, "messageType": "location", "latitude": 91, "longitude": 0},
            "latitude",
            "max_value",
        ),
        ({"targetPhone": ANA, "messageType": "link"}, "linkUrl", "required"),
        ({"targetPhone": ANA, "messageType": "link", "linkUrl": "file:///x"}, "linkUrl", "bad_url"),
        ({"targetPhone": ANA, "messageText": " "}, "messageText", "required"),
        ({"targetPhone": ANA, "messageText": "x" * 65_537}, "messageText", "max_length"),
        ({"targetPhone": ANA, "messageType": "poem"}, "messageType", "invalid_choice"),
        ({"targetPhone": ANA, "scheduledAt": "2020-01-01T10:00:00"}, "scheduledAt", "past"),
        ({"targetPhone": ANA, "campaignId": "x" * 101}, "campaignId", "max_length"),
        ({"targetPhone": ANA, "accountId": 999}, "accountId", "unknown"),
        ({"targetPhone": ANA, "to": ANA}, "to", "unknown"),
    ],
)
def test_what_cannot_be_sent_names_the_callers_field(post, body, field, code):
    assert wrong(post(status=400, **body)) == (field, code)
    assert not Message.objects.exists()


def test_an_agent_sends_to_one_but_not_to_many(acme, post):
    amina = companies.client(acme.people["amina"])

    assert post(client=amina, targetPhone=ANA)["status"] == "queued"
    refused = post(status=403, client=amina, channelType="broadcast", targetPhones=[ANA])
    assert refused["type"] == "urn:relance:role"


def test_the_list_is_filtered_as_marketing_asks(post, max_, account, group):
    first = post(targetPhone=ANA, campaignId="spring")
    second = post(channelType="group", targetGroupId="1203@g.us", contentId="c")
    place = post(targetPhone=BRUNO, messageType="location", messageText="", latitude=1, longitude=2)
    Message.objects.filter(public_id=first["id"]).update(state="failed")

    def ask(**query):
        return [row["id"] for row in max_.get(URL, query).json()["results"]]

    assert ask() == [place["id"], second["id"], first["id"]]
    assert ask(status="failed") == ask(campaignId="spring") == [first["id"]]
    assert ask(channelType="group") == ask(contentId="c") == [second["id"]]
    assert ask(channelType="individual", messageType="location") == [place["id"]]
    assert ask(accountId=account.pk, pageSize=1) == [place["id"]]
    assert ask(messageType="image") == ask(channelType="broadcast") == []


def test_a_failed_message_is_tried_again_and_no_other(post, max_):
    made = post(targetPhone=ANA)
    address = f"{URL}/{made['id']}/retry"
    assert max_.post(address).status_code == 409
    Message.objects.update(state="failed", ended_at=timezone.now())

    assert max_.post(address).json()["status"] == "queued"


def test_messages_of_another_company_are_nobodys(post, other):
    eve = companies.client(other.people["eve"])
    made = post(targetPhone=ANA)

    assert eve.get(f"{URL}/{made['id']}").status_code == 404
    assert eve.post(f"{URL}/{made['id']}/retry").status_code == 404
    assert eve.get(URL).json()["results"] == []


def test_a_page_takes_a_fixed_number_of_queries(post, max_, django_assert_max_num_queries):
    for _ in range(10):
        post(targetPhone=ANA)
    with django_assert_max_num_queries(3):
        assert len(max_.get(URL).json()["results"]) == 10
