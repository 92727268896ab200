"""Groups of an account: asked for, discovered by its worker, and their members taken over."""

import datetime as dt

import pytest
from django.utils import timezone

from accounts.activity import Actor, Verb
from accounts.models import Activity
from tests.factories import DAY, NOW, make_account
from whatsapp import contacts, driving, groups, identities, suppression, tasks
from whatsapp.driver.base import GroupInfo, Member, Retryable
from whatsapp.models import Account, Contact, Group, GroupMember
from whatsapp.signals import message_changed

AMINA, ZOE, BEN, LEA = "+33639980001", "+33639980100", "+33639980101", "+33639980102"
OLGA = Actor("user", "olga")


@pytest.fixture(autouse=True)
def rung(monkeypatch):
    """Accounts that were rung for."""
    found: list[int] = []
    monkeypatch.setattr("whatsapp.doorbells.ring", found.extend)
    return found


@pytest.fixture
def neighbours(world):
    """Zoé, Ben and Amina, who administers it."""
    return world.make_group("Voisins", [ZOE, BEN], admins=[AMINA], description="Rue Haute")


def discover(account, worker):
    worker.settle()
    account.refresh_from_db()
    groups.request_discovery(account, actor=OLGA, now=timezone.now())
    worker.drive(account)
    account.refresh_from_db()
    return list(Group.objects.filter(account=account).order_by("subject"))


def scrape(group, worker):
    groups.request_members(group, actor=OLGA, now=timezone.now())
    worker.drive(group.account)
    group.refresh_from_db()
    return set(Contact.objects.filter(source="group").values_list("phone", flat=True))


# ----------------------------------------------------------------------------------- discovery


def test_groups_are_discovered_with_what_the_account_may_do_there(
    linked, world, worker, neighbours, django_capture_on_commit_callbacks, rung
):
    quiet = world.make_group("Annonces", [AMINA], admins=[BEN], announce_only=True)

    with django_capture_on_commit_callbacks(execute=True):
        news, ours = discover(linked, worker)

    assert (ours.chat_id, ours.subject, ours.description) == (
        neighbours.chat_id, "Voisins", "Rue Haute",
    )  # fmt: skip
    assert (ours.role, ours.member_count, ours.can_write) == ("admin", 3, True)
    assert (news.chat_id, news.role, news.can_write) == (quiet.chat_id, "member", False)
    assert list(Group.objects.writable()) == [ours]
    assert linked.groups_discovered_at is not None
    assert linked.groups_requested_at is None
    assert rung == [linked.pk]
    asked = Activity.objects.get(verb=Verb.DISCOVERY_REQUESTED)
    assert (asked.actor_name, asked.subject_id) == ("olga", linked.pk)


def test_groups_are_discovered_although_the_queue_has_no_end(
    linked, worker, neighbours, write, monkeypatch
):
    monkeypatch.setattr(driving, "LOOK_SECONDS", 0.0)
    first, last = write(linked), write(linked)

    def ask(message, **_):
        if message.pk == first.pk and message.state == "sent":
            groups.request_discovery(linked, actor=OLGA, now=timezone.now())

    message_changed.connect(ask)
    try:
        worker.drive(linked)
    finally:
        message_changed.disconnect(ask)

    last.refresh_from_db()
    assert Group.objects.get().discovered_at < last.sent_at


def test_a_group_that_was_left_stays_with_its_labels_and_takes_no_message(
    linked, world, worker, neighbours
):
    (group,) = discover(linked, worker)
    groups.label(group, region="Lyon", segments=["nord"], tags=["vip"], actor=OLGA, now=NOW)

    world.leave(neighbours.chat_id, AMINA)
    (left,) = discover(linked, worker)

    assert (left.role, left.can_write, left.region, left.tags) == ("left", False, "Lyon", ["vip"])


def test_an_account_that_is_not_linked_cannot_be_asked(account):
    with pytest.raises(groups.CannotAsk) as refused:
        groups.request_discovery(account, now=timezone.now())

    assert refused.value.code == "not_linked"
    assert account.groups_requested_at is None


