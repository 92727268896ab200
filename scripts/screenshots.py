"""``make screenshots``: a picture of each screen in docs/screenshots/, of a company two weeks in.

The stage is the demo's (real services, browsers and messages, a simulated WhatsApp). A day takes
as long as its messages: when all have arrived, every time in the database is moved back by a day.
"""

from __future__ import annotations

import csv
import datetime as dt
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relance_project.settings")
django.setup()

from django.apps import apps  # noqa: E402  - Django is set up first
from django.conf import settings  # noqa: E402
from django.core.cache import cache  # noqa: E402
from django.db import transaction  # noqa: E402
from django.db.models import DateField, DateTimeField, F  # noqa: E402
from django.utils import timezone  # noqa: E402
from PIL import Image  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

from accounts.models import Membership, Tenant, User  # noqa: E402
from campaigns import sequences  # noqa: E402
from campaigns.models import Campaign, Referral, Target  # noqa: E402
from campaigns.referrals import import_rows  # noqa: E402
from campaigns.rows import Row  # noqa: E402
from demo import scenario, stage  # noqa: E402
from demo.__main__ import Play, perform  # noqa: E402
from relance_project import local  # noqa: E402
from tests.visitors import Visitor, open_chromium  # noqa: E402
from whatsapp import limits, linking  # noqa: E402
from whatsapp.models import Account, Message  # noqa: E402

PICTURES = Path(__file__).resolve().parent.parent / "docs/screenshots"
LARGEST = 150 * 1024  # bytes
DAYS = 9
A_DAY = 6  # referrals
ONE_DAY = dt.timedelta(days=1)
PATIENCE = 180.0  # seconds
TIMES = ("accounts", "campaigns", "whatsapp")
# What workers hold at this moment stays as it is.
NOW_ONLY = {"whatsapp.Lease", "whatsapp.Profile"}


def main() -> int:
    if "RELANCE_DEMO_DIRECTORY" not in os.environ:
        local.ensure_running(reason="screenshots")
        return stage.run(
            "scripts.screenshots",
            WHATSAPP_DAILY_LIMIT="40",
            WHATSAPP_PER_MINUTE="40",
            # What nobody can decide is left for a person to see.
            RESEND_NOT_FOUND="0",
            WHATSAPP_SEND_SECONDS="5",
        )
    return perform(sit)


def sit(play: Play) -> bool:
    """Two weeks of work, and a picture of each screen at the end."""
    play.start()
    cast = scenario.invent_people()
    Tenant.objects.filter(pk=cast.tenant.pk).update(name="Acme")
    marie = User.objects.create_user("marie", is_staff=True)
    Membership.objects.create(tenant=cast.tenant, user=marie, role=Membership.Role.MANAGER)
    sequences.load(stage.SEQUENCE, tenant=cast.tenant, activate=True, now=timezone.now())
    with play.step("web, beat and workers are ready"):
        play.supervisor.wait_ready()
    play.control.config(delivered_after=0.05, read_after=0.1)
    with play.step("four accounts linked"):
        play.link_everybody(cast)
    work = Weeks(play, cast)
    for day in range(DAYS):
        with play.step(f"day {day + 1} of {DAYS}"):
            work.live(day)
    with play.step(f"pictures in {PICTURES}"):
        Gallery(play, cast, marie).hang()
    return True


def eventually(condition: Callable[[], Any], what: str) -> Any:
    until = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > until:
            raise scenario.Refused(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.1)
    return found


