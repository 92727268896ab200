"""A chat per account and contact: what was said in it, and who answers."""

import datetime as dt

import pytest
from django.utils import timezone

from accounts import activity
from accounts.activity import Actor
from accounts.models import Activity
from tests.factories import make_user
from whatsapp import chats, contacts, driving
from whatsapp.driver.base import Location
from whatsapp.models import Chat, Contact, Group, Incoming, Lease, Message
from whatsapp.signals import chat_given_back, chat_taken_over, incoming_stored

ACCOUNT, ANA, BEN = "+33639980001", "+33639980100", "+33639980101"
OLGA = Actor("user", "olga")


@pytest.fixture
def heard():
    """What receivers of signals were told."""
    told = []

    def note(signal, **values):
        told.append(values)

    for signal in (incoming_stored, chat_taken_over, chat_given_back):
        signal.connect(note)
    yield told
    for signal in (incoming_stored, chat_taken_over, chat_given_back):
        signal.disconnect(note)


def test_a_message_begins_a_chat_and_the_next_one_goes_on_with_it(linked, world, worker, heard):
    world.inbound(ACCOUNT, ANA, "Bonjour")
    world.inbound(ACCOUNT, ANA, "Il y a quelqu’un ?")
    worker.settle()
    chat = Chat.objects.get()
    first, second = Incoming.objects.order_by("id")
    assert (chat.account, chat.contact.phone, chat.unread) == (linked, ANA, 2)
    assert (chat.started_at, chat.last_incoming_at) == (first.sent_at, second.sent_at)
    assert [(told["incoming"], told["chat"]) for told in heard] == [(first, chat), (second, chat)]


def test_a_message_is_told_of_once(linked, world, worker, heard):
    world.inbound(ACCOUNT, ANA, "Bonjour")
    worker.settle()
    worker.pool.get(linked.pk).caught_up = False
    worker.drive(linked)
    assert len(heard) == 1
    assert Chat.objects.get().unread == 1


def test_what_a_message_quotes_and_where_it_points_is_kept(linked, world, worker):
    first = world.inbound(ACCOUNT, ANA, "Où ?")
    world.inbound(
        ACCOUNT, ANA, quoted=first, location=Location(48.85, 2.35, name="Ici\0", address="Paris")
    )
    worker.settle()
    place = Incoming.objects.get(kind="location")
    assert place.quoted_wa_id == first
    assert place.content == {
        "latitude": 48.85,
        "longitude": 2.35,
        "name": "Ici",
        "address": "Paris",
    }


@pytest.mark.parametrize(
    "body",
    ["👩‍👩‍👧‍👦🏳️‍🌈" * 50, "\u202eشكرا جزيلا\u202c", "é" * 65_536, ""],
    ids=["emoji sequences", "right to left", "65,536 characters", "nothing"],
)
def test_whatever_they_write_is_stored_as_it_is(linked, world, worker, body):
    world.inbound(ACCOUNT, ANA, body, kind="hologram")
    worker.settle()
    assert Incoming.objects.values_list("body", "kind").get() == (body, "hologram")


def test_a_message_in_a_group_belongs_to_no_chat(linked, world, worker, tenant, heard):
    contacts.ensure(tenant_id=tenant.pk, people={ANA: "Ana"})
    group = world.make_group("Voisins", [ACCOUNT, ANA, BEN])
    now = timezone.now()
    row = Group.objects.create(
        tenant=tenant, account=linked, chat_id=group.chat_id, discovered_at=now, refreshed_at=now
    )
    world.inbound(ACCOUNT, ANA, "Salut", group=group.chat_id)
    world.inbound(ACCOUNT, BEN, "Coucou", group=group.chat_id)
    worker.settle()
    known, stranger = Incoming.objects.order_by("id")
    assert (known.group, known.contact.phone, known.author_phone) == (row, ANA, ANA)
    assert (stranger.contact, stranger.author_phone) == (None, BEN)
    assert not Contact.objects.filter(phone=BEN).exists()
    assert not Chat.objects.exists()
    assert [told["chat"] for told in heard] == [None, None]


