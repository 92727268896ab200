"""What the company of the pictures does beside following up: groups, a broadcast, a chat agent that
answers, a webhook of which not every call is taken, a number whose health falls and recovers.

Everything goes through the product's own functions; what others do, through the simulator.
"""

from __future__ import annotations

import datetime as dt
import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from accounts.activity import Actor
from accounts.models import User
from campaigns import segments
from campaigns.broadcasts import authoring, running
from campaigns.models import Broadcast, Recipient, Target
from demo import scenario
from demo.__main__ import Play
from scripts.painter import eventually
from whatsapp import contacts, engagement, groups, health, numbers
from whatsapp.agents import setup
from whatsapp.models import Account, ChatAgent, Contact, Group, Message
from whatsapp.webhooks import endpoints

# Numbers reserved for fiction, apart from all others of the demo.
PARENTS = {
    f"+336399892{n:02}": name
    for n, name in enumerate(
        [
            "Inès Moreau", "Tom Lefèvre", "Léa Garnier", "Malik Benali", "Awa Diop",
            "Hugo Perrin", "Nadia Kaci", "Paul Marchand", "Fatou Ndiaye", "Clara Vidal",
            "Yanis Haddad", "Emma Rolland", "Ousmane Ba", "Julie Carpentier", "Samir Toumi",
            "Alice Renaud",
        ]
    )
}  # fmt: skip
HIDDEN = "+33639989230"  # a member of whom WhatsApp tells the LID alone
AGREED = list(PARENTS)[:13]
ABSENT, STOPPING, *ANSWERING = list(PARENTS)[4:8]
ZOE = "+33639989101"
QUESTIONS = {
    "Bonjour, quels sont vos horaires ?": (
        ["horaires", "ouvert"],
        "Bonjour ! Nous sommes là du lundi au samedi, de 9 h à 18 h.",
    ),
    "Et c'est combien pour deux enfants ?": (
        ["prix", "combien"],
        "L'abonnement est à 12 € par mois, quel que soit le nombre d'enfants.",
    ),
}
WANTED = [
    "message.failed", "message.uncertain", "incoming.received", "account.status",
    "contact.opted_out",
]  # fmt: skip
REFUSED = (b'"contact.opted_out"', b'"message.uncertain"')


class Crm(BaseHTTPRequestHandler):
    """A company's own system that takes what it is told, but for two kinds of events."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503 if any(kind in body for kind in REFUSED) else 204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as above
        """Nothing: the log is what the picture shows."""


@contextmanager
def crm() -> Iterator[str]:
    """Its address while it listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Crm) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/relance"
        server.shutdown()


