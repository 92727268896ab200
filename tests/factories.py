"""One of everything, valid and connected, with what a test wants to differ named by it.

campaign = make_campaign(make_tenant(), days=7)
target = make_target(make_referral(), next_due_at=NOW)
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from typing import Any

from accounts.models import Membership, Tenant, User
from campaigns import schedule
from campaigns.models import (
    Broadcast,
    BroadcastText,
    Campaign,
    Referral,
    Referrer,
    Segment,
    Step,
    Target,
    Template,
)
from whatsapp.models import Account, Contact, Media

NOW = dt.datetime(2026, 11, 20, 9, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)

_numbers = itertools.count(1)


# American area codes with ordinary numbers; the others are for paid services.
_AREAS = [area for area in range(200, 1000) if area not in {658, 784, 900}]


def fiction_phone(n: int) -> str:
    """The n-th of 90,700 numbers kept for fiction: French, then British, then American ones."""
    if n < 10_000:
        return f"+3363998{n:04d}"
    if n < 11_000:
        return f"+447700900{n - 10_000:03d}"
    area, line = divmod(n - 11_000, 100)
    return f"+1{_AREAS[area]}55501{line:02d}"


def make_tenant(slug: str = "", **fields: Any) -> Tenant:
    slug = slug or f"tenant-{next(_numbers)}"
    fields.setdefault("payment_link", "https://pay.example/{{external_id}}")
    return Tenant.objects.create(slug=slug, name=fields.pop("name", slug.title()), **fields)


def make_user(tenant: Tenant | None = None, *, role: str = "agent", **fields: Any) -> User:
    name = fields.pop("username", f"user-{next(_numbers)}")
    user = User.objects.create_user(name, **fields)
    if tenant is not None:
        Membership.objects.create(tenant=tenant, user=user, role=role)
    return user


def make_account(tenant: Tenant | None = None, *, connected: bool = True, **fields: Any) -> Account:
    tenant = tenant or make_tenant()
    n = next(_numbers)
    fields.setdefault("name", f"account-{n}")
    if connected:
        fields.setdefault("phone", fiction_phone(50_000 + n))
        fields = {"status": "connected", "linked_at": NOW - DAY, **fields}
    return Account.objects.create(tenant=tenant, **fields)


def make_referrer(
    tenant: Tenant | None = None, *, account: Account | None = None, **fields: Any
) -> Referrer:
    """With a connected account of their own, unless one is given."""
    tenant = tenant or (account.tenant if account else make_tenant())
    external_id = fields.pop("external_id", f"referrer-{next(_numbers)}")
    return Referrer.objects.create(
        tenant=tenant,
        external_id=external_id,
        name=fields.pop("name", external_id.title()),
        account=account or make_account(tenant, name=external_id),
        **fields,
    )


def make_referral(referrer: Referrer | None = None, **fields: Any) -> Referral:
    """Registered two hours before `NOW`, unpaid, not enrolled."""
    referrer = referrer or make_referrer()
    n = next(_numbers)
    defaults: dict[str, Any] = {
        "external_id": f"ref-{n}",
        "name": "Zoé Martin",
        "phone": fiction_phone(n),
        "region": "FR",
        "registered_at": NOW - 2 * HOUR,
    }
    return Referral.objects.create(tenant=referrer.tenant, referrer=referrer, **(defaults | fields))


def make_campaign(
    tenant: Tenant | None = None,
    *,
    days: int = 7,
    languages: tuple[str, ...] = ("fr", "en"),
    delay: dt.timedelta = DAY,
    **fields: Any,
) -> Campaign:
    """Active, with `days` steps `delay` apart that greet in each language."""
    fields = {"name": f"campaign-{next(_numbers)}", "active": True, **fields}
    campaign = Campaign.objects.create(tenant=tenant or make_tenant(), **fields)
    for number in range(1, days + 1):
        step = Step.objects.create(
            campaign=campaign, number=number, delay=delay if number > 1 else dt.timedelta(0)
        )
        for language in languages:
            Template.objects.create(
                step=step, language=language, body=f"{language} {number} {{{{name}}}}"
            )
    return campaign


def make_target(
    referral: Referral | None = None, *, campaign: Campaign | None = None, **fields: Any
) -> Target:
    """Active and due at `NOW`, at the first step; its account's schedule knows it."""
    referral = referral or make_referral()
    campaign = (
        campaign
        or Campaign.objects.filter(tenant=referral.tenant, active=True).first()
        or make_campaign(referral.tenant)
    )
    if fields.get("state", "active") == "active":
        fields.setdefault("next_due_at", NOW)
    else:
        fields.setdefault("ended_at", NOW)
    assert referral.referrer.account is not None
    target = Target.objects.create(
        tenant=referral.tenant,
        campaign=campaign,
        referral=referral,
        account=fields.pop("account", referral.referrer.account),
        phone=fields.pop("phone", referral.phone),
        **{"slot_at": NOW, "enrolled_at": NOW - HOUR, **fields},
    )
    Referral.objects.filter(pk=referral.pk).update(enrolled_at=target.enrolled_at)
    if target.next_due_at is not None:
        schedule.lower({target.account_id: target.next_due_at})
    return target


def make_media(tenant: Tenant, **fields: Any) -> Media:
    """A row for a picture; no file stands behind it."""
    defaults: dict[str, Any] = {
        "sha256": f"{next(_numbers):064d}",
        "kind": "image",
        "mime": "image/png",
        "filename": "a.png",
        "size": 1,
        "file": "media/a.png",
    }
    return Media.objects.create(tenant=tenant, **(defaults | fields))


def make_contact(tenant: Tenant, **fields: Any) -> Contact:
    """Somebody who may be written to."""
    n = next(_numbers)
    return Contact.objects.create(
        tenant=tenant,
        **{"phone": fiction_phone(n), "name": f"Zoé {n}", "source": "import"} | fields,
    )


def make_broadcast(
    tenant: Tenant | None = None,
    *,
    accounts: Sequence[Account] | None = None,
    rules: dict[str, Any] | None = None,
    texts: dict[str, str] | None = None,
    **fields: Any,
) -> Broadcast:
    """A draft that may be started as soon as its segment, by default everybody, has anybody."""
    tenant = tenant or (accounts[0].tenant if accounts else make_tenant())
    n = next(_numbers)
    segment = Segment.objects.create(tenant=tenant, name=f"segment-{n}", rules=rules or {})
    broadcast = Broadcast.objects.create(
        tenant=tenant, **{"name": f"broadcast-{n}", "segment": segment} | fields
    )
    broadcast.accounts.set([make_account(tenant)] if accounts is None else accounts)
    for language, body in (texts or {"fr": "Bonjour {{name}}", "en": "Hi {{name}}"}).items():
        BroadcastText.objects.create(broadcast=broadcast, language=language, body=body)
    return broadcast
