"""Posts to a group: who may write there, and what happens when that changes."""

import pytest
from django.utils import timezone

from tests.factories import make_account
from tests.whatsapp.conftest import outcome_of
from whatsapp.contents import CannotSend, TextContent
from whatsapp.models import Group, Message

pytestmark = pytest.mark.usefixtures("media_folder")
ANA = "+33639980100"
ME = "+33639980001"


def know_group(account, group, **fields) -> Group:
    """The account has discovered this group of the world."""
    now = timezone.now()
    return Group.objects.create(
        tenant=account.tenant, account=account, chat_id=group.chat_id, subject=group.subject,
        discovered_at=now, refreshed_at=now, **fields,
    )  # fmt: skip


def test_a_post_reaches_a_group(send, linked, world, worker):
    there = world.make_group("Parents", [ME, ANA])
    message = send(TextContent("Bonjour à tous"), to=know_group(linked, there))
    worker.drive(linked)

    assert outcome_of(message) == ("sent", "")
    assert (message.contact, message.chat_id) == (None, there.chat_id)
    assert [(sent.chat_id, sent.body) for sent in world.record] == [
        (there.chat_id, "Bonjour à tous")
    ]


@pytest.mark.parametrize(
    ("seen", "code"),
    [({"role": "left"}, "not_in_group"), ({"announce_only": True}, "group_read_only")],
)
def test_a_group_where_the_account_may_not_write_is_refused_before_it_is_queued(
    send, linked, world, seen, code
):
    group = know_group(linked, world.make_group("Parents", [ME, ANA]), **seen)

    with pytest.raises(CannotSend) as refused:
        send(TextContent("Bonjour"), to=group)

    assert (refused.value.field, refused.value.code) == ("group", code)
    assert not Message.objects.exists()


def test_an_administrator_writes_where_only_those_may(send, linked, world, worker):
    there = world.make_group("News", [ANA], admins=[ME], announce_only=True)
    message = send(
        TextContent("Bonjour"), to=know_group(linked, there, announce_only=True, role="admin")
    )
    worker.drive(linked)

    assert outcome_of(message) == ("sent", "")


def test_a_group_of_another_account_is_unknown_to_this_one(send, linked, world):
    other = make_account(linked.tenant)
    group = know_group(other, world.make_group("Parents", [ME]))

    with pytest.raises(CannotSend, match="no such group"):
        send(TextContent("Bonjour"), to=group)


def test_a_post_fails_when_the_account_left_meanwhile_and_the_group_is_marked(
    send, linked, world, worker
):
    there = world.make_group("Parents", [ME, ANA])
    group = know_group(linked, there)
    message = send(TextContent("Bonjour"), to=group)
    world.leave(there.chat_id, ME)
    worker.drive(linked)

    assert outcome_of(message) == ("failed", "not_in_group")
    group.refresh_from_db()
    assert (group.role, group.can_write) == ("left", False)


def test_a_group_that_closes_while_a_post_is_sent_fails_it_and_is_marked(
    send, linked, world, worker
):
    there = world.make_group("Parents", [ME, ANA])
    group = know_group(linked, there)
    message = send(TextContent("Bonjour"), to=group)
    prepare = worker.pool.get(linked.pk).driver.prepare

    def prepare_and_close(to, *, deadline):
        out = prepare(to, deadline=deadline)
        world.restrict(there.chat_id, True)
        return out

    worker.pool.get(linked.pk).driver.prepare = prepare_and_close
    worker.drive(linked)

    assert outcome_of(message) == ("failed", "group_read_only")
    group.refresh_from_db()
    assert (group.announce_only, group.can_write) == (True, False)
    assert world.record == []
