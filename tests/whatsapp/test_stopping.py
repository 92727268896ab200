"""STOP and START: heard in any script, confirmed once, heeded for the whole company."""

import datetime as dt

import pytest
from django.utils import timezone

from accounts.models import Activity, default_stop_words
from whatsapp import contacts, stopping, suppression
from whatsapp.models import Contact, Message

ACCOUNT, ANA = "+33639980001", "+33639980100"


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        " stop. ",
        "Stop !!! 🛑",
        "Arrêt",
        "arre\u0302t",
        "ARRÊTEZ",
        "désabonner",
        "Unsubscribe\u200f",
        "\u202estop\u202c",
        "ＳＴＯＰ",
    ],
)
def test_a_whole_message_of_one_word_means_stop(text):
    assert stopping.means(text, default_stop_words())


@pytest.mark.parametrize(
    "text", ["don't stop", "stopper demain ?", "", "🛑", "st op", "stop " * 60, "START", "\u200f"]
)
def test_other_messages_do_not_mean_stop(text):
    assert not stopping.means(text, default_stop_words())


def test_a_company_has_words_of_its_own_in_any_script():
    words = ["توقف", "стоп", "停止", "ne plus écrire"]
    assert stopping.means("تَوَقَّف!", words)
    assert stopping.means("Стоп.", words)
    assert stopping.means("停止", words)
    assert stopping.means("Ne plus ECRIRE", words)
    assert not stopping.means("STOP", words)


def said(world):
    return [sent.body for sent in world.record]


def test_a_stop_is_confirmed_once_and_nothing_else_is_sent(linked, world, worker, write):
    waiting = write(linked, ANA)
    world.inbound(ACCOUNT, ANA, "STOP")
    worker.settle()
    worker.drive(linked)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.error_code) == ("cancelled", "opted_out")
    assert said(world) == [
        (
            "C’est noté\N{NO-BREAK SPACE}: vous ne recevrez plus de messages de notre part. "
            "Pour reprendre, écrivez START."
        )
    ]
    world.inbound(ACCOUNT, ANA, "stop")
    later = write(linked, ANA)
    worker.drive(linked)
    later.refresh_from_db()
    assert later.state == "cancelled"
    assert len(world.record) == 1


def test_somebody_known_from_a_group_only_gets_the_confirmation_and_nobody_waits_for_them(
    linked, world, worker, tenant, write
):
    ids = contacts.ensure(tenant_id=tenant.pk, people={ANA: "Ana"}, source="group")
    world.inbound(ACCOUNT, ANA, "STOP")
    worker.settle()
    write(linked, "+33639980101", body="Bonjour")
    worker.drive(linked)
    assert Contact.objects.get(pk=ids[ANA]).obstacle == "opted_out"
    assert len(said(world)) == 2


def test_the_confirmation_is_the_companys_in_the_contacts_language(linked, world, worker, tenant):
    tenant.stop_confirmation = {"fr": "Entendu.", "en": "Understood."}
    tenant.save()
    ids = contacts.ensure(tenant_id=tenant.pk, people={ANA: "Ana"})
    Contact.objects.filter(pk=ids[ANA]).update(language="en")
    world.inbound(ACCOUNT, ANA, "STOP")
    world.inbound(ACCOUNT, "+33639980101", "STOP")
    worker.settle()
    worker.drive(linked)
    assert sorted(said(world)) == ["Entendu.", "Understood."]


def test_start_lets_them_be_written_to_again_but_a_second_stop_is_not_confirmed(
    linked, world, worker, write
):
    for word in ("STOP", "START"):
        world.inbound(ACCOUNT, ANA, word)
        worker.settle()
    assert Contact.objects.get(phone=ANA).opted_out_at is None
    write(linked, ANA, body="Encore ?")
    worker.drive(linked)
    world.inbound(ACCOUNT, ANA, "STOP")
    worker.settle()
    worker.drive(linked)
    assert Contact.objects.get(phone=ANA).opted_out_at is not None
    assert len(said(world)) == 2
    assert "Encore ?" in said(world)
    assert list(
        Activity.objects.filter(subject_type="whatsapp.contact")
        .order_by("id")
        .values_list("verb", flat=True)
    ) == ["opted_out", "opted_in", "opted_out"]


def test_a_start_that_is_heard_late_takes_back_no_later_stop_of_another_way(
    linked, tenant, world, worker
):
    now = timezone.now()
    ids = contacts.ensure(tenant_id=tenant.pk, people={ANA: "Ana"})
    ana = Contact.objects.get(pk=ids[ANA])
    contacts.opt_out(ana, reason="told us on the telephone", how="admin", now=now)
    world.inbound(ACCOUNT, ANA, "START", sent_at=now - dt.timedelta(hours=2))
    worker.settle()
    ana.refresh_from_db()
    assert ana.opted_out_at is not None
    world.inbound(ACCOUNT, ANA, "START")
    worker.settle()
    ana.refresh_from_db()
    assert ana.opted_out_at is None


def test_start_ends_a_wish_to_be_forgotten(linked, tenant, world, worker):
    suppression.suppress(tenant, ANA, now=timezone.now() - dt.timedelta(days=1))
    world.inbound(ACCOUNT, ANA, "START")
    worker.settle()
    assert suppression.suppressed(tenant, [ANA]) == {}
    assert Contact.objects.get(phone=ANA).opted_out_at is None


def test_only_the_confirmation_passes_an_opt_out(linked, worker, world, write):
    """A message of any other origin is refused at its intent, whatever queued it."""
    contact = write(linked, ANA).contact
    contacts.opt_out(contact, reason="said stop", now=timezone.now())
    for origin in Message.Origin:
        write(linked, ANA, body=origin.value, origin=origin)
    worker.drive(linked)
    assert said(world) == ["system"]


def test_a_stop_in_a_group_is_no_wish_about_us(linked, world, worker, tenant):
    contacts.ensure(tenant_id=tenant.pk, people={ANA: "Ana"})
    group = world.make_group("Voisins", [ACCOUNT, ANA])
    world.inbound(ACCOUNT, ANA, "STOP", group=group.chat_id)
    worker.settle()
    assert Contact.objects.get(phone=ANA).opted_out_at is None
