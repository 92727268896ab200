"""`/api/v1/targets`: who is followed, where they stand and why; paused, resumed, taken out."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import narrowed, page, paged, read
from accounts.permissions import WRITERS
from accounts.problems import FieldError, Problem
from campaigns import explaining, targets
from campaigns.api import answers, examples
from campaigns.models import Target
from whatsapp.api.accounts import AccountRoute, Scope


class TargetRoute(AccountRoute):
    """A route about targets that the caller may see: agents see those of their own accounts."""

    scopes = {"GET": Scope.TARGETS_READ, "POST": Scope.TARGETS_WRITE}

    def targets(self) -> QuerySet[Target]:
        rows = Target.objects.select_related("referral__referrer", "open_message")
        return self.visible(rows, account="account")

    def target(self, pk: int) -> Target:
        return get_object_or_404(self.targets().select_related(*explaining.RELATED), pk=pk)

    def chosen(self, request: Request) -> Sequence[int]:
        """Ids in the body, all of them the caller's; or nothing is done. Raises `Problem`."""
        ids = read(answers.Targets, request.data)["ids"]
        known = set(self.targets().filter(pk__in=ids).values_list("pk", flat=True))
        wrong = [
            FieldError(f"ids[{index}]", "unknown", f"you have no target {pk}")
            for index, pk in enumerate(ids)
            if pk not in known
        ]
        if wrong:
            raise Problem.of_fields(wrong[:50])
        return sorted(known)


def _detail(target: Target) -> Response:
    now = timezone.now()
    return Response(
        {
            **answers.TargetAnswer(target).data,
            "why": explaining.why(target, now=now),
            "timeline": answers.TimelineEntry(explaining.timeline(target), many=True).data,
            "coming": answers.PlannedMessage(explaining.forecast(target, now=now), many=True).data,
        }
    )


@extend_schema(tags=["targets"])
class TargetsView(TargetRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="Who is followed",
        parameters=[answers.TargetFilter],
        responses=paged(answers.TargetAnswer),
        examples=examples.TARGET_LIST,
    )
    def get(self, request: Request) -> Response:
        wishes = read(answers.TargetFilter, request.query_params)
        lookups = {
            "state": "state",
            "exitReason": "exit_reason",
            "hold": "hold",
            "campaign": "campaign",
            "account": "account",
            "referral": "referral__external_id",
        }
        rows = narrowed(self.targets(), wishes, lookups)
        if wishes["paused"] is not None:
            rows = rows.filter(paused_at__isnull=not wishes["paused"])
        if wishes["due"] is not None:
            due = rows.filter(
                state=Target.State.ACTIVE,
                open_message=None,
                paused_at=None,
                next_due_at__lte=timezone.now(),
            )
            rows = due if wishes["due"] else rows.exclude(pk__in=due.values("pk"))
        return page(request, rows, answers.TargetAnswer, size=wishes["pageSize"])


@extend_schema(tags=["targets"])
class TargetView(TargetRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="One target: where it stands, why, what was and what comes",
        responses=answers.TargetDetail,
        examples=examples.TARGET,
    )
    def get(self, request: Request, pk: int) -> Response:
        return _detail(self.target(pk))


@extend_schema(tags=["targets"])
class TargetsPauseView(TargetRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Hold people back",
        description="They keep their place until `resume`. What is being sent now goes out.",
        request=answers.Targets,
        responses=answers.Changed,
        examples=examples.TARGETS,
    )
    def post(self, request: Request) -> Response:
        chosen = self.chosen(request)
        return Response({"changed": targets.pause(chosen, actor=self.actor, now=timezone.now())})


@extend_schema(tags=["targets"])
class TargetsResumeView(TargetRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Let people go on",
        description="Their places move on by the length of the pause.",
        request=answers.Targets,
        responses=answers.Changed,
        examples=examples.TARGETS,
    )
    def post(self, request: Request) -> Response:
        chosen = self.chosen(request)
        return Response({"changed": targets.resume(chosen, actor=self.actor, now=timezone.now())})


@extend_schema(tags=["targets"])
class TargetsExitView(TargetRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Take people out for ever",
        description="They get nothing more from this campaign. It cannot be taken back.",
        request=answers.Targets,
        responses=answers.Exited,
        examples=examples.TARGETS_EXIT,
    )
    def post(self, request: Request) -> Response:
        chosen = self.chosen(request)
        result = targets.exit(chosen, actor=self.actor, now=timezone.now())
        return Response(answers.Exited(result).data)


@extend_schema(tags=["targets"])
class TargetPauseView(TargetRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Hold one back",
        request=None,
        responses=answers.TargetDetail,
        examples=examples.TARGET_PAUSED,
    )
    def post(self, request: Request, pk: int) -> Response:
        targets.pause([self.target(pk).pk], actor=self.actor, now=timezone.now())
        return _detail(self.target(pk))


@extend_schema(tags=["targets"])
class TargetResumeView(TargetRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Let one go on",
        request=None,
        responses=answers.TargetDetail,
        examples=examples.TARGET,
    )
    def post(self, request: Request, pk: int) -> Response:
        targets.resume([self.target(pk).pk], actor=self.actor, now=timezone.now())
        return _detail(self.target(pk))


@extend_schema(tags=["targets"])
class TargetExitView(TargetRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Take one out for ever",
        request=None,
        responses=answers.TargetDetail,
        examples=examples.TARGET_OUT,
    )
    def post(self, request: Request, pk: int) -> Response:
        targets.exit([self.target(pk).pk], actor=self.actor, now=timezone.now())
        return _detail(self.target(pk))
