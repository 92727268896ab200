"""People: who they are, which tenant they work for, what may call in their name, what they did."""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
import zoneinfo
from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts import sealed
from accounts.verbs import ActorKind, verbs

# PostgreSQL takes these for abbreviations, which know no summer time, and for a machine's own zone
# it has no name. Both must say the same of which day it is.
READ_IN_TWO_WAYS = frozenset({"CET", "EET", "MET", "WET", "localtime"})


def validate_timezone(name: str) -> None:
    """Refuse a name that nobody knows as a time zone, or that PostgreSQL reads in another way."""
    if name in READ_IN_TWO_WAYS or name not in zoneinfo.available_timezones():
        raise ValidationError(
            _("“%(name)s” is no time zone: use a name such as Europe/Paris."),
            params={"name": name},
        )


def default_stop_words() -> list[str]:
    """What people write to be left alone, in the languages of most tenants."""
    return [
        "STOP", "STOPP", "ARRÊT", "ARRÊTER", "ARRÊTEZ", "UNSUBSCRIBE", "DÉSABONNER",
        "DÉSABONNEMENT", "DÉSINSCRIRE", "BAJA", "ABMELDEN", "ANNULLA",
    ]  # fmt: skip


def default_start_words() -> list[str]:
    return ["START", "REPRENDRE"]


def validate_texts_by_language(value: object) -> None:
    """Refuse what is not ``{"fr": "a text"}``."""
    if not isinstance(value, dict) or not all(
        isinstance(language, str) and isinstance(text, str) and 0 < len(text.strip()) <= 4096
        for language, text in value.items()
    ):
        raise ValidationError(_('Write languages and texts: {"fr": "C’est noté.", "en": "Noted."}'))