class Weeks:
    """What happens to the company, day by day."""

    def __init__(self, play: Play, cast: scenario.Cast) -> None:
        self.play, self.cast, self.tenant = play, cast, cast.tenant
        self.people = self._people()

    def _people(self) -> Iterator[dict[str, str]]:
        with stage.REFERRALS.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        # By referrer in turn, so that everybody has somebody.
        rows.sort(key=lambda row: row["external_id"])
        return iter(rows[1:])

    def live(self, day: int) -> None:
        now = timezone.now()
        new = [
            Row(
                row=number,
                **{name: row[name] for name in ("external_id", "referrer", "name", "phone")},
                region=row["region"],
                language=row["language"],
                registered_at=(now - dt.timedelta(hours=2, minutes=7 * number)).isoformat(),
            )
            for number, row in enumerate(islice(self.people, A_DAY))
        ]
        self.misfortunes(day)
        import_rows(self.tenant, new, now=now, source="people.csv")
        eventually(self.is_quiet, "every message of the day arrived")
        self.decisions(day)
        if day + 1 < DAYS:
            self.pass_night()

    def misfortunes(self, day: int) -> None:
        """What goes wrong on a day, before its messages leave."""
        self.play.control.config(
            nack={"code": 400, "times": 1} if day in {3, 6} else None,
            ack=True,
        )
        followed = Target.objects.filter(tenant=self.tenant, state=Target.State.ACTIVE)
        if day == DAYS - 1:
            brunos = followed.filter(account__name="bruno").order_by("pk")[0].phone
            self.play.control.config(ack={"mode": "swallowed", "times": 1, "phone": brunos})
        if day == 5:
            gone = followed.order_by("pk").values_list("phone", flat=True)[3]
            self.play.control.directory(absent=[gone])

    def decisions(self, day: int) -> None:
        """What people do in the evening of a day."""
        followed = Target.objects.filter(tenant=self.tenant, state=Target.State.ACTIVE)
        if day in {2, 4, 5}:
            for external_id in scenario.choose_payers(self.tenant, day // 2):
                scenario.pay(self.play.api, self.cast, external_id)
        if day == 4:
            stopping = followed.order_by("pk").last()
            assert stopping is not None  # noqa: S101
            self.play.control.receive(stopping.phone, "STOP", account=stopping.account.phone)
            eventually(
                lambda: not followed.filter(pk=stopping.pk).exists(), "whoever says STOP is out"
            )
        if day == DAYS - 1:
            david = Account.objects.get(tenant=self.tenant, name="david")
            self.play.control.logout(david.phone)
            eventually(
                lambda: Account.objects.filter(pk=david.pk, status="logged_out").exists(),
                "david's phone has removed the browser",
            )
            chantal = Account.objects.get(tenant=self.tenant, name="chantal")
            linking.pause_sending(chantal, now=timezone.now())

    def is_quiet(self) -> bool:
        messages = Message.objects.filter(tenant=self.tenant)
        due = Target.objects.filter(
            tenant=self.tenant,
            state=Target.State.ACTIVE,
            open_message=None,
            hold="",
            next_due_at__lte=timezone.now(),
        )
        waiting = Referral.objects.filter(
            tenant=self.tenant, enrolled_at=None, skipped_reason="", paid_at=None
        )
        on_the_way = messages.filter(state__in=[*Message.OPEN, "sent", "delivered"])
        return not (waiting.exists() or due.exists() or on_the_way.exists())

    def pass_night(self) -> None:
        with transaction.atomic():
            for app in TIMES:
                for model in apps.get_app_config(app).get_models():
                    if model._meta.label not in NOW_ONLY:
                        move_back(model)
        # Counted anew from the table, and drawn anew.
        for account in Account.objects.filter(tenant=self.tenant):
            limits.server().client.delete(limits.key(account.pk))
        cache.clear()


def move_back(model: Any) -> None:
    """Every time and day of a table, by one day."""
    fields = [f.name for f in model._meta.concrete_fields if isinstance(f, DateField)]
    if not fields:
        return
    rows = model._base_manager
    far = 1000 * ONE_DAY  # a day is unique per account: none may meet the one before it
    days = [n for n in fields if not isinstance(model._meta.get_field(n), DateTimeField)]
    if days:
        rows.update(**{name: F(name) - far for name in days})
    rows.update(
        **{name: F(name) + (far - ONE_DAY if name in days else -ONE_DAY) for name in fields}
    )


class Gallery:
    """Every screen, looked at by whoever it is made for."""

    def __init__(self, play: Play, cast: scenario.Cast, marie: User) -> None:
        self.play, self.cast, self.marie = play, cast, marie
        self.root = f"http://127.0.0.1:{play.port}"
        self.tenant = cast.tenant

    def hang(self) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        with open_chromium(self.play.directory / "painter") as driver:
            self.visitor = Visitor(driver, self.root)
            self.driver = driver
            driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
            self.referrers()
            self.console()
            self.marketing()
            self.developers()

    # ------------------------------------------------------------------ how

    def enter(self, user: User, *, language: str = "en", width: int = 1280) -> None:
        Visitor(self.driver, self.root, user)
        self.driver.add_cookie({"name": settings.LANGUAGE_COOKIE_NAME, "value": language})
        self.width = width
        self.visitor.wide(width)

    def open(self, path: str, words: str) -> None:
        """Go to `path` and wait until `words` are to be read."""
        self.driver.get(self.root + path)
        self.reads(words)

    def reads(self, words: str) -> None:
        def there() -> bool:
            return words in self.driver.execute_script("return document.body.innerText")

        eventually(there, f"“{words}” on {self.driver.current_url}")

    def press(self, css: str) -> None:
        element = self.driver.find_element(By.CSS_SELECTOR, css)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def keep(self, name: str, *, height: int = 860) -> None:
        """The page from its top, `height` pixels at most, in as few colours as it takes."""
        self.visitor.wide(self.width, height)
        path = PICTURES / f"{name}.png"
        self.driver.save_screenshot(str(path))
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(256, kmeans=1, dither=Image.Dither.NONE)
        small.save(path, optimize=True)
        if path.stat().st_size > LARGEST:
            raise scenario.Refused(f"{path} has {path.stat().st_size} bytes: make it less high")

    def target(self, **fields: Any) -> Target:
        found = Target.objects.filter(tenant=self.tenant, **fields).order_by("pk").first()
        if found is None:
            raise scenario.Refused(f"nobody to show: no target with {fields}")
        return found

    # ------------------------------------------------------------------ what

    def referrers(self) -> None:
        """Amina's page as it should be; David's when something is wrong, until it is mended."""
        self.enter(User.objects.get(username="amina"), language="fr")
        self.open("/", "Connecté")
        self.keep("referrer")
        self.enter(User.objects.get(username="david"), width=360)
        self.open("/", "Link my WhatsApp")
        self.keep("referrer-logged-out", height=1100)
        self.press("#link")
        eventually(lambda: self.driver.find_elements(By.CSS_SELECTOR, ".qr"), "David sees a code")
        self.keep("referrer-code", height=1100)

        david = Account.objects.get(tenant=self.tenant, name="david")
        self.enter(self.marie)
        self.open(f"/admin/whatsapp/account/{david.pk}/change/", "david")
        eventually(
            lambda: self.driver.find_elements(By.CSS_SELECTOR, ".console-qr"),
            "the account's page shows the code",
        )
        self.keep("account-code")
        code = linking.current_qr(david.pk)
        assert code is not None  # noqa: S101
        self.play.control.scan(scenario.PHONES["david"], ref=code.text, name="David")
        eventually(
            lambda: Account.objects.filter(pk=david.pk, status="connected").exists(),
            "David is linked again",
        )

    def console(self) -> None:
        self.enter(self.marie)
        self.open("/admin/", "How far people come")
        self.keep("dashboard", height=1500)
        self.open("/admin/whatsapp/account/", "amina")
        self.keep("accounts", height=640)
        amina = Account.objects.get(tenant=self.tenant, name="amina")
        self.open(f"/admin/whatsapp/account/{amina.pk}/change/", "amina")
        self.keep("account")
        self.open("/admin/whatsapp/message/?show=uncertain", "UNCERTAIN")
        self.keep("messages-uncertain", height=640)
        self.open("/admin/accounts/activity/", "amina")
        self.keep("activity")

    def marketing(self) -> None:
        campaign = Campaign.objects.get(tenant=self.tenant)
        page = f"/admin/campaigns/campaign/{campaign.pk}"
        self.open(f"{page}/texts/", "Day 7")
        self.keep("texts", height=1100)
        someone = self.target(state="active", steps_done=3)
        self.open(f"{page}/rehearse/?referral={someone.referral.external_id}", "Try it on")
        self.keep("dry-run", height=1100)
        self.open("/admin/campaigns/campaign/calendar/", "planned")
        self.keep("calendar", height=1250)
        self.open("/admin/campaigns/target/", "Who is due now?")
        self.keep("targets")
        exited = self.target(state="exited", exit_reason="paid")
        self.open(f"/admin/campaigns/target/{exited.pk}/change/", "Why")
        self.keep("target", height=1100)
        self.open("/admin/campaigns/referral/import-csv/", "Import referrals")
        self.driver.find_element(By.NAME, "file").send_keys(str(stage.DATA / "referrals-bad.csv"))
        self.press("#import button")
        self.reads("Nothing is imported yet")
        self.keep("import-dry-run")
        draft = Campaign.objects.create(tenant=self.tenant, name="Relance de Noël")
        step = draft.steps.create(number=1, delay=dt.timedelta(0))
        step.templates.create(language="fr", body="Bonjour {{name}}, joyeuses fêtes ! {{link}}")
        step = draft.steps.create(number=2, delay=ONE_DAY)
        step.templates.create(language="fr", body="Encore un jour, {{prenom}} : {{link}}")
        step.templates.create(language="en", body="One day left, {{name}}: {{link}}")
        self.open(f"/admin/campaigns/campaign/{draft.pk}/activate/", "something is missing")
        self.keep("activation-refused", height=520)
        draft.delete()

    def developers(self) -> None:
        self.open("/api/docs/", "/api/relance/connect")
        self.keep("api-docs")
        amina = Account.objects.get(name="amina").phone.lstrip("+")
        self.driver.get(f"{self.play.simulator_url}/phone?phone={amina}")
        self.reads("owner of a linked account")
        self.press("#chats .chat")
        self.reads("Amina")
        self.keep("simulator-phone")


if __name__ == "__main__":
    sys.exit(main())
