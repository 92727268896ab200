"""`/api/v1/referrals`: who may be followed up; read, and sent in bulk by people and systems."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.activity import Actor, actor_of
from accounts.bodies import narrowed, page, paged, phone_of, read
from accounts.models import Tenant
from accounts.permissions import ADMINISTRATORS, EVERYBODY
from accounts.routes import BulkJson, ServiceRoute
from accounts.signed import Service
from campaigns import pushes
from campaigns.api import answers, examples
from campaigns.models import Referral
from whatsapp.api.accounts import AccountRoute, Scope

# Names of the API -> names of a row.
ROW_FIELDS = {
    "externalId": "external_id",
    "referrer": "referrer",
    "name": "name",
    "phone": "phone",
    "region": "region",
    "language": "language",
    "registeredAt": "registered_at",
    "paidAt": "paid_at",
}
FIELD_NAMES = {ours: theirs for theirs, ours in ROW_FIELDS.items()}


class ReferralRoute(AccountRoute):
    """A route about referrals that the caller may see: agents see those of their own account."""

    scopes = {"GET": Scope.REFERRALS_READ, "POST": Scope.REFERRALS_WRITE}

    def referrals(self) -> QuerySet[Referral]:
        rows = Referral.objects.select_related("referrer")
        return self.visible(rows, account="referrer__account")


@extend_schema(tags=["referrals"])
class ReferralsView(ReferralRoute):
    parser_classes = [BulkJson]
    roles = {"GET": EVERYBODY, "POST": ADMINISTRATORS}
    calls_per_minute = {"GET": 100, "POST": 60}

    @extend_schema(
        summary="Referrals of your company",
        parameters=[answers.ReferralFilter],
        responses=paged(answers.ReferralAnswer),
        examples=examples.REFERRALS,
    )
    def get(self, request: Request) -> Response:
        wishes = read(answers.ReferralFilter, request.query_params)
        lookups = {"externalId": "external_id", "referrer": "referrer__external_id"}
        rows = narrowed(self.referrals(), wishes, lookups)
        if phone := wishes.get("phone"):
            rows = rows.filter(phone=phone_of(phone, "phone", self.tenant.region))
        if wishes["paid"] is not None:
            rows = rows.filter(paid_at__isnull=not wishes["paid"])
        if wishes["enrolled"] is not None:
            rows = rows.filter(targets__isnull=not wishes["enrolled"]).distinct()
        return page(request, rows, answers.ReferralAnswer, size=wishes["pageSize"])

    @extend_schema(
        summary="Create or change referrals",
        description=(
            f"Up to {answers.BULK} rows; good rows are taken although others are refused, and each "
            "has its own result. A referral that exists is changed by what a row says: empty says "
            "nothing, the first referrer stays, a payment is never taken back. The same call "
            "again changes nothing."
        ),
        request=answers.Push,
        responses=answers.PushAnswer,
        examples=examples.PUSH,
    )
    def post(self, request: Request) -> Response:
        return _push(request, self.tenant, actor=self.actor, source="api")


@extend_schema(tags=["referrals"])
class ReferralView(ReferralRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="One referral", responses=answers.ReferralAnswer, examples=examples.REFERRAL
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(answers.ReferralAnswer(get_object_or_404(self.referrals(), pk=pk)).data)


@extend_schema(tags=["services"])
class PushView(ServiceRoute):
    parser_classes = [BulkJson]
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Another system sends referrals",
        description=(
            "As POST /api/v1/referrals, signed: `Authorization: Relance-HMAC key=…, ts=…, "
            "nonce=…, signature=…`."
        ),
        request=answers.Push,
        responses=answers.PushAnswer,
        examples=examples.PUSH,
    )
    def post(self, request: Request) -> Response:
        service = request.auth
        assert isinstance(service, Service)  # noqa: S101  IsService lets nobody else in
        return _push(request, service.tenant, actor=actor_of(request), source=service.name)


def _push(request: Request, tenant: Tenant, *, actor: Actor, source: str) -> Response:
    rows = read(answers.Push, request.data)["referrals"]
    results = pushes.push(
        tenant=tenant,
        rows=[{ROW_FIELDS[name]: value for name, value in row.items()} for row in rows],
        source=source,
        actor=actor,
        now=timezone.now(),
    )
    counts = Counter[str](result.result for result in results)
    return Response(
        {
            **{name: counts[name] for name in ("created", "updated", "unchanged", "refused")},
            "results": [_result(result) for result in results],
        }
    )


def _result(result: pushes.RowResult) -> dict[str, Any]:
    return {
        "row": result.row,
        "externalId": result.external_id,
        "result": result.result,
        "findings": [
            {
                "field": FIELD_NAMES.get(finding.field, finding.field),
                "level": finding.level,
                "code": finding.code,
                "message": finding.reason,
            }
            for finding in result.findings
        ],
    }
