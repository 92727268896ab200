"""`/api/v1/agents`: what answers chats, set up and given to accounts."""

from __future__ import annotations

import re
from typing import Any, cast

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import Body, Paging, page, paged, read
from accounts.models import ApiKey
from accounts.permissions import ADMINISTRATORS
from accounts.problems import Problem
from accounts.routes import TenantRoute
from whatsapp import contacts
from whatsapp.agents import setup
from whatsapp.api import chat_agent_examples as examples
from whatsapp.api.contact_answers import Language
from whatsapp.models import Account, AgentRule, ChatAgent

MOST_RULES = 200
MOST_ACCOUNTS = 1_000
LONGEST_TEXT = 4096
# Field of the API -> of `setup.Given`; those that are left out have one name.
NAMES = {
    "agentId": "agent_id",
    "apiKey": "api_key",
    "timeoutSeconds": "timeout_seconds",
    "answersPerHour": "answers_per_hour",
    "idleMinutes": "idle_minutes",
}
FIELDS = {field: name for name, field in NAMES.items()}


class Texts(serializers.DictField):
    """``{"fr": "a text"}``."""

    def __init__(self, **options: Any) -> None:
        child = serializers.CharField(max_length=LONGEST_TEXT)
        super().__init__(child=child, required=False, **options)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        for language in data if isinstance(data, dict) else ():
            if not re.fullmatch(contacts.LANGUAGE, str(language)):
                raise serializers.ValidationError(
                    "name each text by its language: fr, en, pt-br", "language"
                )
        return cast("dict[str, str]", super().to_internal_value(data))


class RuleBody(Body):
    keywords = serializers.ListField(
        child=serializers.CharField(max_length=80),
        min_length=1,
        max_length=setup.MOST_KEYWORDS,
        help_text="Whole words or phrases; case and accents count not.",
    )
    language = Language(default="", help_text="For contacts of this language; empty: for all.")
    answer = serializers.CharField(
        max_length=LONGEST_TEXT, help_text="{{name}} is the name of whoever asks."
    )


class ChatAgentChange(Body):
    """What is not named stays as it is."""

    name = serializers.CharField(required=False, max_length=80)
    kind = serializers.ChoiceField(choices=ChatAgent.Kind.choices, required=False)
    enabled = serializers.BooleanField(required=False)
    rules = serializers.ListField(
        child=RuleBody(),
        required=False,
        max_length=MOST_RULES,
        help_text="Of keyword rules: all of them, in the order in which they are tried.",
    )
    fallback = Texts(help_text="Of keyword rules, by language: when none fits.")
    url = serializers.CharField(
        required=False,
        max_length=setup.LONGEST_URL,
        help_text="Of a webhook: a public https:// address.",
    )
    agentId = serializers.CharField(
        required=False, max_length=setup.LONGEST_ID, help_text="Of Retell: agent_…"
    )
    apiKey = serializers.CharField(
        required=False,
        write_only=True,
        max_length=setup.LONGEST_SECRET,
        help_text="Of Retell: kept sealed, never shown.",
    )
    apology = Texts(
        help_text="By language: what people get once a conversation when there is no answer."
    )
    timeoutSeconds = serializers.IntegerField(
        required=False, help_text="1 to 60: how long an answer may take."
    )
    answersPerHour = serializers.IntegerField(
        required=False, help_text="To one contact: two bots do not talk for ever."
    )
    idleMinutes = serializers.IntegerField(
        required=False, help_text="A conversation ends after so long without a message."
    )
    accounts = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=2**63 - 1),
        required=False,
        max_length=MOST_ACCOUNTS,
        help_text="Ids: on these it answers, and on no others.",
    )


class NewChatAgent(ChatAgentChange):
    name = serializers.CharField(max_length=80, help_text="Name within the company: reception")
    kind = serializers.ChoiceField(choices=ChatAgent.Kind.choices)


class RuleAnswer(serializers.ModelSerializer[AgentRule]):
    class Meta:
        model = AgentRule
        fields = ["keywords", "language", "answer"]
        read_only_fields = fields


