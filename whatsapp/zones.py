"""A tenant moves to another time zone, and the day of its accounts' limits with it.

Usage is stored by the tenant's day. After a move the date is another, or began at another hour: so
the day that it is now is counted anew from the attempts since its midnight, and days that have not
come yet are forgotten. No day of the tenant then sees more than its limit, and none is used up
before it has begun.
"""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models.signals import post_save, pre_save
from django.dispatch import receiver

from accounts.models import Tenant
from whatsapp import limits
from whatsapp.clock import database_now
from whatsapp.models import Account, Usage

# As `standing.IS_NEW` was at the moment of each attempt.
RECOUNT = """
INSERT INTO whatsapp_usage (account_id, day, count, new_chats)
SELECT account.id, %(day)s, tried.count, tried.new_chats
FROM whatsapp_account AS account
CROSS JOIN LATERAL (
    SELECT count(*) AS count, count(*) FILTER (
        WHERE message.contact_id IS NOT NULL
          AND NOT EXISTS (SELECT FROM whatsapp_incoming AS incoming
                          WHERE incoming.contact_id = message.contact_id
                            AND incoming.account_id = account.id
                            AND incoming.received_at < attempt.intent_at
                            AND incoming.chat_id NOT LIKE '%%@g.us')
          AND NOT EXISTS (SELECT FROM whatsapp_message AS earlier
                          WHERE earlier.contact_id = message.contact_id
                            AND earlier.account_id = account.id
                            AND earlier.sent_at < attempt.intent_at)) AS new_chats
    FROM whatsapp_attempt AS attempt
    JOIN whatsapp_message AS message ON message.id = attempt.message_id
    WHERE attempt.account_id = account.id AND attempt.intent_at >= %(midnight)s
) AS tried
WHERE account.tenant_id = %(tenant)s AND tried.count > 0
"""


def recount(tenant: Tenant, *, now: datetime) -> None:
    """Have today's usage of all accounts of `tenant` be what was tried since midnight in its zone.

    In a transaction: intents wait for its end, and find the new zone then.
    """
    day = limits.today(tenant, now=now)
    # In the order in which everybody locks several.
    accounts = Account.objects.filter(tenant=tenant.pk).order_by("pk")
    locked = list(accounts.select_for_update(no_key=True).values_list("pk", flat=True))
    Usage.objects.filter(account__in=locked, day__gte=day).delete()
    with connection.cursor() as cursor:
        cursor.execute(
            RECOUNT,
            {
                "tenant": tenant.pk,
                "day": day,
                "midnight": datetime.combine(day, dt.time(), tzinfo=tenant.zone),
            },
        )

    def forget() -> None:
        for account_id in locked:
            limits.forget(account_id)

    # What Redis has counted is of another day.
    transaction.on_commit(forget)


@receiver(pre_save, sender=Tenant)
def before_a_tenant_is_saved(*, instance: Tenant, **_: Any) -> None:
    """Note which zone it leaves."""
    stored = Tenant.objects.filter(pk=instance.pk).values_list("timezone", flat=True)
    instance.__dict__["_zone_before"] = stored.first() if instance.pk else None


@receiver(post_save, sender=Tenant)
def after_a_tenant_was_saved(
    *, instance: Tenant, update_fields: frozenset[str] | None, **_: Any
) -> None:
    before = instance.__dict__.pop("_zone_before", None)
    saved = update_fields is None or "timezone" in update_fields
    if saved and before not in (None, instance.timezone):
        with transaction.atomic():
            recount(instance, now=database_now())
