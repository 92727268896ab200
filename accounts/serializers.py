"""Tokens, where what simplejwt leaves open is closed; keys; lines of the activity log."""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer, TokenRefreshSerializer
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken, UntypedToken
from rest_framework_simplejwt.utils import get_md5_hash_password

from accounts import passwords
from accounts.activity import Actor, address, record_for_user
from accounts.bodies import Body, Moment, Paging
from accounts.models import Activity, ApiKey, Membership, User
from accounts.verbs import ActorKind, Verb

# A client that lost the answer, or two of its windows, may send a token once more.
REUSE_GRACE = timedelta(seconds=30)


class LogIn(TokenObtainPairSerializer):
    """A pair of tokens for a name and a password."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        pair = super().validate(attrs)
        request = self.context["request"]
        # As django.contrib.auth.login does: it sets last_login and is recorded.
        user_logged_in.send(sender=User, request=request._request, user=self.user)
        return dict(pair)


class Refresh(TokenRefreshSerializer):
    """A refresh token is good once, and only as long as its user's password is the same."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        try:
            token = RefreshToken(attrs["refresh"])
        except TokenError:
            self._if_reused(attrs["refresh"])
            raise
        user = User.objects.filter(pk=token.get(api_settings.USER_ID_CLAIM), is_active=True).first()
        if user is None:
            raise AuthenticationFailed("This user is gone or switched off.", "no_active_account")
        then = str(token.get(api_settings.REVOKE_TOKEN_CLAIM, ""))
        if not hmac.compare_digest(then, str(get_md5_hash_password(user.password))):
            raise AuthenticationFailed("The password was changed.", "password_changed")
        with transaction.atomic():
            # Two refreshes with one token at the same moment: the second waits here, and the
            # check in super() then finds the token used.
            jti = token[api_settings.JTI_CLAIM]
            OutstandingToken.objects.select_for_update().filter(jti=jti).first()
            return dict(super().validate(attrs))

    def _if_reused(self, text: str) -> None:
        """A token that was used before was copied: who has the other one is anybody's guess.

        So all of its user's end. Within some seconds it is one program asking twice.
        """
        now = timezone.now()
        try:
            claims = UntypedToken(text)  # type: ignore[arg-type]  # signature and age, nothing else
        except TokenError:
            return
        used = BlacklistedToken.objects.select_related("token__user").filter(
            token__jti=claims[api_settings.JTI_CLAIM], blacklisted_at__lt=now - REUSE_GRACE
        )
        user = next((found.token.user for found in used), None)
        if user is not None and passwords.end_refresh_tokens(user, now=now):
            request = self.context["request"]
            actor = Actor("user", user.get_username(), user.pk, address(request))
            record_for_user(user, Verb.TOKEN_REUSED, actor=actor, now=now)


class PasswordBody(serializers.Serializer[Any]):
    """The password as it is and as it is to be."""

    current = serializers.CharField(max_length=500, trim_whitespace=False)
    new = serializers.CharField(max_length=500, trim_whitespace=False)

    def validate_new(self, value: str) -> str:
        validate_password(value, user=self.context["user"])
        return value


class Logout(serializers.Serializer[Any]):
    """The refresh token that ends."""

    refresh = serializers.CharField(max_length=2000)


class KeyBody(Body):
    """A key to be issued."""

    name = serializers.CharField(max_length=80)
    role = serializers.ChoiceField(choices=Membership.Role.values, default=Membership.Role.AGENT)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=ApiKey.Scope.values),
        min_length=1,
        max_length=len(ApiKey.Scope.values),
    )
    expiresAt = Moment(source="expires_at", required=False, allow_null=True, default=None)

    def validate_expiresAt(  # noqa: N802  DRF's naming
        self, value: datetime | None
    ) -> datetime | None:
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("this time is past: give a later one, or none")
        return value


class KeyDescription(serializers.ModelSerializer[ApiKey]):
    """A key without its text."""

    keyId = serializers.CharField(source="key_id")
    createdBy = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")
    expiresAt = serializers.DateTimeField(source="expires_at", allow_null=True)
    revokedAt = serializers.DateTimeField(source="revoked_at", allow_null=True)
    lastUsedAt = serializers.DateTimeField(source="last_used_at", allow_null=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=ApiKey.Scope.values))

    class Meta:
        model = ApiKey
        fields: tuple[str, ...] = (
            "id",
            "name",
            "keyId",
            "role",
            "scopes",
            "createdBy",
            "createdAt",
            "expiresAt",
            "revokedAt",
            "lastUsedAt",
        )
        read_only_fields = fields


class IssuedKey(KeyDescription):
    key = serializers.CharField(help_text="The whole key; shown this once")

    class Meta(KeyDescription.Meta):
        fields: tuple[str, ...] = (*KeyDescription.Meta.fields, "key")


class ActivityFilter(Paging):
    """Query parameters of the activity log."""

    LOOKUPS: ClassVar = {
        "verb": "verb",
        "actor": "actor_name",
        "actorKind": "actor_kind",
        "subjectType": "subject_type",
        "subjectId": "subject_id",
        "since": "at__gte",
        "until": "at__lt",
    }
    verb = serializers.ChoiceField(choices=Verb.values, required=False)
    actor = serializers.CharField(max_length=150, required=False)
    actorKind = serializers.ChoiceField(choices=ActorKind.values, required=False)
    subjectType = serializers.CharField(max_length=60, required=False, help_text="whatsapp.account")
    subjectId = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    since = Moment(required=False)
    until = Moment(required=False)


class ActivityLine(serializers.ModelSerializer[Activity]):
    actorKind = serializers.ChoiceField(source="actor_kind", choices=ActorKind.choices)
    actorName = serializers.CharField(source="actor_name")
    subjectType = serializers.CharField(source="subject_type")
    subjectId = serializers.IntegerField(source="subject_id", allow_null=True)
    subjectName = serializers.CharField(source="subject_name")

    class Meta:
        model = Activity
        fields = (
            "id",
            "at",
            "verb",
            "actorKind",
            "actorName",
            "address",
            "subjectType",
            "subjectId",
            "subjectName",
            "detail",
        )
        read_only_fields = fields
