"""`/api/auth/`: log in, go on, log out. An access token lives 5 minutes; a refresh works once."""

from __future__ import annotations

from django.contrib.auth.signals import user_logged_out
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError
from rest_framework_simplejwt.serializers import TokenRefreshSerializer
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from accounts import examples, passwords
from accounts.activity import actor_of
from accounts.models import User
from accounts.problems import Problem
from accounts.routes import Route, SmallJson
from accounts.serializers import LogIn, Logout, PasswordBody, Refresh
from accounts.throttles import LoginThrottle


@extend_schema(
    tags=["auth"],
    summary="Log in",
    description=(
        "Returns an access token (5 minutes) and a refresh token (7 days, used once). "
        "10 attempts in five minutes are allowed for one name from one address."
    ),
    examples=examples.LOG_IN,
)
class LogInView(TokenObtainPairView):
    parser_classes = [SmallJson]
    serializer_class = LogIn
    throttle_classes = [LoginThrottle]


@extend_schema(
    tags=["auth"],
    summary="Go on with a refresh token",
    description="Returns a new pair. The refresh token given is used up by this.",
    examples=examples.REFRESH,
)
class RefreshView(TokenRefreshView):
    parser_classes = [SmallJson]
    serializer_class = Refresh


@extend_schema(
    tags=["auth"],
    summary="Log out",
    description="Ends a refresh token. The access token ends by itself within 5 minutes.",
    request=Logout,
    responses={200: None},
    examples=examples.LOG_OUT,
)
class LogOutView(Route):
    # Whoever holds the refresh token may end it; an access token may have expired already.
    authentication_classes = []
    permission_classes = []

    def get_authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        return "Bearer"

    def post(self, request: Request) -> Response:
        given = Logout(data=request.data)
        given.is_valid(raise_exception=True)
        try:
            token = RefreshToken(given.validated_data["refresh"])
            token.blacklist()
        except TokenError as error:
            raise InvalidToken(error.args[0]) from error
        user = User.objects.filter(pk=token[api_settings.USER_ID_CLAIM]).first()
        user_logged_out.send(sender=User, request=request._request, user=user)
        return Response({"success": True, "message": "Logged out."})


@extend_schema(
    tags=["auth"],
    summary="Change your password",
    description="Every token and session of yours ends; the answer holds a new pair of tokens.",
    request=PasswordBody,
    responses={200: TokenRefreshSerializer},
    examples=examples.PASSWORD,
)
class PasswordView(Route):
    def post(self, request: Request) -> Response:
        user = request.user
        assert isinstance(user, User)  # noqa: S101  JWT lets nobody else in
        body = PasswordBody(data=request.data, context={"user": user})
        body.is_valid(raise_exception=True)
        # A stolen access token must not be good for guessing the password.
        throttle = LoginThrottle()
        if not throttle.allow(request, user.get_username()):
            raise Throttled(throttle.wait())
        if not user.check_password(body.validated_data["current"]):
            raise Problem.of_field("current", "password", "this is not your password")
        passwords.change(
            user, body.validated_data["new"], actor=actor_of(request), now=timezone.now()
        )
        pair = RefreshToken.for_user(user)
        answer = Response({"access": str(pair.access_token), "refresh": str(pair)})
        answer["Cache-Control"] = "no-store"
        return answer
