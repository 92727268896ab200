"""The three kinds of agent, each against a real server where it has one, whatever that answers."""

import json
import time

import pytest

from tests.whatsapp import fake_retell
from whatsapp import presence
from whatsapp.agents import sessions, turns
from whatsapp.agents.protocol import MAX_TEXT, NoAnswer, Question, checked
from whatsapp.agents.retell import Retell
from whatsapp.agents.rules import Rule, Rules
from whatsapp.agents.switchboard import connect
from whatsapp.agents.webhook import Webhook
from whatsapp.fetching import Fetcher
from whatsapp.models import AgentSession, AgentTurn, ChatAgent
from whatsapp.webhooks import signing
from whatsapp.webhooks.delivery import fetcher

pytestmark = pytest.mark.usefixtures("local_receivers")
ACCOUNT, ANA = "+33639980001", "+33639980100"


def question(text="C’est combien ?", language="fr", session="s1", **variables):
    return Question(id="7", session=session, text=text, language=language, variables=variables)


def refused(agent, said=None, deadline=2.0):
    """The code of what an agent raises."""
    with pytest.raises(NoAnswer) as caught:
        agent.answer(said or question(), deadline=deadline)
    return caught.value.code


# ---------------------------------------------------------------------------------------- rules


def rules(*keywords, language="", fallback=None):
    return Rules([Rule(keywords, "oui", language)], fallback or {}, "fr")


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("prix", "Quel est le PRIX ?"),
        ("été", "cet ete, peut-être"),
        ("ete", "cet été"),
        ("ouvert le dimanche", "Êtes-vous ouvert  le\ndimanche ?"),
        ("c++", "je code en C"),
        ("多少钱", "请问多少钱?"),
        ("ราคา", "ราคาเท่าไหร่"),
        ("سعر", "كم سِعْر هذا؟"),
        ("цена", "Цена?"),
    ],
)
def test_a_rule_fits_whole_words_in_any_script(keyword, text):
    assert rules(keyword).answer(question(text), deadline=1).texts == ("oui",)


@pytest.mark.parametrize(
    ("keyword", "text"),
    [("prix", "prixfixe"), ("art", "carte"), (".*", "rien"), ("", "rien"), ("👍", "👍"), ("a", "")],
)
def test_a_rule_fits_neither_parts_of_words_nor_patterns(keyword, text):
    assert rules(keyword).answer(question(text), deadline=1).texts == ()


def test_rules_stay_fast_on_what_would_hang_a_pattern():
    began = time.perf_counter()
    assert rules("(a+)+$").answer(question("a" * 65_536 + "!"), deadline=1).texts == ()
    assert time.perf_counter() - began < 1


def test_rules_speak_the_contacts_language_and_fall_back():
    agent = Rules(
        [Rule(["prix"], "12 €", "fr"), Rule(["prix", "price"], "€12, {{name}}!", "en")],
        {"fr": "Comment ?", "en": "Pardon?"},
        "fr",
    )
    assert agent.answer(question("prix"), deadline=1).texts == ("12 €",)
    english = question("price", "en-GB", contact_name="Ana")
    assert agent.answer(english, deadline=1).texts == ("€12, Ana!",)
    assert agent.answer(question("price", "en"), deadline=1).texts == ("€12!",)
    assert agent.answer(question("hm", "en"), deadline=1).texts == ("Pardon?",)
    assert agent.answer(question("hm", "de"), deadline=1).texts == ("Comment ?",)


# ------------------------------------------------------------------------------ whatever they say


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ("a text", "bad_answer"),
        ([1], "bad_answer"),
        (None, "bad_answer"),
        (["a"] * 6, "bad_answer"),
        (["é" * (MAX_TEXT + 1)], "too_long"),
        (["<!DOCTYPE html><title>502</title>"], "html"),
        ([" <html lang=en>"], "html"),
        (["<p>Bonjour</p>"], "html"),
    ],
)
def test_what_is_no_text_is_not_sent_to_anybody(texts, code):
    with pytest.raises(NoAnswer) as caught:
        checked(texts)
    assert caught.value.code == code


def test_a_text_is_cleaned_of_what_nobody_can_see():
    assert checked(["a\0b\x07\ud83d", "  ", "I <3 this", "é" * MAX_TEXT, "l1\nl2"]) == (
        "ab",
        "I <3 this",
        "é" * MAX_TEXT,
        "l1\nl2",
    )


# -------------------------------------------------------------------------------------- webhook


SECRET = b"s" * 32


def webhook(receiver, **more):
    return Webhook(receiver.url, SECRET, more.get("fetcher") or fetcher(largest=65536))


def test_a_webhook_is_asked_with_a_signature_and_answers(receiver):
    receiver.body = json.dumps({"texts": ["12 €", "Autre chose ?"], "finished": True}).encode()
    said = webhook(receiver).answer(question(contact_name="Ana"), deadline=5)
    assert (said.texts, said.finished) == (("12 €", "Autre chose ?"), True)
    call = receiver.calls[0]
    assert call.is_signed_with(signing.shown(SECRET))
    assert not call.is_signed_with(signing.shown(b"t" * 32))
    assert call.headers["webhook-id"] == "turn_7"
    assert call.said == {
        "type": "chat.message",
        "session": "s1",
        "text": "C’est combien ?",
        "kind": "chat",
        "language": "fr",
        "variables": {"contact_name": "Ana"},
    }


