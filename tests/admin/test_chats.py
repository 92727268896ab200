"""Conversations and chat agents in the admin."""

import re
from html import unescape

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Activity
from tests import factories
from tests.contract.media import DOCUMENT, IMAGE
from tests.factories import NOW
from whatsapp import media
from whatsapp.models import (
    AgentRule,
    AgentTurn,
    Chat,
    ChatAgent,
    Contact,
    Incoming,
    Message,
)


@pytest.fixture
def chat(acme):
    account = factories.make_account(acme, name="amina")
    contact = Contact.objects.create(tenant=acme, phone="+33639980100", name="Zoé")
    made = Chat.objects.create(
        tenant=acme, account=account, contact=contact, started_at=NOW, unread=1,
        last_incoming_at=NOW,
    )  # fmt: skip
    say(made, "C’est combien ?")
    return made


def say(chat, body="", **fields):
    n = Incoming.objects.count()
    defaults = {"kind": "chat", "sent_at": NOW + n * factories.HOUR, "received_at": NOW}
    return Incoming.objects.create(
        account=chat.account, contact=chat.contact, wa_id=f"w{n}", chat_id="c", body=body,
        **(defaults | fields),
    )  # fmt: skip


def reply(chat, body, **fields):
    n = Message.objects.count()
    return Message.objects.create(
        tenant=chat.tenant, account=chat.account, contact=chat.contact, idempotency_key=f"m{n}",
        content_hash="h", body=body, due_at=NOW, **fields,
    )  # fmt: skip


def page(chat):
    return reverse("admin:whatsapp_chat_change", args=[chat.pk])


def press(client, chat, button, **data):
    return client.post(reverse(f"admin:whatsapp_chat_{button}", args=[chat.pk]), data)


def text_of(answer):
    return answer.content.decode()


def box(answer):
    """What stands in the box to answer, as a browser reads it: its first line break is markup."""
    inside = re.search(
        r'<textarea id="answer-text"[^>]*>(.*?)</textarea>', text_of(answer), re.DOTALL
    )
    return unescape(inside[1].replace("\r\n", "\n").removeprefix("\n"))


def test_a_conversation_shows_both_sides_with_ticks_and_who_wrote(manager, chat):
    question = Incoming.objects.get()
    reply(
        chat, "12 €", origin="agent", state="read", sent_at=NOW, quoted_wa_id=question.wa_id
    )  # fmt: skip
    reply(chat, "Jour 2", origin="sequence", state="failed", error_code="not_on_whatsapp")
    say(chat, "Je suis <b>là</b>", from_me=True)
    shown = text_of(manager.get(page(chat)))
    assert shown.count("chat-theirs") == 1
    assert 'class="chat-quoted" dir="auto">C’est combien ?' in shown
    assert 'aria-label="read" title="read">done_all' in shown
    assert "this number is not on WhatsApp" in shown
    assert "on the phone" in shown
    assert "&lt;b&gt;là&lt;/b&gt;" in shown


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"kind": "hologram"}, "a message of the type “hologram”"),
        ({"kind": "location", "content": {"latitude": 1.5, "longitude": 2, "name": "Ici"}}, "Ici"),
        ({"kind": "image", "media_state": "wanted"}, "its file is being fetched"),
        (
            {"kind": "document", "media_state": "failed", "media_error": "not_allowed"},
            "its file could not be fetched (not_allowed)",
        ),
        ({"body": "👩‍👩‍👧‍👦 \u202eشكرا"}, "👩‍👩‍👧‍👦 \u202eشكرا"),
        ({"body": "é" * 65_536}, "éé…"),
    ],
    ids=["unknown type", "place", "file to come", "file refused", "emoji and RTL", "65,536"],
)
def test_whatever_came_in_is_shown(manager, chat, fields, shown):
    say(chat, **fields)
    assert shown in text_of(manager.get(page(chat)))


def test_opening_a_conversation_reads_it(manager, chat):
    assert "Zoé" in text_of(manager.get(reverse("admin:whatsapp_chat_changelist") + "?show=unread"))
    manager.get(page(chat))
    chat.refresh_from_db()
    assert chat.unread == 0


def test_what_came_meanwhile_is_drawn_by_itself(manager, chat):
    live = reverse("admin:whatsapp_chat_live", args=[chat.pk])
    assert f'hx-get="{live}"' in text_of(manager.get(page(chat)))
    say(chat, "Allô ?")
    answer = manager.get(live)
    assert "Allô ?" in text_of(answer)
    assert "no-store" in answer["Cache-Control"]


def test_an_answer_is_queued_once_and_takes_the_chat_over(manager, chat):
    key = manager.get(page(chat)).context["answer_key"]
    for _ in range(2):
        assert press(manager, chat, "answer", text="Bonjour Zoé", key=key).url == page(chat)
    message = Message.objects.get()
    assert (message.body, message.origin, message.contact) == (
        "Bonjour Zoé",
        "direct",
        chat.contact,
    )
    chat.refresh_from_db()
    assert chat.is_taken_over(now=timezone.now())
    assert "writes here until" in text_of(manager.get(page(chat)))
    press(manager, chat, "give_back")
    chat.refresh_from_db()
    assert not chat.is_taken_over(now=timezone.now())
    assert [line.verb for line in Activity.objects.exclude(verb="logged_in").order_by("pk")] == [
        "chat_taken_over",
        "message_queued",
        "chat_given_back",
    ]


