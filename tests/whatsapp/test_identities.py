"""One person, one contact: by phone, by LID, and what happens when the pair is learnt."""

import datetime as dt

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.activity import Verb
from accounts.models import Activity
from tests.factories import DAY, NOW, make_account, make_tenant
from tests.races import together
from whatsapp import contacts, identities, outbox
from whatsapp.models import (
    Chat,
    ConsentEntry,
    Contact,
    Group,
    GroupMember,
    Incoming,
    Message,
    MessageReceipt,
)
from whatsapp.signals import contacts_merged

pytestmark = pytest.mark.usefixtures("no_doorbells")
PHONE, LID = "+33639980100", "100@lid"


def find(tenant, phone="", lid="", source="inbound", **more):
    return identities.find_or_make(
        tenant_id=tenant.pk, phone=phone, lid=lid, source=source, now=NOW, **more
    )


@pytest.fixture
def two(tenant):
    """The same person twice: one row with the phone, one with the LID."""
    by_phone = find(tenant, PHONE, source="import", name="Zoé")
    by_lid = find(tenant, lid=LID, name="Z.")
    return by_phone, by_lid


def learn(tenant):
    return find(tenant, PHONE, LID)


# ----------------------------------------------------------------------------- finding somebody


def test_somebody_known_by_lid_alone_is_a_contact(tenant):
    made = find(tenant, lid=LID, name="Zoé", source="group", source_detail="1@g.us")

    assert (made.phone, made.lid, made.name) == ("", LID, "Zoé")
    assert (made.source, made.source_detail) == ("group", "1@g.us")
    assert find(tenant, lid=LID) == made


def test_a_phone_learnt_later_is_stored_on_the_same_row(tenant):
    made = find(tenant, lid=LID)

    assert learn(tenant) == made
    assert find(tenant, PHONE) == made
    assert Contact.objects.get().phone == PHONE


def test_a_lid_learnt_later_is_stored_on_the_same_row(tenant):
    made = find(tenant, PHONE)

    assert learn(tenant) == made
    assert Contact.objects.get().lid == LID


def test_a_name_and_a_source_that_stand_there_are_kept(tenant):
    find(tenant, PHONE, source="import", name="Zoé Martin")

    again = find(tenant, PHONE, source="group", name="zozo", source_detail="1@g.us")

    assert (again.name, again.source, again.source_detail) == ("Zoé Martin", "import", "")


def test_somebody_with_a_new_number_takes_their_lid_along_and_their_wish_to_stop(tenant):
    old = learn(tenant)
    contacts.opt_out(old, reason="said stop", now=NOW)

    new = find(tenant, "+33639980200", LID)

    old.refresh_from_db()
    assert new != old
    assert (old.lid, new.lid) == ("", LID)
    assert new.opted_out_at is not None


def test_nobody_is_found_without_phone_and_lid(tenant):
    with pytest.raises(ValueError, match="a phone, a LID or both"):
        find(tenant)


def test_contacts_of_two_companies_never_meet(tenant):
    ours = find(tenant, PHONE, LID)
    theirs = find(make_tenant("rival"), PHONE, LID)

    assert ours.pk != theirs.pk


# ------------------------------------------------------------------------------------- merging


def test_two_rows_become_the_one_with_the_phone(tenant, two):
    by_phone, by_lid = two

    assert learn(tenant) == by_phone

    kept = Contact.objects.get()
    assert (kept.pk, kept.phone, kept.lid, kept.name) == (by_phone.pk, PHONE, LID, "Zoé")
    assert Activity.objects.get(verb=Verb.CONTACTS_MERGED).subject_id == by_phone.pk
    assert by_lid.pk != by_phone.pk


def test_everything_that_refers_to_the_row_that_goes_is_kept(tenant, two):
    """Every foreign key to a contact, whoever adds one: nothing is lost with the row."""
    account = make_account(tenant)
    _by_phone, by_lid = two
    message = outbox.queue(
        tenant=tenant, account=account, contact=by_lid, idempotency_key="k", body="Salut", now=NOW
    )
    group = Group.objects.create(
        tenant=tenant, account=account, chat_id="1@g.us", discovered_at=NOW, refreshed_at=NOW
    )
    GroupMember.objects.create(group=group, contact=by_lid, seen_at=NOW, admin=True)
    MessageReceipt.objects.create(message=message, participant=LID, contact=by_lid)
    Chat.objects.create(tenant=tenant, account=account, contact=by_lid, started_at=NOW)
    Incoming.objects.create(
        account=account, contact=by_lid, wa_id="w", chat_id=LID, kind="chat", sent_at=NOW,
        received_at=NOW,
    )  # fmt: skip
    contacts.record_basis(by_lid, basis="consent", note="asked us", how="hand", now=NOW)

    kept = learn(tenant)

    for model in (Message, GroupMember, MessageReceipt, Chat, Incoming, ConsentEntry):
        assert model.objects.get().contact == kept, model
    kept.refresh_from_db()
    assert kept.lawful_basis == "consent"
    of_gone = Activity.objects.filter(subject_type="whatsapp.contact", subject_id=by_lid.pk)
    assert not of_gone.exists()


