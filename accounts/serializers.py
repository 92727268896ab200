"""Tokens: what simplejwt's serializers leave open is closed here."""

from __future__ import annotations

import hmac
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer, TokenRefreshSerializer
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.utils import get_md5_hash_password

from accounts.models import User


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
        token = RefreshToken(attrs["refresh"])
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


class Logout(serializers.Serializer[Any]):
    """The refresh token that ends."""

    refresh = serializers.CharField(max_length=2000)
