"""`/api/v1/accounts`: made, linked, looked at, paused, limited."""

import base64
import io
from datetime import timedelta

import pytest
from django.utils import timezone
from PIL import Image

from accounts.models import Activity
from tests import companies
from tests.factories import make_account
from whatsapp import limits, linking, pairing
from whatsapp.driver.base import QrCode
from whatsapp.models import Account, Usage

URL = "/api/v1/accounts"
MARKETING = "/api/whatsapp/accounts"


def test_a_manager_makes_an_account_for_somebody_of_the_company(acme, max_):
    answer = max_.post(URL, {"name": "amina", "owner": "amina"}, format="json")

    assert answer.status_code == 201, answer.json()
    body = answer.json()
    assert (body["name"], body["owner"], body["status"]) == ("amina", "amina", "new")
    assert max_.get(f"{URL}/{body['id']}").json() == body
    assert max_.get(URL).json()["results"] == [body]
    line = Activity.objects.get(verb="account_created")
    assert (line.actor_name, line.subject_id) == ("max", body["id"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "two words"}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "ok", "owner": "eve"}, "owner"),
        ({"name": "ok", "status": "connected"}, "status"),
        ([], ""),
    ],
)
def test_an_account_that_cannot_be_made_names_the_field(acme, other, max_, body, field):
    answer = max_.post(URL, body, format="json")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field
    assert not Account.objects.exists()


def test_a_name_is_taken_once_per_company(acme, other, max_, account):
    make_account(other.tenant, name="bruno")

    assert max_.post(URL, {"name": "bruno"}, format="json").status_code == 201
    again = max_.post(URL, {"name": "amina"}, format="json")

    assert again.json()["errors"][0] == {
        "field": "name",
        "code": "taken",
        "message": "there is an account named “amina” already",
    }


def test_agents_see_and_touch_their_own_accounts_only(acme, account):
    bruno = make_account(acme.tenant, name="bruno")
    amina = companies.client(acme.people["amina"])

    assert [row["name"] for row in amina.get(URL).json()["results"]] == ["amina"]
    assert amina.get(f"{URL}/{bruno.pk}/status").status_code == 404
    assert amina.post(f"{URL}/{bruno.pk}/pause").status_code == 404
    assert amina.post(f"{URL}/{account.pk}/pause").json()["sendingPaused"] is True
    assert amina.put(f"{URL}/{account.pk}/limits", {}, format="json").status_code == 403


def test_a_list_is_filtered_and_read_page_by_page(acme, max_):
    for n in range(5):
        make_account(acme.tenant, name=f"a{n}", connected=n % 2 == 0)

    seen, address = [], f"{URL}?status=connected&pageSize=2"
    while address:
        page = max_.get(address).json()
        seen += [row["name"] for row in page["results"]]
        address = page["next"]

    assert seen == ["a4", "a2", "a0"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=happy", "status"),
        ("pageSize=0", "pageSize"),
        ("pageSize=1000", "pageSize"),
        ("state=connected", "state"),
        ("cursor=abc", "cursor"),
        ("cursor=" + base64.b64encode(b"p=x").decode(), "cursor"),
        ("cursor=" + base64.b64encode(b"p=%00").decode(), "cursor"),
        ("cursor=" + base64.b64encode(b"p=" + b"9" * 40).decode(), "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("owner=%00", "owner"),
    ],
)
def test_a_filter_that_means_nothing_is_an_error(acme, max_, query, field):
    answer = max_.get(f"{URL}?{query}")

    assert answer.status_code == 400, answer.json()
    assert answer.json()["errors"][0]["field"] == field


def test_status_says_what_is_left_today(acme, max_, account):
    account.daily_limit = 10
    account.save()
    day = timezone.now().astimezone(acme.tenant.zone).date()
    Usage.objects.create(account=account, day=day, count=4)

    answer = max_.get(f"{URL}/{account.pk}/status").json()

    assert (answer["status"], answer["phoneNumber"]) == ("connected", account.phone)
    assert answer["allowance"].pop("resetIn") > 0
    assert answer["allowance"] == {
        "sentToday": 4,
        "dailyLimit": 10,
        "remaining": 6,
        "isLimited": False,
    }
    usage = max_.get(f"{URL}/{account.pk}/usage?days=7").json()
    assert usage == {
        "dailyLimit": 10,
        "today": day.isoformat(),
        "days": [{"day": day.isoformat(), "count": 4}],
    }


# ---------------------------------------------------------------------------------- linking


