"""`/api/relance/`: what referrers, administrators and other systems call, and get as answers."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.activity import actor_of
from accounts.models import Membership
from accounts.permissions import ADMINISTRATORS, WRITERS
from accounts.problems import FieldError, Problem
from accounts.routes import Route, ServiceRoute, TenantRoute
from accounts.signed import Service
from campaigns import days, examples, exits, referrers, serializers
from campaigns.models import Referrer
from whatsapp import limits, linking
from whatsapp.api.linking import code_to_type, longest_wait, phone_to_link, wait_for_code
from whatsapp.models import Account

SCAN = "Scan this code with WhatsApp: Settings, Linked devices."
TYPE_IN = (
    "Type this code in on your phone: Settings, Linked devices, Link with phone number instead."
)


class ReferrerRoute(Route):
    """A route about the caller's own WhatsApp account. `self.referrer` says whose."""

    roles = WRITERS
    referrer: Referrer

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        found = Referrer.objects.of_user(request.user.pk or 0).first()
        if found is None:
            raise Problem(404, "no_referrer", "You are not a referrer: no account is yours.")
        if found.role not in self.roles:
            raise Problem(403, "role", "Your role in this company does not allow this.")
        self.referrer = found


@extend_schema(tags=["referrer"])
class ConnectView(ReferrerRoute):
    calls_per_minute = {"POST": 20}

    @extend_schema(
        summary="Link your WhatsApp account",
        description=(
            "Waits for a QR code and returns it. A second call while one is shown returns the "
            "current code and starts nothing. Codes change every 20 s or so: call again for the "
            "new one, until `expiresAt`. With a `phoneNumber` it waits for a code to type in on "
            "that phone instead of scanning. Without a code in time: 504."
        ),
        request=serializers.ReferrerConnectBody,
        responses=serializers.ConnectAnswer,
        examples=examples.CONNECT,
    )
    def post(self, request: Request) -> Response:
        actor = actor_of(request)
        body = serializers.ReferrerConnectBody(data=request.data)
        body.is_valid(raise_exception=True)
        account = referrers.account_of(self.referrer, actor=actor, now=timezone.now())
        phone = phone_to_link(account, body.validated_data.get("phoneNumber"))
        found, typed = None, ""
        if phone and not account.is_linked:
            typed = code_to_type(account, phone=phone, actor=actor, seconds=longest_wait())
            found = linking.current_qr(account.pk)
        elif not account.is_linked:
            found = wait_for_code(account, actor=actor, seconds=longest_wait())
        account.refresh_from_db()
        if account.is_linked or (found is None and not phone):
            return Response(
                {
                    "success": True,
                    "message": "This account is linked.",
                    "data": {"status": "connected", "phoneNumber": account.phone},
                }
            )
        if phone and not typed:
            reason = f" ({account.status_reason})" if account.status_reason else ""
            raise Problem(
                504, "no_pairing_code", f"No code came in time{reason}. Please try again."
            )
        data: dict[str, Any] = {"status": "pending", "expiresAt": linking.attempt_ends(account)}
        if typed:
            data["pairingCode"] = typed
        if found is not None:
            data |= {
                "qrCode": found.text,
                "qrCodeDataUrl": found.data_url,
                "expiresAt": found.expires_at,
            }
        return Response({"success": True, "message": TYPE_IN if typed else SCAN, "data": data})


@extend_schema(tags=["referrer"])
class StatusView(ReferrerRoute):
    roles = frozenset(Membership.Role.values)
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="How your WhatsApp account is",
        description="`resetIn`: milliseconds until more messages become free.",
        responses=serializers.StatusAnswer,
        examples=examples.STATUS,
    )
    def get(self, request: Request) -> Response:
        referrer = self.referrer
        # Without an account yet: the answer of one that was never linked.
        account = referrer.account or Account(tenant=referrer.tenant)
        allowance = limits.snapshot(account, now=timezone.now())
        known = account.status != Account.Status.NEW
        return Response(
            {
                "status": account.status if known else Account.Status.DISCONNECTED,
                "phoneNumber": account.phone or None,
                "platform": account.platform or None,
                "pushname": account.push_name or None,
                "lastQrScanDate": account.linked_at,
                "lastConnectionCheck": account.last_checked_at,
                "enrollmentPaused": referrer.enrolment_paused,
                "sendingPaused": account.sending_paused_at is not None,
                "messagesSentToday": allowance.sent_today,
                "dailyLimit": allowance.daily_limit,
                "remaining": allowance.remaining,
                "resetIn": allowance.reset_in_ms,
                "isLimited": allowance.is_limited,
            }
        )


@extend_schema(tags=["referrer"])
class DisconnectView(ReferrerRoute):
    calls_per_minute = {"DELETE": 20}

    @extend_schema(
        summary="Unlink your WhatsApp account",
        description="Logs the linked device out on the phone and forgets the session.",
        responses={200: serializers.ConnectAnswer},
        examples=examples.DISCONNECT,
    )
    def delete(self, request: Request) -> Response:
        asked = self.referrer.account is not None and linking.disconnect(
            self.referrer.account, actor=actor_of(request), now=timezone.now()
        )
        return Response(
            {
                "success": True,
                "message": (
                    "This account is being logged out." if asked else "No account was linked."
                ),
                "data": {"status": "disconnected"},
            }
        )


