"""The activity log: who did what, when, on what, from where."""

import datetime as dt

import pytest
from django.db import connection, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import activity, tasks
from accounts.activity import SYSTEM, Actor, Verb, actor_of
from accounts.models import Activity
from campaigns import enrolment, exits
from campaigns.models import Target
from tests import companies, factories
from tests.accounts.test_signed import call
from tests.factories import NOW
from whatsapp import contacts, linking, outbox
from whatsapp.driver.base import QrCode
from whatsapp.models import Account, Contact, Message

OLGA = Actor("user", "olga", address="192.0.2.7")
State = Message.State


def lines(**only):
    return list(Activity.objects.filter(**only).order_by("id"))


def verbs(**only):
    return [line.verb for line in lines(**only)]


def make_message(account, *, state=State.SENDING, **fields):
    ids = contacts.ensure(tenant_id=account.tenant_id, people={"+33639980042": "Zoé"})
    message = outbox.queue(
        tenant=account.tenant,
        account=account,
        contact=Contact.objects.get(pk=ids["+33639980042"]),
        idempotency_key="hello-1",
        body="Bonjour",
        now=NOW,
    )
    fields = {
        "state": state,
        "sending_at": NOW,
        "wa_id": "3EB0",
        "fence": 1,
        "not_after": NOW,
        **fields,
    }
    Message.objects.filter(pk=message.pk).update(**fields)
    message.refresh_from_db()
    return message


# ------------------------------------------------------------------------------- recording


def test_a_line_says_who_what_when_on_what_and_from_where(acme):
    referrer = acme.make_referrer("amina")
    olga = acme.people["olga"]

    activity.record(
        tenant_id=acme.tenant.pk,
        verb=Verb.LIMITS_CHANGED,
        actor=Actor("user", "olga", olga.pk, "192.0.2.7"),
        subject=referrer.account,
        detail={"daily_limit": 80},
        now=NOW,
    )

    (line,) = lines()
    assert (line.tenant, line.verb, line.at) == (acme.tenant, "limits_changed", NOW)
    assert (line.actor_kind, line.actor_name, line.user, line.address) == (
        "user",
        "olga",
        olga,
        "192.0.2.7",
    )
    assert (line.subject_type, line.subject_id, line.subject_name) == (
        "whatsapp.account",
        referrer.account.pk,
        "acme/amina",
    )
    assert line.detail == {"daily_limit": 80}
    assert str(line) == "olga: limits changed acme/amina"


def test_a_line_is_one_insert_and_goes_with_the_transaction_it_was_written_in(acme):
    with (
        CaptureQueriesContext(
            connection,
        ) as queries,
        transaction.atomic(),
    ):
        activity.record(tenant_id=acme.tenant.pk, verb=Verb.ENROLLED, now=NOW)
        transaction.set_rollback(True)

    assert [q["sql"].split()[0] for q in queries if "accounts_activity" in q["sql"]] == ["INSERT"]
    assert not lines()


def test_a_contact_without_a_name_leaves_no_phone_number(acme):
    ids = contacts.ensure(tenant_id=acme.tenant.pk, people={"+33639980042": ""})
    contact = Contact.objects.get(pk=ids["+33639980042"])

    activity.record(tenant_id=acme.tenant.pk, verb=Verb.OPTED_OUT, subject=contact, now=NOW)

    (line,) = lines()
    assert line.subject_id == contact.pk
    assert "9980042" not in line.subject_name


def test_a_line_outlives_the_person_who_caused_it(acme):
    max_ = acme.people["max"]
    actor = Actor("user", "max", max_.pk)
    activity.record(tenant_id=acme.tenant.pk, verb=Verb.EXITED, actor=actor, now=NOW)

    max_.delete()

    (line,) = lines()
    assert (line.user, line.actor_name) == (None, "max")


