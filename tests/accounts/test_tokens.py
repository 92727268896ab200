"""Logging in with a JWT, going on, logging out."""

import datetime as dt
import threading

import pytest
from django.db import connection
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisDown
from rest_framework.test import APIClient
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts import tasks, throttles
from accounts.models import ServiceNonce
from tests import companies


def log_in(username="amina", password=companies.PASSWORD, **extra):
    return APIClient().post(
        "/api/auth/token", {"username": username, "password": password}, format="json", **extra
    )


def refresh(token):
    return APIClient().post("/api/auth/token/refresh", {"refresh": token}, format="json")


def status_with(access):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return client.get("/api/relance/status")


def test_a_user_logs_in_and_calls_with_the_access_token(acme):
    acme.make_referrer("amina")

    tokens = log_in().json()

    assert status_with(tokens["access"]).status_code == 200


def test_a_wrong_password_and_an_unknown_user_get_the_same_problem(acme):
    wrong = log_in(password="something else")
    unknown = log_in(username="nobody")

    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong["Content-Type"] == "application/problem+json"
    assert wrong.json()["type"] == "urn:relance:no_active_account"
    assert wrong.json()["success"] is False


def test_a_refresh_token_works_once(acme):
    first = log_in().json()

    second = refresh(first["refresh"])
    again = refresh(first["refresh"])

    assert second.status_code == 200
    assert second.json()["refresh"] != first["refresh"]
    assert again.status_code == 401
    assert refresh(second.json()["refresh"]).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_two_refreshes_at_the_same_moment_one_works():
    companies.acme()
    token = log_in().json()["refresh"]
    barrier, codes = threading.Barrier(4), []

    def work():
        try:
            barrier.wait(5)
            codes.append(refresh(token).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(codes) == [200, 401, 401, 401]


def test_logging_out_ends_the_refresh_token(acme):
    token = log_in().json()["refresh"]

    out = APIClient().post("/api/auth/logout", {"refresh": token}, format="json")

    assert out.json() == {"success": True, "message": "Logged out."}
    assert refresh(token).status_code == 401
    again = APIClient().post("/api/auth/logout", {"refresh": token}, format="json")
    assert again.status_code == 401


def test_a_changed_password_ends_access_and_refresh_tokens(acme):
    acme.make_referrer("amina")
    tokens = log_in().json()
    amina = acme.people["amina"]
    amina.set_password("another long password")
    amina.save()

    assert status_with(tokens["access"]).status_code == 401
    assert refresh(tokens["refresh"]).status_code == 401


@pytest.mark.parametrize("end", ["switched off", "deleted"])
def test_a_user_who_is_gone_cannot_go_on(acme, end):
    tokens = log_in().json()
    amina = acme.people["amina"]
    if end == "deleted":
        amina.delete()
    else:
        amina.is_active = False
        amina.save()

    assert refresh(tokens["refresh"]).status_code == 401
    assert status_with(tokens["access"]).status_code == 401


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", None, 5, {"a": 1}, ["x"], "é" * 50, "a" * 100_000, "\x00"]
)
def test_a_token_that_is_none_is_refused_politely(db, token):
    answer = refresh(token)

    assert answer.status_code in {400, 401}
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_object_is_a_client_error(db, body):
    for path in ("token", "token/refresh", "logout"):
        answer = APIClient().post(
            f"/api/auth/{path}", body, content_type="application/json; charset=zlib"
        )
        assert 400 <= answer.status_code < 500, path


def test_an_access_token_is_no_refresh_token(acme):
    assert refresh(log_in().json()["access"]).status_code == 401


def test_guessing_one_password_is_stopped_after_ten_attempts(acme):
    codes = [log_in(password=f"guess {n}").status_code for n in range(12)]

    assert codes == [401] * 10 + [429] * 2
    right = log_in()
    assert right.status_code == 429
    assert int(right["Retry-After"]) > 0
    assert log_in(username="olga").status_code == 200


def test_a_forged_forwarding_header_gives_no_more_attempts(acme):
    codes = [
        log_in(password="guess", HTTP_X_FORWARDED_FOR=f"198.51.100.{n}").status_code
        for n in range(12)
    ]

    assert codes[-1] == 429


def test_guessing_from_many_addresses_is_stopped_too(acme, monkeypatch):
    monkeypatch.setattr(throttles.LoginThrottle, "per_name", 5)

    codes = [log_in(password="guess", REMOTE_ADDR=f"198.51.100.{n}").status_code for n in range(7)]

    assert codes == [401] * 5 + [429] * 2


def test_without_redis_attempts_are_counted_in_the_process(acme, monkeypatch):
    throttles.IN_PROCESS.clear()

    def down(*args, **kwargs):
        raise RedisDown

    monkeypatch.setattr(throttles.cache, "add", down)

    codes = [log_in(password="guess").status_code for _ in range(12)]

    assert codes == [401] * 10 + [429] * 2


def test_housekeeping_forgets_old_nonces_and_expired_tokens_only(acme):
    key, _secret = companies.issue_key(acme)
    now = timezone.now()
    for name, age in (("old", 11), ("young", 9)):
        ServiceNonce.objects.create(key=key, nonce=name, used_at=now - dt.timedelta(minutes=age))
    log_in()
    log_in()
    OutstandingToken.objects.filter(pk=OutstandingToken.objects.first().pk).update(
        expires_at=now - dt.timedelta(seconds=1)
    )

    tasks.forget_nonces()
    tasks.forget_tokens()

    assert list(ServiceNonce.objects.values_list("nonce", flat=True)) == ["young"]
    assert OutstandingToken.objects.count() == 1
