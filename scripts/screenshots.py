"""``make screenshots``: a picture of each screen in docs/screenshots/, of a company two weeks in.

The stage is the demo's (real services, browsers and messages, a simulated WhatsApp). A day takes
as long as its messages: when all have arrived, every time in the database is moved back by a day.
"""

from __future__ import annotations

import csv
import datetime as dt
import os
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relance_project.settings")
django.setup()

from django.apps import apps  # noqa: E402  - Django is set up first
from django.core.cache import cache  # noqa: E402
from django.db import transaction  # noqa: E402
from django.db.models import DateField, DateTimeField, F  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import Membership, Tenant, User  # noqa: E402
from campaigns import sequences  # noqa: E402
from campaigns.models import Broadcast, Referral, Target  # noqa: E402
from campaigns.referrals import import_rows  # noqa: E402
from campaigns.rows import Row  # noqa: E402
from demo import scenario, stage  # noqa: E402
from demo.__main__ import Play, perform  # noqa: E402
from relance_project import local  # noqa: E402
from scripts.gallery import hang  # noqa: E402
from scripts.painter import PICTURES, eventually  # noqa: E402
from scripts.scenes import Scenes, crm  # noqa: E402
from whatsapp import limits, linking  # noqa: E402
from whatsapp.models import Account, AgentTurn, Message  # noqa: E402

DAYS = 9
A_DAY = 6  # referrals
ONE_DAY = dt.timedelta(days=1)
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
            WHATSAPP_NEW_CHATS="30",
            # What nobody can decide is left for a person to see.
            RESEND_NOT_FOUND="0",
            WHATSAPP_SEND_SECONDS="5",
            # The system that is told what happens is one of this machine.
            RELANCE_WEBHOOK_ALLOW_LOCAL="1",
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
    scenes = Scenes(play, cast, marie)
    work = Weeks(play, cast, scenes)
    with crm() as address:
        scenes.begin(address)
        for day in range(DAYS):
            with play.step(f"day {day + 1} of {DAYS}"):
                work.live(day)
        with play.step(f"pictures in {PICTURES}"):
            hang(play, cast, marie)
    return True


class Weeks:
    """What happens to the company, day by day."""

    def __init__(self, play: Play, cast: scenario.Cast, scenes: Scenes) -> None:
        self.play, self.cast, self.tenant, self.scenes = play, cast, cast.tenant, scenes
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
        self.scenes.evening(day)
        eventually(self.is_quiet, "every message of the evening arrived")
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
        broadcasts = Broadcast.objects.filter(tenant=self.tenant, state=Broadcast.State.RUNNING)
        unanswered = AgentTurn.objects.filter(state__in=AgentTurn.OPEN)
        asked = (waiting, due, on_the_way, broadcasts, unanswered)
        return not any(rows.exists() for rows in asked)

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


if __name__ == "__main__":
    sys.exit(main())