def test_a_contact_without_a_name_gets_that_under_which_they_write_in_a_group(
    linked, world, worker, tenant
):
    contacts.ensure(tenant_id=tenant.pk, people={ANA: "", BEN: "Benoît"})
    group = world.make_group("Voisins", [ACCOUNT, ANA, BEN])
    world.inbound(ACCOUNT, ANA, "Salut", group=group.chat_id, name="Ana")
    world.inbound(ACCOUNT, BEN, "Coucou", group=group.chat_id, name="Ben")
    worker.settle()
    names = dict(Contact.objects.values_list("phone", "name"))
    assert names == {ANA: "Ana", BEN: "Benoît"}


# ------------------------------------------------------------------------------- catching up


def test_what_was_read_on_the_phone_while_nobody_listened_is_caught_up(
    linked, world, worker, start_worker
):
    worker.stop()
    world.inbound(ACCOUNT, ANA, "Allô ?")
    world.read_on_phone(ACCOUNT, world.chat_of(ACCOUNT, world.person(ANA)))
    world.write_on_phone(ACCOUNT, ANA, "Oui, j’arrive")
    start_worker().drive(linked)
    bodies = Incoming.objects.order_by("id").values_list("body", "from_me")
    assert list(bodies) == [("Allô ?", False), ("Oui, j’arrive", True)]


def test_what_comes_live_hides_nothing_that_is_not_caught_up_yet(
    linked, world, worker, start_worker, monkeypatch
):
    """A worker dies between its first event and its catching up: the next one leaves no gap."""
    worker.stop()
    Lease.objects.update(heard_until=timezone.now() - dt.timedelta(hours=3))
    for body in ("one", "two"):
        world.inbound(ACCOUNT, ANA, body, sent_at=timezone.now() - dt.timedelta(hours=2))
    dying = start_worker("browser@two")
    with monkeypatch.context() as patch:
        patch.setattr(driving, "_catch_up", lambda session: None)
        dying.drive(linked)
        world.inbound(ACCOUNT, ANA, "three")
        dying.settle()
    assert set(Incoming.objects.values_list("body", flat=True)) == {"three"}
    dying.stop()
    start_worker("browser@three").drive(linked)
    assert set(Incoming.objects.values_list("body", flat=True)) == {"one", "two", "three"}


def test_what_an_earlier_session_sent_is_not_taken_for_the_owners(
    linked, world, worker, start_worker, write
):
    write(linked, ANA)
    worker.drive(linked)
    worker.stop()
    Lease.objects.update(heard_until=timezone.now() - dt.timedelta(hours=3))
    start_worker().drive(linked)
    assert not Incoming.objects.exists()
    assert not Chat.objects.taken_over(now=timezone.now()).exists()


# --------------------------------------------------------------------------- taking a chat over


def test_the_owner_who_writes_on_the_phone_takes_the_chat_over(
    linked, world, worker, tenant, heard
):
    linked.owner = make_user(tenant, username="amina")
    linked.save()
    world.inbound(ACCOUNT, ANA, "Bonjour")
    world.write_on_phone(ACCOUNT, ANA, "Je m’en occupe")
    worker.settle()
    chat = Chat.objects.get()
    assert chat.is_taken_over(now=timezone.now())
    assert chat.taken_over_by == "amina"
    assert chat.unread == 0
    assert [told["chat"] for told in heard if "actor" in told] == [chat]
    line = Activity.objects.get(verb="chat_taken_over")
    assert (line.actor_name, line.detail) == ("amina", {"account": linked.pk})


def test_what_the_owner_wrote_long_ago_takes_nothing_over(linked, world, worker):
    world.write_on_phone(ACCOUNT, ANA, "Hier", sent_at=timezone.now() - dt.timedelta(minutes=121))
    worker.settle()
    assert Incoming.objects.get().from_me
    assert not Chat.objects.get().is_taken_over(now=timezone.now())


@pytest.fixture
def chat(linked, world, worker):
    world.inbound(ACCOUNT, ANA, "Bonjour")
    worker.settle()
    return Chat.objects.get()