@pytest.mark.parametrize(
    ("headers", "proxies", "expected"),
    [
        ({"REMOTE_ADDR": "192.0.2.1"}, 0, "192.0.2.1"),
        ({"REMOTE_ADDR": "2001:db8::1"}, 0, "2001:db8::1"),
        ({"REMOTE_ADDR": ""}, 0, None),
        ({"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "198.51.100.9"}, 0, "192.0.2.1"),
        ({"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "198.51.100.9"}, 1, "198.51.100.9"),
        ({"HTTP_X_FORWARDED_FOR": "forged, 198.51.100.9"}, 1, "198.51.100.9"),
        ({"HTTP_X_FORWARDED_FOR": "'; DROP TABLE users; --"}, 1, None),
        ({"HTTP_X_FORWARDED_FOR": "198.51.100.9:4711\x00"}, 1, None),
    ],
)
def test_the_address_is_the_callers_and_never_what_somebody_made_up(
    acme, settings, headers, proxies, expected
):
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": proxies}
    request = RequestFactory().get("/", **headers)
    request.user = acme.people["olga"]

    actor = actor_of(request)

    assert actor == Actor("user", "olga", acme.people["olga"].pk, expected)
    activity.record(tenant_id=acme.tenant.pk, verb=Verb.SENT, actor=actor, now=NOW)


# ------------------------------------------------------------------------------ logging in


def log_in(password=companies.PASSWORD, username="olga"):
    return APIClient().post(
        "/api/auth/token", {"username": username, "password": password}, format="json"
    )


def test_logging_in_and_failing_to_are_recorded_in_the_persons_company(acme):
    assert log_in().status_code == 200
    assert log_in(password="guessed").status_code == 401

    assert verbs(tenant=acme.tenant, actor_name="olga") == ["logged_in", "login_failed"]
    assert lines()[0].address == "127.0.0.1"
    assert lines()[0].detail == {"at": "/api/auth/token"}
    acme.people["olga"].refresh_from_db()
    assert acme.people["olga"].last_login is not None


def test_a_name_that_nobody_has_is_not_kept_it_may_be_a_password(acme):
    assert log_in(username="correct horse battery").status_code == 401
    assert log_in(username="a\x00b").status_code in {400, 401}

    assert not lines()


def test_somebody_of_two_companies_is_seen_by_both_and_somebody_of_none_by_none(acme):
    other = companies.other()
    other.tenant.memberships.create(user=acme.people["olga"], role="viewer")
    companies.User.objects.create_superuser("root", password=companies.PASSWORD)

    log_in()
    log_in(username="root")

    assert {(line.tenant_id, line.actor_name) for line in lines()} == {
        (acme.tenant.pk, "olga"),
        (other.tenant.pk, "olga"),
        (None, "root"),
    }


def test_the_admins_door_is_recorded_too(acme):
    acme.hire("oscar", "owner", is_staff=True)
    browser = Client()
    browser.post("/admin/login/", {"username": "oscar", "password": "wrong"})
    browser.post("/admin/login/", {"username": "oscar", "password": companies.PASSWORD})
    browser.post("/admin/logout/")

    assert verbs(actor_name="oscar") == ["login_failed", "logged_in", "logged_out"]


# ---------------------------------------------------------------------- accounts and messages


def test_linking_and_unlinking_are_recorded_with_who_asked(acme):
    account = factories.make_account(acme.tenant, connected=False)

    linking.request(account, actor=OLGA, now=NOW)
    linking.request(account, actor=OLGA, now=NOW)
    linking.change_status(
        account.pk,
        to="connected",
        when=("pending",),
        now=NOW,
        phone="+33639980001",
        linked_at=NOW,
    )
    linking.change_status(account.pk, to="connected", when=("connected",), now=NOW)
    linking.disconnect(account, actor=OLGA, now=NOW)

    assert [(line.verb, line.actor_name) for line in lines(subject_id=account.pk)] == [
        ("link_requested", "olga"),
        ("connected", "relance"),
        ("disconnected", "olga"),
    ]


def test_a_code_that_nobody_scans_is_recorded_as_that(acme):
    account = factories.make_account(acme.tenant, connected=False)
    linking.request(account, now=NOW)

    linking.change_status(account.pk, to="disconnected", when=("pending",), now=NOW)

    assert verbs(subject_id=account.pk) == ["link_requested", "link_abandoned"]


def test_a_qr_code_that_rotates_is_recorded_once_per_attempt(acme):
    account = factories.make_account(acme.tenant, connected=False)
    for _attempt in range(2):
        assert linking.request(account, now=timezone.now())
        for seq in (1, 2, 3):
            linking.publish_qr(account, QrCode(text=f"2@{seq}", seq=seq))
        linking.disconnect(account, now=timezone.now())
        Account.objects.update(logout_requested_at=None)

    assert verbs(verb="qr_shown") == ["qr_shown", "qr_shown"]


def test_pausing_twice_is_recorded_once(acme):
    account = factories.make_account(acme.tenant)

    linking.pause_sending(account, actor=OLGA, now=NOW)
    linking.pause_sending(account, actor=OLGA, now=NOW)
    linking.resume_sending(account, actor=OLGA, now=NOW)

    assert verbs() == ["account_paused", "account_resumed"]


@pytest.mark.parametrize(
    ("to", "fields", "recorded"),
    [
        (State.SENT, {"sent_at": NOW}, ["sent"]),
        (State.FAILED, {"error_code": "not_on_whatsapp", "ended_at": NOW}, ["failed"]),
        (State.UNCERTAIN, {"ended_at": NOW}, ["uncertain"]),
        (State.QUEUED, {}, []),
    ],
)
def test_what_becomes_of_a_message_is_recorded(acme, to, fields, recorded):
    message = make_message(factories.make_account(acme.tenant))

    outbox.move(message, to=to, when=[State.SENDING], now=NOW, **fields)

    assert verbs(subject_type="whatsapp.message", subject_id=message.pk) == recorded
    assert "Bonjour" not in str([vars(line) for line in lines()])


def test_receipts_of_a_sent_message_are_not_recorded_again(acme):
    message = make_message(factories.make_account(acme.tenant))

    outbox.move(message, to=State.SENT, when=[State.SENDING], now=NOW, sent_at=NOW)
    outbox.move(message, to=State.DELIVERED, when=[State.SENT], now=NOW)
    outbox.move(message, to=State.READ, when=[State.DELIVERED], now=NOW)

    assert verbs() == ["sent"]


@pytest.mark.parametrize("sent", [True, False])
def test_settling_is_recorded_once_with_the_person_who_did(acme, sent):
    message = make_message(factories.make_account(acme.tenant), state=State.UNCERTAIN)

    assert outbox.settle(message.pk, sent=sent, actor=OLGA, now=NOW)
    assert not outbox.settle(message.pk, sent=sent, actor=OLGA, now=NOW)

    assert [(line.verb, line.actor_name) for line in lines()] == [("settled", "olga")]


# ------------------------------------------------------------------------------ following up


def test_leaving_is_recorded_for_each_target_with_its_reason(acme):
    targets = [
        factories.make_target(factories.make_referral(factories.make_referrer(acme.tenant)))
        for _ in range(2)
    ]
    ids = [target.pk for target in targets]

    exits.exit_targets(ids, reason=Target.ExitReason.BY_HAND, actor=OLGA, now=NOW)
    exits.exit_targets(ids, reason=Target.ExitReason.BY_HAND, actor=OLGA, now=NOW)

    assert [(line.subject_id, line.actor_name, line.detail) for line in lines(verb="exited")] == [
        (pk, "olga", {"reason": "by_hand"}) for pk in ids
    ]


def test_enrolment_is_one_line_per_company_and_run(acme):
    other = companies.other()
    for tenant, people in ((acme.tenant, 3), (other.tenant, 1)):
        factories.make_campaign(tenant)
        referrer = factories.make_referrer(tenant)
        for _ in range(people):
            factories.make_referral(referrer)

    assert enrolment.enrol(now=NOW) == 4

    assert {line.tenant_id: line.detail for line in lines(verb="enrolled")} == {
        acme.tenant.pk: {"count": 3},
        other.tenant.pk: {"count": 1},
    }


def test_a_signed_payment_is_recorded_with_the_service_that_reported_it(acme):
    referral = factories.make_referral(factories.make_referrer(acme.tenant), external_id="ref-1")
    factories.make_target(referral)

    assert call(*companies.issue_key(acme)).status_code == 200

    (line,) = lines(verb="exited")
    assert (line.actor_kind, line.actor_name) == ("service", "billing")


# ---------------------------------------------------------------------------------- retention


def test_lines_older_than_the_setting_are_deleted_and_others_stay(acme, settings):
    settings.ACTIVITY_DAYS = 30
    now = timezone.now()
    for days in (0, 29, 31, 400):
        at = now - dt.timedelta(days=days)
        activity.record(tenant_id=acme.tenant.pk, verb=Verb.SENT, actor=SYSTEM, now=at)

    tasks.forget_activities()

    assert [(now - line.at).days for line in lines()] == [0, 29]
    assert activity.forget_old(now=now + dt.timedelta(days=365), batch=1) == 2
