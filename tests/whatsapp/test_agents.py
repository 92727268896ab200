"""Agents answer what people write: once, in order, within limits, and never each other."""

import datetime as dt

import pytest
from django.core import mail
from django.utils import timezone

from accounts.activity import Actor
from accounts.models import Activity
from tests.factories import make_account, make_user
from tests.races import behind
from whatsapp import chats, contacts, doorbells, identities, inbox, notices, tasks
from whatsapp.agents import sessions, setup, turns
from whatsapp.agents.protocol import Answer, NoAnswer
from whatsapp.driver.base import IncomingMessage
from whatsapp.models import (
    AgentRule,
    AgentSession,
    AgentTurn,
    Chat,
    ChatAgent,
    Contact,
    Incoming,
    Message,
)

ACCOUNT, ANA = "+33639980001", "+33639980100"
OLGA = Actor("user", "olga")


@pytest.fixture
def agent(tenant, linked):
    """Rules on the linked account: they know what it costs, and say so when they do not know."""
    made = ChatAgent.objects.create(
        tenant=tenant, name="reception", config={"fallback": {"fr": "Je ne sais pas."}}
    )
    AgentRule.objects.create(agent=made, keywords=["prix", "combien"], answer="12 €, {{name}}")
    linked.agent = made
    linked.save()
    return made


@pytest.fixture
def ask(world, worker):
    """Somebody writes; the answer to what they wrote, once the agent was asked."""

    def ask(text, phone=ANA, **more):
        wa_id = world.inbound(ACCOUNT, phone, text, name="Ana", **more)
        worker.settle()
        turn = AgentTurn.objects.filter(incoming__wa_id=wa_id).first()
        if turn is None:
            return None
        turns.answer(turn.pk)
        turn.refresh_from_db()
        return turn

    return ask


def said_to(world, phone=ANA):
    return [sent.body for sent in world.record if sent.phone == phone]


# ----------------------------------------------------------------------------------- answering


def test_a_question_is_answered_once_and_ahead_of_everything_else(
    agent, linked, ask, write, worker, world
):
    write(linked, ANA, body="Jour 3", origin="sequence")
    turn = ask("Bonjour, c’est COMBIEN ?")
    assert turn.state == "answered"
    assert (turn.message.origin, turn.message.state) == ("agent", "queued")
    worker.drive(linked)
    assert said_to(world) == ["12 €, Zoé", "Jour 3"]
    assert not turns.answer(turn.pk)
    assert Message.objects.filter(origin="agent").count() == 1


def test_messages_of_one_chat_are_answered_in_order(agent, world, worker):
    for text in ("prix ?", "allô"):
        world.inbound(ACCOUNT, ANA, text)
    worker.settle()
    first, second = AgentTurn.objects.order_by("pk")
    assert not turns.answer(second.pk)
    assert turns.answer(first.pk)
    assert turns.answer(second.pk)
    answers = Message.objects.filter(origin="agent").order_by("pk")
    assert list(answers.values_list("body", flat=True)) == ["12 €", "Je ne sais pas."]


@pytest.mark.django_db(transaction=True)
def test_the_doorbell_rings_when_the_message_is_committed(agent, world, worker, monkeypatch):
    rung = []
    monkeypatch.setattr(
        doorbells.current_app, "send_task", lambda name, **more: rung.append((name, more))
    )
    world.inbound(ACCOUNT, ANA, "prix ?")
    worker.settle()
    calls = [more for name, more in rung if name == "whatsapp.tasks.answer"]
    assert [(call["args"], call["queue"]) for call in calls] == [
        ((AgentTurn.objects.get().pk,), "outside")
    ]