def test_what_both_have_is_joined(tenant, two):
    account = make_account(tenant)
    group = Group.objects.create(
        tenant=tenant, account=account, chat_id="1@g.us", discovered_at=NOW, refreshed_at=NOW
    )
    by_phone, by_lid = two
    GroupMember.objects.create(group=group, contact=by_phone, seen_at=NOW - DAY, left_at=NOW)
    GroupMember.objects.create(group=group, contact=by_lid, seen_at=NOW, admin=True)
    common = {"tenant": tenant, "account": account}
    Chat.objects.create(contact=by_phone, started_at=NOW, unread=1, **common)
    Chat.objects.create(
        contact=by_lid, started_at=NOW - DAY, unread=2, last_incoming_at=NOW,
        taken_over_at=NOW, taken_over_until=NOW + DAY, taken_over_by="olga", **common,
    )  # fmt: skip

    kept = learn(tenant)

    member, chat = GroupMember.objects.get(), Chat.objects.get()
    assert (member.contact, member.admin, member.left_at) == (kept, True, None)
    assert (chat.contact, chat.unread, chat.started_at) == (kept, 3, NOW - DAY)
    assert (chat.taken_over_by, chat.last_incoming_at) == ("olga", NOW)


def test_an_opt_out_of_either_holds_for_both_and_cancels_what_is_queued(tenant, two):
    account = make_account(tenant)
    by_phone, by_lid = two
    queued = outbox.queue(
        tenant=tenant, account=account, contact=by_phone, idempotency_key="k", body="x", now=NOW
    )
    contacts.opt_out(by_lid, reason="said stop", now=NOW - DAY)

    kept = learn(tenant)

    queued.refresh_from_db()
    assert kept.obstacle == "opted_out"
    assert (queued.state, queued.error_code) == ("cancelled", "opted_out")
    whats = list(kept.consent.order_by("id").values_list("what", flat=True))
    assert whats == ["opted_out", "opted_out"]


def test_tags_are_joined_and_the_first_source_stays(tenant, two):
    by_phone, by_lid = two
    Contact.objects.filter(pk=by_phone.pk).update(tags=["vip", "paris"], created_at=NOW)
    Contact.objects.filter(pk=by_lid.pk).update(
        tags=["paris", "lyon"], created_at=NOW - DAY, language="fr"
    )

    kept = learn(tenant)

    assert kept.tags == ["vip", "paris", "lyon"]
    assert (kept.source, kept.language, kept.created_at) == ("inbound", "fr", NOW - DAY)


# ------------------------------------------------------ merging, and whom one may write to


def scraped(contact, at=NOW - DAY):
    Contact.objects.filter(pk=contact.pk).update(source="group", created_at=at)
    contact.refresh_from_db()


@pytest.mark.parametrize("source", ["import", "api", "hand", "inbound"])
def test_whom_one_may_write_to_stays_so_when_they_were_scraped_under_their_lid(tenant, two, source):
    by_phone, by_lid = two
    Contact.objects.filter(pk=by_phone.pk).update(source=source)
    scraped(by_lid)

    kept = learn(tenant)

    assert (kept.source, kept.obstacle, kept.created_at) == (source, "", NOW - DAY)


def test_who_was_scraped_by_phone_and_wrote_under_their_lid_is_not_written_to(tenant, two):
    scraped(two[0])
    assert learn(tenant).obstacle == "no_lawful_basis"


def test_whom_nothing_but_groups_made_known_is_not_written_to(tenant, two):
    scraped(two[0])
    scraped(two[1], at=NOW - 2 * DAY)
    assert learn(tenant).obstacle == "no_lawful_basis"


def record(contact, *, at):
    contacts.record_basis(contact, basis="consent", note="asked us", how="hand", now=at)


def withdraw(contact, *, at):
    contacts.withdraw_basis(contact, note="called us", how="hand", now=at)


def test_a_basis_that_was_withdrawn_does_not_come_back_with_the_other_row(tenant, two):
    by_phone, by_lid = two
    scraped(by_phone)
    record(by_lid, at=NOW - 5 * DAY)
    record(by_phone, at=NOW - 4 * DAY)
    withdraw(by_phone, at=NOW - 3 * DAY)

    kept = learn(tenant)

    assert (kept.lawful_basis, kept.obstacle) == ("", "no_lawful_basis")


