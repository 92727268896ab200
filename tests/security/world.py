"""Two companies with a row of everything; their ids do not meet, their texts hold their name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import ForeignKey, Model, UUIDField
from django.utils import timezone

from accounts import activity, api_keys
from accounts.activity import SYSTEM, Verb
from accounts.models import ApiKey, ServiceKey, ServiceNonce, Tenant, User
from campaigns.models import Referral, Target
from tests import factories
from tests.admin.test_pages import fill
from tests.factories import NOW
from whatsapp import linking, suppression
from whatsapp.driver.base import QrCode
from whatsapp.models import Account, Profile

# Parts of addresses that name nothing of anybody's, with a value to call them with.
NOT_IDS: dict[str, list[Any]] = {"day": [1], "language": ["fr"]}
FIRST_ID, FIRST_FOREIGN_ID = 1_000_000, 9_000_000
# Ids that nobody has.
NOWHERE: dict[str, list[Any]] = {
    "int": [8_999_999],
    "uuid": ["00000000-0000-4000-8000-000000000000"],
    "external_id": ["nothing"],
    **{name: ["nowhere"] for name in ("tenant", "subaccount", "subaccountId")},
    **{name: ["nobody"] for name in ("agent", "agentId")},
}
OURS = [
    model
    for app in ("accounts", "whatsapp", "campaigns")
    for model in apps.get_app_config(app).get_models()
]


def path_to_tenant(model: type[Model]) -> str | None:
    """From a model to its company, over foreign keys: ``account__tenant``."""
    if model is Tenant:
        return "pk"
    if model is User:
        return "tenants"
    found: list[tuple[str, type[Model]]] = [("", model)]
    for _depth in range(4):
        further = []
        for path, at in found:
            for field in at._meta.concrete_fields:
                if isinstance(field, ForeignKey) and not isinstance(at, str):
                    to = field.related_model
                    if to is Tenant:
                        return path + field.name
                    if to in OURS and to is not User:
                        further.append((f"{path}{field.name}__", to))
        found = further
    return None


@dataclass
class World:
    """What belongs to one company: ids by kind, and rows by model."""

    tenant: Tenant
    rows: dict[type[Model], list[Model]]

    @property
    def ids(self) -> dict[str, list[Any]]:
        numbers, uuids, texts = set(), set(), set()
        for model, rows in self.rows.items():
            for row in rows:
                if isinstance(row.pk, int):
                    numbers.add(row.pk)
                for field in model._meta.concrete_fields:
                    if isinstance(field, UUIDField):
                        uuids.add(getattr(row, field.attname))
        for model, field in ((Referral, "external_id"), (ApiKey, "key_id")):
            texts |= {getattr(row, field) for row in self.rows[model]}
        account = ContentType.objects.get_for_model(Account).pk
        slugs = [self.tenant.slug]
        names = [row.name for row in self.rows[Account]]
        return {
            **NOT_IDS,
            "int": sorted(numbers),
            "uuid": sorted(uuids, key=str),
            "external_id": sorted(texts),
            "tenant": slugs,
            "subaccount": slugs,
            "subaccountId": slugs,
            "agent": names,
            "agentId": names,
            "id": sorted(numbers),
            "object_id": sorted(numbers),
            "content_type_id": [account],
        }


def make(slug: str) -> World:
    """A company with one row of everything that companies have; its texts hold `slug`."""
    tenant = factories.make_tenant(slug, name=f"Company {slug}")
    fill(tenant)
    owner = factories.make_user(tenant, role="owner", username=f"owner-{slug}")
    account = Account.objects.filter(tenant=tenant).first()
    key = ServiceKey.objects.get(tenant=tenant)
    ServiceNonce.objects.create(key=key, nonce=f"nonce-of-{slug}-0000", used_at=NOW)
    Profile.objects.create(account=account, file=f"{slug}.bin", saved_at=NOW)
    Account.objects.filter(pk=account.pk).update(owner=owner, push_name=f"push of {slug}")
    waiting = factories.make_account(tenant, connected=False)
    linking.request(waiting, now=timezone.now())
    linking.publish_qr(waiting, QrCode(text=f"2@{slug}", seq=1))
    api_keys.issue(
        tenant=tenant, name=f"key of {slug}", role="agent", scopes=["stats:read"],
        actor=SYSTEM, now=NOW,
    )  # fmt: skip
    suppression.suppress(tenant, factories.fiction_phone(9_999), now=NOW)
    target = Target.objects.filter(tenant=tenant).first()
    activity.record(
        tenant_id=tenant.pk, verb=Verb.EXITED, subject=target, detail={"of": slug}, now=NOW
    )
    rows = {}
    for model in OURS:
        path = path_to_tenant(model)
        if path is not None:
            rows[model] = list(model._default_manager.filter(**{path: tenant.pk})[:2])
    return World(tenant, rows)


def number_from(first: int) -> None:
    """Rows made from now on have ids from `first` on, each table a thousand of its own."""
    with connection.cursor() as cursor:
        for index, model in enumerate(OURS):
            cursor.execute(
                "SELECT setval(seq, %s) FROM pg_get_serial_sequence(%s, %s) AS seq "
                "WHERE seq IS NOT NULL",
                [first + 1000 * index, model._meta.db_table, model._meta.pk.column],
            )


def fingerprint() -> dict[str, str]:
    """Table -> hash of all its rows, for every table that holds something of a company's."""
    tables = [
        m._meta.db_table for m in OURS if m._meta.label not in {"accounts.Activity"}
    ]  # fmt: skip
    found = {}
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(
                f"SELECT md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) "  # noqa: S608
                f'FROM "{table}" AS t'
            )
            found[table] = cursor.fetchone()[0]
    return found