def test_asking_twice_is_asking_once(linked, worker, world):
    assert groups.request_discovery(linked, now=NOW)
    assert not groups.request_discovery(linked, now=NOW + DAY)

    assert linked.groups_requested_at == NOW
    assert Activity.objects.filter(verb=Verb.DISCOVERY_REQUESTED).count() == 1


def test_a_request_that_nobody_heard_is_rung_for_again(linked, worker, monkeypatch):
    sent = []
    monkeypatch.setattr("whatsapp.doorbells.send", lambda pk, queue: sent.append(pk))
    assert tasks.ring_waiting() == 0

    groups.request_discovery(linked, now=timezone.now())
    assert tasks.ring_waiting() == 1

    worker.drive(linked)
    assert tasks.ring_waiting() == 0
    assert sent == [linked.pk]


def test_a_page_that_cannot_tell_is_asked_later_and_messages_go_out_meanwhile(
    linked, worker, write, monkeypatch
):
    message = write(linked, ZOE)

    def fail(**_):
        raise Retryable("timeout", "the page does not answer")

    monkeypatch.setattr(worker.pool.get(linked.pk).driver, "groups", fail)
    assert discover(linked, worker) == []

    message.refresh_from_db()
    assert message.state == "sent"
    assert linked.groups_requested_at > timezone.now()
    assert linked.groups_error == "timeout: the page does not answer"


def test_what_changes_in_a_group_is_seen_without_being_asked_for_again(
    linked, world, worker, neighbours
):
    (group,) = discover(linked, worker)
    Account.objects.update(groups_discovered_at=timezone.now() - DAY)

    world.restrict(neighbours.chat_id, True)
    world.promote(neighbours.chat_id, AMINA, admin=False)
    worker.settle()

    group.refresh_from_db()
    linked.refresh_from_db()
    assert (group.announce_only, group.role, group.can_write) == (True, "member", False)
    # The next change right after waits for a minute: groups chatter.
    assert groups.note_changed(linked.pk, now=timezone.now())
    assert Account.objects.get().groups_requested_at > timezone.now()


def test_changes_of_an_account_whose_groups_nobody_asked_for_are_nothing(
    linked, world, worker, neighbours
):
    world.join(neighbours.chat_id, LEA)
    worker.settle()

    assert not Group.objects.exists()


def test_a_list_with_the_same_group_twice_and_odd_texts_is_stored(linked):
    odd = GroupInfo(
        chat_id="1@g.us", subject="a\0b\ud83d" + "x" * 300, description="\0", size=-1, admin=False,
        announce_only=False, member=True,
    )  # fmt: skip
    monstrous = GroupInfo(
        chat_id="9" * 200, subject="", description="", size=1, admin=False, announce_only=False,
        member=True,
    )  # fmt: skip

    assert groups.store(linked, [odd, odd, monstrous], now=NOW) == 1

    group = Group.objects.get()
    assert (len(group.subject), group.member_count, group.description) == (200, 0, "")


# ------------------------------------------------------------------------------------- members


def test_members_become_contacts_whom_nobody_may_write_to_yet(linked, world, worker, neighbours):
    (group,) = discover(linked, worker)

    assert scrape(group, worker) == {ZOE, BEN}  # our own number is no contact

    zoe = Contact.objects.get(phone=ZOE)
    assert (zoe.obstacle, zoe.source_detail) == ("no_lawful_basis", "Voisins")
    assert zoe.lid
    assert not Contact.objects.may_be_written_to().exists()
    assert group.members_scraped_at is not None
    assert group.members_requested_at is None
    line = Activity.objects.get(verb=Verb.MEMBERS_SCRAPED)
    assert line.detail == {"members": 2, "new": 2, "left": 0}


