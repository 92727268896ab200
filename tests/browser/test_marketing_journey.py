"""Marketing's journey: write seven days, preview, activate, import, watch what goes out.

With SCREENSHOTS set to a folder every screen is kept there, to be looked at.
"""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from campaigns.models import Campaign, Referral, Target
from demo.stage import DATA
from tests.browser.conftest import PASSWORD, Relance, eventually
from tests.browser.marie import Marie
from tests.factories import make_user
from whatsapp.models import Message
from whatsapp.simulator.client import SimulatorControl

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

FRENCH = "Bonjour {{name}} 👋 C'est {{referrer}}, jour %d : {{link}}"
ENGLISH = "Hi {{name}} 👋 {{referrer}} here, day %d: {{link}}"


def test_marketing_writes_seven_days_activates_imports_and_watches_them_go_out(
    relance: Relance, simulator: SimulatorControl, chromium: Chrome, live_server: Any
) -> None:
    simulator.config(delivered_after=0.1, read_after=0.2)
    make_user(relance.tenant, username="marie", role="manager", password=PASSWORD, is_staff=True)
    relance.start(beat=True)
    relance.link(simulator)
    marie = Marie(chromium, live_server.url)
    marie.wide(1280)

    # Logs in.
    marie.log_in()
    marie.sees("Nothing to draw yet")

    # Writes seven days in two languages, and forgets one text.
    marie.open("/admin/campaigns/campaign/add/")
    chromium.find_element(By.NAME, "name").send_keys("Relance 7 jours")
    marie.press("[name=_save]")
    marie.sees("Day 7")
    for day in range(1, 8):
        marie.write(f"text-{day}-fr", FRENCH % day)
        if day != 5:
            marie.write(f"text-{day}-en", ENGLISH % day)
    marie.choose("file-1-fr", DATA / "day2.png")
    marie.write("text-3-en", "Hi {{prenom}}")
    marie.sees("unknown variable {{prenom}}", "#preview-3-en")
    marie.press(".bar [name=save]")
    marie.sees("Not saved: mend what is marked in red")
    marie.may_use("texts-mistake")
    marie.write("text-3-en", ENGLISH % 3)
    marie.sees("Amina here, day 3", "#preview-3-en")
    marie.press(".bar [name=save]")
    marie.sees("Saved: 13 texts are new.")

    # May not switch it on while that one is missing.
    campaign = Campaign.objects.get()
    page = f"/admin/campaigns/campaign/{campaign.pk}"
    marie.open(f"{page}/activate/")
    marie.sees("Not yet: something is missing")
    marie.sees("day 5 has no text in “en”")
    assert not chromium.find_elements(By.CSS_SELECTOR, ".sheet form button")
    marie.may_use("refused")
    assert not Campaign.objects.filter(active=True).exists()
    marie.press(".notice.bad a")
    marie.sees("Day 5")
    marie.write("text-5-en", ENGLISH % 5)
    marie.press(".bar [name=save]")
    marie.sees("Saved: 1 text is new.")
    marie.may_use("texts")

    # Switches it on.
    marie.open(f"{page}/activate/")
    marie.sees("0 unpaid referrals wait to be followed")
    marie.may_use("activate")
    marie.press("form.bar button")
    marie.sees("is active.")

    # Imports a file with bad rows: first it only says what would happen.
    marie.open("/admin/campaigns/referral/import-csv/")
    marie.choose("file", DATA / "referrals-bad.csv")
    marie.may_use("import")
    marie.press("#import button")
    marie.sees("Nothing is imported yet")
    marie.sees("ref-9003", "#findings")
    marie.may_use("import-dry-run")
    assert not Referral.objects.exists()
    marie.press("#confirm button")
    marie.sees("Imported into Acme")
    marie.may_use("import-done")
    imported = Referral.objects.filter(tenant=relance.tenant)
    followed = set(imported.filter(paid_at=None, skipped_reason="").values_list("phone", flat=True))
    assert (imported.count(), len(followed)) == (5, 4)

    # Sees what somebody gets.
    someone = imported.filter(phone__in=followed)[0]
    marie.open(f"{page}/rehearse/?referral={someone.external_id}")
    marie.sees("jour 7", ".planned")
    marie.may_use("dry-run")

    # Watches the dashboard.
    def dashboard_says(*words: str) -> bool:
        marie.open("/admin/")
        return all(marie.reads(one) for one in words)

    count = len(followed)
    eventually(
        lambda: dashboard_says(
            f"Of {count} people enrolled in 14 days", f"{count} sent in 14 days, 100 % of them read"
        ),
        120,
        what="the dashboard shows what was enrolled, sent and read",
    )
    marie.may_use("dashboard")
    assert {f"+{m.to}" for m in simulator.messages() if m.accepted} == followed
    assert set(Message.objects.values_list("state", flat=True)) == {"read"}

    # Looks somebody up.
    marie.open("/admin/campaigns/target/")
    marie.sees("Amina")
    marie.may_use("targets")
    target = Target.objects.all()[0]
    marie.open(f"/admin/campaigns/target/{target.pk}/change/")
    marie.sees("Message 2", "#why")
    marie.may_use("target")
    marie.open(f"/admin/campaigns/target/{target.pk}/pause/")
    marie.sees("This is about 1 row.")
    marie.press("[name=confirmed]")
    marie.sees("Paused today", "#why")
    assert marie.complaints() == []