@extend_schema(tags=["referrer"])
class PauseView(ReferrerRoute):
    calls_per_minute = {"PUT": 60}

    @extend_schema(
        summary="Pause or go on",
        description=(
            "`sendingPaused` holds every message back; places in the sequence move on by the "
            "length of the pause. `enrollmentPaused` follows no new referrals."
        ),
        request=serializers.PauseBody,
        responses=serializers.PauseAnswer,
        examples=examples.PAUSE,
    )
    def put(self, request: Request) -> Response:
        body = serializers.PauseBody(data=request.data)
        body.is_valid(raise_exception=True)
        enrolment = body.validated_data.get("enrollmentPaused")
        sending = body.validated_data.get("sendingPaused")
        now, actor = timezone.now(), actor_of(request)
        referrer = self.referrer
        with transaction.atomic():
            if enrolment is not None:
                referrers.pause_enrolment(referrer, paused=enrolment, actor=actor, now=now)
            if sending is True:
                account = referrers.account_of(referrer, actor=actor, now=now)
                linking.pause_sending(account, actor=actor, now=now)
            elif sending is False and referrer.account is not None:
                linking.resume_sending(referrer.account, actor=actor, now=now)
        paused = referrer.account is not None and referrer.account.sending_paused_at is not None
        return Response(
            {
                "success": True,
                "message": "Saved.",
                "data": {"enrollmentPaused": referrer.enrolment_paused, "sendingPaused": paused},
            }
        )


@extend_schema(tags=["admin"])
class DaysView(TenantRoute):
    roles = ADMINISTRATORS
    calls_per_minute = {"GET": 100, "POST": 60}

    @extend_schema(
        summary="The seven days",
        responses=serializers.DaysAnswer,
        examples=examples.DAYS,
    )
    def get(self, request: Request) -> Response:
        found = days.read(self.tenant)
        return Response({"success": True, "data": [serializers.day_of(step) for step in found]})

    @extend_schema(
        summary="Write one day",
        description=(
            "Creates or changes a day, as a whole or not at all. What is left out stays; a text "
            "that is `null` is removed. Texts may use `{{name}}`, `{{referrer}}`, `{{link}}` and "
            "the company's own variables. Files are fetched now, from public addresses only, at "
            "most one for each language."
        ),
        request=serializers.Day,
        responses=serializers.DayAnswer,
        examples=examples.DAY,
    )
    def post(self, request: Request) -> Response:
        body = serializers.Day(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        tenant = self.tenant
        wishes = given.get("mediaUrls")
        try:
            step = days.write(
                tenant=tenant,
                number=given["dayNumber"],
                texts=given.get("messageTemplate"),
                wishes=None
                if wishes is None
                else [days.FileWish(w["url"], w["type"], w["language"]) for w in wishes],
                active=given.get("active"),
                actor=self.actor,
                now=timezone.now(),
            )
        except days.BadDay as error:
            raise Problem.of_fields(
                [FieldError(wrong.field, wrong.code, wrong.message) for wrong in error.wrong]
            ) from error
        written = next(found for found in days.read(tenant) if found.pk == step.pk)
        return Response(
            {
                "success": True,
                "message": f"Day {step.number} is saved.",
                "data": serializers.day_of(written),
            }
        )


@extend_schema(tags=["admin"])
class DayView(TenantRoute):
    roles = ADMINISTRATORS
    calls_per_minute = {"DELETE": 60}

    @extend_schema(
        summary="Take one day out",
        description="A day that is part of somebody's history is switched off, not deleted.",
        responses={200: serializers.DayDeleted},
        examples=examples.DAY_DELETED,
    )
    def delete(self, request: Request, day: int) -> Response:
        done = (
            days.remove(tenant=self.tenant, number=day, actor=self.actor, now=timezone.now())
            if day in days.DAYS
            else ""
        )
        if not done:
            raise Problem(404, "not_found", "There is no such day: there are the days 1 to 7.")
        message = (
            f"Day {day} is deleted."
            if done == "deleted"
            else f"Day {day} is switched off; what it sent stays readable."
        )
        return Response(
            {
                "success": True,
                "message": message,
                "data": {"dayNumber": day, "deleted": done == "deleted"},
            }
        )


@extend_schema(tags=["services"])
class ExitUserView(ServiceRoute):
    @extend_schema(
        summary="Somebody paid",
        description=(
            "Takes a referral out of every sequence at once. Signed: `Authorization: "
            "Relance-HMAC key=…, ts=…, nonce=…, signature=…`. Somebody not known yet is "
            "remembered: a later import does not follow them."
        ),
        request=serializers.ExitBody,
        responses=serializers.ExitAnswer,
        examples=examples.EXIT,
    )
    def post(self, request: Request) -> Response:
        body = serializers.ExitBody(data=request.data)
        body.is_valid(raise_exception=True)
        service = request.auth
        assert isinstance(service, Service)  # noqa: S101  IsService lets nobody else in
        result = exits.exit_referral(
            tenant=service.tenant,
            external_id=body.validated_data["userId"],
            source=service.name,
            actor=actor_of(request),
            now=timezone.now(),
        )
        return Response(
            {
                "success": True,
                "data": {
                    "targetsExited": result.targets_exited,
                    "messagesCancelled": result.messages_cancelled,
                    "inFlight": result.in_flight,
                    "known": result.known,
                },
            }
        )
