"""Who is in a rig: a company, linked accounts, and people to write to. Numbers are of fiction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.utils import timezone

from accounts.models import Tenant
from campaigns.models import Referral, Referrer
from tests.factories import fiction_phone, make_campaign, make_tenant
from whatsapp import contacts, outbox
from whatsapp.models import Account, Message
from whatsapp.outbox import Draft

PHONES = [f"+336399891{n:02d}" for n in range(100)]
RECIPIENTS = 9_000  # beyond them are the numbers of accounts
STEPS = 2
STEP_DELAY = dt.timedelta(seconds=2)
PER_MINUTE = 120
TIGHT, TIGHT_MINUTE = "tight", 40
MANY = 100_000  # messages a day where a day's limit is not what is looked at


def invent(accounts: int, *, with_tight_one: bool = False) -> tuple[Tenant, list[Account]]:
    """A company whose referrers' people get two messages, two seconds apart.

    The tight account has no referrals, and limits that are always near: `TIGHT_MINUTE` a minute.
    """
    tenant = make_tenant("chaos")
    make_campaign(
        tenant, days=STEPS, languages=("fr",), delay=STEP_DELAY, first_delay=dt.timedelta(0)
    )
    made = []
    for n in range(accounts):
        account = Account.objects.create(tenant=tenant, name=f"account-{n}", daily_limit=MANY)
        Referrer.objects.create(
            tenant=tenant, external_id=f"referrer-{n}", name=f"Referrer {n}", account=account
        )
        made.append(account)
    if with_tight_one:
        made.append(
            Account.objects.create(
                tenant=tenant, name=TIGHT, daily_limit=0, per_minute=TIGHT_MINUTE
            )
        )
    return tenant, made


def key(number: int) -> str:
    return f"chaos:{number}"


def queue(account: Account, numbers: Sequence[int]) -> list[int]:
    """Queue messages that are like no others; may be repeated. Their ids, once committed."""
    phones = {number: fiction_phone(number % RECIPIENTS) for number in numbers}
    people = dict.fromkeys(phones.values(), "Zoé")
    ids = contacts.ensure(tenant_id=account.tenant_id, people=people)
    outbox.queue_batch(
        [
            Draft(
                tenant_id=account.tenant_id,
                account_id=account.pk,
                contact_id=ids[phone],
                idempotency_key=key(number),
                body=f"message {number} of {account.name}",
                due_at=timezone.now(),
            )
            for number, phone in phones.items()
        ],
        now=timezone.now(),
    )
    keys = [key(number) for number in numbers]
    return list(Message.objects.filter(idempotency_key__in=keys).values_list("id", flat=True))


def refer(account: Account, numbers: Sequence[int]) -> list[str]:
    """People who registered two hours ago; may be repeated. Their external ids."""
    referrer = Referrer.objects.get(account=account)
    made = [
        Referral(
            tenant_id=referrer.tenant_id,
            referrer=referrer,
            external_id=f"person-{number}",
            name=f"Person {number}",
            phone=fiction_phone(number % RECIPIENTS),
            region="FR",
            language="fr",
            registered_at=timezone.now() - dt.timedelta(hours=2),
        )
        for number in numbers
    ]
    Referral.objects.bulk_create(made, ignore_conflicts=True)
    return [referral.external_id for referral in made]
