"""`/api/v1/accounts/…/pace`, `health`, `holds`: how carefully an account sends, how it is."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import Body, read
from accounts.models import ApiKey
from accounts.permissions import ADMINISTRATORS, EVERYBODY
from accounts.problems import Problem
from whatsapp import health, limits, numbers, pace, quiet_hours
from whatsapp.api import pace_examples as examples
from whatsapp.api.accounts import AccountRoute
from whatsapp.api.answers import MOST_A_DAY, PACE_FIELDS, AccountHealth, AccountHold, Pace, own_pace
from whatsapp.models import Account
from whatsapp.models.pace import LONGEST_JITTER_MS, LONGEST_TYPING_MS, LONGEST_WARM_UP

Scope = ApiKey.Scope


def _number(most: int, meaning: str) -> serializers.IntegerField:
    return serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=most, help_text=meaning
    )


class PaceBody(Body):
    """What is left out stays; null is the default of the settings."""

    gapJitterMs = _number(LONGEST_JITTER_MS, "Added to a gap at random, at most.")
    typingMs = _number(LONGEST_TYPING_MS, "Longest “typing…” before a text; 0: none.")
    quietHours = serializers.CharField(
        required=False,
        allow_null=True,
        max_length=11,
        help_text="By the recipient's clock, as 21:00-08:00; off: none.",
    )
    newChatsPerDay = _number(MOST_A_DAY, "People written to for the first time in a day.")
    warmUpDays = _number(LONGEST_WARM_UP, "Days in which a new number rises to its limit; 0: none.")

    def validate_quietHours(self, value: str | None) -> str | None:  # noqa: N802  DRF's naming
        if value is not None:
            try:
                quiet_hours.read(value)
            except ValueError as error:
                raise serializers.ValidationError(str(error), "quiet_hours") from error
        return value


class PaceAnswer(Pace):
    effective = Pace(help_text="What holds: this account's own, or the default.")
    warmsUp = serializers.BooleanField(help_text="Its daily limit is still rising.")
    dailyLimit = serializers.IntegerField(
        help_text="Messages it may send today, warm-up and health counted in."
    )
    newChatsToday = serializers.IntegerField()


class Sample(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    score = serializers.IntegerField(allow_null=True)
    share = serializers.IntegerField()


class AccountHealthAnswer(AccountHealth):
    holds = AccountHold(many=True)
    penalties = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="Points off a hundred now, by what they are for.",
    )
    history = Sample(many=True, help_text="Oldest first.")


class HealthFilter(Body):
    days = serializers.IntegerField(required=False, default=7, min_value=1, max_value=90)


class HoldsAnswer(serializers.Serializer[Any]):
    lifted = serializers.BooleanField(help_text="False: nothing was held.")


@extend_schema(tags=["accounts"])
class AccountPaceView(AccountRoute):
    roles = {"GET": EVERYBODY, "PATCH": ADMINISTRATORS}
    scopes = {"GET": Scope.ACCOUNTS_READ, "PATCH": Scope.ACCOUNTS_WRITE}
    calls_per_minute = {"GET": 100, "PATCH": 60}

    @extend_schema(
        summary="How carefully an account sends",
        responses=PaceAnswer,
        examples=examples.PACE_READ,
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(_pace_of(self.account(pk)))

    @extend_schema(
        summary="Change how carefully an account sends",
        description="Messages that wait for one of these are looked at again at once.",
        request=PaceBody,
        responses=PaceAnswer,
        examples=examples.PACE,
    )
    def patch(self, request: Request, pk: int) -> Response:
        account = self.account(pk)
        wishes = read(PaceBody, request.data)
        if not wishes:
            raise Problem.of_field("", "empty", f"give one of {', '.join(PACE_FIELDS)}")
        values = {PACE_FIELDS[name]: value for name, value in wishes.items()}
        if "quiet_hours" in values:
            values["quiet_hours"] = values["quiet_hours"] or ""
        numbers.set_pace(account, values, actor=self.actor, now=timezone.now())
        return Response(_pace_of(account))


def _pace_of(account: Account) -> dict[str, Any]:
    now = timezone.now()
    allowance = limits.snapshot(account, now=now)
    millisecond = dt.timedelta(milliseconds=1)
    hours = account.quiet
    return {
        **own_pace(account),
        "effective": {
            "gapJitterMs": account.jitter // millisecond,
            "typingMs": account.longest_typing // millisecond,
            "quietHours": f"{hours.begin:%H:%M}-{hours.end:%H:%M}" if hours else quiet_hours.OFF,
            "newChatsPerDay": account.new_chats_limit,
            "warmUpDays": account.ramp_days,
        },
        "warmsUp": account.warms_up_on(limits.today(account.tenant, now=now)),
        "dailyLimit": allowance.daily_limit,
        "newChatsToday": allowance.new_chats_today,
    }


@extend_schema(tags=["accounts"])
class AccountHealthView(AccountRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="How healthy an account is, and what it waits for",
        parameters=[HealthFilter],
        responses=AccountHealthAnswer,
        examples=examples.HEALTH,
    )
    def get(self, request: Request, pk: int) -> Response:
        account = self.account(pk)
        now = timezone.now()
        since = now - dt.timedelta(days=read(HealthFilter, request.query_params)["days"])
        samples = account.health_samples.filter(at__gte=since).order_by("at")
        counted = health.measure([account.pk], now=now)[account.pk]
        off = {name: round(points) for name, points in health.penalties(counted).items()}
        return Response(
            {
                **AccountHealth(account).data,
                "holds": AccountHold(pace.holds(account, now=now), many=True).data,
                "penalties": off,
                "history": Sample(samples.values("at", "score", "share"), many=True).data,
            }
        )


@extend_schema(tags=["accounts"])
class AccountHoldsView(AccountRoute):
    roles = {"DELETE": ADMINISTRATORS}
    scopes = {"DELETE": Scope.ACCOUNTS_WRITE}
    calls_per_minute = {"DELETE": 60}

    @extend_schema(
        summary="Lift what holds an account",
        description=(
            "It sends all of its limit again and begins new chats; what has happened until now "
            "counts against its health no more. A pause that somebody made stays: `resume` it."
        ),
        responses={200: HoldsAnswer},
        examples=examples.HOLDS,
    )
    def delete(self, request: Request, pk: int) -> Response:
        done = health.lift(self.account(pk), actor=self.actor, now=timezone.now())
        return Response({"lifted": done})