def test_a_secret_is_taken_as_webhooks_show_it_or_as_any_text():
    assert signing.read(signing.shown(SECRET)) == SECRET
    assert signing.read("whsec_é") == "whsec_é".encode()
    assert signing.read("only for us") == b"only for us"


def test_a_webhook_that_has_nothing_to_say_says_nothing(receiver):
    receiver.answer = lambda call: 204
    assert webhook(receiver).answer(question(), deadline=5).texts == ()


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (500, b"oops", "bad_status"),
        (302, b"", "bad_status"),
        (401, b"", "refused"),
        (200, b"", "not_json"),
        (200, b"<html>hello</html>", "not_json"),
        (200, b"\xff\x00{", "not_json"),
        (200, b"[" * 60_000, "not_json"),
        (200, b'"a text"', "bad_answer"),
        (200, b'{"texts": "a text"}', "bad_answer"),
        (200, b'{"texts": [], "finished": "no"}', "bad_answer"),
        (200, b'{"texts": ["<html>"]}', "html"),
        (200, json.dumps({"texts": ["x" * 100_000]}).encode(), "too_long"),
        (200, json.dumps({"texts": ["x" * 5_000]}).encode(), "too_long"),
    ],
)
def test_junk_from_a_webhook_is_a_reason_and_no_crash(receiver, status, body, code):
    receiver.answer, receiver.body = (lambda call: status), body
    assert refused(webhook(receiver)) == code


def test_a_webhook_that_is_slow_or_away_or_forbidden_is_given_up(receiver):
    receiver.answer = lambda call: time.sleep(1) or 200
    assert refused(webhook(receiver), deadline=0.2) == "too_slow"
    assert refused(Webhook("http://127.0.0.1:9/", SECRET, fetcher())) == "unreachable"
    assert refused(webhook(receiver, fetcher=Fetcher())) == "bad_setup"
    assert refused(Webhook("ftp://example.com", SECRET, fetcher())) == "bad_setup"


# --------------------------------------------------------------------------------------- Retell


@pytest.fixture
def retell():
    with fake_retell.listening() as found:
        yield found


def retell_agent(retell, **more):
    values = {"agent_id": "agent_1", "api_key": fake_retell.KEY, "base_url": retell.url}
    return Retell(**(values | more))


def test_retell_is_asked_in_a_chat_that_knows_the_contact(retell):
    agent = retell_agent(retell)
    chat = agent.begin({"contact_name": "Ana"}, session="session-1", deadline=5)
    said = agent.answer(question("Bonjour", session=chat), deadline=5)
    assert said.texts == ("You said: Bonjour",)
    kept = retell.chats[chat]
    assert kept["retell_llm_dynamic_variables"] == {"contact_name": "Ana"}
    assert kept["metadata"] == {"session": "session-1"}
    agent.end(chat, deadline=5)
    assert kept["chat_status"] == "ended"


def test_only_what_retells_agent_says_is_sent(retell):
    retell.says = lambda text: [
        {"role": "user", "content": text},
        {"role": "tool_call_invocation", "tool_call_id": "1", "name": "book", "arguments": "{}"},
        {"role": "agent", "content": "C’est noté."},
        {"role": "agent", "content": "Autre chose ?"},
    ]
    agent = retell_agent(retell)
    chat = agent.begin({}, session="s", deadline=5)
    said = agent.answer(question(session=chat), deadline=5)
    assert said.texts == ("C’est noté.", "Autre chose ?")


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (500, b"oops", "text/plain", "bad_status"),
        (422, b"{}", "application/json", "bad_status"),
        (429, b"{}", "application/json", "bad_status"),
        (200, b"<html>hello</html>", "text/html", "bad_answer"),
        (200, b"<html>", "application/json", "not_json"),
        (200, b"", "application/json", "not_json"),
        (200, b"null", "application/json", "bad_answer"),
        (200, b"{}", "application/json", "bad_answer"),
        (200, b'{"messages": 7}', "application/json", "bad_answer"),
        (200, b'{"messages": [{"role": "agent"}]}', "application/json", "bad_answer"),
        (200, b'{"messages": [{"role": "agent", "content": "<html>"}]}', "text/json", "html"),
        (200, b'{"messages": "' + b"x" * 100_000 + b'"}', "application/json", "too_long"),
    ],
)
def test_junk_from_retell_is_a_reason_and_no_crash(retell, status, body, kind, code):
    retell.broken = status, body, kind
    assert refused(retell_agent(retell)) == code