def test_a_lost_doorbell_and_a_killed_task_are_picked_up_and_answer_once(agent, world, worker):
    world.inbound(ACCOUNT, ANA, "prix ?")
    worker.settle()
    turn = AgentTurn.objects.get()
    now = timezone.now()
    assert turns.waiting(now=now) == []
    assert turns.waiting(now=now + dt.timedelta(seconds=6)) == [turn.pk]
    assert turns.claim(turn.pk) is not None  # and whoever claimed it is killed
    assert not turns.answer(turn.pk)
    assert turns.waiting(now=now + dt.timedelta(seconds=40)) == []
    AgentTurn.objects.update(claimed_until=now - dt.timedelta(seconds=1))
    assert turns.waiting(now=now) == [turn.pk]
    assert tasks.ring_agents() == 1
    assert turns.answer(turn.pk)
    assert Message.objects.filter(origin="agent").count() == 1


def test_a_task_that_was_given_up_and_wakes_up_says_nothing_more(agent, world, worker):
    world.inbound(ACCOUNT, ANA, "prix ?")
    worker.settle()
    late = turns.claim(AgentTurn.objects.get().pk)
    AgentTurn.objects.update(claimed_until=timezone.now() - dt.timedelta(seconds=1))
    turns.answer(late.pk)
    session = AgentSession.objects.get()
    turns._finish(late, turns._Heard(Answer(("something else",)), session))
    assert [m.body for m in Message.objects.filter(origin="agent")] == ["12 €"]


def test_a_question_that_kills_whoever_asks_it_is_given_up(agent, world, worker):
    world.inbound(ACCOUNT, ANA, "prix ?")
    worker.settle()
    turn = AgentTurn.objects.get()
    for _ in range(turns.MOST_ATTEMPTS):
        assert turns.claim(turn.pk) is not None
        AgentTurn.objects.update(claimed_until=timezone.now() - dt.timedelta(seconds=1))
    turns.answer(turn.pk)
    turn.refresh_from_db()
    assert (turn.state, turn.error_code) == ("failed", "gave_up")


# --------------------------------------------------------------------------- who is not answered


def test_no_agent_answers_where_there_is_none_or_it_is_switched_off(agent, linked, ask):
    ChatAgent.objects.update(enabled=False)
    assert ask("prix ?") is None
    ChatAgent.objects.update(enabled=True)
    linked.agent = None
    linked.save()
    assert ask("prix ?") is None


def test_groups_the_owners_own_words_stop_and_start_are_not_answered(
    agent, linked, world, worker, ask, tenant
):
    contacts.ensure(tenant_id=tenant.pk, people={ANA: "Ana"})
    group = world.make_group("Voisins", [ACCOUNT, ANA])
    world.inbound(ACCOUNT, ANA, "prix ?", group=group.chat_id)
    world.inbound(ACCOUNT, ANA, "STOP")
    worker.settle()
    assert ask("prix ?") is None
    assert ask("START") is None
    world.write_on_phone(ACCOUNT, "+33639980102", "prix ?")
    worker.settle()
    assert not AgentTurn.objects.exists()


def test_what_is_caught_up_hours_later_is_for_a_person(agent, ask):
    assert ask("prix ?", sent_at=timezone.now() - dt.timedelta(minutes=61)) is None


def test_an_agent_keeps_silent_while_a_person_writes(agent, ask, world, worker):
    ask("prix ?")
    world.write_on_phone(ACCOUNT, ANA, "C’est Amina")
    assert ask("combien ?") is None
    chats.give_back(Chat.objects.get(), actor=OLGA, now=timezone.now())
    assert ask("combien ?").state == "answered"


def test_a_person_who_takes_over_while_the_agent_thinks_is_not_talked_into(
    agent, world, worker, monkeypatch
):
    world.inbound(ACCOUNT, ANA, "prix ?")
    worker.settle()
    ask = turns._ask

    def think(turn, *, now):
        heard = ask(turn, now=now)
        chats.take_over(Chat.objects.get(), actor=OLGA, now=timezone.now())
        return heard

    monkeypatch.setattr(turns, "_ask", think)
    turns.answer(AgentTurn.objects.get().pk)
    turn = AgentTurn.objects.get()
    assert (turn.state, turn.error_code) == ("skipped", "taken_over")
    assert not Message.objects.filter(origin="agent").exists()
    assert AgentSession.objects.get().why == "taken_over"


