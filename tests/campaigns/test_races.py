"""Several workers at once, each on its own connection, against the real PostgreSQL."""

import threading

import pytest
from django.db import transaction

from campaigns import enrolment, exits, planning, targets
from campaigns.models import Delivery, Payment, Target
from tests.campaigns.conftest import move, to_sending
from tests.factories import NOW, make_campaign, make_referral, make_referrer, make_target
from tests.races import together
from whatsapp import contacts, outbox
from whatsapp.models import Contact, Message

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("no_doorbells", "deadlocks_are_errors"),
]


def test_two_planners_queue_each_step_once():
    campaign = make_campaign(days=1)
    referrers = [make_referrer(campaign.tenant) for _ in range(12)]
    for referrer in referrers:
        for _ in range(25):
            make_target(make_referral(referrer))

    reports = together(*[lambda: planning.plan(now=NOW)] * 3)

    assert sum(report.queued for report in reports) == 300
    assert Message.objects.count() == Delivery.objects.count() == 300
    assert not Target.objects.filter(open_message=None).exists()


def test_two_enrolments_enrol_once():
    campaign = make_campaign(days=1)
    referrer = make_referrer(campaign.tenant)
    for _ in range(50):
        make_referral(referrer)
    assert sum(together(*[lambda: enrolment.enrol(now=NOW)] * 2)) == 50
    assert Target.objects.count() == 50


def test_a_payment_beside_planning_leaves_nothing_queued():
    campaign = make_campaign(days=1)
    for _ in range(8):
        referrer = make_referrer(campaign.tenant)
        targets = [make_target(make_referral(referrer)) for _ in range(10)]

        def pay(targets=targets):
            for target in targets:
                exits.exit_referral(
                    tenant=campaign.tenant, external_id=target.referral.external_id, now=NOW
                )

        together(pay, lambda: planning.plan(now=NOW))
        states = Message.objects.filter(delivery__target__in=targets).values_list(
            "state", flat=True
        )
        assert set(states) <= {"cancelled"}
        assert not Target.objects.filter(pk__in=[t.pk for t in targets], state="active").exists()


def test_a_pause_beside_planning_leaves_nothing_that_may_be_sent():
    campaign = make_campaign(days=1)
    for _ in range(8):
        referrer = make_referrer(campaign.tenant)
        ids = [make_target(make_referral(referrer)).pk for _ in range(10)]

        _report, paused = together(
            lambda: planning.plan(now=NOW), lambda ids=ids: targets.pause(ids, now=NOW)
        )

        assert paused == 10
        due = Message.objects.filter(delivery__target__in=ids).values_list("due_at", flat=True)
        assert set(due) <= {outbox.NEVER}
        targets.resume(ids, now=NOW)
        planning.plan(now=NOW)
        queued = Message.objects.filter(delivery__target__in=ids, due_at=NOW)
        assert queued.count() == 10, "each once, whichever came first"


def test_a_pause_beside_a_finish_waits_for_nobody_in_a_circle():
    campaign = make_campaign(days=2)
    for _ in range(8):
        referrer = make_referrer(campaign.tenant)
        ids = [make_target(make_referral(referrer)).pk for _ in range(10)]
        planning.plan(now=NOW)
        sending = [to_sending(m) for m in Message.objects.filter(delivery__target__in=ids)]

        def finish(sending=sending):
            for message in sending:
                move(message, "sent")

        together(finish, lambda ids=ids: targets.pause(ids, now=NOW))

        followed = Target.objects.filter(pk__in=ids, paused_at=NOW, steps_done=1)
        assert followed.count() == 10


def test_a_payment_beside_enrolment_enrols_nobody_who_paid():
    """Whichever comes first: the payment is seen, or the target is found."""
    campaign = make_campaign(days=1)
    referrer = make_referrer(campaign.tenant)
    for _ in range(8):
        people = [make_referral(referrer) for _ in range(15)]

        def pay(people=people):
            for person in people:
                exits.exit_referral(tenant=campaign.tenant, external_id=person.external_id, now=NOW)

        together(pay, lambda: enrolment.enrol(now=NOW))
        assert not Target.objects.filter(referral__in=people, state="active").exists()


def test_a_payment_whose_import_is_not_committed_yet_is_seen_by_enrolment():
    """The import does not see the payment, the payment does not see the referral."""
    campaign = make_campaign(days=1)
    referrer = make_referrer(campaign.tenant)
    in_import, paid = threading.Event(), threading.Event()

    def bring():
        with transaction.atomic():
            make_referral(referrer, external_id="late")
            in_import.set()
            assert paid.wait(10)

    def pay():
        assert in_import.wait(10)
        exits.exit_referral(tenant=campaign.tenant, external_id="late", now=NOW)
        paid.set()

    together(bring, pay)
    assert enrolment.enrol(now=NOW) == 0
    assert Payment.objects.count() == 1


def test_exits_and_finishing_sends_do_not_wait_in_a_circle():
    """The outbox has the message when its receiver wants the target; the exit has the target."""
    campaign = make_campaign(days=2)
    referrer = make_referrer(campaign.tenant)
    for _ in range(15):
        target = make_target(make_referral(referrer))
        planning.plan(now=NOW)
        message = to_sending(Message.objects.get(delivery__target=target, delivery__number=1))

        together(
            lambda message=message: move(message, "sent"),
            lambda target=target: exits.exit_referral(
                tenant=campaign.tenant, external_id=target.referral.external_id, now=NOW
            ),
        )

        target.refresh_from_db()
        message.refresh_from_db()
        assert (target.state, message.state) == ("exited", "sent")


def test_exits_and_messages_that_fail_while_queued_do_not_wait_in_a_circle():
    campaign = make_campaign(days=2)
    referrer = make_referrer(campaign.tenant)
    for _ in range(15):
        target = make_target(make_referral(referrer))
        planning.plan(now=NOW)
        message = Message.objects.get(delivery__target=target)

        together(
            lambda message=message: outbox.fail_queued(message, code="x", error="x", now=NOW),
            lambda target=target: exits.exit_targets([target.pk], reason="by_hand", now=NOW),
        )

        target.refresh_from_db()
        message.refresh_from_db()
        assert target.state == "exited"
        assert message.state in {"cancelled", "failed"}


def test_a_refused_send_beside_an_exit_is_not_queued_again():
    campaign = make_campaign(days=2)
    referrer = make_referrer(campaign.tenant)
    for _ in range(15):
        target = make_target(make_referral(referrer))
        planning.plan(now=NOW)
        message = to_sending(Message.objects.get(delivery__target=target))
        together(
            lambda message=message: move(message, "queued", due_at=NOW),
            lambda target=target: exits.exit_targets([target.pk], reason="by_hand", now=NOW),
        )
        message.refresh_from_db()
        assert message.state == "cancelled"


def test_stop_beside_planning_leaves_nothing_queued():
    campaign = make_campaign(days=2)
    for _ in range(10):
        referrer = make_referrer(campaign.tenant)
        target = make_target(make_referral(referrer))
        contact = Contact.objects.create(tenant=campaign.tenant, phone=target.phone)
        together(
            lambda contact=contact: contacts.opt_out(contact, reason="stop", now=NOW),
            lambda: planning.plan(now=NOW),
        )
        target.refresh_from_db()
        assert target.exit_reason == "opted_out"
        assert not Message.objects.filter(contact=contact, state="queued").exists()
