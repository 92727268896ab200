"""`/api/v1/groups`, `/api/whatsapp/groups`: groups of a company's accounts, who is in them."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import Body, Paging, narrowed, page, paged, read
from accounts.examples import a_page, answer, body
from accounts.models import ApiKey
from accounts.permissions import EVERYBODY, WRITERS
from accounts.problems import FieldError, Problem
from whatsapp import groups, tags
from whatsapp.api.accounts import AccountRoute
from whatsapp.models import Account, Group, GroupMember

Scope = ApiKey.Scope


class Tags(serializers.ListField):
    """Lower-case words, each once."""

    child = serializers.CharField(max_length=100)

    def to_internal_value(self, data: Any) -> list[str]:
        try:
            return tags.read(super().to_internal_value(data))
        except tags.BadTag as error:
            raise serializers.ValidationError(str(error), "invalid") from error


class Tag(serializers.CharField):
    """One of them, in a filter."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, max_length=tags.LONGEST, **options)

    def to_internal_value(self, data: Any) -> str:
        return str(super().to_internal_value(data)).lower()


class GroupFilter(Paging):
    account = serializers.IntegerField(required=False, min_value=0, max_value=2**63 - 1)
    role = serializers.ChoiceField(choices=Group.Role.choices, required=False)
    canWrite = serializers.BooleanField(required=False, allow_null=True, default=None)
    region = serializers.CharField(required=False, max_length=80)
    segment = Tag()
    tag = Tag()
    search = serializers.CharField(required=False, max_length=100, help_text="Part of the subject.")


class GroupBody(Body):
    """What is not named stays as it is."""

    region = serializers.CharField(required=False, allow_blank=True, max_length=80)
    segments = Tags(required=False)
    tags = Tags(required=False)


class GroupAnswer(serializers.ModelSerializer[Group]):
    accountId = serializers.IntegerField(source="account_id")
    chatId = serializers.CharField(source="chat_id")
    memberCount = serializers.IntegerField(source="member_count")
    role = serializers.ChoiceField(choices=Group.Role.choices)
    canWrite = serializers.BooleanField(
        source="can_write", help_text="Whether the account may write there, as was seen last."
    )
    announceOnly = serializers.BooleanField(source="announce_only")
    segments = serializers.ListField(child=serializers.CharField())
    tags = serializers.ListField(child=serializers.CharField())
    discoveredAt = serializers.DateTimeField(source="discovered_at")
    refreshedAt = serializers.DateTimeField(source="refreshed_at")
    membersRequestedAt = serializers.DateTimeField(
        source="members_requested_at",
        allow_null=True,
        help_text="Set until a worker has taken the members over.",
    )
    membersScrapedAt = serializers.DateTimeField(source="members_scraped_at", allow_null=True)
    membersError = serializers.CharField(source="members_error")

    class Meta:
        model = Group
        fields = [
            "id", "accountId", "chatId", "subject", "description", "memberCount", "role",
            "canWrite", "announceOnly", "region", "segments", "tags", "discoveredAt",
            "refreshedAt", "membersRequestedAt", "membersScrapedAt", "membersError",
        ]  # fmt: skip
        read_only_fields = fields


class GroupMemberAnswer(serializers.ModelSerializer[GroupMember]):
    contactId = serializers.IntegerField(source="contact_id")
    phone = serializers.CharField(source="contact.phone", help_text="Empty: only the LID is known.")
    lid = serializers.CharField(source="contact.lid")
    name = serializers.CharField(source="contact.name")
    obstacle = serializers.CharField(
        source="contact.obstacle",
        help_text="Why nobody may write to them: opted_out, no_lawful_basis, or empty.",
    )
    seenAt = serializers.DateTimeField(source="seen_at")
    leftAt = serializers.DateTimeField(source="left_at", allow_null=True)

    class Meta:
        model = GroupMember
        fields = [
            "contactId", "phone", "lid", "name", "admin", "obstacle", "seenAt", "leftAt",
        ]  # fmt: skip
        read_only_fields = fields


class DiscoveryAnswer(serializers.Serializer[Any]):
    """`requestedAt` is set until a worker has done it; its groups are at `groups` then."""

    accountId = serializers.IntegerField(source="pk")
    requestedAt = serializers.DateTimeField(source="groups_requested_at", allow_null=True)
    discoveredAt = serializers.DateTimeField(source="groups_discovered_at", allow_null=True)
    error = serializers.CharField(source="groups_error", help_text="Why the last try failed.")
    groups = serializers.SerializerMethodField(help_text="How many it is in, as was seen last.")

    def get_groups(self, account: Account) -> int:
        return account.groups.exclude(role=Group.Role.LEFT).count()


GROUP = {
    "id": 3,
    "accountId": 7,
    "chatId": "120363000000000001@g.us",
    "subject": "Voisins de la rue Haute",
    "description": "",
    "memberCount": 41,
    "role": "admin",
    "canWrite": True,
    "announceOnly": False,
    "region": "Lyon",
    "segments": ["nord"],
    "tags": ["voisins"],
    "discoveredAt": "2026-11-20T10:03:00Z",
    "refreshedAt": "2026-11-20T10:03:00Z",
    "membersRequestedAt": None,
    "membersScrapedAt": None,
    "membersError": "",
}
LABELLED = [
    body("label it", {"region": "Lyon", "segments": ["nord"], "tags": ["voisins"]}),
    answer("labelled", GROUP),
]
ASKED = [
    answer(
        "a worker asks WhatsApp",
        {
            "accountId": 7,
            "requestedAt": "2026-11-20T10:02:58Z",
            "discoveredAt": None,
            "error": "",
            "groups": 0,
        },
        status=202,
    )
]
SCRAPING = [
    answer(
        "a worker asks WhatsApp",
        GROUP | {"membersRequestedAt": "2026-11-20T10:05:00Z"},
        status=202,
    )
]
MEMBERS = [
    a_page(
        {
            "contactId": 12,
            "phone": "+33639980100",
            "lid": "100000000000004@lid",
            "name": "Zoé",
            "admin": False,
            "obstacle": "no_lawful_basis",
            "seenAt": "2026-11-20T10:05:02Z",
            "leftAt": None,
        }
    )
]