# ------------------------------------------------------------------------------------- two bots


def test_somebody_found_to_be_known_while_the_agent_thinks_gets_the_answer(
    agent, linked, world, worker, write, monkeypatch
):
    """They write under their LID alone; then the phone shows, and two contacts become one."""
    write(linked, ANA)
    world.inbound(ACCOUNT, ANA, "Combien ?", lid_only=True)
    worker.settle()
    known, stranger = Contact.objects.order_by("pk")
    chats.open_chat(account=linked, contact=known, now=timezone.now())
    turn = AgentTurn.objects.get()
    asked = turns._ask

    def think(*args, **more):
        heard = asked(*args, **more)
        identities.find_or_make(
            tenant_id=linked.tenant_id, phone=ANA, lid=stranger.lid, source="inbound",
            now=timezone.now(),
        )  # fmt: skip
        return heard

    monkeypatch.setattr(turns, "_ask", think)
    assert turns.answer(turn.pk)
    turn.refresh_from_db()
    assert (turn.state, turn.message.contact) == ("answered", known)


def test_a_contact_gets_no_more_than_so_many_answers_an_hour(agent, ask):
    ChatAgent.objects.update(answers_per_hour=3)
    states = [ask(f"prix {number} ?").state for number in range(6)]
    assert states == ["answered"] * 3 + ["skipped"] * 3
    assert set(AgentTurn.objects.filter(state="skipped").values_list("error_code", flat=True)) == {
        "too_many"
    }
    silenced = Activity.objects.get(verb="agent_silenced")
    assert silenced.detail["code"] == "too_many"


def test_whoever_says_the_same_again_and_again_is_taken_for_a_machine(agent, ask):
    codes = [ask("Je suis absent").error_code for _ in range(5)]
    assert codes == ["", "", "", "repeats_itself", "repeats_itself"]
    assert ask("prix ?").state == "answered"


def test_whoever_says_our_words_back_is_not_answered(agent, ask):
    ask("bonjour")
    assert ask("Je ne sais pas.").error_code == "echoes_us"


def test_our_own_numbers_do_not_talk_to_each_other(agent, tenant, ask):
    make_account(tenant, phone="+33639980555")
    assert ask("prix ?", phone="+33639980555").error_code == "own_number"


# ------------------------------------------------------------------------------------- sessions


def test_a_conversation_goes_on_until_nobody_writes_any_more(agent, ask):
    first, second = ask("prix ?"), ask("combien ?")
    assert first.session == second.session
    later = timezone.now() + dt.timedelta(minutes=59)
    assert sessions.end_idle(now=later) == 0
    assert sessions.end_idle(now=later + dt.timedelta(minutes=2)) == 1
    ended = AgentSession.objects.get()
    assert ended.why == "idle"
    third = ask("prix ?")
    assert third.session not in (None, first.session)


def test_an_opt_out_and_another_agent_end_a_conversation(agent, ask, linked, tenant):
    ask("prix ?")
    other = ChatAgent.objects.create(tenant=tenant, name="other")
    linked.agent = other
    linked.save()
    ask("prix ?")
    contacts.opt_out(Contact.objects.get(phone=ANA), reason="said stop", now=timezone.now())
    assert list(AgentSession.objects.order_by("pk").values_list("why", flat=True)) == [
        "agent_changed",
        "opted_out",
    ]


# ----------------------------------------------------------------------------- agents that fail


