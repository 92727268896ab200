"""From "connect" to a linked account, and back."""

import time
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from tests.whatsapp.conftest import refused
from whatsapp import linking, notices
from whatsapp.driver.base import PageState, QrCode
from whatsapp.models import Account, Incoming

Status = Account.Status
PHONE = "+33639980001"


def status_of(account) -> str:
    account.refresh_from_db()
    return account.status


def ask(account) -> bool:
    return linking.request(account, now=timezone.now())


def test_a_request_shows_a_code_as_text_and_picture(account, worker):
    ask(account)
    worker.drive(account)
    code = linking.current_qr(account.pk)
    assert code is not None
    assert code.text.startswith("2@")
    assert code.png.startswith(b"\x89PNG")
    assert code.data_url.startswith("data:image/png;base64,")
    assert code.expires_at > timezone.now()


def test_each_rotation_of_the_code_is_published(account, world, worker):
    ask(account)
    worker.drive(account)
    first = linking.current_qr(account.pk)
    world.rotate()
    worker.settle()
    second = linking.current_qr(account.pk)
    assert second.text != first.text
    assert second.seq > first.seq


def test_a_name_that_no_database_takes_does_not_keep_a_phone_from_being_linked(
    account, world, worker
):
    ask(account)
    worker.drive(account)
    world.scan(PHONE, name="Ami\0na \ud83d")
    worker.settle()
    assert status_of(account) == Status.CONNECTED
    assert account.push_name == "Amina ?"


def test_a_scan_links_the_account_and_stores_who_it_is(account, world, worker):
    ask(account)
    worker.drive(account)
    world.scan(PHONE, name="Amina")
    worker.settle()
    assert status_of(account) == Status.CONNECTED
    assert (account.phone, account.push_name) == (PHONE, "Amina")
    assert account.platform
    assert account.lid.endswith("@lid")
    assert account.linked_at is not None
    assert linking.current_qr(account.pk) is None


def test_a_second_request_while_linking_starts_no_second_attempt(account, worker):
    assert ask(account)
    worker.drive(account)
    before = linking.current_qr(account.pk)
    assert not ask(account)
    worker.drive(account)
    assert linking.current_qr(account.pk).text == before.text
    assert len(worker.pool) == 1


def test_a_request_for_a_linked_account_does_nothing(linked):
    assert not ask(linked)
    assert status_of(linked) == Status.CONNECTED


def test_nobody_scanning_ends_the_attempt_and_frees_the_browser(account, worker):
    ask(account)
    worker.drive(account)
    Account.objects.update(link_requested_at=timezone.now() - timedelta(minutes=3))
    worker.drive(account)
    assert status_of(account) == Status.DISCONNECTED
    assert "scanned" in account.status_reason
    assert len(worker.pool) == 0
    assert linking.current_qr(account.pk) is None


def test_after_an_attempt_that_ended_one_can_ask_again(account, world, worker):
    ask(account)
    worker.drive(account)
    Account.objects.update(link_requested_at=timezone.now() - timedelta(minutes=3))
    worker.drive(account)
    account.refresh_from_db()
    assert ask(account)
    worker.drive(account)
    assert linking.current_qr(account.pk) is not None


def test_codes_that_ran_out_are_asked_for_again(account, world, worker):
    ask(account)
    worker.drive(account)
    world.run_out()
    worker.settle()
    assert worker.pool.get(account.pk).driver.status() is PageState.QR


def test_a_restarted_worker_restores_the_session_without_a_scan(linked, worker, start_worker):
    worker.stop()
    after = start_worker()
    after.drive(linked)
    assert status_of(linked) == Status.CONNECTED
    assert after.pool.get(linked.pk) is not None


def test_a_page_that_does_not_get_ready_leaves_the_account_as_it_is(
    linked, world, worker, start_worker
):
    worker.stop()
    world.boot = "stuck"
    after = start_worker()
    after.drive(linked)
    assert status_of(linked) == Status.CONNECTED
    assert "page_not_ready" in linked.status_reason
    assert len(after.pool) == 0
    world.boot = "ok"
    after.drive(linked)
    assert len(after.pool) == 1


def test_a_device_removed_on_the_phone_needs_a_new_scan(linked, world, worker):
    world.log_out(PHONE)
    worker.settle()
    assert status_of(linked) == Status.LOGGED_OUT
    assert linked.status_reason
    assert len(worker.pool) == 0
    assert ask(linked)


def test_a_device_removed_while_nobody_watched_is_noticed_on_restore(
    linked, world, worker, start_worker
):
    worker.stop()
    world.log_out(PHONE)
    after = start_worker()
    after.drive(linked)
    assert status_of(linked) == Status.LOGGED_OUT


def test_a_lost_socket_shows_and_so_does_its_return(linked, world, worker):
    world.set_offline(PHONE, True)
    worker.settle()
    assert status_of(linked) == Status.RECONNECTING
    world.set_offline(PHONE, False)
    worker.settle()
    assert status_of(linked) == Status.CONNECTED


def look_again(worker, account) -> None:
    """Let the wait before the next look at the page pass."""
    session = worker.pool.get(account.pk)
    session.look_again = 0.0
    worker.drive(account)


