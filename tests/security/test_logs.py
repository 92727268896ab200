"""A canary number and a canary text go everywhere the product takes them, and into no log.

What is read is what the real handler has written: formatter, redaction and all.
"""

import io
import logging

import pytest
import structlog
from celery.signals import before_task_publish
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from campaigns import people, referrals
from campaigns.rows import Row
from relance_project import redaction
from tests import companies, factories
from tests.factories import NOW
from tests.whatsapp.conftest import (  # noqa: F401  fixtures
    account,
    empty_redis,
    linked,
    start_worker,
    tenant,
    worker,
    world,
    write,
)
from whatsapp import linking, tasks
from whatsapp.models import Message

PHONE = "+33639989876"
NATIONAL = "06 39 98 98 76"
TEXT = "Kanarienvogel-4711 Grüße"
NAME = "Quatremaille"


@pytest.fixture
def log():
    """What the configured handler writes, from the most talkative level on."""
    root = logging.getLogger()
    (handler,) = (h for h in root.handlers if type(h) is logging.StreamHandler)
    written, level = io.StringIO(), root.level
    stream = handler.setStream(written)
    root.setLevel(logging.DEBUG)
    yield written
    root.setLevel(level)
    handler.setStream(stream)


def assert_private(log):
    text = log.getvalue()
    plain = "".join(c for c in text if c.isalnum())
    for canary in (PHONE[1:], "0639989876", "639989876"):
        assert canary not in plain, line_of(text, canary)
    for canary in (TEXT, "Kanarienvogel", NAME):
        assert canary not in text, line_of(text, canary)


def line_of(text, canary):
    digits = [line for line in text.splitlines() if canary in "".join(filter(str.isalnum, line))]
    return digits[:3] or [line for line in text.splitlines() if canary in line][:3]


def test_sending_receiving_failing_and_crashing_browsers(log, linked, world, worker, write):  # noqa: F811
    for number, failure in enumerate([None, ("nack", 401), ("nack", 503), None]):
        if failure:
            world.fail(failure[0], code=failure[1])
        write(linked, PHONE, TEXT, key=f"{PHONE}-{number}")
        worker.drive(linked)
    world.absent.add("+33639989877")
    write(linked, "+33639989877", TEXT)
    worker.drive(linked)
    world.inbound("+33639980001", PHONE, TEXT, name=NAME)
    world.inbound("+33639980001", PHONE, "STOP", name=NAME)
    worker.settle()
    linking.disconnect(linked, now=timezone.now())
    worker.drive(linked)
    tasks.ring_waiting()

    assert Message.objects.exclude(state="queued").count() >= 4
    assert len(log.getvalue()) > 300
    assert_private(log)


def test_imports_payments_and_deletions(log, db):
    acme = companies.acme()
    referrer = factories.make_referrer(acme.tenant)
    row = {"referrer": referrer.external_id, "name": NAME, "registered_at": NOW.isoformat()}
    rows = [
        Row(row=2, external_id=f"id-{PHONE}", phone=PHONE, **row),
        Row(row=3, external_id="b", phone=NATIONAL, **row),
        Row(row=4, external_id="c", phone=PHONE + "99999", **row),
        Row(row=5, external_id="d", phone=PHONE, **{**row, "registered_at": "x" + PHONE}),
    ]
    referrals.import_rows(acme.tenant, rows, now=NOW)
    people.export(acme.tenant, PHONE, now=NOW)
    people.delete(acme.tenant, PHONE, now=NOW)

    assert "referrals imported" in log.getvalue()
    assert_private(log)


def test_calls_of_the_api_and_pages_good_bad_and_hostile(log, db):
    acme = companies.acme()
    account = factories.make_account(acme.tenant)  # noqa: F811
    olga = companies.client(acme.people["olga"])
    body = {"account": account.pk, "to": PHONE, "text": TEXT, "idempotencyKey": f"k-{PHONE}"}
    for path in ("/api/v1/messages", "/api/v1/people/delete", "/api/v1/people/export"):
        olga.post(path, body, format="json")
        olga.post(path, {"phone": PHONE}, format="json")
        olga.post(path, f"{PHONE} {TEXT}", content_type="application/json")
    for path in (
        f"/api/v1/messages/{PHONE}",
        f"/api/v1/nothing/{NATIONAL}/{PHONE[1:]}",
        f"/{PHONE}",
    ):
        olga.get(path)
    olga.get("/api/v1/messages", {"to": PHONE, "q": TEXT})
    Client().post("/login/", {"username": PHONE, "password": TEXT})
    Client().post("/api/auth/token", {"username": PHONE, "password": TEXT})

    assert "Not Found" in log.getvalue()
    assert_private(log)


def test_an_error_that_quotes_the_row_it_refuses(log, linked, write):  # noqa: F811
    message = write(linked, PHONE, f"{TEXT}\n\n{TEXT}")
    quoted = []
    for logger in (structlog.get_logger("whatsapp.sending"), logging.getLogger("django.request")):
        try:
            with transaction.atomic():
                Message.objects.filter(pk=message.pk).update(state="sent", sent_at=None)
        except IntegrityError as error:
            quoted.append(TEXT in str(error))
            logger.exception("Internal Server Error: /x")
            logger.error("failed: %s", error)
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("INSERT INTO whatsapp_contact (phone) VALUES (%s)", [PHONE])
        except IntegrityError as error:
            try:
                raise RuntimeError(f"no contact for {PHONE}") from error
            except RuntimeError:
                logger.exception("could not")

    assert quoted == [True, True]  # PostgreSQL does quote it
    assert log.getvalue().count("IntegrityError") >= 4
    assert_private(log)


def test_tasks_carry_ids_and_nothing_else(linked, write):  # noqa: F811
    sent = []

    def keep(body, **_):
        sent.append(body)

    before_task_publish.connect(keep)
    try:
        write(linked, PHONE, TEXT)
        tasks.ring_waiting()
    finally:
        before_task_publish.disconnect(keep)

    assert sent
    assert all(isinstance(argument, int) for args, kwargs, _ in sent for argument in args)
    assert all(not kwargs for _args, kwargs, _ in sent)


@pytest.mark.parametrize(
    "written",
    [
        PHONE, NATIONAL, "tel:+33639989876", "to=%2B33639989876", "0033639989876",
        "33639989876@c.us", "true_33639989876@c.us_3EB0", "(+33) 639 98 98 76", "+33.6.39.98.98.76",
        "{'to': '+33639989876'}",
    ],
)  # fmt: skip
def test_a_number_is_masked_however_it_is_written(written):
    for event in (
        {"event": f"sent {written} now"},
        {"event": "x", "error": written},
        {"event": "x", "args": [written, {"to": written}]},
        {"event": "x", "error": ValueError(written)},
    ):
        kept = str(redaction.redact(None, "info", event))
        assert "989876" not in "".join(c for c in kept if c.isdigit()), kept


@pytest.mark.parametrize(
    "harmless",
    ["2026-11-20T09:00:00.123456Z", "message_id=9000001", "192.0.2.17:8000", "1.26.4", "1234 ms"],
)  # fmt: skip
def test_times_ids_and_addresses_stay_readable(harmless):
    assert redaction.redact(None, "info", {"event": harmless}) == {"event": harmless}