def test_nothing_goes_to_a_scraped_contact_before_a_basis_is_recorded(
    linked, world, worker, neighbours, write
):
    (group,) = discover(linked, worker)
    scrape(group, worker)
    early = write(linked, ZOE, "Bonjour")
    worker.drive(linked)
    contacts.record_basis(
        Contact.objects.get(phone=ZOE), basis="consent", note="asked us at the fair", how="admin",
        actor=OLGA, now=NOW,
    )  # fmt: skip
    late = write(linked, ZOE, "Bonjour !")
    worker.drive(linked)

    early.refresh_from_db()
    late.refresh_from_db()
    assert (early.state, early.error_code) == ("cancelled", "no_lawful_basis")
    assert late.state == "sent"
    assert [sent.body for sent in world.record] == ["Bonjour !"]
    zoe = Contact.objects.get(phone=ZOE)
    assert (zoe.lawful_basis_by, zoe.lawful_basis_at) == ("olga", NOW)
    entry = zoe.consent.get()
    assert (entry.what, entry.note, entry.actor_name) == (
        "lawful_basis", "consent: asked us at the fair", "olga",
    )  # fmt: skip


def test_withdrawing_the_basis_cancels_what_is_queued(linked, world, worker, neighbours, write):
    (group,) = discover(linked, worker)
    scrape(group, worker)
    zoe = Contact.objects.get(phone=ZOE)
    contacts.record_basis(zoe, basis="consent", note="", how="admin", now=NOW)
    queued = write(linked, ZOE)

    assert contacts.withdraw_basis(zoe, note="asked for proof", how="admin", now=NOW)
    assert not contacts.withdraw_basis(zoe, note="again", how="admin", now=NOW)

    queued.refresh_from_db()
    assert (queued.state, queued.error_code) == ("cancelled", "no_lawful_basis")
    whats = zoe.consent.order_by("id").values_list("what", flat=True)
    assert list(whats) == ["lawful_basis", "basis_withdrawn"]


def test_somebody_known_before_keeps_how_they_came_to_us(linked, world, worker, neighbours):
    contacts.ensure(tenant_id=linked.tenant_id, people={ZOE: "Zoé M."}, source="import")
    (group,) = discover(linked, worker)

    assert scrape(group, worker) == {BEN}

    zoe = Contact.objects.get(phone=ZOE)
    assert (zoe.name, zoe.source, zoe.obstacle) == ("Zoé M.", "import", "")
    assert zoe.memberships.get().group == group


def test_members_known_by_lid_alone_are_contacts_and_joined_when_their_phone_is_learnt(
    linked, world, worker
):
    world.person(LEA, name="Léa", hidden=True)
    world.make_group("Voisins", [AMINA, LEA])
    (group,) = discover(linked, worker)
    scrape(group, worker)
    by_lid = Contact.objects.get()
    assert (by_lid.phone, by_lid.lid) == ("", world.person(LEA).lid)

    known = contacts.ensure(tenant_id=linked.tenant_id, people={LEA: "Léa"})
    world.person(LEA, hidden=False)
    scrape(group, worker)

    lea = Contact.objects.get()
    assert (lea.pk, lea.lid) == (known[LEA], by_lid.lid)
    assert GroupMember.objects.get().contact == lea


def test_who_left_the_group_is_noted_and_who_came_back_too(linked, world, worker, neighbours):
    (group,) = discover(linked, worker)
    scrape(group, worker)
    world.leave(neighbours.chat_id, BEN)
    scrape(group, worker)
    ben = GroupMember.objects.get(contact__phone=BEN)
    assert ben.left_at is not None

    world.join(neighbours.chat_id, BEN)
    world.promote(neighbours.chat_id, BEN)
    scrape(group, worker)

    ben.refresh_from_db()
    assert (ben.left_at, ben.admin) == (None, True)