class Scenes:
    """Day by day, in the evening: when what was due has arrived."""

    def __init__(self, play: Play, cast: scenario.Cast, marie: User) -> None:
        self.play, self.cast, self.tenant = play, cast, cast.tenant
        self.actor = Actor("user", marie.username, marie.pk)

    def account(self, name: str) -> Account:
        return Account.objects.select_related("tenant").get(tenant=self.tenant, name=name)

    def begin(self, address: str) -> None:
        """Before the first day: a chat agent, and a system that is told what happens."""
        now = timezone.now()
        setup.create(
            tenant=self.tenant,
            given={
                "name": "reception",
                "kind": ChatAgent.Kind.RULES,
                "rules": [
                    {"keywords": words, "language": "fr", "answer": answer}
                    for words, answer in QUESTIONS.values()
                ],
                "fallback": {"fr": "Je transmets votre question : quelqu'un vous répond bientôt."},
                "accounts": [self.account("amina")],
            },
            actor=self.actor,
            now=now,
        )
        endpoints.create(
            tenant=self.tenant, name="CRM", url=address, events=WANTED, actor=self.actor, now=now
        )

    def evening(self, day: int) -> None:
        now = timezone.now()
        health.assess(now=now)
        engagement.score_changed(since=now - dt.timedelta(days=2), now=now)
        match day:
            case 1:
                self.find_people_in_a_group()
            case 2:
                self.record_why_one_may_write()
            case 3:
                self.lose_a_phone_for_a_while()
            case 6:
                self.broadcast()
            case 8:
                self.go_carefully()
                self.talk()

    def find_people_in_a_group(self) -> None:
        amina, control = self.account("amina"), self.play.control
        followed = Target.objects.filter(account=amina, state=Target.State.ACTIVE).order_by("pk")[0]
        members = [{"phone": phone, "name": name} for phone, name in PARENTS.items()]
        control.directory(users=members)
        school = control.make_group(
            "Parents de l'école Jules-Ferry",
            [amina.phone, *members, followed.phone, {"phone": HIDDEN, "hidden": True}],
            admins=[AGREED[0], amina.phone],
        )
        control.make_group(
            "Annonces du quartier",
            [amina.phone, *members[:6]],
            admins=[AGREED[1]],
            announce_only=True,
        )
        former = control.make_group("Fête des voisins", [amina.phone, *members[8:12]])
        groups.request_discovery(amina, actor=self.actor, now=timezone.now())
        known = Group.objects.filter(account=amina)
        eventually(lambda: known.count() == 3, "three groups discovered")
        control.remove(former, amina.phone)  # noticed with the next day's look
        parents = known.select_related("account").get(subject__startswith="Parents")
        groups.request_members(parents, actor=self.actor, now=timezone.now())
        eventually(
            lambda: Contact.objects.filter(phone__in=PARENTS).count() == len(PARENTS),
            "its members are contacts",
        )
        # A name is known of whoever has said something.
        for phone, name in list(PARENTS.items())[:14]:
            control.receive(phone, "Bonjour à tous !", group=school, name=name)
        unnamed = Contact.objects.filter(phone__in=PARENTS, name="")
        eventually(lambda: unnamed.count() == 2, "most have a name")

    def record_why_one_may_write(self) -> None:
        """Of most; the others show that nobody may write to them yet."""
        now = timezone.now()
        people = Contact.objects.filter(tenant=self.tenant, phone__in=PARENTS)
        contacts.tag(people, ["parents"], actor=self.actor, now=now)
        for contact in people.filter(phone__in=AGREED):
            contacts.record_basis(
                contact,
                basis=Contact.LawfulBasis.CONSENT,
                note="signed up at the school fair",
                how="admin",
                actor=self.actor,
                now=now,
            )

    def lose_a_phone_for_a_while(self) -> None:
        """Bruno's phone removes the browser, and is linked again: his health says so."""
        bruno = self.account("bruno")
        self.play.control.logout(bruno.phone)
        eventually(
            lambda: self.account("bruno").status == Account.Status.LOGGED_OUT,
            "bruno's phone has removed the browser",
        )
        [person] = [one for one in self.cast.referrers if one.name == "bruno"]
        scenario.link(self.play.api, self.play.control, person)
        health.assess(now=timezone.now())

    def broadcast(self) -> None:
        """To everybody with the tag: one is not on WhatsApp, one says stop, two answer."""
        now = timezone.now()
        self.play.control.directory(absent=[ABSENT])
        segment = segments.create(
            tenant=self.tenant, name="Parents", rules={"tagsAny": ["parents"]},
            actor=self.actor, now=now,
        )  # fmt: skip
        made = authoring.create(
            tenant=self.tenant, name="Journée portes ouvertes", segment=segment,
            accounts=[self.account("amina"), self.account("bruno")], default_language="fr",
            actor=self.actor, now=now,
        )  # fmt: skip
        authoring.write_text(
            made, language="fr", actor=self.actor, now=now,
            body="Bonjour {{name}} 👋 Samedi, l'école est ouverte de 10 h à 16 h. Vous venez ?",
        )  # fmt: skip
        running.start(made, actor=self.actor, now=now)
        eventually(
            lambda: Broadcast.objects.get(pk=made.pk).state == Broadcast.State.DONE,
            "the broadcast is done",
        )
        ledger = Recipient.objects.filter(broadcast=made).select_related("account", "contact")
        eventually(lambda: ledger.filter(read_at=None).count() == 1, "all but one have read it")
        for phone, words in [
            (STOPPING, "STOP"),
            (ANSWERING[0], "Oui, avec plaisir !"),
            (ANSWERING[1], "On sera quatre."),
        ]:
            line = ledger.get(contact__phone=phone)
            assert line.account is not None  # noqa: S101  it was sent from there
            self.play.control.receive(phone, words, account=line.account.phone, name=PARENTS[phone])
        eventually(
            lambda: (
                ledger.filter(state=Recipient.State.OPTED_OUT).exists()
                and ledger.exclude(replied_at=None).count() >= len(ANSWERING)
            ),
            "one said stop, two answered",
        )

    def go_carefully(self) -> None:
        """Bruno's account gets a pace of its own, as his number is new."""
        numbers.set_pace(
            self.account("bruno"),
            {
                "gap_jitter_ms": 2000, "typing_ms": 2000, "quiet_hours": "21:00-08:00",
                "new_chats_per_day": 30, "warm_up_days": 14,
            },
            actor=self.actor,
            now=timezone.now(),
        )  # fmt: skip

    def talk(self) -> None:
        """Somebody asks, and the agent answers; what a person says to it is said in the admin."""
        amina = self.account("amina")
        answers = Message.objects.filter(
            contact__phone=ZOE, origin=Message.Origin.AGENT, state=Message.State.READ
        )
        for said, question in enumerate(QUESTIONS, start=1):
            self.play.control.receive(ZOE, question, account=amina.phone, name="Zoé Martin")
            eventually(functools.partial(_are, answers, said), "the agent's answer is read")
            # WhatsApp tells times by the second, and nobody asks twice in one.
            heard = timezone.now()
            eventually(functools.partial(_is_later, heard), "a second has passed")


def _are(rows: QuerySet[Any], count: int) -> bool:
    return rows.count() >= count


def _is_later(than: dt.datetime) -> bool:
    return timezone.now() >= than + dt.timedelta(seconds=1)
