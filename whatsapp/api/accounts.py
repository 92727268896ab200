"""`/api/v1/accounts`: a company's WhatsApp accounts, linked, looked at, paused and limited."""

from __future__ import annotations

import datetime as dt
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import narrowed, page, paged, read
from accounts.models import ApiKey, Membership, User
from accounts.permissions import ADMINISTRATORS, EVERYBODY, WRITERS
from accounts.problems import Problem
from accounts.routes import TenantRoute
from whatsapp import limits, linking, numbers
from whatsapp.api import answers, examples
from whatsapp.api.linking import code_to_type, phone_to_link
from whatsapp.models import Account

M = TypeVar("M", bound=Model)
Scope = ApiKey.Scope


class AccountRoute(TenantRoute):
    """A route about accounts that the caller may see."""

    scopes = {
        "GET": Scope.ACCOUNTS_READ,
        "POST": Scope.ACCOUNTS_WRITE,
        "PUT": Scope.ACCOUNTS_WRITE,
    }

    def visible(self, rows: QuerySet[M], *, account: str = "") -> QuerySet[M]:
        """Rows of the company; of their own accounts for agents. `account` leads there from a row.

        Keys are the company's programs: their role says what they may do, not what they may see.
        """
        rows = rows.filter(tenant=self.tenant)
        if self.role == Membership.Role.AGENT and self.actor.user_id is not None:
            owner = f"{account}__owner" if account else "owner"
            rows = rows.filter(**{owner: self.actor.user_id})
        return rows

    def accounts(self) -> QuerySet[Account]:
        return self.visible(Account.objects.select_related("tenant", "owner"))

    def account(self, pk: int) -> Account:
        return get_object_or_404(self.accounts(), pk=pk)


@extend_schema(tags=["accounts"])
class AccountsView(AccountRoute):
    roles = {"GET": EVERYBODY, "POST": ADMINISTRATORS}
    calls_per_minute = {"GET": 100, "POST": 60}

    @extend_schema(
        summary="Accounts of your company",
        description="Agents see their own accounts, everybody else all of them. Newest first.",
        parameters=[answers.AccountFilter],
        responses=paged(answers.AccountAnswer),
        examples=examples.ACCOUNTS,
    )
    def get(self, request: Request) -> Response:
        wishes = read(answers.AccountFilter, request.query_params)
        rows = filtered(self.accounts(), wishes)
        return page(request, rows, answers.AccountAnswer, size=wishes["pageSize"])

    @extend_schema(
        summary="Make an account",
        description="It is not linked yet: `connect` shows the QR code.",
        request=answers.NewAccount,
        responses={201: answers.AccountAnswer},
        examples=examples.NEW_ACCOUNT,
    )
    def post(self, request: Request) -> Response:
        return Response(answers.AccountAnswer(self.make(request)).data, status=201)

    def make(self, request: Request) -> Account:
        """The account that the body asks for. Raises `Problem`."""
        wishes = read(answers.NewAccount, request.data)
        owner = None
        if name := wishes.get("owner"):
            owner = User.objects.filter(username=name, memberships__tenant=self.tenant).first()
            if owner is None:
                raise Problem.of_field("owner", "unknown", "nobody of your company has this name")
        try:
            return numbers.create(
                tenant=self.tenant,
                name=wishes["name"],
                owner=owner,
                actor=self.actor,
                now=timezone.now(),
            )
        except numbers.NameTaken as error:
            raise Problem.of_field("name", "taken", str(error)) from error


def filtered(rows: QuerySet[Account], wishes: dict[str, Any]) -> QuerySet[Account]:
    """Those that an `answers.AccountFilter` asks for."""
    return narrowed(rows, wishes, {"status": "status", "owner": "owner__username"})


