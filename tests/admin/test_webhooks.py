"""Webhooks in the admin: the secret shown once, bad addresses named, dead letters sent again."""

from django.urls import reverse
from django.utils import timezone

from tests.admin.test_pages import page_of
from whatsapp.models import WebhookDelivery, WebhookEndpoint
from whatsapp.webhooks import endpoints


def test_a_webhook_is_added_with_its_secret_on_one_page(operator, acme):
    answer = operator.post(
        reverse("admin:whatsapp_webhookendpoint_add"),
        {
            "tenant": acme.pk, "name": "CRM", "url": "https://crm.example/",
            "events": ["message.read"],
        },
    )  # fmt: skip

    endpoint = WebhookEndpoint.objects.get()
    assert endpoint.secrets(now=timezone.now())
    assert b"whsec_" in answer.content
    assert "no-store" in answer["Cache-Control"]


def test_a_webhook_at_an_address_inside_is_refused_with_its_field(operator, acme):
    answer = operator.post(
        reverse("admin:whatsapp_webhookendpoint_add"),
        {"tenant": acme.pk, "name": "CRM", "url": "http://x:99/", "events": ["message.read"]},
    )

    assert "url" in answer.context["adminform"].errors
    assert not WebhookEndpoint.objects.exists()


def test_dead_letters_of_a_webhook_are_sent_again_after_a_question(operator, acme):
    endpoint, _secret = endpoints.create(
        tenant=acme, name="CRM", url="https://crm.example/", events=["message.read"],
        now=timezone.now(),
    )  # fmt: skip
    letter = endpoints.test(endpoint, now=timezone.now())
    WebhookDelivery.objects.update(state="dead")
    page = reverse("admin:whatsapp_webhookdelivery_changelist")
    asked = {"action": "replay", "_selected_action": [letter.pk]}

    assert WebhookDelivery.objects.get().state == "dead"
    operator.post(page, asked)
    assert WebhookDelivery.objects.get().state == "dead"
    operator.post(page, asked | {"confirmed": "yes"})
    assert WebhookDelivery.objects.get().state == "pending"


def test_a_webhooks_page_shows_its_latest_calls_and_can_be_tried_there(operator, acme):
    endpoint, _secret = endpoints.create(
        tenant=acme, name="CRM", url="https://crm.example/", events=["message.read"],
        now=timezone.now(),
    )  # fmt: skip
    page = page_of(endpoint)
    assert "Nothing was told to it yet" in operator.get(page).content.decode()

    tried = operator.post(
        reverse("admin:whatsapp_webhookendpoint_changelist"),
        {"action": "try_out", "_selected_action": [endpoint.pk], "from_page": endpoint.pk},
    )
    assert tried.url == page
    WebhookDelivery.objects.update(state="dead", attempts=1, error="the server answered 503")
    shown = operator.get(page).content.decode()
    assert "webhook.test" in shown
    assert "the server answered 503" in shown
    assert "given up" in shown
    assert f"?endpoint__id__exact={endpoint.pk}" in shown
    assert "Send dead letters again" in shown
    log = reverse("admin:whatsapp_webhookdelivery_changelist")
    only = operator.get(f"{log}?endpoint__id__exact={endpoint.pk}")
    assert "webhook.test" in only.content.decode()
