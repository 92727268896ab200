"""The admin in a real browser: somebody logs in and looks at the main pages.

With SCREENSHOTS set to a folder each page is kept there as a picture, to be looked at.
"""

import os
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from accounts.models import User
from campaigns.models import Broadcast, Campaign, Target, Template
from tests import factories
from tests.admin.test_imports import demo
from tests.admin.test_pages import fill
from whatsapp.models import ChatAgent, Message, WebhookDelivery, WebhookEndpoint

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def keep(driver, name):
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        driver.save_screenshot(str(Path(folder) / f"{name}.png"))


def test_somebody_logs_in_imports_referrals_and_looks_around(chromium, live_server, tmp_path):
    User.objects.create_superuser("operator", password="a long enough password")
    acme = factories.make_tenant(
        "acme", name="Acme", payment_link="https://pay.example/{{external_id}}"
    )
    for name in ("amina", "bruno", "chantal", "david"):
        factories.make_referrer(acme, external_id=name, name=name.title())
    fill(acme, rows=6)
    Template.objects.filter(step__number=1).update(
        body="Bonjour {{name}} 👋 C'est {{referrer}}. {{link}}"
    )
    Message.objects.filter(pk=Message.objects.first().pk).update(state="failed", error="not on it")
    Target.objects.filter(pk=Target.objects.first().pk).update(
        hold="template", hold_detail="step 2 has no text in “en”"
    )

    def visit(path, name):
        chromium.get(live_server.url + path)
        keep(chromium, name)
        assert "Server Error" not in chromium.title
        return chromium.find_element(By.TAG_NAME, "body").text

    chromium.get(live_server.url + "/admin/")
    keep(chromium, "login")
    chromium.find_element(By.NAME, "username").send_keys("operator")
    chromium.find_element(By.NAME, "password").send_keys("a long enough password")
    chromium.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    WebDriverWait(chromium, 10).until(
        lambda d: "Acme" in d.page_source or "Campaigns" in d.page_source
    )
    keep(chromium, "home")

    for name in ("referrals-bad.csv", "referrals.csv"):
        (tmp_path / name).write_bytes(demo(name))
    visit("/admin/campaigns/referral/import-csv/", "import")
    chromium.find_element(By.NAME, "file").send_keys(str(tmp_path / "referrals-bad.csv"))
    chromium.find_element(By.CSS_SELECTOR, "#import button[type=submit]").click()
    WebDriverWait(chromium, 20).until(lambda d: d.find_elements(By.ID, "findings"))
    keep(chromium, "import-dry-run")
    assert "ref-9001" in chromium.find_element(By.ID, "findings").text

    campaign = Campaign.objects.get()
    assert "Import CSV" in visit("/admin/campaigns/referral/", "referrals")
    assert "Who is due now?" in visit("/admin/campaigns/target/", "targets")
    visit(f"/admin/campaigns/target/{Target.objects.first().pk}/change/", "target")
    visit("/admin/campaigns/campaign/", "campaigns")
    visit(f"/admin/campaigns/campaign/{campaign.pk}/change/", "campaign")
    assert "pay.example" in visit(f"/admin/campaigns/campaign/{campaign.pk}/texts/", "texts")
    visit("/admin/campaigns/referrer/", "referrers")
    visit("/admin/whatsapp/account/", "accounts")
    account = acme.whatsapp_accounts.first()
    visit(f"/admin/whatsapp/account/{account.pk}/change/", "account")
    assert "UNCERTAIN" in visit("/admin/whatsapp/message/", "messages")
    visit(f"/admin/whatsapp/message/{Message.objects.first().pk}/change/", "message")
    visit("/admin/whatsapp/incoming/", "incoming")
    visit("/admin/accounts/user/", "users")
    visit("/api/docs/", "docs-loading")
    WebDriverWait(chromium, 20).until(
        lambda d: "/api/relance/connect" in d.find_element(By.TAG_NAME, "body").text
    )
    keep(chromium, "docs")

    assert "CRM of acme" in visit("/admin/whatsapp/webhookendpoint/", "webhooks")
    crm = WebhookEndpoint.objects.get()
    visit(f"/admin/whatsapp/webhookendpoint/{crm.pk}/change/", "webhook")
    assert "message.sent" in visit("/admin/whatsapp/webhookdelivery/", "webhook-log")
    delivery = WebhookDelivery.objects.first()
    visit(f"/admin/whatsapp/webhookdelivery/{delivery.pk}/change/", "webhook-delivery")
    visit("/admin/whatsapp/chatagent/", "agents")
    visit(f"/admin/whatsapp/chatagent/{ChatAgent.objects.first().pk}/change/", "agent")
    visit("/admin/campaigns/broadcast/", "broadcasts")
    visit(f"/admin/campaigns/broadcast/{Broadcast.objects.first().pk}/change/", "broadcast")

    visit("/admin/whatsapp/message/?show=uncertain", "messages-uncertain")
    chromium.execute_script(
        """
        document.querySelector("#action-toggle").click();
        const form = document.querySelector("#changelist-form");
        form.querySelector("select[name=action]").value = "settle_again";
        form.submit();
        """
    )
    WebDriverWait(chromium, 10).until(lambda d: "Send these messages again?" in d.page_source)
    keep(chromium, "confirm")

    errors = [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
    assert [entry for entry in errors if "favicon" not in entry["message"]] == []