class Tenant(models.Model):
    """A company that uses Relance. Nothing of one tenant is ever visible to another."""

    slug = models.SlugField(unique=True, help_text=_("Short name used in addresses: acme"))
    name = models.CharField(max_length=120)
    region = models.CharField(
        max_length=2,
        default="FR",
        help_text=_("Country whose rules apply to phone numbers written without a country code."),
    )
    timezone = models.CharField(
        max_length=64,
        default="Europe/Paris",
        validators=[validate_timezone],
        help_text=_("The day of the daily limit ends at midnight here."),
    )
    default_language = models.CharField(max_length=8, default="fr")
    payment_link = models.CharField(
        max_length=500,
        blank=True,
        help_text=_("Address behind {{link}}; {{external_id}} in it becomes the referral's id."),
    )
    variables = models.JSONField(
        default=dict,
        blank=True,
        help_text=_('Variables of your own for templates, as {"offer": "-20 %%"}.'),
    )
    stop_words = ArrayField(
        models.CharField(max_length=40),
        default=default_stop_words,
        blank=True,
        help_text=_(
            "A message that is one of these opts its writer out. Case and accents count not."
        ),
    )
    start_words = ArrayField(
        models.CharField(max_length=40),
        default=default_start_words,
        blank=True,
        help_text=_("A message that is one of these opts its writer in again."),
    )
    stop_confirmation = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_texts_by_language],
        help_text=_("What confirms a stop, once, by language; empty: a text of Relance’s own."),
    )
    takeover_minutes = models.PositiveIntegerField(
        default=120,
        help_text=_("How long agent and sequences keep silent after a person wrote into a chat."),
    )
    created_at = models.DateTimeField(auto_now_add=True)
    # Sealed, so that it survives a rotation of the secrets that hashes could not survive.
    sealed_pepper = models.BinaryField(default=b"", editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(region__regex=r"^[A-Z]{2}$"), name="tenant_region_is_iso2"
            ),
            # /api/whatsapp/<slug>/… has, or had, routes of these names.
            models.CheckConstraint(
                condition=~Q(
                    slug__in=["accounts", "admin", "api", "groups", "messages", "stats", "v1"]
                ),
                name="tenant_slug_is_no_address",
                violation_error_message=_(
                    "This short name is one of Relance's own addresses: choose another."
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.timezone)

    def hash(self, text: str, *, purpose: str) -> str:
        """HMAC-SHA256 of `text` in hex, under a key of this company and purpose."""
        return self.hasher(purpose=purpose)(text)

    def hasher(self, *, purpose: str) -> Callable[[str], str]:
        """`hash` for many texts: the key is unsealed once."""
        if not self.sealed_pepper:
            made = sealed.seal(secrets.token_bytes(32), purpose="pepper")
            # Two calls at once: the first stays.
            Tenant.objects.filter(pk=self.pk, sealed_pepper=b"").update(sealed_pepper=made)
            self.refresh_from_db(fields=["sealed_pepper"])
        pepper = sealed.unseal(bytes(self.sealed_pepper), purpose="pepper")
        key = hmac.digest(pepper, purpose.encode(), "sha256")
        return lambda text: hmac.digest(key, text.encode(), "sha256").hex()

    def clean(self) -> None:
        if not isinstance(self.variables, dict) or not all(
            isinstance(k, str) and k.isidentifier() and isinstance(v, str)
            for k, v in self.variables.items()
        ):
            raise ValidationError({"variables": _('Write names and texts: {"offer": "-20 %"}.')})


class User(AbstractUser):
    """Somebody who logs in: a referrer, a marketing person, an operator."""

    tenants: models.ManyToManyField[Tenant, Membership] = models.ManyToManyField(
        Tenant, through="Membership", related_name="users"
    )


class Membership(models.Model):
    """What a user may do in a tenant."""

    class Role(models.TextChoices):
        OWNER = "owner", _("owner")
        MANAGER = "manager", _("manager")
        AGENT = "agent", _("agent")
        VIEWER = "viewer", _("viewer")

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=8, choices=Role, default=Role.AGENT)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "user"], name="membership_once_per_tenant"),
            models.CheckConstraint(
                condition=Q(role__in=["owner", "manager", "agent", "viewer"]),
                name="membership_role_is_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.get_role_display()}, {self.tenant})"

    @property
    def administers(self) -> bool:
        return self.role in {self.Role.OWNER, self.Role.MANAGER}


def new_key_id() -> str:
    return "rk_" + secrets.token_hex(8)


class ServiceKey(models.Model):
    """A secret shared with another system that makes signed calls (payments, referrals).

    Several keys of a tenant may be active at once: that is how a secret is rotated. The secret is
    sealed, not hashed, because checking an HMAC needs the secret itself.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="service_keys")
    name = models.CharField(max_length=80, help_text=_("Which system uses it: billing"))
    key_id = models.CharField(max_length=40, unique=True, default=new_key_id)
    sealed_secret = models.BinaryField(editable=False)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    def __str__(self) -> str:
        return f"{self.name} ({self.key_id})"

    @classmethod
    def issue(cls, *, tenant: Tenant, name: str) -> tuple[ServiceKey, str]:
        """Make a key; returns it with its secret, which is shown this once only."""
        secret = secrets.token_urlsafe(32)
        key = cls(tenant=tenant, name=name)
        key.sealed_secret = sealed.seal(secret.encode(), purpose="service-key")
        key.save()
        return key, secret

    def secret(self) -> bytes:
        return sealed.unseal(bytes(self.sealed_secret), purpose="service-key")


class ServiceNonce(models.Model):
    """A nonce a signed call has used, in PostgreSQL: a flushed Redis must not allow replays."""

    key = models.ForeignKey(ServiceKey, on_delete=models.CASCADE, related_name="nonces")
    nonce = models.CharField(max_length=64)
    used_at = models.DateTimeField(db_index=True)

    # Twice the window in which a timestamp is accepted: older calls are refused by their age.
    KEEP = dt.timedelta(minutes=10)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["key", "nonce"], name="service_nonce_used_once")
        ]

    def __str__(self) -> str:
        return self.nonce


def scopes() -> list[tuple[str, Any]]:
    """Choices by a function, so that a new scope needs no migration."""
    return list(ApiKey.Scope.choices)


class ApiKey(models.Model):
    """What a company's own program calls the API with (api_keys.py). Revoked, never deleted."""

    class Scope(models.TextChoices):
        ACCOUNTS_READ = "accounts:read", _("see WhatsApp accounts")
        ACCOUNTS_WRITE = "accounts:write", _("link, pause and disconnect accounts")
        MESSAGES_READ = "messages:read", _("read messages")
        MESSAGES_SEND = "messages:send", _("send, retry and cancel messages")
        REFERRALS_READ = "referrals:read", _("read referrals")
        REFERRALS_WRITE = "referrals:write", _("import referrals")
        TARGETS_READ = "targets:read", _("see who is followed up")
        TARGETS_WRITE = "targets:write", _("pause, resume and exit follow-ups")
        CAMPAIGNS_READ = "campaigns:read", _("read campaigns and templates")
        CAMPAIGNS_WRITE = "campaigns:write", _("change campaigns and templates")
        ACTIVITY_READ = "activity:read", _("read the activity log")
        STATS_READ = "stats:read", _("read figures")
        PEOPLE_WRITE = "people:write", _("export and delete a person's data")
        CONTACTS_READ = "contacts:read", _("read contacts")
        CONTACTS_WRITE = "contacts:write", _("change contacts and what they agreed to")
        GROUPS_READ = "groups:read", _("read groups and their members")
        GROUPS_WRITE = "groups:write", _("discover and label groups")
        AGENTS_READ = "agents:read", _("see chat agents")
        AGENTS_WRITE = "agents:write", _("add, change and delete chat agents")
        WEBHOOKS_READ = "webhooks:read", _("see webhooks and their log")
        WEBHOOKS_WRITE = "webhooks:write", _("add, change and replay webhooks")

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80, help_text=_("What uses it: CRM export"))
    key_id = models.CharField(max_length=20, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    role = models.CharField(max_length=8, choices=Membership.Role, default=Membership.Role.AGENT)
    scopes = ArrayField(models.CharField(max_length=20, choices=scopes), default=list)
    created_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("API key")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(role__in=["owner", "manager", "agent", "viewer"]),
                name="api_key_role_is_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.key_id})"


class Activity(models.Model):
    """Somebody did something, or something happened: written by `activity.record`, never changed.

    What it was done to is named by type and id, not by a foreign key: it may be gone by now.
    """

    # None: it concerns no company, as when a superuser logs in.
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="activities",
        db_index=False,
    )
    at = models.DateTimeField()
    verb = models.CharField(max_length=32, choices=verbs)
    actor_kind = models.CharField(max_length=8, choices=ActorKind)
    actor_name = models.CharField(max_length=150)
    user = models.ForeignKey(
        User,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="activities",
        db_index=False,
    )
    address = models.GenericIPAddressField(null=True, blank=True)
    subject_type = models.CharField(max_length=60, blank=True, help_text=_("whatsapp.account"))
    subject_id = models.BigIntegerField(null=True, blank=True)
    subject_name = models.CharField(max_length=200, blank=True)
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name_plural = _("activities")
        indexes: ClassVar = [
            models.Index(fields=["tenant", "-at", "-id"], name="activity_recent"),
            models.Index(
                fields=["subject_type", "subject_id", "-at"],
                condition=Q(subject_id__isnull=False),
                name="activity_of_subject",
            ),
            models.Index(
                fields=["user", "-at"], condition=Q(user__isnull=False), name="activity_of_user"
            ),
            # Rows come in the order of their time: some kilobytes find those that are too old.
            BrinIndex(fields=["at"], name="activity_by_age", pages_per_range=32),
        ]

    def __str__(self) -> str:
        subject = f" {self.subject_name}" if self.subject_name else ""
        return f"{self.actor_name}: {self.get_verb_display()}{subject}"
