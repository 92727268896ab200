"""The pictures of docs/screenshots/: every screen, looked at by whoever it is made for."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import timezone
from selenium.webdriver.common.by import By

from accounts.models import User
from campaigns import segments
from campaigns.broadcasts import authoring, running
from campaigns.models import Broadcast, Campaign, Segment, Target
from demo import scenario, stage
from demo.__main__ import Play
from scripts import scenes
from scripts.painter import PICTURES, Painter, eventually
from tests.visitors import open_chromium
from whatsapp.models import (
    Account,
    Chat,
    ChatAgent,
    Contact,
    Group,
    WebhookEndpoint,
)

ONE_DAY = dt.timedelta(days=1)


def hang(play: Play, cast: scenario.Cast, marie: User) -> None:
    """Take all of them; `marie` is of marketing."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with open_chromium(play.directory / "painter") as driver:
        gallery = Gallery(Painter(driver, f"http://127.0.0.1:{play.port}"), play, cast, marie)
        gallery.referrers()
        gallery.console()
        gallery.marketing()
        gallery.conversations()
        gallery.people()
        gallery.broadcasts()
        gallery.developers()


class Gallery:
    """What there is to see, screen by screen."""

    def __init__(self, painter: Painter, play: Play, cast: scenario.Cast, marie: User) -> None:
        self.painter, self.play, self.cast, self.marie = painter, play, cast, marie
        self.enter, self.open, self.press = painter.enter, painter.open, painter.press
        self.reads, self.sees, self.keep = painter.reads, painter.sees, painter.keep
        self.tenant = cast.tenant

    def target(self, **fields: Any) -> Target:
        found = Target.objects.filter(tenant=self.tenant, **fields).order_by("pk").first()
        if found is None:
            raise scenario.Refused(f"nobody to show: no target with {fields}")
        return found

    def referrers(self) -> None:
        """Amina's page as it should be; David's when something is wrong, until it is mended."""
        self.enter(User.objects.get(username="amina"), language="fr")
        self.open("/", "Connecté")
        self.keep("referrer")
        self.enter(User.objects.get(username="david"), width=360)
        self.open("/", "Link my WhatsApp")
        self.keep("referrer-logged-out", height=1100)
        self.press("#link")
        self.sees(".qr")
        self.keep("referrer-code", height=1100)

        david = Account.objects.get(tenant=self.tenant, name="david")
        self.enter(self.marie)
        self.open(f"/admin/whatsapp/account/{david.pk}/change/", "david")
        self.sees(".console-qr")
        self.keep("account-code")
        [person] = [one for one in self.cast.referrers if one.name == "david"]
        scenario.link(self.play.api, self.play.control, person)

    def console(self) -> None:
        self.enter(self.marie)
        self.open("/admin/", "How far people come")
        self.keep("dashboard", height=1500)
        self.open("/admin/whatsapp/account/", "amina")
        self.keep("accounts", height=640)
        amina = Account.objects.get(tenant=self.tenant, name="amina")
        self.open(f"/admin/whatsapp/account/{amina.pk}/change/", "amina")
        self.keep("account")
        bruno = Account.objects.get(tenant=self.tenant, name="bruno")
        self.open(f"/admin/whatsapp/account/{bruno.pk}/change/", "Health and pace")
        self.sees(".console-plot canvas")
        self.keep("account-health", height=760, top="[aria-labelledby=plot-health]")
        self.keep("account-pace", height=800, top="fieldset:has([name=gap_jitter_ms])")
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
        self.painter.driver.find_element(By.NAME, "file").send_keys(
            str(stage.DATA / "referrals-bad.csv")
        )
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

    def conversations(self) -> None:
        """Zoé asked, the agent answered; Marie takes over by answering, and Zoé thanks her."""
        chat = Chat.objects.get(tenant=self.tenant, contact__phone=scenes.ZOE)
        self.open(f"/admin/whatsapp/chat/{chat.pk}/change/", "The chat agent")
        self.painter.write(
            "#answer-text", "Bonjour, ici Marie : le deuxième enfant est offert ce mois-ci."
        )
        self.press(".chat-box ~ .console-buttons button")
        self.reads("agent and sequences keep silent")
        self.reads_all(3)
        self.play.control.receive(
            scenes.ZOE, "Oh, merci ! Je l'inscris ce soir.", account=chat.account.phone
        )
        self.reads("Je l'inscris ce soir.")
        self.keep("conversation", height=1000)
        self.open("/admin/whatsapp/chat/", "Zoé")
        self.keep("conversations")
        agent = ChatAgent.objects.get(tenant=self.tenant)
        self.open(f"/admin/whatsapp/chatagent/{agent.pk}/change/", "What would it answer?")
        self.painter.write("#try-text", "Vous êtes ouverts le dimanche ?")
        self.press("#agent-try button")
        self.sees("#agent-try .chat-ours")
        self.keep("agent", height=1850)

    def reads_all(self, answers: int) -> None:
        read = self.painter.driver.find_elements
        eventually(
            lambda: len(read(By.CSS_SELECTOR, ".chat-read")) == answers, "each answer is read"
        )

    def people(self) -> None:
        self.open("/admin/whatsapp/group/", "Parents")
        self.keep("groups", height=640)
        parents = Group.objects.get(tenant=self.tenant, subject__startswith="Parents")
        self.open(f"/admin/whatsapp/group/{parents.pk}/change/", "Members")
        self.keep("group", height=1100)
        contact = Contact.objects.get(tenant=self.tenant, phone=scenes.ANSWERING[0])
        self.open(f"/admin/whatsapp/contact/{contact.pk}/change/", "What happened")
        self.keep("contact", height=1760)

    def broadcasts(self) -> None:
        segment = Segment.objects.get(tenant=self.tenant)
        self.open(f"/admin/campaigns/segment/{segment.pk}/change/", "may be written to")
        self.keep("segment", height=1100)
        done = Broadcast.objects.get(tenant=self.tenant)
        self.open(f"/admin/campaigns/broadcast/{done.pk}/change/", "no longer waiting")
        self.keep("broadcast", height=1000)
        self.open(f"/admin/campaigns/recipient/?broadcast__id__exact={done.pk}", "Moreau")
        self.keep("broadcast-recipients", height=1000)
        now = timezone.now()
        draft = authoring.create(
            tenant=self.tenant, name="Dernière semaine", default_language="fr",
            segment=segments.create(
                tenant=self.tenant, name="Still followed", rules={"referral": ["followed"]},
                now=now,
            ),
            accounts=list(Account.objects.filter(tenant=self.tenant).order_by("pk")),
            starts_at=(now + ONE_DAY).replace(hour=9, minute=0, second=0, microsecond=0),
            now=now,
        )  # fmt: skip
        for language, body in [
            ("fr", "{{name}}, {{referrer}} vous garde une place jusqu'à dimanche : {{link}}"),
            ("en", "{{name}}, {{referrer}} holds a place for you until Sunday: {{link}}"),
        ]:
            authoring.write_text(draft, language=language, body=body, now=now)
        self.open(f"/admin/campaigns/broadcast/{draft.pk}/rehearse/", "Nothing is sent")
        self.keep("broadcast-dry-run", height=1100)
        running.start(draft, now=now)
        self.open("/admin/campaigns/campaign/calendar/?view=week", "planned")
        self.keep("calendar-week", height=900)

    def developers(self) -> None:
        crm = WebhookEndpoint.objects.get(tenant=self.tenant)
        self.open(f"/admin/whatsapp/webhookendpoint/{crm.pk}/change/", "given up".upper())
        self.keep("webhook", height=1000)
        self.open("/api/docs/", "/api/relance/connect")
        self.keep("api-docs")
        amina = Account.objects.get(name="amina").phone.lstrip("+")
        self.painter.driver.get(f"{self.play.simulator_url}/phone?phone={amina}")
        self.reads("owner of a linked account")
        self.press("#chats .chat")
        self.reads("Amina")
        self.keep("simulator-phone")
