"""The user service over real HTTP: what it may answer, and that a bad day of its harms nobody."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from campaigns import enrolment, planning, user_service
from campaigns.models import Referral, Referrer, Target
from campaigns.tasks import sync_referrals
from campaigns.user_service import ServiceError, UserService
from tests.factories import (
    DAY,
    NOW,
    make_campaign,
    make_referral,
    make_referrer,
    make_target,
    make_tenant,
)

SECRET = "bearer-of-the-tests-" + "s" * 16
ZOE = {
    "_id": "66f0c0ffee",
    "createdAt": "2026-11-10T08:00:00.000Z",
    "name": "Zoé Mbarga",
    "phoneNumber": "+33 6 39 98 00 42",
    "language": "fr",
}


class Answers:
    """What the server says by path; a list is said one after the other, its last for ever."""

    def __init__(self):
        self.by_path = {}
        self.asked = []

    def __setitem__(self, path, answer):
        self.by_path[path] = answer if isinstance(answer, list) else [answer]

    def next(self, path):
        said = self.by_path.get(path, [(404, {})])
        return said.pop(0) if len(said) > 1 else said[0]


@pytest.fixture
def answers():
    return Answers()


@pytest.fixture
def url(answers):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            answers.asked.append((self.path, self.headers.get("Authorization")))
            status, body = answers.next(path)
            if callable(body):
                body(self)
                return
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:9/steal")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/internal"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def service(url):
    with UserService(
        url, SECRET, timeout=httpx.Timeout(0.3), deadline=2, sleep=lambda _: None
    ) as made:
        yield made


SUBSCRIPTION = "/internal/users/amina/subscriptions/relance"
REFERRALS = "/internal/users/amina/referrals"


# ------------------------------------------------------------------------------ one question


@pytest.mark.parametrize("body", [{"active": True}, {"success": True, "data": {"active": True}}])
def test_a_subscription_is_asked_for_with_the_secret(service, answers, body):
    answers[SUBSCRIPTION] = (200, body)
    assert service.has_subscription("amina") is True
    assert answers.asked == [(SUBSCRIPTION, f"Bearer {SECRET}")]


def test_an_id_cannot_leave_its_place_in_the_address(service, answers):
    with pytest.raises(ServiceError):
        service.has_subscription("../admin?x=")
    assert answers.asked[0][0] == "/internal/users/..%2Fadmin%3Fx%3D/subscriptions/relance"


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"<html>"),
        (200, b"\xff\xfe"),
        (200, {}),
        (200, {"active": "yes"}),
        (200, []),
        (200, {"success": False, "data": {"active": True}}),
        (401, {}),
        (404, {}),
        (302, {}),
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error_and_not_asked_again(service, answers, answer):
    answers[SUBSCRIPTION] = answer
    with pytest.raises(ServiceError) as caught:
        service.has_subscription("amina")
    assert not caught.value.retryable
    assert len(answers.asked) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_failing_server_is_asked_three_times(service, answers, status):
    answers[SUBSCRIPTION] = [(status, {}), (status, {}), (200, {"active": False})]
    assert service.has_subscription("amina") is False

    answers[SUBSCRIPTION] = (status, {})
    answers.asked.clear()
    with pytest.raises(ServiceError, match=str(status)):
        service.has_subscription("amina")
    assert len(answers.asked) == user_service.ATTEMPTS


def test_a_slow_server_is_given_up(service, answers):
    answers[SUBSCRIPTION] = (200, lambda _: time.sleep(1))
    started = time.monotonic()
    with pytest.raises(ServiceError, match="ReadTimeout"):
        service.has_subscription("amina")
    assert time.monotonic() - started < 3


def test_a_body_that_drips_is_given_up_at_the_deadline(service, answers):
    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(60):
            time.sleep(0.1)
            handler.wfile.write(b" ")

    answers[REFERRALS] = (200, drip)
    started = time.monotonic()
    with pytest.raises(ServiceError):
        service.unpaid_referrals("amina")
    assert time.monotonic() - started < 4


def test_an_endless_answer_is_given_up(service, answers, monkeypatch):
    monkeypatch.setattr(user_service, "LONGEST_ANSWER", 1000)
    answers[REFERRALS] = (200, b"[" + b" " * 5000 + b"]")
    with pytest.raises(ServiceError, match="too long"):
        service.unpaid_referrals("amina")


def test_nobody_there_is_an_error():
    with (
        UserService("http://127.0.0.1:9", SECRET, sleep=lambda _: None) as service,
        pytest.raises(ServiceError, match="ConnectError"),
    ):
        service.has_subscription("amina")


# --------------------------------------------------------------------------------- refresh


@pytest.fixture
def amina(db, url, settings):
    settings.USER_SERVICE_URL = url
    settings.USER_SERVICE_SECRET = SECRET
    settings.LEGACY_SERVICE_TENANT = ""
    campaign = make_campaign()
    return make_referrer(campaign.tenant, external_id="amina")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(user_service, "BACKOFF", 0)


def test_referrals_come_in_and_are_enrolled(amina, answers):
    answers[SUBSCRIPTION] = (200, {"active": True})
    answers[REFERRALS] = (200, [ZOE, ZOE | {"_id": {"$oid": "b"}, "phoneNumber": 33639980043}])

    report = user_service.refresh(now=NOW)

    assert (report.asked, report.failed, report.created) == (1, 0, 2)
    zoe = Referral.objects.get(external_id="66f0c0ffee")
    assert (zoe.phone, zoe.referrer, zoe.language) == ("+33639980042", amina, "fr")
    assert enrolment.enrol(now=NOW) == 2
    assert user_service.refresh(now=NOW + DAY).created == 0


def test_malformed_referrals_do_not_stop_the_good_ones(amina, answers):
    answers[SUBSCRIPTION] = (200, {"active": True})
    bad = [{}, {"_id": None}, ZOE | {"_id": "b", "phoneNumber": None}, ZOE | {"_id": ["x"]}]
    answers[REFERRALS] = (200, [*bad, ZOE])
    assert user_service.refresh(now=NOW).created == 1


def test_a_lapsed_subscription_stops_enrolment_and_holds_targets(amina, answers):
    target = make_target(make_referral(amina))
    answers[SUBSCRIPTION] = (200, {"active": False})

    report = user_service.refresh(now=NOW)

    assert report.lapsed == 1
    amina.refresh_from_db()
    assert (amina.subscribed, amina.subscription_checked_at) == (False, NOW)
    planning.plan(now=NOW)
    target.refresh_from_db()
    assert target.hold == "subscription"

    answers[SUBSCRIPTION] = (200, {"active": True})
    answers[REFERRALS] = (200, [])
    later = NOW + DAY
    assert user_service.refresh(now=later).resumed == 1
    assert planning.plan(now=later).queued == 1


def test_a_service_that_is_down_changes_nothing(amina, answers):
    answers[SUBSCRIPTION] = (500, {})
    report = user_service.refresh(now=NOW)
    assert report.failed == 1
    amina.refresh_from_db()
    assert amina.subscribed
    assert amina.subscription_checked_at is None


def test_a_service_that_is_down_is_not_asked_for_everybody(amina, answers):
    for _ in range(9):
        make_referrer(amina.tenant)
    report = user_service.refresh(now=NOW)
    assert report.asked == user_service.GIVE_UP_AFTER


def test_only_the_tenant_it_belongs_to_is_asked_for(amina, answers, settings):
    other = make_tenant("other")
    make_referrer(other, external_id="eve")
    assert user_service.refresh(now=NOW).asked == 0, "two tenants: which one is it?"

    settings.LEGACY_SERVICE_TENANT = amina.tenant.slug
    user_service.refresh(now=NOW)
    assert {path for path, _ in answers.asked} == {SUBSCRIPTION}


def test_those_not_asked_for_longest_are_first(amina, answers):
    bruno = make_referrer(amina.tenant, external_id="bruno")
    Referrer.objects.filter(pk=amina.pk).update(subscription_checked_at=NOW)
    user_service.refresh(now=NOW, limit=1)
    assert f"/users/{bruno.external_id}/" in answers.asked[0][0]


def test_the_task_asks_nobody_without_an_address(db, settings):
    settings.USER_SERVICE_URL = ""
    sync_referrals()
    assert not Target.objects.exists()