@pytest.fixture
def broken(agent, monkeypatch):
    """An agent that does not answer until the test lets it."""

    class Broken:
        error = NoAnswer("unreachable", "nobody is there")

        def begin(self, variables, *, session, deadline):
            return session

        def answer(self, question, *, deadline):
            if self.error:
                raise self.error
            return Answer(("Me revoilà",))

        def end(self, session, *, deadline):
            pass

    made = Broken()
    monkeypatch.setattr(turns, "connect", lambda _: made)
    return made


def test_people_get_one_apology_a_conversation(broken, ask, linked, worker, world):
    for _ in range(3):
        turn = ask(f"prix {_} ?")
        assert (turn.state, turn.error_code) == ("failed", "unreachable")
    worker.drive(linked)
    assert said_to(world) == [
        "Désolé, nous ne pouvons pas répondre tout de suite. Quelqu’un reviendra vers vous."
    ]


def test_the_apology_is_the_companys_in_the_contacts_language(broken, ask, tenant):
    ChatAgent.objects.update(apology={"fr": "Pardon.", "en": "Sorry."})
    ids = contacts.ensure(tenant_id=tenant.pk, people={ANA: "Ana"})
    Contact.objects.filter(pk=ids[ANA]).update(language="en")
    assert ask("price?").message.body == "Sorry."


def test_owners_and_managers_are_told_once_that_an_agent_fails(broken, ask, tenant):
    make_user(tenant, role="owner", email="olga@acme.example")
    make_user(tenant, role="manager", email="max@acme.example")
    make_user(tenant, role="agent", email="amina@acme.example")
    for _ in range(3):
        ask(f"prix {_} ?")
    now = timezone.now()
    assert notices.tell_of_failing_agents(now=now) == 2
    assert notices.tell_of_failing_agents(now=now) == 0
    assert sorted(letter.to[0] for letter in mail.outbox) == [
        "max@acme.example",
        "olga@acme.example",
    ]
    assert "reception" in mail.outbox[0].subject
    broken.error = None
    assert ask("prix ?").state == "answered"
    broken.error = NoAnswer("too_slow", "…")
    ask("encore ?")
    verbs = Activity.objects.filter(subject_type="whatsapp.chatagent").order_by("pk")
    assert list(verbs.values_list("verb", flat=True)) == [
        "agent_failed",
        "agent_recovered",
        "agent_failed",
    ]
    # Failing again within the hour is in the log, and no second letter.
    assert notices.tell_of_failing_agents(now=now + dt.timedelta(minutes=30)) == 0
    assert notices.tell_of_failing_agents(now=now + dt.timedelta(minutes=61)) == 2


def test_the_times_of_a_turn_tell_ours_from_the_agents(agent, ask):
    turn = ask("prix ?")
    assert Incoming.objects.get().received_at <= turn.asked_at <= turn.heard_at <= turn.ended_at


# ---------------------------------------------------------------------------------- deleted


def test_an_agent_that_is_deleted_while_it_thinks_says_nothing(agent, linked, world, worker):
    world.inbound(ACCOUNT, ANA, "prix ?")
    worker.settle()
    turn = turns.claim(AgentTurn.objects.get().pk)
    heard = turns._ask(turn, now=timezone.now())
    setup.delete(agent, now=timezone.now())
    turns._finish(turn, heard)
    assert not Message.objects.exists()
    assert not ChatAgent.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", ["message", "deletion"])
def test_no_message_is_lost_that_comes_in_while_its_agent_is_deleted(agent, linked, first):
    now = timezone.now()
    message = IncomingMessage(
        wa_id="false_33639980100@c.us_AA", chat_id="33639980100@c.us", phone=ANA, lid="",
        name="Ana", kind="chat", body="prix ?", sent_at=now,
    )  # fmt: skip

    def store():
        inbox.store_incoming(linked.pk, message, now=now)

    def delete():
        setup.delete(agent, now=now)

    behind(*((store, delete) if first == "message" else (delete, store)))

    assert Incoming.objects.count() == 1
    assert not ChatAgent.objects.exists()
    assert not AgentTurn.objects.exists()
