"""Signed calls of other systems: the payment that ends everything."""

import json
import threading
import time

import pytest
from django.core.cache import cache
from django.db import connection
from rest_framework.test import APIClient

from accounts import signed
from accounts.models import ServiceNonce
from campaigns import exits
from campaigns.models import Payment
from tests import companies

PATH = "/api/relance/internal/exit-user"


def call(key, secret, *, body=b'{"userId": "ref-1"}', sent=None, path=PATH, **parts):
    headers = signed.sign_request(
        key_id=key.key_id, secret=secret, method="POST", path=path, body=body, **parts
    )
    return APIClient().post(
        path, body if sent is None else sent, content_type="application/json", headers=headers
    )


@pytest.fixture
def key(acme):
    return companies.issue_key(acme)


def test_a_signed_call_is_taken_and_an_unknown_payer_is_remembered(acme, key):
    answer = call(*key)

    assert answer.status_code == 200, answer.content
    assert answer.json() == {
        "success": True,
        "data": {"targetsExited": 0, "messagesCancelled": 0, "inFlight": 0, "known": False},
    }
    payment = Payment.objects.get()
    assert (payment.tenant, payment.external_id, payment.source) == (
        acme.tenant,
        "ref-1",
        "billing",
    )
    key[0].refresh_from_db()
    assert key[0].last_used_at is not None


def test_the_same_call_again_is_refused_even_after_redis_was_flushed(key):
    parts = {"ts": int(time.time()), "nonce": "n" * 20}
    assert call(*key, **parts).status_code == 200
    cache.clear()

    replayed = call(*key, **parts)

    assert replayed.status_code == 401
    assert replayed.json()["type"] == "urn:relance:replayed"
    assert replayed["WWW-Authenticate"] == "Relance-HMAC"


@pytest.mark.parametrize(("away", "status"), [(-301, 401), (-295, 200), (295, 200), (302, 401)])
def test_a_call_is_good_for_five_minutes_either_way(key, away, status):
    assert call(*key, ts=int(time.time()) + away).status_code == status


@pytest.mark.parametrize(
    "altered",
    [
        {"sent": b'{"userId": "ref-2"}'},
        {"sent": b'{"userId": "ref-1"} '},
        {"sent": b""},
    ],
)
def test_an_altered_body_is_refused(key, altered):
    answer = call(*key, **altered)

    assert answer.status_code == 401
    assert answer.json()["type"] == "urn:relance:signature_wrong"
    assert not Payment.objects.exists()


def test_what_is_signed_includes_method_path_query_time_and_nonce(key):
    issued, secret = key
    ts, nonce = int(time.time()), "n" * 20
    headers = signed.sign_request(
        key_id=issued.key_id,
        secret=secret,
        method="POST",
        path=PATH,
        body=b"{}",
        ts=ts,
        nonce=nonce,
    )
    good = headers["Authorization"]
    for path, header in [
        (PATH + "?a=1", good),
        (PATH, good.replace(f"ts={ts}", f"ts={ts + 1}")),
        (PATH, good.replace(nonce, "m" * 20)),
        (PATH, good.replace(good[-64:], "0" * 64)),
        (PATH, good.replace("signature=", "signature=00")),
        (PATH, good.replace(issued.key_id, "rk_unknown")),
        (PATH, good + ", signature=" + "0" * 64),
        (PATH, "Relance-HMAC"),
        (PATH, "Relance-HMAC key=x"),
        (PATH, "Basic YTpi"),
        (PATH, "\x7f\xff"),
    ]:
        answer = APIClient().post(
            path, b"{}", content_type="application/json", headers={"Authorization": header}
        )
        assert answer.status_code == 401, header
    assert not ServiceNonce.objects.exists()


def test_an_unknown_key_and_a_wrong_secret_get_the_same_answer(acme, key):
    issued, _secret = key
    wrong = call(issued, "x" * 43).json()
    issued.key_id = "rk_0000000000000000"

    assert call(issued, "x" * 43).json() == wrong


