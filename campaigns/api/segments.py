"""`/api/v1/segments`: whom broadcasts are for, counted before anything is sent."""

from __future__ import annotations

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import Paging, page, paged, read
from accounts.models import ApiKey, Membership
from accounts.permissions import ADMINISTRATORS
from accounts.problems import Problem
from campaigns import segments
from campaigns.api import broadcast_examples as examples
from campaigns.api import broadcast_wording as wording
from campaigns.api.routes import CampaignsRoute
from campaigns.models import Segment

Scope = ApiKey.Scope
# Agents see nobody but their own accounts' people.
READERS = ADMINISTRATORS | {Membership.Role.VIEWER.value}


class BroadcastRoute(CampaignsRoute):
    """A route about broadcasts or segments: viewers read, owners and managers write."""

    roles = {"GET": READERS, **CampaignsRoute.roles}


def _problem(error: segments.BadRules | segments.NameTaken) -> Problem:
    if isinstance(error, segments.BadRules):
        field = error.field if error.field == "rules" else f"rules.{error.field}"
        return Problem.of_field(field, error.code, str(error))
    return Problem.of_field("name", "taken", str(error))


@extend_schema(tags=["segments"])
class SegmentsView(BroadcastRoute):
    @extend_schema(
        summary="Segments of your company",
        parameters=[Paging],
        responses=paged(wording.SegmentAnswer),
        examples=examples.SEGMENTS,
    )
    def get(self, request: Request) -> Response:
        rows = Segment.objects.filter(tenant=self.tenant)
        return page(request, rows, wording.SegmentAnswer)

    @extend_schema(
        summary="Make a segment",
        description="Rules are asked anew each time; without any it means everybody.",
        request=wording.NewSegment,
        responses={201: wording.SegmentAnswer},
        examples=examples.NEW_SEGMENT,
    )
    def post(self, request: Request) -> Response:
        wishes = read(wording.NewSegment, request.data)
        try:
            segment = segments.create(
                tenant=self.tenant, **wishes, actor=self.actor, now=timezone.now()
            )
        except (segments.BadRules, segments.NameTaken) as error:
            raise _problem(error) from error
        return Response(wording.SegmentAnswer(segment).data, status=201)


@extend_schema(tags=["segments"])
class SegmentPreviewView(BroadcastRoute):
    roles = {"POST": READERS}
    scopes = {"POST": Scope.CAMPAIGNS_READ}

    @extend_schema(
        summary="Count whom rules mean",
        description="Nothing is stored.",
        request=wording.RulesBody,
        responses=wording.SegmentPreview,
        examples=examples.SEGMENT_PREVIEW,
    )
    def post(self, request: Request) -> Response:
        wishes = read(wording.RulesBody, request.data)
        try:
            rules = segments.checked(wishes["rules"], tenant=self.tenant)
        except segments.BadRules as error:
            raise _problem(error) from error
        return Response(wording.SegmentPreview(segments.preview(self.tenant, rules)).data)


class OneSegment(BroadcastRoute):
    def segment(self, pk: int) -> Segment:
        return get_object_or_404(
            Segment.objects.select_related("tenant"), tenant=self.tenant, pk=pk
        )


@extend_schema(tags=["segments"])
class SegmentView(OneSegment):
    @extend_schema(
        summary="A segment",
        responses=wording.SegmentAnswer,
        examples=examples.ONE_SEGMENT,
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(wording.SegmentAnswer(self.segment(pk)).data)

    @extend_schema(
        summary="Change a segment",
        description="A broadcast that has begun keeps its recipients.",
        request=wording.SegmentChange,
        responses=wording.SegmentAnswer,
        examples=examples.SEGMENT_CHANGE,
    )
    def patch(self, request: Request, pk: int) -> Response:
        segment = self.segment(pk)
        wishes = read(wording.SegmentChange, request.data)
        try:
            segments.change(segment, **wishes, actor=self.actor, now=timezone.now())
        except (segments.BadRules, segments.NameTaken) as error:
            raise _problem(error) from error
        return Response(wording.SegmentAnswer(segment).data)

    @extend_schema(
        summary="Delete a segment",
        description="409 while a broadcast names it.",
        responses={204: OpenApiResponse(description="It is deleted.")},
    )
    def delete(self, request: Request, pk: int) -> Response:
        if not segments.remove(self.segment(pk), actor=self.actor, now=timezone.now()):
            raise Problem(409, "in_use", "A broadcast names this segment.")
        return Response(status=204)


@extend_schema(tags=["segments"])
class SegmentPeopleView(OneSegment):
    @extend_schema(
        summary="Count whom a segment means now",
        responses=wording.SegmentPreview,
        examples=examples.SEGMENT_PREVIEW[1:],
    )
    def get(self, request: Request, pk: int) -> Response:
        found = segments.preview(self.tenant, self.segment(pk).rules)
        return Response(wording.SegmentPreview(found).data)