@extend_schema(tags=["accounts"])
class AccountView(AccountRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="One account",
        responses=answers.AccountAnswer,
        examples=examples.ONE_ACCOUNT,
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(answers.AccountAnswer(self.account(pk)).data)


@extend_schema(tags=["accounts"])
class AccountStatusView(AccountRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="How an account is, and what it may still send",
        responses=answers.AccountStatusAnswer,
        examples=examples.STATUS,
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(status_of(self.account(pk)))


def status_of(account: Account) -> dict[str, object]:
    allowance = limits.snapshot(account, now=timezone.now())
    return {
        "status": account.status,
        "statusReason": account.status_reason,
        "phoneNumber": account.phone,
        "sendingPaused": account.sending_paused_at is not None,
        "lastCheckedAt": account.last_checked_at,
        "allowance": answers.Allowance(allowance).data,
    }


@extend_schema(tags=["accounts"])
class AccountConnectView(AccountRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 20}

    @extend_schema(
        summary="Link an account to a phone",
        description=(
            "Starts an attempt unless one is running, and waits for its QR code. 200: the code, "
            "or `connected`; 202: the attempt runs, its code comes at `qr`. Codes change every "
            "20 s or so, until `expiresAt`. With a `phoneNumber` it waits for a code to type in on "
            "that phone instead of scanning; ask again for it where it did not come in time."
        ),
        request=answers.ConnectBody,
        responses={200: answers.AccountLinkAnswer, 202: answers.AccountLinkAnswer},
        examples=examples.CONNECT,
    )
    def post(self, request: Request, pk: int) -> Response:
        account = self.account(pk)
        wishes = read(answers.ConnectBody, request.data)
        phone = phone_to_link(account, wishes.get("phoneNumber"))
        code: linking.PublishedQr | None = None
        typed = ""
        if not account.is_linked:
            if phone:
                typed = code_to_type(
                    account, phone=phone, actor=self.actor, seconds=wishes["waitSeconds"]
                )
                code = linking.current_qr(account.pk)
            else:
                linking.request(account, actor=self.actor, now=timezone.now())
                found = linking.wait_for_qr(account.pk, timeout=wishes["waitSeconds"])
                code = found if isinstance(found, linking.PublishedQr) else None
        account.refresh_from_db()
        return Response(
            {
                "status": account.status,
                "statusReason": account.status_reason,
                "qr": answers.QrAnswer(code).data if code else None,
                "pairingCode": typed or None,
            },
            status=200 if typed or (code and not phone) or account.is_linked else 202,
        )


@extend_schema(tags=["accounts"])
class AccountQrView(AccountRoute):
    roles = WRITERS
    scopes = {"GET": Scope.ACCOUNTS_WRITE}  # whoever has a code may link a phone
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="The QR code to scan now",
        description="404 when none is shown: `connect` asks for one.",
        responses=answers.QrAnswer,
        examples=examples.QR,
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(answers.QrAnswer(_shown(self.account(pk))).data)


@extend_schema(tags=["accounts"])
class AccountQrImageView(AccountRoute):
    roles = WRITERS
    scopes = {"GET": Scope.ACCOUNTS_WRITE}
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="The QR code to scan now, as an image",
        responses={(200, "image/png"): OpenApiResponse(OpenApiTypes.BINARY, "The code")},
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        code = _shown(self.account(pk))
        return HttpResponse(
            code.png, content_type="image/png", headers={"Cache-Control": "no-store"}
        )


def _shown(account: Account) -> linking.PublishedQr:
    code = None if account.is_linked else linking.current_qr(account.pk)
    if code is None:
        raise Problem(404, "no_qr", "No QR code is shown for this account: connect it first.")
    return code


@extend_schema(tags=["accounts"])
class AccountDisconnectView(AccountRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 20}

    @extend_schema(
        summary="Unlink an account",
        description="Logs the linked device out on the phone and forgets the session.",
        request=None,
        responses=answers.AccountDisconnectAnswer,
        examples=examples.DISCONNECT,
    )
    def post(self, request: Request, pk: int) -> Response:
        account = self.account(pk)
        asked = linking.disconnect(account, actor=self.actor, now=timezone.now())
        return Response({"status": account.status, "logsOut": asked})


@extend_schema(tags=["accounts"])
class AccountPauseView(AccountRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Send nothing from an account",
        description="Everybody keeps their place; `resume` moves places on by the pause's length.",
        request=None,
        responses=answers.AccountStatusAnswer,
        examples=examples.PAUSED,
    )
    def post(self, request: Request, pk: int) -> Response:
        account = self.account(pk)
        linking.pause_sending(account, actor=self.actor, now=timezone.now())
        return Response(status_of(account))


@extend_schema(tags=["accounts"])
class AccountResumeView(AccountRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Send again from an account",
        request=None,
        responses=answers.AccountStatusAnswer,
        examples=examples.STATUS,
    )
    def post(self, request: Request, pk: int) -> Response:
        account = self.account(pk)
        linking.resume_sending(account, actor=self.actor, now=timezone.now())
        return Response(status_of(account))


@extend_schema(tags=["accounts"])
class AccountLimitsView(AccountRoute):
    roles = {"GET": EVERYBODY, "PUT": ADMINISTRATORS}
    calls_per_minute = {"GET": 100, "PUT": 60}

    @extend_schema(
        summary="Limits of an account",
        responses=answers.LimitsAnswer,
        examples=examples.LIMITS_READ,
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(_limits_of(self.account(pk)))

    @extend_schema(
        summary="Set the limits of an account",
        description="A lower daily limit holds at once: what is over it goes out tomorrow.",
        request=answers.LimitsBody,
        responses=answers.LimitsAnswer,
        examples=examples.LIMITS,
    )
    def put(self, request: Request, pk: int) -> Response:
        account = self.account(pk)
        wishes = read(answers.LimitsBody, request.data)
        numbers.set_limits(
            account,
            daily=wishes["daily"],
            per_minute=wishes["perMinute"],
            gap_ms=wishes["gapMs"],
            actor=self.actor,
            now=timezone.now(),
        )
        return Response(_limits_of(account))


def _limits_of(account: Account) -> dict[str, object]:
    return {
        "daily": account.daily_limit,
        "perMinute": account.per_minute,
        "gapMs": account.gap_ms,
        "effective": {
            "daily": account.limit_per_day,
            "perMinute": account.limit_per_minute,
            "gapMs": account.gap // dt.timedelta(milliseconds=1),
        },
    }


@extend_schema(tags=["accounts"])
class AccountUsageView(AccountRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="What an account sent on each day",
        parameters=[answers.UsageFilter],
        responses=answers.AccountUsageAnswer,
        examples=examples.USAGE,
    )
    def get(self, request: Request, pk: int) -> Response:
        account = self.account(pk)
        wishes = read(answers.UsageFilter, request.query_params)
        today = limits.today(account.tenant, now=timezone.now())
        since = today - dt.timedelta(days=wishes["days"] - 1)
        rows = account.usage.filter(day__gte=since).order_by("-day").values("day", "count")
        return Response({"dailyLimit": account.limit_on(today), "today": today, "days": list(rows)})