def test_two_keys_work_while_a_secret_is_rotated_and_one_that_is_off_does_not(acme, key):
    new = companies.issue_key(acme)
    assert [call(*key).status_code, call(*new).status_code] == [200, 200]

    key[0].active = False
    key[0].save()

    assert [call(*key).status_code, call(*new).status_code] == [401, 200]


def test_a_key_acts_for_its_own_company_only(acme, key):
    eve = companies.other()
    theirs = companies.issue_key(eve)

    assert call(*theirs).status_code == 200

    assert Payment.objects.get().tenant == eve.tenant


def test_a_key_whose_secret_cannot_be_unsealed_is_refused_not_an_error(key, settings):
    settings.WHATSAPP_SESSION_SECRETS = ["s" * 40]

    assert call(*key).status_code == 401


def test_a_rotated_session_secret_still_opens_old_keys(key, settings):
    settings.WHATSAPP_SESSION_SECRETS = ["new" * 20, *settings.WHATSAPP_SESSION_SECRETS]

    assert call(*key).status_code == 200


def test_a_call_that_failed_on_our_side_may_be_made_again(key, monkeypatch):
    """The nonce is part of the transaction that failed."""
    parts = {"ts": int(time.time()), "nonce": "n" * 20}
    with monkeypatch.context() as broken:

        def explode(**kwargs):
            Payment.objects.create(
                tenant=kwargs["tenant"], external_id="half", paid_at=kwargs["now"]
            )
            raise RuntimeError("secret detail 0639980000")

        broken.setattr(exits, "exit_referral", explode)
        failed = call(*key, **parts)

    assert failed.status_code == 500
    assert failed.json()["type"] == "urn:relance:internal"
    assert "secret detail" not in failed.content.decode()
    assert not Payment.objects.exists()
    assert call(*key, **parts).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_several_replays_at_the_same_moment_one_is_taken():
    key, secret = companies.issue_key(companies.acme())
    parts = {"ts": int(time.time()), "nonce": "n" * 20}
    barrier, codes = threading.Barrier(5), []

    def work():
        try:
            barrier.wait(5)
            codes.append(call(key, secret, **parts).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(codes) == [200, 401, 401, 401, 401]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "userId"),
        ({"userId": ""}, "userId"),
        ({"userId": None}, "userId"),
        ({"userId": {}}, "userId"),
        ({"userId": ["a"]}, "userId"),
        ({"userId": "x" * 101}, "userId"),
        ({"userId": "a\x00b"}, "userId"),
        ({"userId": "\ud800"}, "userId"),
        ([], ""),
    ],
)
def test_a_bad_body_is_answered_with_the_field(key, body, field):
    answer = call(*key, body=json.dumps(body).encode())

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


def test_a_huge_body_is_refused(key):
    assert call(*key, body=b'{"userId": "' + b"x" * 300_000 + b'"}').status_code == 413
    assert call(*key, body=b'{"userId": "' + b"x" * 3_000_000 + b'"}').status_code == 413


def test_a_persons_token_does_not_open_the_services_door(acme):
    answer = companies.client(acme.people["olga"]).post(PATH, {"userId": "x"}, format="json")

    assert answer.status_code == 401


def legacy(secret, name="billing"):
    headers = {"Authorization": f"Bearer {secret}", "X-Service-Name": name}
    return APIClient().post(PATH, {"userId": "ref-1"}, format="json", headers=headers)


def test_the_old_bearer_is_off_unless_a_secret_is_set(acme, settings):
    assert legacy("").status_code == 401
    assert legacy("x" * 40).json()["type"] == "urn:relance:signature_missing"

    settings.LEGACY_SERVICE_SECRET = "l" * 40
    settings.LEGACY_SERVICE_TENANT = "acme"

    assert legacy("l" * 40).status_code == 200
    assert legacy("l" * 41).status_code == 401
    assert legacy("é" * 40).status_code == 401
    assert legacy("l" * 40, name="").status_code == 401
    settings.LEGACY_SERVICE_TENANT = "nobody"
    assert legacy("l" * 40).status_code == 401
