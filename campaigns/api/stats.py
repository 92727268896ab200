"""`/api/v1/stats`: how it is going, in numbers."""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import Body, Moment, read
from accounts.models import ApiKey, Membership
from accounts.permissions import ADMINISTRATORS
from accounts.routes import TenantRoute
from campaigns import statistics
from campaigns.api import examples
from campaigns.models import Campaign

LONGEST = dt.timedelta(days=366)
USUAL = dt.timedelta(days=30)


class Period(Body):
    """The last 30 days when nothing is said."""

    since = Moment(required=False, help_text="From here on.")
    until = Moment(required=False, help_text="Before this.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        until: datetime = attrs.get("until") or timezone.now()
        try:
            since: datetime = attrs.get("since") or until - USUAL
            too_long = until - since > LONGEST
        except OverflowError:
            too_long = True
        if too_long:
            raise serializers.ValidationError({"since": "give a period of 366 days at most"})
        if since > until:
            raise serializers.ValidationError({"since": "this is after until"})
        return {**attrs, "since": since, "until": until}


class FunnelFilter(Period):
    campaign = serializers.IntegerField(required=False, min_value=1)


class StatsDay(serializers.Serializer[Any]):
    day = serializers.DateField()
    sent = serializers.IntegerField()
    delivered = serializers.IntegerField(help_text="Of those sent on that day.")
    read = serializers.IntegerField(help_text="Of those sent on that day.")


class StatsFunnel(serializers.Serializer[Any]):
    enrolled = serializers.IntegerField()
    reached = serializers.ListField(
        child=serializers.IntegerField(), help_text="By step: how many have it behind them."
    )
    active = serializers.IntegerField()
    completed = serializers.IntegerField()
    exited = serializers.DictField(child=serializers.IntegerField(), help_text="By reason.")


class StatsAccounts(serializers.Serializer[Any]):
    byStatus = serializers.DictField(source="by_status", child=serializers.IntegerField())
    paused = serializers.IntegerField()


class FullAccount(serializers.Serializer[Any]):
    account = serializers.IntegerField(source="account_id")
    name = serializers.CharField()
    used = serializers.IntegerField()
    limit = serializers.IntegerField()


class StatsUsage(serializers.Serializer[Any]):
    used = serializers.IntegerField(help_text="Messages of today.")
    limit = serializers.IntegerField()
    accounts = serializers.IntegerField(help_text="Accounts that can send.")
    fullest = FullAccount(many=True)


class StatsFailures(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    byCode = serializers.DictField(source="by_code", child=serializers.IntegerField())


class StatsOpen(serializers.Serializer[Any]):
    uncertain = serializers.IntegerField(help_text="Messages that somebody has to settle.")
    stuck = serializers.IntegerField(help_text="Messages that should have moved on.")
    failedToday = serializers.IntegerField(source="failed_today")
    accountsToLink = serializers.IntegerField(source="accounts_to_link")
    accountsPaused = serializers.IntegerField(source="accounts_paused")
    accountsAtLimit = serializers.IntegerField(source="accounts_at_limit")
    accountsWithoutWorker = serializers.IntegerField(source="accounts_without_worker")
    held = serializers.DictField(child=serializers.IntegerField(), help_text="Targets by hold.")


class StatsRoute(TenantRoute):
    """Numbers of the whole company: agents, who see their own accounts only, get none."""

    roles = ADMINISTRATORS | {Membership.Role.VIEWER.value}
    scopes = {"GET": ApiKey.Scope.STATS_READ}
    calls_per_minute = {"GET": 60}


@extend_schema(tags=["stats"])
class StatsMessagesView(StatsRoute):
    @extend_schema(
        summary="Messages by day",
        description="Days of the company's time zone; quiet ones are there with zeros.",
        parameters=[Period],
        responses=StatsDay(many=True),
        examples=examples.STATS_MESSAGES,
    )
    def get(self, request: Request) -> Response:
        period = read(Period, request.query_params)
        found = statistics.days([self.tenant.pk], since=period["since"], until=period["until"])
        return Response(StatsDay(found, many=True).data)


@extend_schema(tags=["stats"])
class StatsFunnelView(StatsRoute):
    @extend_schema(
        summary="How far those came who were enrolled",
        parameters=[FunnelFilter],
        responses=StatsFunnel,
        examples=examples.STATS_FUNNEL,
    )
    def get(self, request: Request) -> Response:
        wishes = read(FunnelFilter, request.query_params)
        if campaign := wishes.get("campaign"):
            get_object_or_404(Campaign, tenant=self.tenant, pk=campaign)
        found = statistics.funnel(
            [self.tenant.pk],
            since=wishes["since"],
            until=wishes["until"],
            campaign_id=wishes.get("campaign"),
        )
        return Response(StatsFunnel(found).data)


@extend_schema(tags=["stats"])
class StatsAccountsView(StatsRoute):
    @extend_schema(
        summary="Accounts by status",
        responses=StatsAccounts,
        examples=examples.STATS_ACCOUNTS,
    )
    def get(self, request: Request) -> Response:
        return Response(StatsAccounts(statistics.accounts([self.tenant.pk])).data)


@extend_schema(tags=["stats"])
class StatsUsageView(StatsRoute):
    @extend_schema(
        summary="Today's messages against the limits",
        responses=StatsUsage,
        examples=examples.STATS_USAGE,
    )
    def get(self, request: Request) -> Response:
        return Response(StatsUsage(statistics.usage([self.tenant.pk], now=timezone.now())).data)


@extend_schema(tags=["stats"])
class StatsFailuresView(StatsRoute):
    @extend_schema(
        summary="Failed messages by reason",
        parameters=[Period],
        responses=StatsFailures,
        examples=examples.STATS_FAILURES,
    )
    def get(self, request: Request) -> Response:
        period = read(Period, request.query_params)
        found = statistics.failures([self.tenant.pk], since=period["since"], until=period["until"])
        return Response(StatsFailures(found).data)


@extend_schema(tags=["stats"])
class StatsOpenView(StatsRoute):
    @extend_schema(
        summary="What waits for a person",
        responses=StatsOpen,
        examples=examples.STATS_OPEN,
    )
    def get(self, request: Request) -> Response:
        found = statistics.open_questions([self.tenant.pk], now=timezone.now())
        return Response(StatsOpen(found).data)
