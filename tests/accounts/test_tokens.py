"""Logging in with a JWT, going on, logging out."""

import datetime as dt
import threading
from collections import Counter

import pytest
from django.contrib.auth import get_user
from django.db import connection
from django.test import Client
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisDown
from rest_framework.test import APIClient
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts import tasks, throttles
from accounts.models import Activity, ServiceNonce
from campaigns.api.relance import StatusView
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


# ---------------------------------------------------------------- reuse, revocation, passwords


def test_a_used_token_that_comes_back_later_ends_everything_of_its_user(acme):
    stolen = log_in().json()["refresh"]
    other_phone = log_in().json()["refresh"]
    bystander = log_in(username="olga").json()["refresh"]
    thief = refresh(stolen).json()["refresh"]
    BlacklistedToken.objects.update(blacklisted_at=timezone.now() - dt.timedelta(minutes=1))

    assert refresh(stolen).status_code == 401

    assert refresh(thief).status_code == 401
    assert refresh(other_phone).status_code == 401
    assert refresh(bystander).status_code == 200
    (line,) = Activity.objects.filter(verb="token_reused")
    assert (line.actor_name, line.tenant) == ("amina", acme.tenant)
    assert log_in().status_code == 200


def test_the_same_token_twice_within_seconds_is_an_accident(acme):
    first = log_in().json()["refresh"]
    second = refresh(first).json()["refresh"]

    assert refresh(first).status_code == 401

    assert refresh(second).status_code == 200


def test_a_forged_token_with_a_used_id_ends_nothing(acme):
    used, good = log_in().json()["refresh"], log_in().json()["refresh"]
    refresh(used)
    BlacklistedToken.objects.update(blacklisted_at=timezone.now() - dt.timedelta(minutes=1))
    header, claims, _signature = used.split(".")

    assert refresh(f"{header}.{claims}.{'A' * 43}").status_code == 401

    assert refresh(good).status_code == 200


def test_the_database_holds_no_token_that_could_be_used(acme):
    tokens = log_in().json()
    refresh(tokens["refresh"])

    assert set(OutstandingToken.objects.values_list("token", flat=True)) == {""}


def test_logging_out_is_recorded(acme):
    APIClient().post("/api/auth/logout", {"refresh": log_in().json()["refresh"]}, format="json")

    assert Activity.objects.filter(verb="logged_out", actor_name="amina").count() == 1


def change_password(tokens, current=companies.PASSWORD, new="another long sentence"):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens['access']}")
    return client.post("/api/auth/password", {"current": current, "new": new}, format="json")


def test_a_changed_password_ends_every_token_and_session_and_gives_a_new_pair(acme):
    acme.make_referrer("amina")
    phone, laptop, page = log_in().json(), log_in().json(), Client()
    page.force_login(acme.people["amina"])

    answer = change_password(laptop)

    assert answer.status_code == 200, answer.json()
    for old in (phone, laptop):
        assert status_with(old["access"]).status_code == 401
        assert refresh(old["refresh"]).status_code == 401
    assert get_user(page).is_anonymous
    assert status_with(answer.json()["access"]).status_code == 200
    assert log_in().status_code == 401
    assert log_in(password="another long sentence").status_code == 200
    assert Activity.objects.filter(verb="password_changed", actor_name="amina").count() == 1


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        ("wrong", "another long sentence", "current"),
        (companies.PASSWORD, "short", "new"),
        (companies.PASSWORD, "password123", "new"),
        (companies.PASSWORD, "20261120093000", "new"),
        (companies.PASSWORD, "", "new"),
        (companies.PASSWORD, "a\x00 long sentence", "new"),
        (companies.PASSWORD, "x" * 501, "new"),
        (None, None, "current"),
    ],
)
def test_a_password_that_will_not_do_names_the_field_and_ends_nothing(acme, current, new, field):
    tokens = log_in().json()

    answer = change_password(tokens, current, new)

    assert answer.status_code == 400
    assert field in {error["field"] for error in answer.json()["errors"]}
    assert refresh(tokens["refresh"]).status_code == 200


def test_a_stolen_access_token_is_not_good_for_guessing_the_password(acme):
    tokens = log_in().json()

    codes = [change_password(tokens, f"guess {n}").status_code for n in range(11)]

    assert codes == [400] * 9 + [429] * 2
    assert int(change_password(tokens)["Retry-After"]) > 0


# --------------------------------------------------------------------------------- attempts


@pytest.mark.django_db(transaction=True)
def test_of_thirty_guesses_at_the_same_moment_ten_are_looked_at(monkeypatch):
    companies.acme()
    monkeypatch.setattr(throttles.Throttle, "now", staticmethod(lambda: 1_800_000_000.0))
    barrier, answers = threading.Barrier(30), []

    def work(n):
        try:
            barrier.wait(20)
            answers.append(log_in(password=f"guess {n}"))
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[n]) for n in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    codes = Counter(answer.status_code for answer in answers)
    assert codes == {401: 10, 429: 20}
    assert all(int(a["Retry-After"]) > 0 for a in answers if a.status_code == 429)


@pytest.mark.django_db(transaction=True)
def test_of_a_burst_of_calls_as_many_as_allowed_get_in(monkeypatch):
    acme = companies.acme()
    acme.make_referrer("amina")
    monkeypatch.setattr(throttles.Throttle, "now", staticmethod(lambda: 1_800_000_000.0))
    monkeypatch.setattr(StatusView, "calls_per_minute", {"GET": 7})
    access = log_in().json()["access"]
    barrier, answers = threading.Barrier(20), []

    def work():
        try:
            barrier.wait(20)
            answers.append(status_with(access))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert Counter(answer.status_code for answer in answers) == {200: 7, 429: 13}
    assert {a["Retry-After"] for a in answers if a.status_code == 429} == {"61"}


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
