"""An account's page: linking as it happens, health, what is left, only legal buttons, history."""

import datetime as dt

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Activity
from tests import factories
from whatsapp import limits, linking, pairing
from whatsapp.driver.base import QrCode
from whatsapp.models import Account, Contact, HealthSample, Lease, Message, Usage


def page(account):
    return reverse("admin:whatsapp_account_change", args=[account.pk])


def live(account):
    return reverse("admin:whatsapp_account_live", args=[account.pk])


def press(client, account, action, **data):
    """Press a button of the page."""
    return client.post(
        reverse("admin:whatsapp_account_changelist"),
        {"action": action, "_selected_action": account.pk, "from_page": account.pk, **data},
    )


def buttons(client, account):
    return [button.action for button in client.get(page(account)).context["panel"].buttons]


@pytest.fixture
def new(acme):
    limits.server().client.flushdb()
    return factories.make_account(acme, connected=False)


def test_linking_is_followed_from_the_button_to_the_scan(operator, new):
    assert "ask for a code" in operator.get(page(new)).content.decode()

    pressed = press(operator, new, "connect")
    assert pressed.url == page(new)
    assert "Waiting for a code" in operator.get(live(new)).content.decode()

    new.refresh_from_db()
    linking.publish_qr(new, QrCode("2@first", 1))
    first = operator.get(live(new))
    linking.publish_qr(new, QrCode("2@second", 2))
    second = operator.get(live(new))
    assert "data:image/png;base64," in first.content.decode()
    assert first.context["panel"].linking.qr.text == "2@first"
    assert second.context["panel"].linking.qr.text == "2@second"
    assert "no-store" in second["Cache-Control"]
    assert "every 2s" in second.content.decode()

    linking.note_scan(new.pk)
    assert "Scanned: linking" in operator.get(live(new)).content.decode()

    now = timezone.now()
    Account.objects.filter(pk=new.pk).update(
        status="connected", phone="+33639980001", linked_at=now, link_requested_at=None
    )
    connected = operator.get(live(new)).content.decode()
    assert "Connected" in connected
    assert "data:image" not in connected


def test_a_code_that_nobody_scanned_in_time_says_so_and_another_may_be_asked_for(operator, new):
    press(operator, new, "connect")
    Account.objects.update(link_requested_at=timezone.now() - dt.timedelta(hours=1))

    assert "Timed out" in operator.get(live(new)).content.decode()
    assert "connect" in buttons(operator, new)


@pytest.mark.parametrize(
    ("fields", "legal"),
    [
        ({"connected": False}, ["connect", "pause"]),
        ({}, ["pause", "discover_groups", "disconnect"]),
        ({"sending_paused_at": factories.NOW}, ["resume", "discover_groups", "disconnect"]),
        ({"status": "conflict"}, ["connect", "pause", "disconnect"]),
        ({"status": "disconnected"}, ["connect", "pause"]),
        ({"status": "disconnected", "logout_requested_at": factories.NOW}, ["pause"]),
        ({"enabled": False}, []),
    ],
)
def test_only_what_is_legal_can_be_pressed(operator, acme, fields, legal):
    assert buttons(operator, factories.make_account(acme, **fields)) == legal


def test_disconnecting_asks_first_and_comes_back_to_the_page(operator, acme):
    account = factories.make_account(acme)

    asked = press(operator, account, "disconnect")
    account.refresh_from_db()
    assert account.status == "connected"
    assert page(account) in asked.content.decode()

    done = press(operator, account, "disconnect", confirmed="yes")
    account.refresh_from_db()
    assert account.status == "disconnected"
    assert done.url == page(account)
    (entry,) = Activity.objects.filter(verb="disconnected")
    assert entry.actor_name == "operator"
    assert "operator" in operator.get(page(account)).content.decode()


def test_the_page_says_what_is_left_and_how_the_account_is(operator, acme):
    account = factories.make_account(acme, daily_limit=10, status_reason="")
    now = timezone.now()
    Usage.objects.create(account=account, day=now.astimezone(acme.zone).date(), count=4)
    Lease.objects.create(
        account=account, worker="browser@one", lease_until=now + dt.timedelta(minutes=1),
        taken_at=now,
    )  # fmt: skip
    contact = Contact.objects.create(tenant=acme, phone="+33639980001")
    for n, fields in enumerate(
        (
            {"state": "failed", "ended_at": now, "error_code": "not_on_whatsapp"},
            {"state": "queued", "due_at": now - dt.timedelta(minutes=1)},
        )
    ):
        Message.objects.create(
            tenant=acme, account=account, contact=contact, idempotency_key=str(n),
            content_hash="h", **({"due_at": now} | fields),
        )  # fmt: skip

    shown = operator.get(page(account))

    panel, text = shown.context["panel"], shown.content.decode()
    assert (panel.allowance.daily_left, panel.waiting, panel.failed_today) == (6, 1, 1)
    assert "browser@one" in text
    assert "this number is not on WhatsApp" in text


