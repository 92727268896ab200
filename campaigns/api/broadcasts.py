"""`/api/v1/broadcasts`: one message to a segment: written, tried, started, held back, followed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import narrowed, page, paged, read
from accounts.problems import FieldError, Problem
from campaigns.api import broadcast_examples as examples
from campaigns.api import broadcast_wording as wording
from campaigns.api.content import LANGUAGE
from campaigns.api.segments import BroadcastRoute
from campaigns.authoring import Refused
from campaigns.broadcasts import authoring, figures, readiness, rehearsal, running
from campaigns.models import Broadcast, BroadcastText, Segment
from whatsapp.api.contents import content_of
from whatsapp.models import Account

NAMES = {
    "name": "name", "defaultLanguage": "default_language", "startsAt": "starts_at",
    "clock": "clock",
}  # fmt: skip


class OneBroadcast(BroadcastRoute):
    def broadcast(self, pk: int) -> Broadcast:
        rows = Broadcast.objects.filter(tenant=self.tenant).select_related("tenant", "segment")
        return get_object_or_404(rows, pk=pk)

    def described(self, pk: int, *, status: int = 200) -> Response:
        """A broadcast with its texts, how far it is, and what is missing."""
        broadcast = self.broadcast(pk)
        texts = broadcast.texts.select_related("media").order_by("language")
        draft = broadcast.state == Broadcast.State.DRAFT
        missing = readiness.gaps(broadcast, now=timezone.now()) if draft else []
        return Response(
            {
                **wording.BroadcastAnswer(broadcast).data,
                "accounts": sorted(account.pk for account in broadcast.accounts.all()),
                "texts": wording.TextAnswer(texts, many=True).data,
                "figures": wording.FiguresAnswer(figures.of(broadcast)).data,
                "missing": wording.Missing(missing, many=True).data,
            },
            status=status,
        )

    def attempt(self, act: Callable[[], Any]) -> Any:
        """What `act` returns; what it refuses becomes a problem."""
        try:
            return act()
        except Refused as error:
            raise Problem.of_field(error.field, error.code, str(error)) from error
        except running.StartsInThePast as error:
            raise Problem.of_field("startsAt", "past", str(error)) from error
        except running.NotPossible as error:
            raise Problem(409, "not_possible", str(error)) from error
        except readiness.NotReady as error:
            raise Problem(
                409,
                "not_ready",
                str(error),
                errors=[FieldError(gap.field, gap.code, gap.text) for gap in error.gaps],
            ) from error

    def wishes(self, given: dict[str, Any]) -> dict[str, Any]:
        """What a body asks for, with the rows that its ids mean."""
        found = {NAMES[name]: value for name, value in given.items() if name in NAMES}
        if "segment" in given:
            found["segment"] = self._segment(given["segment"])
        if "accounts" in given:
            rows = Account.objects.filter(tenant=self.tenant, pk__in=given["accounts"])
            if len(rows) != len(set(given["accounts"])):
                raise Problem.of_field("accounts", "unknown", "you have no such account")
            found["accounts"] = list(rows)
        return found

    def _segment(self, pk: int | None) -> Segment | None:
        if pk is None:
            return None
        found = Segment.objects.filter(tenant=self.tenant, pk=pk).first()
        if found is None:
            raise Problem.of_field("segment", "unknown", "you have no such segment")
        return found


@extend_schema(tags=["broadcasts"])
class BroadcastsView(OneBroadcast):
    @extend_schema(
        summary="Broadcasts of your company",
        parameters=[wording.BroadcastFilter],
        responses=paged(wording.BroadcastAnswer),
        examples=examples.BROADCASTS,
    )
    def get(self, request: Request) -> Response:
        asked = read(wording.BroadcastFilter, request.query_params)
        rows = Broadcast.objects.filter(tenant=self.tenant)
        rows = narrowed(rows, asked, {"state": "state"})
        return page(request, rows, wording.BroadcastAnswer, size=asked["pageSize"])

    @extend_schema(
        summary="Make a broadcast",
        description="It is a draft and says nothing yet.",
        request=wording.NewBroadcast,
        responses={201: wording.BroadcastDetail},
        examples=examples.NEW_BROADCAST,
    )
    def post(self, request: Request) -> Response:
        wishes = self.wishes(read(wording.NewBroadcast, request.data))
        made = self.attempt(
            lambda: authoring.create(
                tenant=self.tenant, **wishes, actor=self.actor, now=timezone.now()
            )
        )
        return self.described(made.pk, status=201)


@extend_schema(tags=["broadcasts"])
class BroadcastView(OneBroadcast):
    @extend_schema(
        summary="A broadcast, how far it is and what is missing",
        responses=wording.BroadcastDetail,
        examples=examples.BROADCAST,
    )
    def get(self, request: Request, pk: int) -> Response:
        return self.described(pk)

    @extend_schema(
        summary="Change a draft",
        description="What is left out stays. 409 once it is scheduled: withdraw it first.",
        request=wording.BroadcastChange,
        responses=wording.BroadcastDetail,
        examples=examples.BROADCAST_CHANGE,
    )
    def patch(self, request: Request, pk: int) -> Response:
        broadcast = self.broadcast(pk)
        wishes = self.wishes(read(wording.BroadcastChange, request.data))
        self.attempt(
            lambda: authoring.change(broadcast, **wishes, actor=self.actor, now=timezone.now())
        )
        return self.described(pk)

    @extend_schema(
        summary="Delete a draft",
        description="409 for one that was begun: it has a history.",
        responses={204: OpenApiResponse(description="It is deleted.")},
    )
    def delete(self, request: Request, pk: int) -> Response:
        broadcast = self.broadcast(pk)
        self.attempt(lambda: authoring.remove(broadcast, actor=self.actor, now=timezone.now()))
        return Response(status=204)


@extend_schema(tags=["broadcasts"], parameters=[LANGUAGE])
class BroadcastTextView(OneBroadcast):
    @extend_schema(
        summary="Write what a broadcast says in a language",
        description=(
            "Texts may use `{{name}}` and the company's own variables; `{{link}}` and "
            "`{{referrer}}` have a value for referrals only, others are skipped. With a file, a "
            "place or a link as in `POST /api/v1/messages`: files and previews are fetched now, "
            "from public addresses only."
        ),
        request=wording.TextBody,
        responses=wording.TextAnswer,
        examples=examples.TEXT,
    )
    def put(self, request: Request, pk: int, language: str) -> Response:
        broadcast = self.broadcast(pk)
        wishes = read(wording.TextBody, request.data)
        said = content_of(wishes, tenant=self.tenant)
        text = self.attempt(
            lambda: authoring.write_text(
                broadcast,
                language=language,
                **said.fields,
                actor=self.actor,
                now=timezone.now(),
            )
        )
        return Response(wording.TextAnswer(text).data)

    @extend_schema(
        summary="Remove what a broadcast says in a language",
        responses={204: OpenApiResponse(description="It is removed.")},
    )
    def delete(self, request: Request, pk: int, language: str) -> Response:
        texts = BroadcastText.objects.filter(broadcast__tenant=self.tenant)
        text = get_object_or_404(texts, broadcast=pk, language=language)
        self.attempt(lambda: authoring.remove_text(text, actor=self.actor, now=timezone.now()))
        return Response(status=204)


@extend_schema(tags=["broadcasts"])
class BroadcastRehearsalView(OneBroadcast):
    @extend_schema(
        summary="Who would get it, in which words, and when it would be through",
        description="Counted as things stand now, with the accounts' limits. Nothing is sent.",
        responses=wording.RehearsalAnswer,
        examples=examples.REHEARSAL,
    )
    def get(self, request: Request, pk: int) -> Response:
        found = rehearsal.rehearse(self.broadcast(pk), now=timezone.now())
        return Response(wording.RehearsalAnswer(found).data)


@extend_schema(tags=["broadcasts"])
class BroadcastRecipientsView(OneBroadcast):
    @extend_schema(
        summary="The ledger: who gets it, and how far each has come",
        parameters=[wording.RecipientFilter],
        responses=paged(wording.RecipientAnswer),
        examples=examples.RECIPIENTS,
    )
    def get(self, request: Request, pk: int) -> Response:
        asked = read(wording.RecipientFilter, request.query_params)
        rows = self.broadcast(pk).recipients.select_related("contact", "message")
        rows = narrowed(rows, asked, {"state": "state"})
        return page(request, rows, wording.RecipientAnswer, size=asked["pageSize"])


@extend_schema(tags=["broadcasts"])
class BroadcastStartView(OneBroadcast):
    @extend_schema(
        summary="Start a broadcast, now or at its time",
        description=(
            "Whom the segment means when it begins gets it, each of them once. 409 while something "
            "is missing: `errors` says what, one by one."
        ),
        request=wording.StartBody,
        responses=wording.BroadcastDetail,
        examples=examples.STARTED,
    )
    def post(self, request: Request, pk: int) -> Response:
        broadcast = self.broadcast(pk)
        at = read(wording.StartBody, request.data)["startsAt"]
        self.attempt(lambda: running.start(broadcast, at=at, actor=self.actor, now=timezone.now()))
        return self.described(pk)


class _Switch(OneBroadcast):
    def act(self, pk: int, change: Callable[..., Any]) -> Response:
        broadcast = self.broadcast(pk)
        self.attempt(lambda: change(broadcast, actor=self.actor, now=timezone.now()))
        return self.described(pk)


@extend_schema(tags=["broadcasts"])
class BroadcastWithdrawView(_Switch):
    @extend_schema(
        summary="Make a scheduled broadcast a draft again",
        request=None,
        responses=wording.BroadcastDetail,
        examples=examples.BROADCAST,
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.act(pk, running.withdraw)


@extend_schema(tags=["broadcasts"])
class BroadcastPauseView(_Switch):
    @extend_schema(
        summary="Hold a broadcast back",
        description="What is being sent at this moment arrives; everybody else waits.",
        request=None,
        responses=wording.BroadcastDetail,
        examples=examples.STARTED,
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.act(pk, running.pause)


@extend_schema(tags=["broadcasts"])
class BroadcastResumeView(_Switch):
    @extend_schema(
        summary="Let a broadcast go on",
        description="Where it stopped: nobody is passed over and nobody gets it twice.",
        request=None,
        responses=wording.BroadcastDetail,
        examples=examples.STARTED,
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.act(pk, running.resume)


@extend_schema(tags=["broadcasts"])
class BroadcastCancelView(_Switch):
    @extend_schema(
        summary="End a broadcast for ever",
        description="Whoever has not got it yet never does. It cannot be taken back.",
        request=None,
        responses=wording.BroadcastDetail,
        examples=examples.STARTED,
    )
    def post(self, request: Request, pk: int) -> Response:
        return self.act(pk, running.cancel)