@pytest.mark.django_db(transaction=True)
def test_connect_waits_for_the_code_and_shows_it_as_text_data_and_image(acme, max_, worker):
    account = make_account(acme.tenant, name="amina", connected=False)

    worker(lambda pending: linking.publish_qr(pending, QrCode(text="2@code", seq=1)))

    answer = max_.post(f"{URL}/{account.pk}/connect", {"waitSeconds": 20}, format="json")

    assert answer.status_code == 200, answer.json()
    qr = answer.json()["qr"]
    assert (answer.json()["status"], qr["text"], qr["seq"]) == ("pending", "2@code", 1)
    assert max_.get(f"{URL}/{account.pk}/qr").json() == qr
    image = max_.get(f"{URL}/{account.pk}/qr.png")
    assert image["Content-Type"] == "image/png"
    assert image["Cache-Control"] == "no-store"
    assert Image.open(io.BytesIO(image.content)).format == "PNG"
    assert qr["dataUrl"] == "data:image/png;base64," + base64.b64encode(image.content).decode()


def test_connect_does_not_wait_when_told_so(acme, max_):
    account = make_account(acme.tenant, name="amina", connected=False)

    answer = max_.post(f"{URL}/{account.pk}/connect", {"waitSeconds": 0}, format="json")

    assert answer.status_code == 202
    assert answer.json() == {
        "status": "pending", "statusReason": "", "qr": None, "pairingCode": None,
    }  # fmt: skip
    assert max_.get(f"{URL}/{account.pk}/qr").json()["type"] == "urn:relance:no_qr"
    assert max_.get(f"{URL}/{account.pk}/qr.png").status_code == 404


def test_connecting_what_is_linked_says_so(acme, max_, account):
    answer = max_.post(f"{URL}/{account.pk}/connect")

    assert (answer.status_code, answer.json()["status"]) == (200, "connected")


def test_a_viewer_gets_no_code(acme):
    account = make_account(acme.tenant, name="amina", connected=False)
    linking.publish_qr(account, QrCode(text="2@code", seq=1))
    vera = companies.client(acme.people["vera"])

    assert vera.get(f"{URL}/{account.pk}").status_code == 200
    assert vera.get(f"{URL}/{account.pk}/qr").status_code == 403
    assert vera.post(f"{URL}/{account.pk}/connect").status_code == 403


def test_disconnect_pause_and_resume_do_what_they_say_and_are_recorded(acme, max_, account):
    paused = max_.post(f"{URL}/{account.pk}/pause").json()
    resumed = max_.post(f"{URL}/{account.pk}/resume").json()
    gone = max_.post(f"{URL}/{account.pk}/disconnect").json()

    assert (paused["sendingPaused"], resumed["sendingPaused"]) == (True, False)
    assert gone == {"status": "disconnected", "logsOut": True}
    verbs = Activity.objects.filter(actor_name="max").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["account_paused", "account_resumed", "disconnected"]


# ----------------------------------------------------------------------------------- limits


def test_limits_are_set_together_and_null_is_the_default(acme, max_, account, settings):
    address = f"{URL}/{account.pk}/limits"
    body = {"daily": 20, "perMinute": None, "gapMs": 5000}

    answer = max_.put(address, body, format="json").json()

    defaults = settings.WHATSAPP_PER_MINUTE
    assert answer == body | {"effective": {"daily": 20, "perMinute": defaults, "gapMs": 5000}}
    assert max_.get(address).json() == answer
    max_.put(address, body, format="json")
    line = Activity.objects.get(verb="limits_changed")
    assert line.detail["after"] == {"daily_limit": 20, "per_minute": None, "gap_ms": 5000}


@pytest.mark.parametrize(
    "change",
    [{"daily": -1}, {"perMinute": 0}, {"gapMs": 10**30}, {"daily": "many"}, {"daily": True}],
)
def test_limits_that_make_no_sense_change_nothing(acme, max_, account, change):
    body = {"daily": 1, "perMinute": 1, "gapMs": 1} | change

    answer = max_.put(f"{URL}/{account.pk}/limits", body, format="json")

    assert answer.status_code == 400
    assert [e["field"] for e in answer.json()["errors"]] == list(change)
    account.refresh_from_db()
    assert account.daily_limit is None


# ------------------------------------------------------------------------------------- keys


