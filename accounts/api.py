"""`/api/auth/`: log in, go on, log out. An access token lives 5 minutes; a refresh works once."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from accounts.routes import Route, SmallJson
from accounts.serializers import LogIn, Logout, Refresh
from accounts.throttles import LoginThrottle


@extend_schema(
    tags=["auth"],
    summary="Log in",
    description=(
        "Returns an access token (5 minutes) and a refresh token (7 days, used once). "
        "10 attempts in five minutes are allowed for one name from one address."
    ),
    examples=[
        OpenApiExample("log in", value={"username": "amina", "password": "…"}, request_only=True)
    ],
)
class LogInView(TokenObtainPairView):
    parser_classes = [SmallJson]
    serializer_class = LogIn
    throttle_classes = [LoginThrottle]


@extend_schema(
    tags=["auth"],
    summary="Go on with a refresh token",
    description="Returns a new pair. The refresh token given is used up by this.",
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
            RefreshToken(given.validated_data["refresh"]).blacklist()
        except TokenError as error:
            raise InvalidToken(error.args[0]) from error
        return Response({"success": True, "message": "Logged out."})
