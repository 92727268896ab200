"""`/api/whatsapp/accounts`: accounts as marketing's tools know them, with health and daily usage.

What they do is what `/api/v1/accounts` does.
"""

from __future__ import annotations

from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import page, paged, read
from accounts.examples import a_page, answer
from whatsapp import limits
from whatsapp.api import accounts, answers, examples
from whatsapp.models import Account, Usage

ACCOUNT = examples.ACCOUNT | {"healthScore": 96, "messagesSentToday": 4, "dailyLimit": 100}
NEW = examples.NEW_ACCOUNT[1].value | {
    "healthScore": None,
    "messagesSentToday": 0,
    "dailyLimit": 100,
}


class MarketingAccount(answers.AccountAnswer):
    healthScore = serializers.IntegerField(source="health_score", allow_null=True)
    messagesSentToday = serializers.IntegerField(source="sent_today")
    dailyLimit = serializers.SerializerMethodField(
        help_text="Of today, warm-up and health counted in."
    )

    def get_dailyLimit(self, account: Account) -> int:  # noqa: N802  DRF's naming
        return account.limit_on(limits.today(account.tenant, now=timezone.now()))

    class Meta(answers.AccountAnswer.Meta):
        fields = [
            *answers.AccountAnswer.Meta.fields,
            "healthScore",
            "messagesSentToday",
            "dailyLimit",
        ]
        read_only_fields = fields


class _WithUsage(accounts.AccountRoute):
    def with_usage(self) -> QuerySet[Account]:
        """The caller's accounts with what each has sent today, in one query."""
        day = limits.today(self.tenant, now=timezone.now())
        used: QuerySet[Usage, Any] = Usage.objects.filter(account=OuterRef("pk"), day=day)
        return self.accounts().annotate(sent_today=Coalesce(Subquery(used.values("count")), 0))

    def one(self, pk: int) -> dict[str, Any]:
        found = get_object_or_404(self.with_usage(), pk=pk)
        return dict(MarketingAccount(found).data)


class MarketingAccountsView(_WithUsage, accounts.AccountsView):
    @extend_schema(
        summary="Accounts of your company, with health and usage",
        parameters=[answers.AccountFilter],
        responses=paged(MarketingAccount),
        examples=[a_page(ACCOUNT)],
    )
    def get(self, request: Request) -> Response:
        wishes = read(answers.AccountFilter, request.query_params)
        rows = accounts.filtered(self.with_usage(), wishes)
        return page(request, rows, MarketingAccount, size=wishes["pageSize"])

    @extend_schema(
        summary="Make an account",
        description="It is not linked yet: `initialize` shows the QR code.",
        request=answers.NewAccount,
        responses={201: MarketingAccount},
        examples=[examples.NEW_ACCOUNT[0], answer("made", NEW, status=201)],
    )
    def post(self, request: Request) -> Response:
        return Response(self.one(self.make(request).pk), status=201)


class MarketingAccountView(_WithUsage, accounts.AccountView):
    @extend_schema(
        summary="One account, with health and usage",
        responses=MarketingAccount,
        examples=[answer("connected", ACCOUNT)],
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(self.one(pk))


class MarketingInitializeView(accounts.AccountConnectView):
    pass


class MarketingQrView(accounts.AccountQrView):
    pass


class MarketingDisconnectView(accounts.AccountDisconnectView):
    pass