class GroupRoute(AccountRoute):
    """A route about groups of accounts that the caller may see."""

    scopes = {
        "GET": Scope.GROUPS_READ,
        "POST": Scope.GROUPS_WRITE,
        "PUT": Scope.GROUPS_WRITE,
    }

    def groups(self) -> QuerySet[Group]:
        rows = Group.objects.select_related("account", "tenant")
        return self.visible(rows, account="account")

    def group(self, pk: int) -> Group:
        return get_object_or_404(self.groups(), pk=pk)


def _refused(error: groups.CannotAsk) -> Problem:
    wrong = [FieldError("", error.code, str(error))]
    return Problem(409, error.code, str(error), errors=wrong)


@extend_schema(tags=["groups"])
class GroupsView(GroupRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="Groups of your company's accounts",
        description="Agents see those of their own accounts. Newest first.",
        parameters=[GroupFilter],
        responses=paged(GroupAnswer),
        examples=[a_page(GROUP)],
    )
    def get(self, request: Request) -> Response:
        wishes = read(GroupFilter, request.query_params)
        lookups = {
            "account": "account",
            "role": "role",
            "region": "region__iexact",
            "search": "subject__icontains",
        }
        rows = narrowed(self.groups(), wishes, lookups)
        for name, lookup in (("tag", "tags__contains"), ("segment", "segments__contains")):
            if wishes.get(name):
                rows = rows.filter(**{lookup: [wishes[name]]})
        if wishes["canWrite"] is not None:
            writable = Q(pk__in=Group.objects.writable().filter(tenant=self.tenant))
            rows = rows.filter(writable if wishes["canWrite"] else ~writable)
        return page(request, rows, GroupAnswer, size=wishes["pageSize"])


@extend_schema(tags=["groups"])
class GroupView(GroupRoute):
    roles = {"GET": EVERYBODY, "PUT": WRITERS}
    calls_per_minute = {"GET": 100, "PUT": 60}

    @extend_schema(summary="One group", responses=GroupAnswer, examples=[answer("a group", GROUP)])
    def get(self, request: Request, pk: int) -> Response:
        return Response(GroupAnswer(self.group(pk)).data)

    @extend_schema(
        summary="Say where a group belongs",
        request=GroupBody,
        responses=GroupAnswer,
        examples=LABELLED,
    )
    def put(self, request: Request, pk: int) -> Response:
        group = self.group(pk)
        wishes = read(GroupBody, request.data)
        groups.label(
            group,
            region=wishes.get("region", group.region),
            segments=wishes.get("segments", group.segments),
            tags=wishes.get("tags", group.tags),
            actor=self.actor,
            now=timezone.now(),
        )
        return Response(GroupAnswer(group).data)


@extend_schema(tags=["groups"])
class GroupMembersView(GroupRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="Members of a group that were taken over",
        parameters=[Paging],
        responses=paged(GroupMemberAnswer),
        examples=MEMBERS,
    )
    def get(self, request: Request, pk: int) -> Response:
        rows = self.group(pk).members.select_related("contact")
        return page(request, rows, GroupMemberAnswer)


@extend_schema(tags=["groups"])
class GroupScrapeView(GroupRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 20}

    @extend_schema(
        summary="Take the members of a group over as contacts",
        description=(
            "A worker asks WhatsApp; `membersRequestedAt` is set until it has. Members become "
            "contacts of source `group`: nobody may write to them before somebody records a "
            "lawful basis. Our own numbers are left out."
        ),
        request=None,
        responses={202: GroupAnswer},
        examples=SCRAPING,
    )
    def post(self, request: Request, pk: int) -> Response:
        group = self.group(pk)
        try:
            groups.request_members(group, actor=self.actor, now=timezone.now())
        except groups.CannotAsk as error:
            raise _refused(error) from error
        return Response(GroupAnswer(group).data, status=202)


@extend_schema(tags=["groups"])
class GroupDiscoveryView(GroupRoute):
    roles = {"GET": EVERYBODY, "POST": WRITERS}
    calls_per_minute = {"GET": 100, "POST": 20}

    @extend_schema(
        summary="How the discovery of an account's groups goes",
        responses=DiscoveryAnswer,
        examples=[answer("asked for", ASKED[0].value)],
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(DiscoveryAnswer(self.account(pk)).data)

    @extend_schema(
        summary="Discover the groups of an account",
        description="A worker asks WhatsApp, within seconds; GET says when it has.",
        request=None,
        responses={202: DiscoveryAnswer},
        examples=ASKED,
    )
    def post(self, request: Request, pk: int) -> Response:
        account = self.account(pk)
        try:
            groups.request_discovery(account, actor=self.actor, now=timezone.now())
        except groups.CannotAsk as error:
            raise _refused(error) from error
        return Response(DiscoveryAnswer(account).data, status=202)


# The same for callers who know them under the addresses of the system before.


class MarketingGroupsView(GroupsView):
    pass


class MarketingGroupView(GroupView):
    pass


class MarketingGroupScrapeView(GroupScrapeView):
    pass


class MarketingGroupDiscoveryView(GroupDiscoveryView):
    pass