def test_an_answer_that_cannot_go_says_why(manager, chat):
    Contact.objects.update(opted_out_at=NOW)
    answer = manager.post(
        reverse("admin:whatsapp_chat_answer", args=[chat.pk]), {"text": "Bonjour"}, follow=True
    )
    assert "this person asked for no more messages" in text_of(answer)
    assert not Message.objects.exists()


def test_an_answer_that_cannot_go_says_why_in_the_language_of_whoever_wrote_it(manager, chat):
    manager.cookies["django_language"] = "fr"
    for stop, words in [
        ({"opted_out_at": NOW}, "cette personne ne veut plus de messages"),
        ({"opted_out_at": None, "phone": chat.account.phone}, "c’est le numéro du compte lui-même"),
    ]:
        Contact.objects.update(**stop)
        answer = press(manager, chat, "answer", text="Bonjour")
        assert f"Pas envoyé : {words}" in text_of(answer).replace("\u202f", " ").replace(
            "\xa0", " "
        )


def test_an_answer_that_cannot_go_is_not_typed_again(manager, chat):
    Contact.objects.update(opted_out_at=NOW)
    typed = "\nBonjour <Zoé>,\nà demain"
    answer = press(manager, chat, "answer", text=typed)
    assert box(answer) == typed
    assert box(manager.get(page(chat))) == ""


def test_conversations_have_one_name_in_the_sidebar_and_above_the_page(manager, chat):
    for address in (page(chat), reverse("admin:whatsapp_chat_changelist")):
        words = [word.strip() for word in re.findall(r">([^<>]+)<", text_of(manager.get(address)))]
        assert words.count("Conversations") > 1
        assert not {"Chat", "Chats"} & set(words)


def test_a_file_is_shown_in_its_own_conversation_only(manager, chat, acme):

    picture = media.store(tenant=acme, data=IMAGE.data, filename="cat.png")
    guide = media.store(tenant=acme, data=DOCUMENT.data, filename="guide.pdf")
    say(chat, media=picture, media_state="stored", kind="image")
    url = reverse("admin:whatsapp_chat_file", args=[chat.pk, picture.pk])
    assert f'src="{url}"' in text_of(manager.get(page(chat)))
    shown = manager.get(url)
    assert b"".join(shown.streaming_content) == IMAGE.data
    assert shown["Content-Security-Policy"] == "default-src 'none'; sandbox"
    elsewhere = reverse("admin:whatsapp_chat_file", args=[chat.pk, guide.pk])
    assert manager.get(elsewhere).status_code == 404
    say(chat, media=guide, media_state="stored", kind="document")
    assert manager.get(elsewhere)["Content-Disposition"].startswith("attachment")


def test_nobody_opens_or_answers_another_companys_conversation(manager, rival):
    account = factories.make_account(rival)
    contact = Contact.objects.create(tenant=rival, phone="+33639980101")
    theirs = Chat.objects.create(tenant=rival, account=account, contact=contact, started_at=NOW)
    assert manager.get(reverse("admin:whatsapp_chat_live", args=[theirs.pk])).status_code == 404
    for button in ("answer", "take_over", "give_back"):
        assert press(manager, theirs, button, text="x").status_code == 404


# ------------------------------------------------------------------------------------- agents

LIST = "admin:whatsapp_chatagent_changelist"


def form(acme, **fields):
    return {
        "tenant": acme.pk, "name": "reception", "kind": "rules", "enabled": "on", "apology": "",
        "timeout_seconds": 15, "answers_per_hour": 20, "idle_minutes": 60, "fallback": "",
        "rules-TOTAL_FORMS": 1, "rules-INITIAL_FORMS": 0, "rules-0-position": 0,
        "rules-0-keywords": "prix, combien", "rules-0-language": "", "rules-0-answer": "12 €",
        **fields,
    }  # fmt: skip


def add(client, acme, **fields):
    return client.post(reverse("admin:whatsapp_chatagent_add"), form(acme, **fields))


def errors(answer):
    found = dict(answer.context["adminform"].form.errors)
    return set(found) - {"__all__"}


def test_rules_are_added_and_asked_what_they_would_answer(manager, acme):
    assert add(manager, acme, fallback="fr: Pardon ?\nPS : oui\nen: Sorry?").status_code == 302
    agent = ChatAgent.objects.get()
    assert AgentRule.objects.get().keywords == ["prix", "combien"]
    assert agent.config == {"fallback": {"fr": "Pardon ?\nPS : oui", "en": "Sorry?"}}
    url = reverse("admin:whatsapp_chatagent_try", args=[agent.pk])
    assert "12 €" in text_of(manager.post(url, {"text": "C’est combien ?"}))
    assert "Pardon ?" in text_of(manager.post(url, {"text": "hm"}))
    assert not Message.objects.exists()