def test_a_basis_that_the_other_row_withdrew_later_is_withdrawn(tenant, two):
    by_phone, by_lid = two
    scraped(by_phone)
    record(by_phone, at=NOW - 5 * DAY)
    record(by_lid, at=NOW - 4 * DAY)
    withdraw(by_lid, at=NOW - 3 * DAY)
    account = make_account(tenant)
    queued = outbox.queue(
        tenant=tenant, account=account, contact=by_phone, idempotency_key="k", body="x", now=NOW
    )

    kept = learn(tenant)

    queued.refresh_from_db()
    assert (kept.lawful_basis, kept.obstacle) == ("", "no_lawful_basis")
    assert (queued.state, queued.error_code) == ("cancelled", "no_lawful_basis")


@pytest.mark.parametrize("newer", [0, 1], ids=["of the phone", "of the LID"])
def test_a_basis_recorded_after_the_other_row_s_was_withdrawn_holds(tenant, two, newer):
    other = two[1 - newer]
    scraped(two[0])
    record(other, at=NOW - 5 * DAY)
    withdraw(other, at=NOW - 4 * DAY)
    record(two[newer], at=NOW - 3 * DAY)

    kept = learn(tenant)

    assert (kept.lawful_basis, kept.lawful_basis_at) == ("consent", NOW - 3 * DAY)


def test_those_above_are_told_before_anything_moves(tenant, two):
    told = []

    def hear(kept, gone, **_):
        told.append((kept.pk, gone.pk, gone.lid))

    contacts_merged.connect(hear)
    try:
        learn(tenant)
    finally:
        contacts_merged.disconnect(hear)

    assert told == [(two[0].pk, two[1].pk, LID)]


# --------------------------------------------------------------------------------------- races


@pytest.mark.django_db(transaction=True)
def test_many_who_learn_it_at_once_end_with_one_person():
    tenant = make_tenant()
    for n in range(12):
        phone, lid = f"+3363998{n:04d}", f"{n}@lid"
        if n % 3 == 1:
            find(tenant, phone)
        if n % 3 == 2:
            find(tenant, phone)
            find(tenant, lid=lid)

        found = together(
            *[lambda p=phone, i=lid: find(tenant, p, i).pk] * 3, lambda i=lid: find(tenant, lid=i)
        )

        (only,) = Contact.objects.filter(phone=phone) | Contact.objects.filter(lid=lid)
        assert (only.phone, only.lid) == (phone, lid)
        assert set(found[:3]) == {only.pk}


@pytest.mark.django_db(transaction=True)
def test_a_message_queued_beside_a_merge_belongs_to_the_person_or_is_not_queued():
    tenant = make_tenant()
    account = make_account(tenant)
    queued = 0
    for n in range(15):
        phone, lid = f"+3363998{n:04d}", f"{n}@lid"
        kept, gone = find(tenant, phone), find(tenant, lid=lid)

        def write(contact=gone, key=f"k{n}"):
            try:
                outbox.queue(
                    tenant=tenant, account=account, contact=contact, idempotency_key=key,
                    body="x", now=NOW,
                )  # fmt: skip
            except Message.DoesNotExist:
                return 0
            return 1

        queued += together(lambda p=phone, i=lid: find(tenant, p, i), write)[1]
        assert not Message.objects.exclude(contact__phone__startswith="+").exists()
        assert not Contact.objects.filter(pk=gone.pk).exists()
        assert kept.pk

    assert Message.objects.count() == queued


# ----------------------------------------------------------------------------- from the inbox


def test_the_pair_that_a_message_tells_joins_what_was_two(linked, world, worker):
    world.inbound("+33639980001", PHONE, "Qui est-ce ?", lid_only=True)
    worker.settle()
    stranger = Contact.objects.get()
    assert (stranger.phone, stranger.source) == ("", "inbound")
    known = contacts.ensure(tenant_id=linked.tenant_id, people={PHONE: "Zoé"}, source="import")

    world.inbound("+33639980001", PHONE, "C'est Zoé")
    worker.settle()

    (person,) = Contact.objects.all()
    assert (person.pk, person.lid) == (known[PHONE], stranger.lid)
    assert set(Incoming.objects.values_list("contact", flat=True)) == {person.pk}


def test_nobody_becomes_a_contact_by_writing_in_a_group_but_whoever_is_one_is_known_better(
    linked, world, worker
):
    group = world.make_group("Voisins", ["+33639980001", PHONE, "+33639980101"])
    contacts.ensure(tenant_id=linked.tenant_id, people={PHONE: "Zoé"})
    for phone in (PHONE, "+33639980101"):
        world.inbound("+33639980001", phone, "Bonjour à tous", group=group.chat_id)
    worker.settle()

    member = Contact.objects.get()
    assert member.lid == Incoming.objects.get(contact=member).author_lid


def test_the_database_refuses_two_rows_for_one_lid(tenant):
    find(tenant, lid=LID)
    with pytest.raises(IntegrityError, match="contact_lid_per_tenant"), transaction.atomic():
        Contact.objects.create(tenant=tenant, lid=LID)
    assert dt.timedelta(0) < timezone.now() - Contact.objects.get().created_at
