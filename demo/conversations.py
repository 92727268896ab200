"""What the demo shows beside following up: a question that an agent answers, a STOP, a post in a
group and a place sent at a chosen time. What we do goes through the API, what others do through
the simulator."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from django.db import DatabaseError, connection
from django.utils import timezone

from campaigns.models import Target
from demo.scenario import Api, Cast, Refused
from demo.verdict import Tally, stanza_id
from whatsapp.models import Account, AgentRule, ChatAgent, Group, Incoming, Message
from whatsapp.simulator.client import RecordedMessage, SimulatorControl

T = TypeVar("T")

PATIENCE = 120.0  # seconds; processes may be killed and started anew meanwhile
# Numbers reserved for fiction, apart from all others of the demo.
ASKS, VISITS, NEIGHBOURS = "+33639989101", "+33639989102", ("+33639989103", "+33639989104")
QUESTION = "Bonjour, quels sont vos horaires ?"
ANSWER = "Bonjour ! Nous sommes ouverts du lundi au samedi, de 9 h à 18 h."
POST = "Le guide de la semaine est arrivé : demandez-le nous ici."
PLACE = {
    "latitude": 48.8566, "longitude": 2.3522, "name": "Notre boutique", "address": "1 rue Haute",
}  # fmt: skip
LATER = dt.timedelta(seconds=20)


@dataclass(slots=True)
class Scene:
    """One thing shown: `expected` are messages that must arrive, `heard` texts that must be stored
    once each; `ended` is a target that must have left."""

    name: str
    account: Account
    expected: Callable[[], Iterable[Message]]
    count: int = 1
    heard: list[str] = field(default_factory=list)
    ended: Target | None = None

    @property
    def is_over(self) -> bool:
        found = list(self.expected())
        return len(found) >= self.count and all(m.state in Message.ARRIVED for m in found)


def give_agent(account: Account) -> None:
    """The account is answered for by rules, which come with Relance."""
    agent = ChatAgent.objects.create(tenant=account.tenant, name="reception")
    AgentRule.objects.create(agent=agent, keywords=["horaires", "ouvert"], answer=ANSWER)
    Account.objects.filter(pk=account.pk).update(agent=agent)


def begin(api: Api, cast: Cast, control: SimulatorControl) -> list[Scene]:
    """Play all of it, beside the sequence. Raises `Refused` when something never comes."""
    amina, bruno = (
        Account.objects.select_related("tenant").get(tenant=cast.tenant, name=name)
        for name in ("amina", "bruno")
    )
    give_agent(amina)
    signed_in = api.log_in(cast.marketing)
    leaving = (
        Target.objects.filter(account=bruno, state=Target.State.ACTIVE).order_by("-pk").first()
    )
    if leaving is None:
        raise Refused("nobody is followed from bruno's account who could say STOP")
    control.receive(ASKS, QUESTION, account=amina.phone, name="Zoé")
    control.receive(leaving.phone, "STOP", account=bruno.phone)
    group = _discover(api, signed_in, amina, control)
    api.post(
        "/api/v1/messages",
        {
            "account": amina.pk, "groupId": group.pk, "text": POST,
            "idempotencyKey": "demo-group-post",
        },
        signed_in,
    )  # fmt: skip
    api.post(
        "/api/v1/messages",
        {
            "account": amina.pk, "to": VISITS, "location": PLACE,
            "scheduledAt": (timezone.now() + LATER).isoformat(),
            "idempotencyKey": "demo-scheduled-place",
        },
        signed_in,
    )  # fmt: skip
    mine = Message.objects.filter(account=amina)
    return [
        Scene(
            "a question, answered by rules", amina, heard=[QUESTION],
            expected=lambda: mine.filter(origin=Message.Origin.AGENT),
        ),
        Scene(
            "a STOP, confirmed once", bruno, heard=["STOP"], ended=leaving,
            expected=lambda: Message.objects.filter(account=bruno, origin=Message.Origin.SYSTEM),
        ),
        Scene("a post in a group", amina, expected=lambda: mine.filter(group=group)),
        Scene(
            "a place, at a chosen time", amina,
            expected=lambda: mine.filter(kind=Message.Kind.LOCATION),
        ),
    ]  # fmt: skip


def _discover(
    api: Api,
    signed_in: Callable[[bytes], dict[str, str]],
    account: Account,
    control: SimulatorControl,
) -> Group:
    """A group of the account, that WhatsApp has and we learn of."""
    control.make_group("Voisins", [account.phone, *NEIGHBOURS], admins=[account.phone])
    api.post(f"/api/whatsapp/accounts/{account.pk}/groups/discover", {}, signed_in)
    groups = Group.objects.filter(account=account)
    return wait_for(groups.first, "the group discovered")


def wait_for(condition: Callable[[], T | None], what: str) -> T:
    """The first true value of `condition`, while PostgreSQL may be away. Raises `Refused`."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            if found := condition():
                return found
        except DatabaseError:
            connection.close()
        if time.monotonic() > until:
            raise Refused(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.2)


def ids_of(scenes: Iterable[Scene]) -> set[str]:
    """Stanza ids of all their messages."""
    return {stanza_id(message) for scene in scenes for message in scene.expected()}


def judge(scene: Scene, record: Iterable[RecordedMessage]) -> tuple[Tally, list[str]]:
    """What of `scene` arrived, by the simulator's `record`, and what is wrong with it."""
    tally, wrong = Tally(expected=scene.count), []
    meant = list(scene.expected())
    ids = {stanza_id(message) for message in meant}
    arrived = [one for one in record if one.accepted and one.id in ids]
    tally.received = len(arrived)
    tally.lost = max(0, scene.count - len({one.id for one in arrived}))
    tally.twice = len(meant) - scene.count if len(meant) > scene.count else 0
    tally.twice += sum(max(0, one.deliveries - 1) for one in arrived if one.to)
    for text in scene.heard:
        stored = Incoming.objects.filter(account=scene.account, body=text, from_me=False).count()
        if stored != 1:
            wrong.append(f"{scene.name}: what was written is stored {stored} times")
    if scene.ended is not None:
        scene.ended.refresh_from_db()
        if scene.ended.exit_reason != Target.ExitReason.OPTED_OUT:
            wrong.append(f"{scene.name}: {scene.ended} is still {scene.ended.state}")
    return tally, wrong
