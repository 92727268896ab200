"""Two companies and their people, for tests of who may see and do what.

Amina refers for Acme from her own account; Olga owns Acme, Max manages it, Vera only looks; Eve
owns another company and must never see anything of Acme's.
"""

from dataclasses import dataclass, field

from django.core.cache import cache
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import RefreshToken

from accounts import api_keys
from accounts.activity import SYSTEM
from accounts.models import Membership, ServiceKey, Tenant, User
from campaigns.models import Referrer
from whatsapp.models import Account

PASSWORD = "correct horse battery"


@dataclass
class Company:
    """A tenant with one user of each role; `people` by name."""

    tenant: Tenant
    people: dict[str, User] = field(default_factory=dict)

    def hire(self, name: str, role: str, **fields) -> User:
        user = User.objects.create_user(name, password=PASSWORD, **fields)
        Membership.objects.create(tenant=self.tenant, user=user, role=role)
        self.people[name] = user
        return user

    def make_referrer(self, name: str, *, account: bool = True, **fields) -> Referrer:
        user = self.people.get(name) or self.hire(name, "agent")
        made = (
            Account.objects.create(tenant=self.tenant, name=name, owner=user, **fields)
            if account
            else None
        )
        return Referrer.objects.create(
            tenant=self.tenant, external_id=name, name=name.title(), user=user, account=made
        )


def acme() -> Company:
    company = Company(Tenant.objects.create(slug="acme", name="Acme", variables={"offer": "-20 %"}))
    for name, role in {
        "olga": "owner", "max": "manager", "amina": "agent", "vera": "viewer",
    }.items():  # fmt: skip
        company.hire(name, role)
    return company


def other() -> Company:
    company = Company(Tenant.objects.create(slug="other", name="Other"))
    company.hire("eve", "owner")
    return company


def client(user: User | None = None, **headers: str) -> APIClient:
    """A caller with a real access token of `user`."""
    made = APIClient()
    if user is not None:
        token = RefreshToken.for_user(user).access_token
        made.credentials(HTTP_AUTHORIZATION=f"Bearer {token}", **headers)
    return made


def issue_key(company: Company, name: str = "billing") -> tuple[ServiceKey, str]:
    return ServiceKey.issue(tenant=company.tenant, name=name)


def program(company: Company, *scopes: str, role: str = "owner", **headers: str) -> APIClient:
    """A caller with an API key of `company`."""
    _key, text = api_keys.issue(
        tenant=company.tenant,
        name="a program",
        role=role,
        scopes=scopes,
        actor=SYSTEM,
        now=timezone.now(),
    )
    made = APIClient()
    made.credentials(HTTP_AUTHORIZATION=f"Bearer {text}", **headers)
    return made


def forget_limits() -> None:
    """Calls of other tests do not count."""
    cache.clear()