def test_an_agent_that_would_not_answer_says_why(manager, acme):
    agent = ChatAgent.objects.create(tenant=acme, name="x", kind="webhook")
    url = reverse("admin:whatsapp_chatagent_try", args=[agent.pk])
    assert "It gives no answer" in text_of(manager.post(url, {"text": "prix"}))


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"kind": "webhook", "url": "", "new_secret": "s"}, {"url"}),
        ({"kind": "webhook", "url": "http://host:22/", "new_secret": "s"}, {"url"}),
        ({"kind": "webhook", "url": "https://example.com/a"}, {"new_secret"}),
        ({"kind": "retell", "new_secret": "s"}, {"agent_id"}),
        ({"apology": "fr: Pardon\nfr: Désolé"}, {"apology"}),
        ({"fallback": "Je ne sais pas."}, {"fallback"}),
        ({"timeout_seconds": 61}, {"timeout_seconds"}),
        ({"answers_per_hour": 0}, {"answers_per_hour"}),
    ],
)
def test_an_agent_that_could_not_work_is_refused(manager, acme, fields, wrong):
    assert errors(add(manager, acme, **fields)) == wrong
    assert not ChatAgent.objects.exists()


def test_a_secret_is_sealed_kept_and_never_shown(manager, acme):
    given = {"kind": "retell", "agent_id": "agent_1", "new_secret": "key_abc"}
    add(manager, acme, **given)
    agent = ChatAgent.objects.get()
    assert agent.secret() == b"key_abc"
    assert b"key_abc" not in bytes(agent.sealed_secret)
    change = reverse("admin:whatsapp_chatagent_change", args=[agent.pk])
    assert "key_abc" not in text_of(manager.get(change))
    manager.post(change, form(acme, **given | {"new_secret": "", "agent_id": "agent_2"}))
    agent.refresh_from_db()
    assert (agent.secret(), agent.config) == (b"key_abc", {"agent_id": "agent_2"})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            {"kind": "retell", "agent_id": "agent_1"},
            {"kind": "webhook", "url": "https://a.example/"},
        ),
        (
            {"kind": "webhook", "url": "https://a.example/"},
            {"kind": "retell", "agent_id": "agent_1"},
        ),
    ],
)
def test_the_secret_of_one_kind_is_not_used_for_another(manager, acme, before, after):
    add(manager, acme, **before, new_secret="of the first kind")
    agent = ChatAgent.objects.get()
    change = reverse("admin:whatsapp_chatagent_change", args=[agent.pk])
    assert errors(manager.post(change, form(acme, **after))) == {"new_secret"}
    agent.refresh_from_db()
    assert agent.kind == before["kind"]


def test_an_agent_that_becomes_rules_keeps_no_secret(manager, acme):
    add(manager, acme, kind="retell", agent_id="agent_1", new_secret="key_abc")
    agent = ChatAgent.objects.get()
    manager.post(reverse("admin:whatsapp_chatagent_change", args=[agent.pk]), form(acme))
    agent.refresh_from_db()
    assert (agent.kind, bytes(agent.sealed_secret)) == ("rules", b"")


def test_a_deleted_agent_stands_in_the_log(manager, acme):
    add(manager, acme)
    agent = ChatAgent.objects.get()
    manager.post(reverse("admin:whatsapp_chatagent_delete", args=[agent.pk]), {"post": "yes"})
    assert not ChatAgent.objects.exists()
    line = Activity.objects.get(verb="deleted")
    assert (line.subject_id, line.subject_name) == (agent.pk, "reception")


def test_an_empty_secret_is_none(manager, acme):
    given = {"kind": "webhook", "url": "https://a.example/", "new_secret": "whsec_"}
    assert errors(add(manager, acme, **given)) == {"new_secret"}


def test_an_account_gets_an_agent_of_its_own_company_only(operator, acme, rival):
    account = factories.make_account(acme)
    theirs = ChatAgent.objects.create(tenant=rival, name="theirs")
    answer = operator.post(
        reverse("admin:whatsapp_account_change", args=[account.pk]),
        {"name": account.name, "agent": theirs.pk, "enabled": "on"},
    )
    assert "agent" in errors(answer)
    account.refresh_from_db()
    assert account.agent is None


def test_the_agents_log_says_in_words_why_nobody_was_answered(manager, chat):
    agent = ChatAgent.objects.create(tenant=chat.tenant, name="reception")
    turn = AgentTurn.objects.create(
        incoming=Incoming.objects.get(), chat=chat, agent=agent, created_at=NOW, state="failed"
    )
    log = reverse("admin:whatsapp_agentturn_changelist")
    for code, words in {
        "too_slow": "the agent did not answer in time",
        "taken_over": "a person has taken the conversation over",
        "invented_later": "invented later",
    }.items():
        AgentTurn.objects.filter(pk=turn.pk).update(error_code=code)
        assert words in text_of(manager.get(log))