def test_a_group_that_the_account_has_left_cannot_be_scraped(linked, world, worker, neighbours):
    (group,) = discover(linked, worker)
    groups.request_members(group, now=timezone.now())
    world.leave(neighbours.chat_id, AMINA)
    worker.drive(linked)

    group.refresh_from_db()
    assert (group.role, group.members_requested_at) == ("left", None)
    assert group.members_error.startswith("not_in_group")
    assert not Contact.objects.exists()
    with pytest.raises(groups.CannotAsk) as refused:
        groups.request_members(group, now=timezone.now())
    assert refused.value.code == "not_in_group"


def test_a_list_with_one_person_twice_and_nobody_is_taken_as_it_is(linked):
    group = Group.objects.create(
        tenant=linked.tenant, account=linked, chat_id="1@g.us", discovered_at=NOW,
        refreshed_at=NOW,
    )  # fmt: skip
    found = groups.store_members(
        group,
        [
            Member(lid="1@lid", phone=ZOE, name="Zo\0é", admin=False),
            Member(lid="", phone=ZOE, name="", admin=True),
            Member(lid="1@lid", phone="", name="", admin=False),
            Member(lid="", phone="", name="nobody", admin=False),
            Member(lid="2@lid", phone="no phone", name="", admin=False),
            Member(lid=linked.lid, phone="", name="us", admin=True),
        ],
        now=NOW,
    )

    assert (found.new_contacts, found.skipped) == (2, 2)
    assert GroupMember.objects.count() == 2
    zoe = Contact.objects.get(phone=ZOE)
    assert (zoe.lid, zoe.name, zoe.memberships.get().admin) == ("1@lid", "Zoé", True)
    assert Contact.objects.get(phone="").lid == "2@lid"


def test_numbers_of_all_our_accounts_are_no_contacts(linked):
    second = make_account(linked.tenant, lid="9@lid")
    group = Group.objects.create(
        tenant=linked.tenant, account=linked, chat_id="1@g.us", discovered_at=NOW,
        refreshed_at=NOW,
    )  # fmt: skip
    members = [
        Member(lid="", phone=second.phone, name="", admin=False),
        Member(lid="9@lid", phone="", name="", admin=False),
    ]

    assert groups.store_members(group, members, now=NOW).skipped == 2
    assert not Contact.objects.exists()


def test_nobody_who_asked_to_be_forgotten_comes_back_by_a_group(linked):
    suppression.suppress(linked.tenant, ZOE, now=NOW)
    suppression.suppress(linked.tenant, "2@lid", now=NOW)
    group = Group.objects.create(
        tenant=linked.tenant, account=linked, chat_id="1@g.us", discovered_at=NOW,
        refreshed_at=NOW,
    )  # fmt: skip
    members = [
        Member(lid="1@lid", phone=ZOE, name="", admin=False),
        Member(lid="2@lid", phone="", name="", admin=False),
    ]

    assert groups.store_members(group, members, now=NOW).skipped == 2
    assert not Contact.objects.exists()


# -------------------------------------------------------------------------------------- labels


def test_labels_are_stored_once_and_recorded(linked, world, worker, neighbours):
    (group,) = discover(linked, worker)
    wanted = {"region": "Lyon", "segments": ["nord"], "tags": ["vip"]}

    assert groups.label(group, **wanted, actor=OLGA, now=NOW)
    assert not groups.label(group, **wanted, actor=OLGA, now=NOW)

    line = Activity.objects.get(verb=Verb.CHANGED)
    assert line.detail == {"fields": ["region", "segments", "tags"]}


def test_a_pair_learnt_by_a_scrape_is_known_to_the_inbox(linked, world, worker, neighbours):
    (group,) = discover(linked, worker)
    scrape(group, worker)
    world.inbound(AMINA, ZOE, "Bonjour", lid_only=True)
    worker.settle()

    assert Contact.objects.filter(phone=ZOE).count() == Contact.objects.exclude(phone=BEN).count()
    assert identities.find_or_make(
        tenant_id=linked.tenant_id, phone=ZOE, source="hand", now=NOW + dt.timedelta(days=1)
    ).incoming.exists()
