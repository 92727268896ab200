"""Receivers of webhooks that are bad, slow, away, or inside a network."""

import datetime as dt
import threading

import pytest
from django.utils import timezone

from tests.whatsapp.conftest import EVERYTHING, happen
from whatsapp.models import WebhookEndpoint, WebhookEvent
from whatsapp.webhooks import delivery, endpoints

pytestmark = pytest.mark.usefixtures("local_receivers")


def test_a_redirect_is_not_followed(tenant, crm, receiver):
    receiver.answer = lambda call: 301
    receiver.headers = {"Location": receiver.url + "/elsewhere"}
    happen(tenant)

    delivery.deliver(crm.pk)

    assert len(receiver.calls) == 1
    assert crm.deliveries.get().error == "the server answered 301"


def test_a_huge_answer_is_cut_and_counts(tenant, crm, receiver):
    receiver.body = b"x" * 5_000_000
    happen(tenant)

    delivery.deliver(crm.pk)

    assert crm.deliveries.get().state == "delivered"


def test_a_server_that_is_away_is_an_error_in_the_log(tenant, crm):
    WebhookEndpoint.objects.update(url="http://127.0.0.1:1/nobody")
    happen(tenant)

    delivery.deliver(crm.pk)

    assert crm.deliveries.get().error.startswith("unreachable")


def test_a_server_that_does_not_answer_is_left_after_a_while(tenant, crm, receiver, monkeypatch):
    monkeypatch.setattr(delivery, "CALL_SECONDS", 0.3)
    forever = threading.Event()
    receiver.answer = lambda call: 200 if forever.wait(30) else 500
    happen(tenant)

    delivery.deliver(crm.pk)
    forever.set()

    assert crm.deliveries.get().error.startswith("too_slow")


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data", "http://10.0.0.7/", "http://[::1]/",
        "http://[::ffff:127.0.0.1]/", "http://localhost/", "http://0177.0.0.1/",
    ],
)  # fmt: skip
def test_an_address_inside_a_network_is_never_called(tenant, crm, settings, url):
    settings.WEBHOOK_ALLOW_LOCAL = False
    WebhookEndpoint.objects.update(url=url)
    happen(tenant)

    delivery.deliver(crm.pk)

    assert crm.deliveries.get().error.startswith(("private_address", "unreachable"))


@pytest.mark.parametrize(
    ("url", "events", "field"),
    [
        ("ftp://crm.example/", EVERYTHING, "url"),
        ("http://crm.example:8080/", EVERYTHING, "url"),
        ("http://someone@crm.example/", EVERYTHING, "url"),
        ("nonsense", EVERYTHING, "url"),
        ("https://crm.example/", [], "events"),
        ("https://crm.example/", ["message.eaten"], "events"),
        ("https://crm.example/", ["webhook.test"], "events"),
    ],
)
def test_a_bad_endpoint_is_refused_with_the_field_that_is_bad(tenant, settings, url, events, field):
    settings.WEBHOOK_ALLOW_LOCAL = False

    with pytest.raises(endpoints.BadEndpoint) as refused:
        endpoints.create(tenant=tenant, name="CRM", url=url, events=events, now=timezone.now())

    assert refused.value.field == field


def test_two_endpoints_of_one_name_are_refused(tenant, crm):
    with pytest.raises(endpoints.BadEndpoint, match="name"):
        endpoints.create(
            tenant=tenant, name="CRM", url=crm.url, events=EVERYTHING, now=timezone.now()
        )


def test_old_events_are_forgotten_with_their_log(tenant, crm):
    happen(tenant)
    WebhookEvent.objects.update(created_at=timezone.now() - dt.timedelta(days=40))
    happen(tenant, thing="2")

    assert endpoints.forget(before=timezone.now() - dt.timedelta(days=30)) == 1
    assert crm.deliveries.count() == 1