def test_a_program_does_what_its_scopes_and_role_allow(acme, account):
    reads = companies.program(acme, "accounts:read", role="agent")
    writes = companies.program(acme, "accounts:write", role="agent")

    assert reads.get(f"{URL}/{account.pk}").status_code == 200
    assert reads.post(f"{URL}/{account.pk}/pause").json()["type"] == "urn:relance:scope"
    assert writes.post(f"{URL}/{account.pk}/pause").status_code == 200
    assert writes.get(URL).json()["type"] == "urn:relance:scope"
    assert writes.post(URL, {"name": "x"}, format="json").json()["type"] == "urn:relance:role"


# -------------------------------------------------------------------- a code to type in


def test_a_code_to_type_in_is_answered_beside_the_code_to_scan(acme, max_):
    account = Account.objects.create(tenant=acme.tenant, name="new")
    address = f"{URL}/{account.pk}/connect"
    linking.request(account, phone="+33639980000", now=timezone.now())
    account.refresh_from_db()
    linking.publish_qr(account, QrCode(text="2@code", seq=1))
    pairing.publish(account, "H7KD-93QX")

    answer = max_.post(address, {"phoneNumber": "06 39 98 00 00", "waitSeconds": 5}, format="json")

    assert answer.status_code == 200, answer.json()
    body = answer.json()
    assert (body["pairingCode"], body["qr"]["text"]) == ("H7KD-93QX", "2@code")


def test_without_a_code_to_type_in_yet_one_comes_back_for_it(acme, max_):
    account = Account.objects.create(tenant=acme.tenant, name="new")
    body = {"phoneNumber": "+33639980000", "waitSeconds": 0}
    answer = max_.post(f"{URL}/{account.pk}/connect", body, format="json")
    assert answer.status_code == 202
    assert answer.json()["pairingCode"] is None
    account.refresh_from_db()
    assert account.link_phone == "+33639980000"


@pytest.mark.parametrize("phone", ["amina", "12", "+33139980000", "+3363998000012345"])
def test_a_phone_that_cannot_be_linked_starts_nothing(acme, max_, phone):
    account = Account.objects.create(tenant=acme.tenant, name="new")
    body = {"phoneNumber": phone, "waitSeconds": 0}
    answer = max_.post(f"{URL}/{account.pk}/connect", body, format="json")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "phoneNumber"
    account.refresh_from_db()
    assert account.status == "new"


def test_a_number_that_whatsapp_gives_no_code_for_is_told_with_what_to_do(acme, max_):
    account = Account.objects.create(tenant=acme.tenant, name="new")
    linking.request(account, phone="+33639980000", now=timezone.now())
    account.refresh_from_db()
    pairing.publish(account, "", error="bad_number")
    body = {"phoneNumber": "+33639980000", "waitSeconds": 5}
    answer = max_.post(f"{URL}/{account.pk}/connect", body, format="json")
    assert answer.status_code == 502
    assert "scan the QR code instead" in answer.json()["detail"]


# -------------------------------------------------------- the routes marketing's tools know


def test_marketing_sees_accounts_with_health_and_usage(acme, max_, account):
    Account.objects.update(health_score=87)
    today = limits.today(acme.tenant, now=timezone.now())
    Usage.objects.create(account=account, day=today, count=4)
    Usage.objects.create(account=account, day=today - timedelta(days=1), count=90)
    [found] = max_.get(MARKETING).json()["results"]
    assert found == max_.get(f"{MARKETING}/{account.pk}").json()
    assert (found["healthScore"], found["messagesSentToday"], found["dailyLimit"]) == (87, 4, 100)
    assert found["status"] == "connected"


def test_marketing_makes_links_and_unlinks_an_account(acme, max_):
    made = max_.post(MARKETING, {"name": "spring"}, format="json")
    assert made.status_code == 201, made.json()
    address = f"{MARKETING}/{made.json()['id']}"
    account = Account.objects.get(name="spring")

    assert max_.get(f"{address}/qr").status_code == 404
    assert max_.post(f"{address}/initialize", {"waitSeconds": 0}, format="json").status_code == 202
    account.refresh_from_db()
    linking.publish_qr(account, QrCode(text="2@code", seq=1))
    assert max_.get(f"{address}/qr").json()["text"] == "2@code"
    shown = max_.post(f"{address}/initialize", {}, format="json").json()
    assert shown["qr"]["text"] == "2@code"

    assert max_.post(f"{address}/disconnect").json()["status"] == "disconnected"


def test_a_list_of_accounts_costs_the_same_however_many(acme, max_, django_assert_max_num_queries):
    for number in range(20):
        make_account(acme.tenant, name=f"a{number}")
    with django_assert_max_num_queries(8):
        assert len(max_.get(MARKETING).json()["results"]) == 20