def test_retell_that_is_slow_or_trickles_or_is_away_is_given_up(retell):
    assert refused(retell_agent(retell, base_url="http://127.0.0.1:9")) == "unreachable"
    assert refused(retell_agent(retell, api_key="stolen")) == "refused"
    retell.delay = 1
    assert refused(retell_agent(retell), deadline=0.2) == "too_slow"
    retell.delay, retell.trickle = 0, 0.02
    retell.broken = 200, b'{"messages": [' + b" " * 500 + b"]}", "application/json"
    began = time.monotonic()
    assert refused(retell_agent(retell), deadline=0.3) == "too_slow"
    assert time.monotonic() - began < 3


# --------------------------------------------------------------------- with an account and a chat


def employ(tenant, linked, kind, config, secret):
    agent = ChatAgent(tenant=tenant, name=kind, kind=kind, config=config)
    agent.seal_secret(secret)
    agent.save()
    linked.agent = agent
    linked.save()
    return agent


def ask(world, worker, text):
    world.inbound(ACCOUNT, ANA, text, name="Ana")
    worker.settle()
    turn = AgentTurn.objects.latest("pk")
    turns.answer(turn.pk)
    turn.refresh_from_db()
    return turn


def test_a_question_goes_to_retell_and_its_answer_to_whatsapp(
    retell, tenant, linked, world, worker, settings
):
    settings.RETELL_URL = retell.url
    employ(tenant, linked, "retell", {"agent_id": "agent_1"}, fake_retell.KEY.encode())
    ask(world, worker, "Bonjour")
    ask(world, worker, "Ça va ?")
    worker.drive(linked)
    assert [sent.body for sent in world.record] == ["You said: Bonjour", "You said: Ça va ?"]
    (chat,) = retell.chats.values()
    assert chat["retell_llm_dynamic_variables"] == {
        "contact_name": "Ana",
        "contact_phone": ANA,
        "contact_language": "fr",
        "account": "amina",
        "company": "Acme",
    }


def test_a_chat_that_retell_has_ended_is_begun_anew(
    retell, tenant, linked, world, worker, settings
):
    settings.RETELL_URL = retell.url
    employ(tenant, linked, "retell", {"agent_id": "agent_1"}, fake_retell.KEY.encode())
    first = ask(world, worker, "Bonjour")
    retell.end(first.session.external_id)
    second = ask(world, worker, "Encore moi")
    assert second.state == "answered"
    assert second.session.external_id == "chat_2"


def test_retell_is_told_once_that_a_conversation_is_over(
    retell, tenant, linked, world, worker, settings
):
    settings.RETELL_URL = retell.url
    agent = employ(tenant, linked, "retell", {"agent_id": "agent_1"}, fake_retell.KEY.encode())
    turn = ask(world, worker, "Bonjour")
    now = turn.ended_at + agent.idle
    sessions.end_idle(now=now)
    assert sessions.untold() == [turn.session_id]
    assert sessions.tell(turn.session_id, now=now)
    assert not sessions.tell(turn.session_id, now=now)
    assert sessions.untold() == []
    assert retell.chats["chat_1"]["chat_status"] == "ended"


def test_a_webhook_that_answers_100_kb_costs_an_apology_and_nothing_else(
    receiver, tenant, linked, world, worker
):
    employ(tenant, linked, "webhook", {"url": receiver.url}, SECRET)
    receiver.body = json.dumps({"texts": ["x" * 100_000]}).encode()
    turn = ask(world, worker, "Bonjour")
    assert (turn.state, turn.error_code) == ("failed", "too_long")
    worker.drive(linked)
    assert [sent.body[:6] for sent in world.record] == ["Désolé"]


def test_a_webhook_ends_a_conversation_and_hears_that_it_ended(
    receiver, tenant, linked, world, worker
):
    employ(tenant, linked, "webhook", {"url": receiver.url}, SECRET)
    receiver.body = b'{"texts": ["Au revoir"], "finished": true}'
    turn = ask(world, worker, "Merci")
    assert AgentSession.objects.get().why == "finished"
    sessions.tell(turn.session_id, now=turn.ended_at)
    assert receiver.types == ["chat.message", "chat.ended"]


@pytest.mark.parametrize("kind", ["webhook", "retell"])
def test_an_agent_without_its_settings_says_what_is_missing(tenant, kind):
    agent = ChatAgent(tenant=tenant, name="x", kind=kind)
    agent.save()
    with pytest.raises(NoAnswer, match="is not set") as caught:
        connect(agent)
    assert caught.value.code == "bad_setup"


def test_whoever_waits_for_an_agent_sees_somebody_type(receiver, tenant, linked, world, worker):
    """Shown by the worker that has the browser, while the agent thinks, and not afterwards."""
    employ(tenant, linked, "webhook", {"url": receiver.url}, SECRET)
    receiver.body = b'{"texts": ["12"]}'
    world.inbound(ACCOUNT, ANA, "combien ?")
    worker.settle()
    turn = AgentTurn.objects.get()
    presence.show_typing(worker.pool, turn.pk)
    assert world.typed == []
    turns.claim(turn.pk)
    presence.show_typing(worker.pool, turn.pk)
    assert len(world.typed) == 1