class ChatAgentAnswer(serializers.ModelSerializer[ChatAgent]):
    rules = RuleAnswer(many=True)
    fallback = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()
    agentId = serializers.SerializerMethodField()
    apology = serializers.DictField(child=serializers.CharField())
    timeoutSeconds = serializers.IntegerField(source="timeout_seconds")
    answersPerHour = serializers.IntegerField(source="answers_per_hour")
    idleMinutes = serializers.IntegerField(source="idle_minutes")
    accounts = serializers.SerializerMethodField()
    failingSince = serializers.DateTimeField(
        source="failing_since", allow_null=True, help_text="null: it answers."
    )
    createdAt = serializers.DateTimeField(source="created_at")

    class Meta:
        model = ChatAgent
        fields = [
            "id", "name", "kind", "enabled", "rules", "fallback", "url", "agentId", "apology",
            "timeoutSeconds", "answersPerHour", "idleMinutes", "accounts", "failingSince",
            "createdAt",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_fallback(self, agent: ChatAgent) -> dict[str, str]:
        return dict(agent.config.get("fallback") or {})

    def get_url(self, agent: ChatAgent) -> str:
        return str(agent.config.get("url", ""))

    def get_agentId(self, agent: ChatAgent) -> str:  # noqa: N802
        return str(agent.config.get("agent_id", ""))

    @extend_schema_field(serializers.ListField(child=serializers.IntegerField()))
    def get_accounts(self, agent: ChatAgent) -> list[int]:
        return sorted(account.pk for account in agent.accounts.all())


class ChatAgentWithSecret(ChatAgentAnswer):
    secret = serializers.CharField(
        help_text="What calls to a new webhook are signed with, in this answer only; else empty."
    )

    class Meta(ChatAgentAnswer.Meta):
        fields = [*ChatAgentAnswer.Meta.fields, "secret"]
        read_only_fields = fields


class ChatAgentSecret(serializers.Serializer[Any]):
    secret = serializers.CharField()


class ChatAgentRoute(TenantRoute):
    """Who speaks for a company is a matter for administrators."""

    roles = ADMINISTRATORS
    scopes = {
        "GET": ApiKey.Scope.AGENTS_READ,
        "POST": ApiKey.Scope.AGENTS_WRITE,
        "PATCH": ApiKey.Scope.AGENTS_WRITE,
        "DELETE": ApiKey.Scope.AGENTS_WRITE,
    }

    def agents(self) -> QuerySet[ChatAgent]:
        return ChatAgent.objects.filter(tenant=self.tenant).prefetch_related("rules", "accounts")

    def agent(self, pk: int) -> ChatAgent:
        return get_object_or_404(self.agents(), pk=pk)

    def given(self, wishes: dict[str, Any]) -> setup.Given:
        """What a body asks for. Raises `Problem`."""
        found = {NAMES.get(name, name): value for name, value in wishes.items()}
        if "accounts" in found:
            rows = list(Account.objects.filter(tenant=self.tenant, pk__in=found["accounts"]))
            if len(rows) != len(set(found["accounts"])):
                raise Problem.of_field("accounts", "unknown", "you have no such account")
            found["accounts"] = rows
        return cast("setup.Given", found)

    def answered(self, pk: int, secret: str, *, status: int) -> Response:
        answer = Response({**ChatAgentAnswer(self.agent(pk)).data, "secret": secret}, status=status)
        answer["Cache-Control"] = "no-store"
        return answer


def _problem(error: setup.BadAgent) -> Problem:
    return Problem.of_field(FIELDS.get(error.field, error.field), error.code, str(error))


@extend_schema(tags=["chat agents"])
class ChatAgentsView(ChatAgentRoute):
    calls_per_minute = {"GET": 100, "POST": 20}

    @extend_schema(
        summary="Chat agents of your company",
        parameters=[Paging],
        responses=paged(ChatAgentAnswer),
        examples=examples.AGENTS,
    )
    def get(self, request: Request) -> Response:
        return page(request, self.agents(), ChatAgentAnswer)

    @extend_schema(
        summary="Add a chat agent",
        description=(
            "Keyword rules take `rules` and `fallback`, a signed webhook `url` (its `secret` is in "
            "this answer only), Retell `agentId` and `apiKey`. It answers on `accounts`."
        ),
        request=NewChatAgent,
        responses={201: ChatAgentWithSecret},
        examples=examples.NEW_AGENT,
    )
    def post(self, request: Request) -> Response:
        given = self.given(read(NewChatAgent, request.data))
        try:
            agent, secret = setup.create(
                tenant=self.tenant, given=given, actor=self.actor, now=timezone.now()
            )
        except setup.BadAgent as error:
            raise _problem(error) from error
        return self.answered(agent.pk, secret, status=201)


@extend_schema(tags=["chat agents"])
class ChatAgentView(ChatAgentRoute):
    calls_per_minute = {"GET": 100, "PATCH": 60, "DELETE": 60}

    @extend_schema(summary="One chat agent", responses=ChatAgentAnswer, examples=examples.ONE_AGENT)
    def get(self, request: Request, pk: int) -> Response:
        return Response(ChatAgentAnswer(self.agent(pk)).data)

    @extend_schema(
        summary="Change a chat agent",
        description=(
            "`rules` and `accounts` are replaced as a whole. Of another kind it needs what that "
            "kind needs: no secret goes from one kind to another."
        ),
        request=ChatAgentChange,
        responses=ChatAgentWithSecret,
        examples=examples.CHANGE_AGENT,
    )
    def patch(self, request: Request, pk: int) -> Response:
        agent = self.agent(pk)
        given = self.given(read(ChatAgentChange, request.data))
        try:
            secret = setup.change(agent, given, actor=self.actor, now=timezone.now())
        except setup.BadAgent as error:
            raise _problem(error) from error
        return self.answered(pk, secret, status=200)

    @extend_schema(
        summary="Delete a chat agent",
        description="Its accounts have none then; its conversations and log go with it.",
        responses={204: OpenApiResponse(description="It is gone.")},
    )
    def delete(self, request: Request, pk: int) -> Response:
        setup.delete(self.agent(pk), actor=self.actor, now=timezone.now())
        return Response(status=204)


@extend_schema(tags=["chat agents"])
class ChatAgentSecretView(ChatAgentRoute):
    calls_per_minute = {"POST": 10}

    @extend_schema(
        summary="Give a webhook that answers chats a new secret",
        description="In this answer only. The next question is signed with it already.",
        request=None,
        responses=ChatAgentSecret,
        examples=examples.SECRET,
    )
    def post(self, request: Request, pk: int) -> Response:
        try:
            secret = setup.rotate(self.agent(pk), actor=self.actor, now=timezone.now())
        except setup.BadAgent as error:
            raise Problem(409, error.code, str(error)) from error
        answer = Response({"secret": secret})
        answer["Cache-Control"] = "no-store"
        return answer