def test_taking_over_cancels_what_an_agent_had_queued_and_nothing_else(chat, linked, write):
    answer = write(linked, ANA, origin=Message.Origin.AGENT)
    step = write(linked, ANA, origin=Message.Origin.SEQUENCE)
    chats.take_over(chat, actor=OLGA, now=timezone.now())
    answer.refresh_from_db()
    step.refresh_from_db()
    assert (answer.state, answer.error_code) == ("cancelled", "taken_over")
    assert step.state == "queued"


def test_writing_again_moves_the_end_on_and_is_recorded_once(chat, tenant, heard):
    now = timezone.now()
    chats.take_over(chat, actor=OLGA, now=now)
    chats.take_over(chat, actor=OLGA, now=now + dt.timedelta(minutes=30))
    chat.refresh_from_db()
    assert chat.taken_over_at == now
    assert chat.taken_over_until == now + dt.timedelta(minutes=30 + tenant.takeover_minutes)
    assert Activity.objects.filter(verb="chat_taken_over").count() == 1
    assert len([told for told in heard if "actor" in told]) == 2


def test_a_chat_that_is_given_back_is_free_at_once(chat, heard):
    now = timezone.now()
    assert not chats.give_back(chat, actor=OLGA, now=now)
    chats.take_over(chat, actor=OLGA, now=now)
    assert chats.give_back(chat, actor=OLGA, now=now + dt.timedelta(seconds=1))
    assert not chats.give_back(chat, actor=OLGA, now=now + dt.timedelta(seconds=2))
    chat.refresh_from_db()
    assert not chat.is_taken_over(now=now + dt.timedelta(seconds=1))
    assert Activity.objects.filter(verb="chat_given_back").count() == 1


# ------------------------------------------------------------------------------------- history


def test_a_history_has_both_sides_in_order_with_who_wrote(chat, linked, world, worker, write):
    quoted = Incoming.objects.get().wa_id
    write(linked, ANA, body="Réponse", origin="agent", quoted_wa_id=quoted)
    worker.drive(linked)
    world.write_on_phone(ACCOUNT, ANA, "Amina ici")
    worker.settle()
    write(linked, ANA, body="Jour 2", origin="sequence")
    said = [(e.writer, e.said.body, e.quoted) for e in chats.history(chat)]
    assert said == [
        ("contact", "Bonjour", ""),
        ("agent", "Réponse", "Bonjour"),
        ("phone", "Amina ici", ""),
        ("sequence", "Jour 2", ""),
    ]


def test_a_history_is_read_page_by_page_without_gaps_or_doubles(chat, linked, write):
    """Seconds hold many messages: the pages must not lose those of one time."""
    at = Incoming.objects.get().sent_at
    for number in range(5):
        Incoming.objects.create(
            account=linked, contact=chat.contact, wa_id=f"i{number}", chat_id="x", kind="chat",
            body=f"in {number}", sent_at=at, received_at=at,
        )  # fmt: skip
        message = write(linked, ANA, body=f"out {number}")
        Message.objects.filter(pk=message.pk).update(sent_at=at, state="sent")
    whole = [entry.said for entry in chats.history(chat)]
    read, before = [], ""
    while page := chats.history(chat, before=before, limit=3):
        read = [entry.said for entry in page] + read
        before = page[0].cursor
    assert len(whole) == 11
    assert read == whole


@pytest.mark.parametrize(
    "cursor", ["x", "2026-11-20T10:00:00/in/1", "2026-11-20T10:00:00+00:00/up/1", "//", "a/in/-1"]
)
def test_a_cursor_that_no_page_had_is_refused(chat, cursor):
    with pytest.raises(chats.BadCursor):
        chats.history(chat, before=cursor)


def test_a_history_knows_the_login_of_whoever_wrote_by_hand(chat, linked, write):
    message = write(linked, ANA, body="Bonjour Ana", origin="direct")
    activity.record(
        tenant_id=linked.tenant_id,
        verb=activity.Verb.MESSAGE_QUEUED,
        actor=OLGA,
        subject=message,
        now=timezone.now(),
    )
    assert [(entry.writer, entry.by) for entry in chats.history(chat)] == [
        ("contact", ""),
        ("direct", "olga"),
    ]
