"""`/api/v1/campaigns`, `/steps` and `/templates`: what is said, when, and what is missing yet."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import Paging, page, paged, read
from accounts.models import ApiKey, Membership
from accounts.permissions import ADMINISTRATORS, EVERYBODY
from accounts.problems import FieldError, Problem
from campaigns import authoring, previews, readiness
from campaigns.api import content_examples as examples
from campaigns.api import wording
from campaigns.api.routes import CampaignsRoute
from campaigns.models import Campaign, Referral, Step, Template
from whatsapp.api.contents import media_of

Scope = ApiKey.Scope
LANGUAGE = OpenApiParameter("language", str, OpenApiParameter.PATH, description="fr, en, pt-br")


class ContentRoute(CampaignsRoute):
    """A route about what is said: everybody reads, owners and managers write."""

    roles = {"GET": EVERYBODY, **CampaignsRoute.roles}

    def steps(self) -> QuerySet[Step]:
        templates = Template.objects.select_related("media").order_by("language")
        return (
            Step.objects.filter(campaign__tenant=self.tenant)
            .select_related("campaign__tenant")
            .prefetch_related(Prefetch("templates", templates))
            .order_by("number")
        )

    def campaign(self, pk: int) -> Campaign:
        campaigns = Campaign.objects.filter(tenant=self.tenant).select_related("tenant")
        return get_object_or_404(campaigns, pk=pk)

    def step(self, pk: int) -> Step:
        return get_object_or_404(self.steps(), pk=pk)

    def described(self, campaign: Campaign, *, status: int = 200) -> Response:
        """A campaign with its steps and what is missing."""
        steps = self.steps().filter(campaign=campaign)
        return Response(
            {
                **wording.CampaignAnswer(campaign).data,
                "steps": wording.StepAnswer(steps, many=True).data,
                "missing": wording.Gap(readiness.gaps(campaign), many=True).data,
            },
            status=status,
        )


def _problem(error: authoring.Refused) -> Problem:
    return Problem.of_field(error.field, error.code, str(error))


@extend_schema(tags=["campaigns"])
class CampaignsView(ContentRoute):
    @extend_schema(
        summary="Campaigns of your company",
        parameters=[Paging],
        responses=paged(wording.CampaignAnswer),
        examples=examples.CAMPAIGNS,
    )
    def get(self, request: Request) -> Response:
        rows = Campaign.objects.filter(tenant=self.tenant)
        return page(request, rows, wording.CampaignAnswer)

    @extend_schema(
        summary="Make a campaign",
        description="It is switched off and says nothing yet.",
        request=wording.NewCampaign,
        responses={201: wording.CampaignDetail},
        examples=examples.NEW_CAMPAIGN,
    )
    def post(self, request: Request) -> Response:
        wishes = read(wording.NewCampaign, request.data)
        try:
            campaign = authoring.create(
                tenant=self.tenant,
                name=wishes["name"],
                default_language=wishes.get("defaultLanguage") or self.tenant.default_language,
                first_delay=wishes["firstDelaySeconds"],
                pause_on_reply=wishes["pauseOnReply"],
                actor=self.actor,
                now=timezone.now(),
            )
        except authoring.Refused as error:
            raise _problem(error) from error
        return self.described(campaign, status=201)


@extend_schema(tags=["campaigns"])
class CampaignView(ContentRoute):
    @extend_schema(
        summary="A campaign with its steps, texts and what is missing",
        responses=wording.CampaignDetail,
        examples=examples.CAMPAIGN,
    )
    def get(self, request: Request, pk: int) -> Response:
        return self.described(self.campaign(pk))

    @extend_schema(
        summary="Change a campaign",
        description="What is left out stays.",
        request=wording.CampaignChange,
        responses=wording.CampaignDetail,
        examples=examples.CAMPAIGN_CHANGE,
    )
    def patch(self, request: Request, pk: int) -> Response:
        campaign = self.campaign(pk)
        wishes = read(wording.CampaignChange, request.data)
        try:
            authoring.change(
                campaign,
                name=wishes.get("name"),
                default_language=wishes.get("defaultLanguage"),
                first_delay=wishes.get("firstDelaySeconds"),
                pause_on_reply=wishes.get("pauseOnReply"),
                actor=self.actor,
                now=timezone.now(),
            )
        except authoring.Refused as error:
            raise _problem(error) from error
        return self.described(campaign)

    @extend_schema(
        summary="Delete a campaign",
        description="409 while it is switched on, and once it has followed anybody.",
        responses={204: OpenApiResponse(description="It is deleted.")},
    )
    def delete(self, request: Request, pk: int) -> Response:
        if not authoring.remove(self.campaign(pk), actor=self.actor, now=timezone.now()):
            raise Problem(
                409,
                "in_use",
                "This campaign is switched on, or part of somebody's history: deactivate it.",
            )
        return Response(status=204)


@extend_schema(tags=["campaigns"])
class CampaignActivateView(ContentRoute):
    @extend_schema(
        summary="Switch a campaign on",
        description=(
            "The one that was on is switched off. 409 while a text is missing: `errors` says "
            "which, one by one."
        ),
        request=None,
        responses=wording.CampaignDetail,
        examples=examples.CAMPAIGN,
    )
    def post(self, request: Request, pk: int) -> Response:
        campaign = self.campaign(pk)
        try:
            readiness.activate(campaign, actor=self.actor, now=timezone.now())
        except readiness.NotReady as error:
            raise Problem(
                409,
                "not_ready",
                str(error),
                errors=[
                    FieldError(_place(gap.day, gap.language), "missing", gap.text)
                    for gap in error.gaps
                ],
            ) from error
        return self.described(campaign)


def _place(day: int, language: str) -> str:
    place = f"steps.{day}" if day else "steps"
    return f"{place}.templates.{language}" if language else place


@extend_schema(tags=["campaigns"])
class CampaignDeactivateView(ContentRoute):
    @extend_schema(
        summary="Switch a campaign off",
        description="Whoever is followed keeps their place and waits.",
        request=None,
        responses=wording.CampaignDetail,
        examples=examples.CAMPAIGN_OFF,
    )
    def post(self, request: Request, pk: int) -> Response:
        campaign = self.campaign(pk)
        readiness.deactivate(campaign, actor=self.actor, now=timezone.now())
        return self.described(campaign)


@extend_schema(tags=["steps"])
class StepsView(ContentRoute):
    @extend_schema(
        summary="Steps of a campaign",
        responses=wording.StepAnswer(many=True),
        examples=examples.STEPS,
    )
    def get(self, request: Request, pk: int) -> Response:
        steps = self.steps().filter(campaign=self.campaign(pk))
        return Response(wording.StepAnswer(steps, many=True).data)

    @extend_schema(
        summary="Add a step",
        request=wording.NewStep,
        responses={201: wording.StepAnswer},
        examples=examples.NEW_STEP,
    )
    def post(self, request: Request, pk: int) -> Response:
        campaign = self.campaign(pk)
        wishes = read(wording.NewStep, request.data)
        try:
            step = authoring.add_step(
                campaign,
                number=wishes["number"],
                delay=wishes["delaySeconds"],
                active=wishes["active"],
                actor=self.actor,
                now=timezone.now(),
            )
        except authoring.Refused as error:
            raise _problem(error) from error
        return Response(wording.StepAnswer(step).data, status=201)


@extend_schema(tags=["steps"])
class StepView(ContentRoute):
    @extend_schema(
        summary="A step with its texts",
        responses=wording.StepAnswer,
        examples=examples.ONE_STEP,
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(wording.StepAnswer(self.step(pk)).data)

    @extend_schema(
        summary="Change a step",
        description="What is left out stays.",
        request=wording.StepChange,
        responses=wording.StepAnswer,
        examples=examples.STEP_CHANGE,
    )
    def patch(self, request: Request, pk: int) -> Response:
        step = self.step(pk)
        wishes = read(wording.StepChange, request.data)
        authoring.change_step(
            step,
            delay=wishes.get("delaySeconds"),
            active=wishes.get("active"),
            actor=self.actor,
            now=timezone.now(),
        )
        return Response(wording.StepAnswer(self.step(pk)).data)

    @extend_schema(
        summary="Take a step out",
        description="A step that is part of somebody's history is switched off, not deleted.",
        responses={200: wording.Removed},
        examples=examples.STEP_REMOVED,
    )
    def delete(self, request: Request, pk: int) -> Response:
        done = authoring.remove_step(self.step(pk), actor=self.actor, now=timezone.now())
        return Response({"deleted": done})


@extend_schema(tags=["templates"], parameters=[LANGUAGE])
class TemplateView(ContentRoute):
    def template(self, pk: int, language: str) -> Template:
        templates = Template.objects.select_related("step__campaign__tenant", "media")
        return get_object_or_404(
            templates, step__campaign__tenant=self.tenant, step=pk, language=language
        )

    @extend_schema(
        summary="What a step says in a language",
        responses=wording.TemplateAnswer,
        examples=examples.ONE_TEMPLATE,
    )
    def get(self, request: Request, pk: int, language: str) -> Response:
        return Response(wording.TemplateAnswer(self.template(pk, language)).data)

    @extend_schema(
        summary="Write what a step says in a language",
        description=(
            "Texts may use `{{name}}`, `{{referrer}}`, `{{link}}` and the company's own "
            "variables; an unknown one is refused now. A file is fetched now, from public "
            "addresses only; without `media` the file stays, null takes it away."
        ),
        request=wording.TemplateBody,
        responses=wording.TemplateAnswer,
        examples=examples.TEMPLATE,
    )
    def put(self, request: Request, pk: int, language: str) -> Response:
        step = self.step(pk)
        wishes = read(wording.TemplateBody, request.data)
        before = next((t for t in step.templates.all() if t.language == language), None)
        media = before.media if before else None
        if "media" in wishes:
            media = media_of(wishes["media"], tenant=self.tenant) if wishes["media"] else None
        try:
            template = authoring.write_template(
                step,
                language=language,
                body=wishes["text"],
                media=media,
                actor=self.actor,
                now=timezone.now(),
            )
        except authoring.Refused as error:
            raise _problem(error) from error
        return Response(wording.TemplateAnswer(template).data)

    @extend_schema(
        summary="Remove what a step says in a language",
        responses={204: OpenApiResponse(description="It is removed.")},
    )
    def delete(self, request: Request, pk: int, language: str) -> Response:
        authoring.remove_template(self.template(pk, language), actor=self.actor, now=timezone.now())
        return Response(status=204)


@extend_schema(tags=["templates"])
class PreviewView(ContentRoute):
    # Agents write no texts, and see no other people than their own.
    roles = {"POST": ADMINISTRATORS | {Membership.Role.VIEWER.value}}
    scopes = {"POST": Scope.CAMPAIGNS_READ}

    @extend_schema(
        summary="See a text as somebody would read it",
        description=(
            "For `referral`, or for the newest one, or for somebody made up. Nothing is stored. "
            "`problem` says why there is no text."
        ),
        request=wording.PreviewBody,
        responses=wording.PreviewAnswer,
        examples=examples.PREVIEW,
    )
    def post(self, request: Request) -> Response:
        wishes = read(wording.PreviewBody, request.data)
        campaign = Campaign(tenant=self.tenant)
        referral = self._referral(wishes) or previews.sample(campaign, now=timezone.now())
        text, problem = previews.preview(wishes["text"], campaign, referral, timezone.now())
        return Response({"text": text, "problem": problem})

    def _referral(self, wishes: dict[str, Any]) -> Referral | None:
        if "referral" not in wishes:
            return None
        found = (
            Referral.objects.filter(tenant=self.tenant, pk=wishes["referral"])
            .select_related("referrer__account__tenant", "tenant")
            .first()
        )
        if found is None:
            raise Problem.of_field("referral", "unknown", "you have no such referral")
        return found