def test_a_socket_that_stays_away_disconnects_after_five_looks_and_the_owner_is_told_once(
    linked, world, worker, mailoutbox
):
    linked.owner = User.objects.create(username="amina", email="amina@example.org")
    linked.save()
    world.set_offline(PHONE, True)
    worker.settle()
    waits = []
    for _ in range(5):
        session = worker.pool.get(linked.pk)
        waits.append(round(session.look_again - time.monotonic()))
        look_again(worker, linked)
    assert waits == [1, 2, 4, 8, 16]
    assert status_of(linked) == Status.DISCONNECTED
    assert "did not come back" in linked.status_reason
    assert len(worker.pool) == 0
    for _ in range(2):
        notices.tell_owners(now=timezone.now())
    assert [mail.to for mail in mailoutbox] == [["amina@example.org"]]
    assert "WhatsApp était injoignable" in mailoutbox[0].body, "in the company's language"


def test_short_outages_are_not_counted_together(linked, world, worker):
    for _ in range(7):
        world.set_offline(PHONE, True)
        worker.settle()
        world.set_offline(PHONE, False)
        worker.settle()
    assert status_of(linked) == Status.CONNECTED
    assert worker.pool.get(linked.pk).look_again is None


def test_connecting_again_after_a_lost_connection_needs_no_scan(linked, world, worker):
    world.set_offline(PHONE, True)
    worker.settle()
    for _ in range(5):
        look_again(worker, linked)
    world.set_offline(PHONE, False)
    linked.refresh_from_db()
    assert ask(linked)
    worker.drive(linked)
    assert status_of(linked) == Status.CONNECTED


def test_messages_that_came_while_the_socket_was_away_are_caught_up(linked, world, worker):
    world.set_offline(PHONE, True)
    worker.settle()
    world.inbound(PHONE, "+33639980100", "Allô ?")
    world.set_offline(PHONE, False)
    worker.settle()
    assert Incoming.objects.get().body == "Allô ?"


def test_the_same_login_opened_elsewhere_is_a_conflict(linked, world, worker):
    world.conflict(PHONE)
    worker.settle()
    assert status_of(linked) == Status.CONFLICT
    assert len(worker.pool) == 0


def test_disconnecting_logs_the_device_out_and_forgets_the_profile(linked, world, worker):
    linking.disconnect(linked, now=timezone.now())
    worker.drive(linked)
    assert status_of(linked) == Status.DISCONNECTED
    assert linked.logout_requested_at is None
    assert linked.phone == ""
    assert world.devices == {}
    assert not worker.pool.profile(linked.pk).exists()


def test_disconnecting_while_no_worker_runs_is_done_by_the_next_one(
    linked, world, worker, start_worker
):
    worker.stop()
    linking.disconnect(linked, now=timezone.now())
    after = start_worker()
    after.drive(linked)
    assert status_of(linked) == Status.DISCONNECTED
    assert world.devices == {}


def test_disconnecting_while_linking_ends_the_attempt(account, worker):
    ask(account)
    worker.drive(account)
    account.refresh_from_db()
    linking.disconnect(account, now=timezone.now())
    worker.drive(account)
    assert status_of(account) == Status.DISCONNECTED
    assert len(worker.pool) == 0


def test_a_phone_that_is_linked_already_is_refused_for_a_second_account(
    linked, tenant, world, worker
):
    second = Account.objects.create(tenant=tenant, name="bruno")
    ask(second)
    worker.drive(second)
    world.scan(PHONE)
    worker.settle()
    assert status_of(second) == Status.DISCONNECTED
    assert "another account" in second.status_reason
    assert status_of(linked) == Status.CONNECTED


def test_waiting_for_a_code_ends_when_it_is_there(account, worker):
    ask(account)
    assert linking.wait_for_qr(account.pk, timeout=0.05) is None
    worker.drive(account)
    assert linking.wait_for_qr(account.pk, timeout=5).text.startswith("2@")


def test_a_code_that_comes_at_once_is_shown(account, django_capture_on_commit_callbacks):
    """A worker may be faster than what the request still has to do after its commit."""
    with django_capture_on_commit_callbacks(execute=True):
        transaction.on_commit(lambda: linking.publish_qr(account, QrCode(text="2@code", seq=1)))
        ask(account)
    found = linking.wait_for_qr(account.pk, timeout=5)
    assert isinstance(found, linking.PublishedQr)
    assert found.text == "2@code"


def test_waiting_for_a_code_of_a_linked_account_says_so(linked):
    assert linking.wait_for_qr(linked.pk, timeout=5) == "connected"


# ------------------------------------------------------------------------- in the database


def test_the_database_refuses_a_phone_linked_twice(linked, tenant):
    with refused("account_phone_linked_once"), transaction.atomic():
        Account.objects.create(
            tenant=tenant, name="x", phone=PHONE, status="connected", linked_at=timezone.now()
        )


def test_the_database_refuses_connected_without_a_phone(account):
    with refused("account_connected_has_phone"), transaction.atomic():
        Account.objects.filter(pk=account.pk).update(status="connected")


def test_the_database_refuses_an_unknown_status(account):
    with refused("account_status_is_legal"), transaction.atomic():
        Account.objects.filter(pk=account.pk).update(status="dreaming")


def test_the_database_refuses_two_accounts_of_one_name(account, tenant):
    with refused("account_name_per_tenant"), transaction.atomic():
        Account.objects.create(tenant=tenant, name=account.name)


def test_the_database_refuses_a_phone_that_is_not_e164(account):
    with refused("account_phone_is_e164"), transaction.atomic():
        Account.objects.filter(pk=account.pk).update(phone="0639980001")
