"""Two companies with one of everything each: what the other one has is named so that it shows."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass, field

from django.core.handlers.wsgi import WSGIHandler
from django.utils import timezone
from rest_framework_simplejwt.tokens import RefreshToken

from accounts.models import Activity, ApiKey, Tenant
from accounts.signed import sign_request
from campaigns.models import Broadcast, Campaign, Referral, Segment, Step, Target, Template
from tests import companies
from tests.factories import (
    NOW,
    make_account,
    make_campaign,
    make_media,
    make_referral,
    make_target,
)
from whatsapp.models import Account, ConsentEntry, Contact, Group, GroupMember, Message

SECRET = "zzforeign"
SECRET_PHONE = "+447700900987"


def signed(environ, start_response, *, handler, key):
    """The calls of other systems carry a signature of what they really send."""
    if "/internal/" in environ["PATH_INFO"]:
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = io.BytesIO(body)
        query = environ.get("QUERY_STRING", "")
        header = sign_request(
            key_id=key[0].key_id,
            secret=key[1],
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"] + (f"?{query}" if query else ""),
            body=body,
        )
        environ["HTTP_AUTHORIZATION"] = header["Authorization"]
    return handler(environ, start_response)


@dataclass
class World:
    """Ids by the name a path, a query or a body gives them: Acme's, then the other company's."""

    app: object
    other: Tenant
    tokens: dict[str, str] = field(default_factory=dict)
    ours: dict[str, object] = field(default_factory=dict)
    theirs: dict[str, object] = field(default_factory=dict)

    def id_of(self, name: str, path: str, *, whose: dict[str, object]) -> object:
        kind = path.removeprefix("/api/v1/").split("/")[0] if name == "id" else name
        return whose.get(kind)


def fill(company, name: str, *, owner: str, phone: str) -> dict[str, object]:
    """One of everything, all of it named so that it is recognised wherever it turns up."""
    tenant, user = company.tenant, company.people[owner]
    account = make_account(tenant, name=name, owner=user, phone=phone, push_name=name)
    referrer = company.make_referrer(owner, account=False)
    referrer.account, referrer.name, referrer.external_id = account, name, name
    referrer.save()
    campaign = make_campaign(tenant, days=2, languages=("fr",), name=f"{name}-campaign")
    Template.objects.filter(step__campaign=campaign).update(body=f"{name} {{{{name}}}}")
    referral = make_referral(referrer, external_id=name, name=name, phone=phone)
    target = make_target(referral, campaign=campaign)
    contact = Contact.objects.create(tenant=tenant, phone=phone, name=name)
    message = Message.objects.create(
        tenant=tenant, account=account, contact=contact, idempotency_key=name, content_hash="h",
        body=name, due_at=NOW, state="failed", error=name, wa_id=f"{name}-wa",
    )  # fmt: skip
    group = Group.objects.create(
        tenant=tenant, account=account, chat_id=f"{name}@g.us", subject=name,
        discovered_at=NOW, refreshed_at=NOW,
    )  # fmt: skip
    GroupMember.objects.create(group=group, contact=contact, seen_at=NOW)
    ConsentEntry.objects.create(
        contact=contact, at=NOW, what="opted_in", how="import", note=name, actor_name=name
    )
    segment = Segment.objects.create(tenant=tenant, name=name)
    broadcast = Broadcast.objects.create(tenant=tenant, name=name, segment=segment)
    key, _text = companies.api_keys.issue(
        tenant=tenant, name=name, role="viewer", scopes=["stats:read"],
        actor=companies.SYSTEM, now=timezone.now(),
    )  # fmt: skip
    return {
        "accounts": account.pk,
        "account": account.pk,
        "agent": account.name,
        "tenant": tenant.slug,
        "X-Tenant": tenant.slug,
        "campaigns": campaign.pk,
        "campaign": campaign.pk,
        "steps": campaign.steps.first().pk,
        "language": "fr",
        "referrals": referral.pk,
        "referral": referral.pk,
        "targets": target.pk,
        "target": target.pk,
        "ids": [target.pk],
        "public_id": str(message.public_id),
        "quotedMessageId": str(message.public_id),
        "group": group.pk,
        "groupId": group.pk,
        "targetGroupId": str(group.pk),
        "accountId": account.pk,
        "media": {"id": make_media(tenant, filename=f"{name}.png").pk},
        "segments": segment.pk,
        "segment": segment.pk,
        "broadcasts": broadcast.pk,
        "api-keys": key.pk,
        "contacts": contact.pk,
        "contact": contact.pk,
        "groups": group.pk,
        "owner": owner,
        "day": 1,
    }


def two_companies() -> World:
    acme, other = companies.acme(), companies.other()
    app = functools.partial(signed, handler=WSGIHandler(), key=companies.issue_key(acme))
    made = World(app=app, other=other.tenant)
    made.ours = fill(acme, "acme-own", owner="olga", phone="+33639980001")
    made.theirs = fill(other, SECRET, owner="eve", phone=SECRET_PHONE)
    for name in ("olga", "vera"):
        token = RefreshToken.for_user(acme.people[name]).access_token
        made.tokens[name] = f"Bearer {token}"
    _key, text = companies.api_keys.issue(
        tenant=acme.tenant, name="all", role="owner", scopes=ApiKey.Scope.values,
        actor=companies.SYSTEM, now=timezone.now(),
    )  # fmt: skip
    made.tokens["key"] = f"Bearer {text}"
    return made


def foreign_rows(tenant) -> list[object]:
    return [
        list(model.objects.filter(tenant=tenant).order_by("pk").values())
        for model in (Account, Campaign, Contact, Message, Referral, Target, ApiKey, Activity)
    ] + [list(Step.objects.filter(campaign__tenant=tenant).values())]
