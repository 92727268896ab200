"""`/api/whatsapp/stats`: what a company has on WhatsApp, and what became of its messages."""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import Body, Moment, read
from accounts.examples import answer
from accounts.models import ApiKey, Membership
from accounts.permissions import ADMINISTRATORS
from accounts.routes import TenantRoute
from whatsapp import statistics

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


class StatsDay(serializers.Serializer[Any]):
    day = serializers.DateField()
    sent = serializers.IntegerField()
    delivered = serializers.IntegerField(help_text="Of those sent on that day.")
    read = serializers.IntegerField(help_text="Of those sent on that day.")


class StatsAccounts(serializers.Serializer[Any]):
    byStatus = serializers.DictField(source="by_status", child=serializers.IntegerField())
    paused = serializers.IntegerField()


class StatsGroups(serializers.Serializer[Any]):
    total = serializers.IntegerField(help_text="Groups that accounts are in.")
    writable = serializers.IntegerField(help_text="Those of them that one may write in.")


class StatsContacts(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    optedOut = serializers.IntegerField()
    withoutLawfulBasis = serializers.IntegerField(
        help_text="Found in groups; nobody writes to them until a basis is recorded."
    )


class StatsRates(serializers.Serializer[Any]):
    """Between 0 and 1; null where there is nothing to divide by."""

    delivery = serializers.FloatField(allow_null=True, help_text="Of messages sent.")
    read = serializers.FloatField(allow_null=True, help_text="Of messages sent.")
    reply = serializers.FloatField(allow_null=True, help_text="Of contacts written to.")
    failure = serializers.FloatField(allow_null=True, help_text="Of messages sent or failed.")


class StatsTotals(serializers.Serializer[Any]):
    accounts = StatsAccounts()
    groups = StatsGroups()
    contacts = StatsContacts()
    messages = serializers.DictField(
        child=serializers.IntegerField(), help_text="Made in the time, by state."
    )
    incoming = serializers.IntegerField(help_text="Messages received in the time.")
    rates = StatsRates()
    days = StatsDay(many=True)


EXAMPLE = [
    answer(
        "the last days",
        {
            "accounts": {"byStatus": {"connected": 2, "new": 1}, "paused": 0},
            "groups": {"total": 3, "writable": 2},
            "contacts": {"total": 190, "optedOut": 4, "withoutLawfulBasis": 12},
            "messages": {"queued": 3, "sent": 4, "delivered": 20, "read": 61, "failed": 2},
            "incoming": 17,
            "rates": {"delivery": 0.95, "read": 0.72, "reply": 0.2, "failure": 0.02},
            "days": [{"day": "2026-11-20", "sent": 85, "delivered": 81, "read": 61}],
        },
    )
]


class StatsRoute(TenantRoute):
    """Numbers of the whole company: agents, who see their own accounts only, get none."""

    roles = ADMINISTRATORS | {Membership.Role.VIEWER.value}
    scopes = {"GET": ApiKey.Scope.STATS_READ}
    calls_per_minute = {"GET": 60}


@extend_schema(tags=["stats"])
class StatsTotalsView(StatsRoute):
    @extend_schema(
        summary="Accounts, groups, contacts, and what became of messages",
        description="Days of the company's time zone; quiet ones are there with zeros.",
        parameters=[Period],
        responses=StatsTotals,
        examples=EXAMPLE,
    )
    def get(self, request: Request) -> Response:
        period = read(Period, request.query_params)
        since, until = period["since"], period["until"]
        found = statistics.totals(self.tenant.pk, since=since, until=until)
        by_day = statistics.days([self.tenant.pk], since=since, until=until)
        return Response(
            {
                "accounts": StatsAccounts(found.accounts).data,
                "groups": {"total": found.groups, "writable": found.groups_writable},
                "contacts": {
                    "total": found.contacts,
                    "optedOut": found.contacts_opted_out,
                    "withoutLawfulBasis": found.contacts_without_basis,
                },
                "messages": found.messages,
                "incoming": found.incoming,
                "rates": {
                    "delivery": found.delivery_rate,
                    "read": found.read_rate,
                    "reply": found.reply_rate,
                    "failure": found.failure_rate,
                },
                "days": StatsDay(by_day, many=True).data,
            }
        )
