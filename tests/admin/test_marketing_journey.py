"""Somebody of marketing, in a real browser: writes, tries, activates, imports, follows.

With SCREENSHOTS set to a folder every screen is kept there, wide and narrow, light and dark.
"""

import os

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from campaigns import enrolment, planning, texts
from campaigns.models import Campaign, Referral, Target
from tests import factories
from tests.admin.test_imports import demo
from tests.admin.test_texts import PICTURE
from tests.factories import DAY
from tests.visitors import Visitor

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # With pictures of every screen, on a machine that has other things to do.
    pytest.mark.timeout(300),
]

FRENCH = "Bonjour {{name}} 👋 C'est {{referrer}}, jour %d : {{link}}"
WHOLE = """
return Math.min(3000, Math.max(900, ...[...document.querySelectorAll('*')]
    .filter(e => e.scrollHeight > e.clientHeight && e.clientHeight > 300).map(e => e.scrollHeight)))
"""
ENGLISH = "Hi {{name}} 👋 {{referrer}} here, day %d: {{link}}"


class Marketing(Visitor):
    """What a person does with a page."""

    def open(self, path):
        self.driver.get(self.root + path)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector):
        element = self.find(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def write(self, name, text):
        """As a paste does: ChromeDriver cannot type an emoji."""
        self.driver.execute_script(
            "arguments[0].focus(); document.execCommand('selectAll');"
            "document.execCommand('insertText', false, arguments[1]);",
            self.find(f"[name='{name}']"), text,
        )  # fmt: skip

    def see(self, text, selector="body"):
        """Wait until `text` stands in `selector`."""

        def shown(driver):
            found = driver.find_elements(By.CSS_SELECTOR, selector)
            return any(text in element.text for element in found)

        WebDriverWait(self.driver, 30, ignored_exceptions=()).until(
            shown, f"“{text}” is not to be seen in {selector}"
        )

    def look(self, name):
        """Nothing of ours is hard to read, light or dark, nor wider than a phone."""
        for dark in (False, True):
            self.driver.execute_script(
                "document.documentElement.classList.toggle('dark', arguments[0])", dark
            )
            # Unfold's own links in the dark are 4.3:1, which is theirs to mend.
            found = self.violations(inside=".sheet") if self.has(".sheet") else []
            assert not found, "\n".join([name, *found])
            if os.environ.get("SCREENSHOTS"):
                self.show(f"{name}-{'dark' if dark else 'light'}", 1280)
                self.show(f"{name}-{'dark' if dark else 'light'}", 390)
        self.wide(390)
        assert not self.overflows(), f"{name} is wider than a phone"
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.driver.execute_script("document.documentElement.classList.remove('dark')")

    def show(self, name, width):
        """A picture of the whole page, which scrolls inside of itself."""
        self.wide(width)
        self.wide(width, self.driver.execute_script(WHOLE))
        self.keep(f"{name}-{width}")

    def has(self, selector):
        return bool(self.driver.find_elements(By.CSS_SELECTOR, selector))


def test_marketing_writes_seven_days_activates_imports_and_follows(chromium, live_server, tmp_path):
    acme = factories.make_tenant("acme", name="Acme")
    factories.make_user(
        acme, username="marie", role="manager", password="a long enough password", is_staff=True
    )
    for name in ("amina", "bruno", "chantal", "david"):
        factories.make_referrer(acme, external_id=name, name=name.title())
    page = Marketing(chromium, live_server.url)
    page.open("/admin/login/")
    page.find("[name=username]").send_keys("marie")
    page.find("[name=password]").send_keys("a long enough password")
    page.click("button[type=submit]")
    page.see("Campaigns")

    # a campaign, and what it says
    page.open("/admin/campaigns/campaign/add/")
    page.find("[name=name]").send_keys("Relance 7 jours")
    page.click("[name=_save]")
    page.see("Day 7")
    page.look("texts-empty")
    for day in range(1, 8):
        page.write(f"text-{day}-fr", FRENCH % day)
        page.write(f"text-{day}-en", ENGLISH % day)
    page.see("Hi Chloé 👋 Amina here, day 7", "#preview-7-en")
    page.write("text-3-en", "Hi {{prenom}}")
    page.see("unknown variable {{prenom}}", "#preview-3-en")
    page.find("[name='file-2-fr']").send_keys(str(PICTURE))
    page.click(".bar [name=save]")
    page.see("Not saved: mend what is marked in red")
    page.look("texts-mistake")
    page.write("text-3-en", ENGLISH % 3)
    page.click(".bar [name=save]")
    page.see("Saved: 14 texts are new.")
    page.look("texts-written")
    campaign = Campaign.objects.get()
    assert sum(len(day.texts) for day in texts.read(campaign)) == 14
    assert texts.read(campaign)[1].files["fr"].filename == PICTURE.name

    # on
    page.open(f"/admin/campaigns/campaign/{campaign.pk}/activate/")
    page.see("0 unpaid referrals wait to be followed")
    page.look("activate")
    page.click("form.bar button")
    page.see("is active.")
    page.look("campaign")

    # people
    (tmp_path / "bad.csv").write_bytes(demo("referrals-bad.csv"))
    page.open("/admin/campaigns/referral/import-csv/")
    page.look("import")
    page.find("[name=file]").send_keys(str(tmp_path / "bad.csv"))
    page.click("#import button")
    page.see("Nothing is imported yet")
    page.see("ref-9003", "#findings")
    page.look("import-dry-run")
    assert not Referral.objects.exists()
    page.click("#confirm button")
    page.see("Imported into Acme")
    page.look("import-done")
    assert Referral.objects.filter(tenant=acme).exists()

    # what they would get, and what they get
    someone = Referral.objects.filter(paid_at=None, skipped_reason="").first()
    page.open(f"/admin/campaigns/campaign/{campaign.pk}/rehearse/?referral={someone.external_id}")
    page.see("jour 7", ".planned")
    page.look("dry-run")
    now = someone.registered_at + 2 * DAY
    enrolment.enrol(now=now)
    planning.plan(now=now)
    page.open("/admin/campaigns/target/?show=sending")
    page.see("Amina")
    page.look("targets")
    target = Target.objects.exclude(open_message=None).first()
    page.open(f"/admin/campaigns/target/{target.pk}/change/")
    page.see("Message 1", "#why")
    page.look("target")
    page.open(f"/admin/campaigns/target/{target.pk}/pause/")
    page.see("This is about 1 row.")
    page.look("pause")
    page.click("[name=confirmed]")
    page.see("Paused today", "#why")
    page.open("/admin/")
    page.look("dashboard")
    page.see("Relance")

    assert [one for one in page.complaints() if "favicon" not in one] == []
