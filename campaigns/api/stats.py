"""`/api/v1/stats`: how it is going, in numbers."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import read
from campaigns import statistics
from campaigns.api import examples
from campaigns.models import Campaign
from whatsapp import statistics as numbers
from whatsapp.api.stats import Period, StatsAccounts, StatsDay, StatsRoute


class FunnelFilter(Period):
    campaign = serializers.IntegerField(required=False, min_value=1)


class StatsFunnel(serializers.Serializer[Any]):
    enrolled = serializers.IntegerField()
    reached = serializers.ListField(
        child=serializers.IntegerField(), help_text="By step: how many have it behind them."
    )
    active = serializers.IntegerField()
    completed = serializers.IntegerField()
    exited = serializers.DictField(child=serializers.IntegerField(), help_text="By reason.")


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
    accountsResting = serializers.IntegerField(
        source="accounts_resting", help_text="They stopped by themselves, for their health."
    )
    accountsAtLimit = serializers.IntegerField(source="accounts_at_limit")
    accountsWithoutWorker = serializers.IntegerField(source="accounts_without_worker")
    held = serializers.DictField(child=serializers.IntegerField(), help_text="Targets by hold.")


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
        found = numbers.days([self.tenant.pk], since=period["since"], until=period["until"])
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
        return Response(StatsAccounts(numbers.accounts([self.tenant.pk])).data)


@extend_schema(tags=["stats"])
class StatsUsageView(StatsRoute):
    @extend_schema(
        summary="Today's messages against the limits",
        responses=StatsUsage,
        examples=examples.STATS_USAGE,
    )
    def get(self, request: Request) -> Response:
        return Response(StatsUsage(numbers.usage([self.tenant.pk], now=timezone.now())).data)


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
        found = numbers.failures([self.tenant.pk], since=period["since"], until=period["until"])
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