def test_a_page_opens_in_few_queries(operator, acme, django_assert_max_num_queries):
    account = factories.make_account(acme)

    with django_assert_max_num_queries(15):
        shown = operator.get(page(account))
    assert shown.status_code == 200


def test_another_companys_account_is_neither_shown_nor_changed(manager, rival):
    theirs = factories.make_account(rival)

    assert manager.get(live(theirs)).status_code == 404
    assert manager.get(page(theirs)).status_code == 302
    press(manager, theirs, "pause")
    press(manager, theirs, "disconnect", confirmed="yes")
    theirs.refresh_from_db()
    assert (theirs.status, theirs.sending_paused_at) == ("connected", None)


@pytest.mark.parametrize("number", [0, 10**30])
def test_an_account_that_does_not_exist_is_not_found(operator, db, number):
    assert operator.get(f"/admin/whatsapp/account/{number}/live/").status_code == 404


@pytest.mark.parametrize("row", ["", "x", "-1", "9" * 30, "../../../login"])
def test_coming_back_to_a_page_leads_nowhere_else(operator, acme, row):
    account = factories.make_account(acme)

    answer = press(operator, account, "pause", from_page=row)

    assert answer.status_code == 302
    assert answer.url.startswith("/admin/whatsapp/account/")


def test_a_page_left_open_after_logging_out_asks_to_log_in(acme):
    answer = Client().get(live(factories.make_account(acme)))

    assert (answer.status_code, answer["HX-Refresh"]) == (401, "true")


# --------------------------------------------------------------------------- health and pace


def test_the_page_says_how_healthy_the_account_is_and_draws_a_week_of_it(operator, acme):
    account = factories.make_account(acme, health_score=52, health_reason="delivery")
    now = timezone.now()
    for hours in range(200):
        HealthSample.objects.create(
            account=account, at=now - dt.timedelta(hours=hours), score=52, share=100
        )
    answer = operator.get(page(account))
    assert "52 of 100: many messages do not reach a phone" in answer.content.decode()
    drawn = answer.context["plot"]
    assert 60 <= len(drawn.rows) <= 86
    assert drawn.rows[-1][1:] == [52, 100]


def test_an_account_without_a_history_says_so_and_draws_nothing(operator, acme):
    answer = operator.get(page(factories.make_account(acme)))
    assert "Too little has happened" in answer.content.decode()
    assert "Nothing to draw yet" in answer.content.decode()


def test_what_rests_or_waits_is_said_with_until_when_and_can_be_lifted(operator, acme):
    now = timezone.now()
    account = factories.make_account(
        acme,
        health_share=0,
        health_share_at=now,
        health_reason="refusals",
        cold_held_until=now + dt.timedelta(hours=20),
    )
    text = operator.get(page(account)).content.decode()
    assert "rests until" in text
    assert "does not let this account begin new chats" in text
    assert "lift_holds" in buttons(operator, account)
    press(operator, account, "lift_holds")
    account.refresh_from_db()
    assert (account.health_share, account.cold_held_until) == (100, None)
    assert "lift_holds" not in buttons(operator, account)
    assert Activity.objects.get(verb="holds_lifted").actor_name == "operator"


def test_the_pace_of_an_account_is_changed_on_its_page_and_recorded(operator, acme):
    account = factories.make_account(acme)
    form = {"tenant": acme.pk, "name": account.name, "enabled": "on", "quiet_hours": "20:00-09:00"}
    assert operator.post(page(account), form | {"new_chats_per_day": 7}).status_code == 302
    account.refresh_from_db()
    assert (account.quiet_hours, account.new_chats_per_day) == ("20:00-09:00", 7)
    changed = Activity.objects.get(verb="limits_changed")
    assert changed.detail["after"] == {"quiet_hours": "20:00-09:00", "new_chats_per_day": 7}


def test_hours_that_mean_nothing_are_refused_on_the_page(operator, acme):
    account = factories.make_account(acme)
    form = {"tenant": acme.pk, "name": account.name, "enabled": "on", "quiet_hours": "08:00-08:00"}
    answer = operator.post(page(account), form)
    assert answer.status_code == 200
    assert "write off for none" in answer.content.decode()
    account.refresh_from_db()
    assert account.quiet_hours == ""


def test_a_code_to_type_in_is_asked_for_beside_the_code_to_scan(operator, new):
    press(operator, new, "connect")
    new.refresh_from_db()
    linking.publish_qr(new, QrCode("2@code", 1))
    assert "Type a code in on the phone" in operator.get(live(new)).content.decode()

    press(operator, new, "connect", phone="+33 6 39 98 00 00")

    new.refresh_from_db()
    assert new.link_phone == "+33639980000"
    pairing.publish(new, "H7KD-93QX")
    assert "H7KD-93QX" in operator.get(live(new)).content.decode()


def test_a_number_that_is_none_asks_for_nothing(operator, new):
    assert press(operator, new, "connect", phone="nobody").url == page(new)
    new.refresh_from_db()
    assert new.status == Account.Status.NEW
