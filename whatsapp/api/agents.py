"""`/api/whatsapp/{tenant}/{agent}/…`: an agent is a named account of a company.

Paths, fields and limits are those that older callers know; what an answer says is in `data`.
"""

from __future__ import annotations

import contextlib
import uuid
from datetime import datetime
from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import Body, read
from accounts.permissions import ADMINISTRATORS, WRITERS
from accounts.problems import Problem
from whatsapp import linking, numbers
from whatsapp.api import examples
from whatsapp.api.accounts import AccountRoute, Scope
from whatsapp.api.contents import LocationWish, MediaWish, Text, content_of
from whatsapp.api.linking import longest_wait, wait_for_code
from whatsapp.api.sending import IDEMPOTENCY_KEY, key_of, queued_message
from whatsapp.chats import GROUP
from whatsapp.contents import MAX_PLACE_NAME
from whatsapp.models import Account, Incoming, Message

Status = Account.Status
TENANT = OpenApiParameter(
    "tenant", str, OpenApiParameter.PATH, description="Short name of the company: acme"
)
AGENT = OpenApiParameter(
    "agent", str, OpenApiParameter.PATH, description="Name of the account: amina"
)


class Connection(serializers.Serializer[Any]):
    subaccountId = serializers.CharField()
    agentId = serializers.CharField()
    status = serializers.ChoiceField(choices=["pending", "connected", "disconnected"])
    phoneNumber = serializers.CharField(allow_null=True)
    platform = serializers.CharField(allow_null=True)
    pushname = serializers.CharField(allow_null=True)
    connectedAt = serializers.DateTimeField(allow_null=True)
    createdBy = serializers.CharField(allow_null=True)


class ConnectionWithCode(Connection):
    qrCode = serializers.CharField(required=False)
    qrCodeDataUrl = serializers.CharField(required=False)
    expiresAt = serializers.DateTimeField(required=False)


class Said(serializers.Serializer[Any]):
    """`user` is the person who is written to, `assistant` the account."""

    role = serializers.ChoiceField(choices=["user", "assistant"])
    content = serializers.CharField()
    timestamp = serializers.DateTimeField()


class ChatMetadata(serializers.Serializer[Any]):
    whatsapp_phone = serializers.CharField(allow_null=True)
    channel = serializers.ChoiceField(choices=["whatsapp"])


class Chat(serializers.Serializer[Any]):
    chat_id = serializers.CharField()
    agent_id = serializers.CharField()
    chat_status = serializers.ChoiceField(choices=["open", "opted_out"])
    start_timestamp = serializers.DateTimeField(help_text="Of the first message shown.")
    messages = Said(many=True)
    metadata = ChatMetadata()


class AgentQueued(serializers.Serializer[Any]):
    messageId = serializers.UUIDField()
    status = serializers.ChoiceField(choices=Message.State.choices)


class _Answer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()


class AgentConnectAnswer(_Answer):
    data = ConnectionWithCode()  # type: ignore[assignment]  # a field named as DRF's property


class AgentStatusAnswer(_Answer):
    data = Connection()  # type: ignore[assignment]


class AgentConnectionsAnswer(_Answer):
    data = Connection(many=True)  # type: ignore[assignment]


class AgentSendAnswer(_Answer):
    data = AgentQueued()  # type: ignore[assignment]


class AgentChatsAnswer(_Answer):
    data = Chat(many=True)  # type: ignore[assignment]


class AgentLocation(LocationWish):
    description = serializers.CharField(
        max_length=MAX_PLACE_NAME, required=False, default="", allow_blank=True,
        help_text="What older callers name the place by; as `name`.",
    )  # fmt: skip


class SendBody(Body):
    to = serializers.CharField(max_length=60, help_text="With its country code, or national.")
    message = Text(help_text="The text, or the caption of the file.")
    media = MediaWish(required=False, allow_null=True, default=None)
    location = AgentLocation(required=False, allow_null=True, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not (attrs["message"].strip() or attrs["media"] or attrs["location"]):
            raise serializers.ValidationError(
                {"message": "write a text, or send media or a location"}, "blank"
            )
        return attrs


class ChatsFilter(Body):
    limit = serializers.IntegerField(
        required=False, default=20, min_value=1, max_value=200, help_text="Newest messages."
    )


def _connection(account: Account) -> dict[str, Any]:
    status = "connected" if account.is_linked else "disconnected"
    if account.status == Status.PENDING:
        status = "pending"
    return {
        "subaccountId": account.tenant.slug,
        "agentId": account.name,
        "status": status,
        "phoneNumber": account.phone or None,
        "platform": account.platform or None,
        "pushname": account.push_name or None,
        "connectedAt": account.linked_at,
        "createdBy": account.owner.username if account.owner else None,
    }


@extend_schema(tags=["agents"], parameters=[TENANT, AGENT])
class AgentRoute(AccountRoute):
    """A route about the account that the address names, of the company that it names."""

    def agent(self, name: str) -> Account:
        return get_object_or_404(self.accounts(), name=name)


class AgentConnectView(AgentRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 20}

    @extend_schema(
        summary="Link an agent's account",
        description=(
            "Waits for a QR code, two minutes at most, and returns it. An owner's or manager's "
            "first call makes the account. Without a code in time: 504."
        ),
        request=None,
        responses=AgentConnectAnswer,
        examples=examples.AGENT_CONNECT,
    )
    def post(self, request: Request, tenant: str, agent: str) -> Response:
        account = self._found_or_made(agent)
        code = (
            None
            if account.is_linked
            else wait_for_code(account, actor=self.actor, seconds=longest_wait())
        )
        account.refresh_from_db()
        if code is None:
            return _answered("This account is linked.", _connection(account))
        return _answered(
            "Scan this code with WhatsApp: Settings, Linked devices.",
            {
                **_connection(account),
                "qrCode": code.text,
                "qrCodeDataUrl": code.data_url,
                "expiresAt": code.expires_at,
            },
        )

    def _found_or_made(self, name: str) -> Account:
        if self.role not in ADMINISTRATORS:
            return self.agent(name)
        account = self.accounts().filter(name=name).first()
        if account is None:
            if len(name) > 80:
                raise Problem.of_field("agent", "max_length", "a name has 80 characters at most")
            with contextlib.suppress(numbers.NameTaken):  # somebody else made it at this moment
                numbers.create(
                    tenant=self.tenant, name=name, owner=None, actor=self.actor, now=timezone.now()
                )
            account = self.agent(name)
        return account


class AgentStatusView(AgentRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="How an agent's account is",
        responses=AgentStatusAnswer,
        examples=examples.AGENT_STATUS,
    )
    def get(self, request: Request, tenant: str, agent: str) -> Response:
        found = _connection(self.agent(agent))
        return _answered(found["status"], found)


class AgentDisconnectView(AgentRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 20}

    @extend_schema(
        summary="Unlink an agent's account",
        description="Logs the linked device out on the phone and forgets the session.",
        request=None,
        responses=AgentStatusAnswer,
        examples=examples.AGENT_DISCONNECT,
    )
    def post(self, request: Request, tenant: str, agent: str) -> Response:
        account = self.agent(agent)
        asked = linking.disconnect(account, actor=self.actor, now=timezone.now())
        text = "This account is being logged out." if asked else "No phone was linked."
        return _answered(text, _connection(account))


class AgentSendView(AgentRoute):
    roles = WRITERS
    scopes = {"POST": Scope.MESSAGES_SEND}
    calls_per_minute = {"POST": 200}

    @extend_schema(
        summary="Send a text, a file or a place",
        description=(
            "Queues it ahead of any sequence, within the account's limits. With the header "
            "Idempotency-Key a call may be repeated: the message is sent once."
        ),
        parameters=[IDEMPOTENCY_KEY],
        request=SendBody,
        responses=AgentSendAnswer,
        examples=examples.AGENT_SEND,
    )
    def post(self, request: Request, tenant: str, agent: str) -> Response:
        account = self.agent(agent)
        wishes = read(SendBody, request.data)
        place = wishes["location"]
        if place:
            description = place.pop("description")
            place["name"] = place["name"] or description
        said = {"text": wishes["message"], "media": wishes["media"], "location": place}
        message = queued_message(
            account=account,
            to=wishes["to"],
            content=content_of({**said, "link": None}, tenant=self.tenant, text_field="message"),
            key=key_of(request, otherwise=f"call:{uuid.uuid4()}"),
            actor=self.actor,
        )
        return _answered(
            "Queued: it goes out next, within the account's limits.",
            {"messageId": message.public_id, "status": message.state},
        )


class AgentMessagesView(AgentRoute):
    scopes = {"GET": Scope.MESSAGES_READ}
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="What was said lately",
        description="The newest messages in both directions, by chat, each chat oldest first.",
        parameters=[ChatsFilter],
        responses=AgentChatsAnswer,
        examples=examples.AGENT_CHATS,
    )
    def get(self, request: Request, tenant: str, agent: str) -> Response:
        account = self.agent(agent)
        limit = read(ChatsFilter, request.query_params)["limit"]
        chats = _chats(account, limit)
        return _answered(f"{len(chats)} chat{'s' * (len(chats) != 1)}", chats)


class AgentConnectionsView(AccountRoute):
    calls_per_minute = {"GET": 50}

    @extend_schema(
        tags=["agents"],
        summary="All agents of a company",
        parameters=[TENANT],
        responses=AgentConnectionsAnswer,
        examples=examples.AGENT_CONNECTIONS,
    )
    def get(self, request: Request, tenant: str) -> Response:
        found = [_connection(account) for account in self.accounts().order_by("name")[:1000]]
        return _answered(f"{len(found)} of {tenant}", found)


def _chats(account: Account, limit: int) -> list[dict[str, Any]]:
    sent = (
        account.messages.filter(state__in=Message.ARRIVED, group=None)
        .select_related("contact")
        .order_by("-sent_at")[:limit]
    )
    received = (
        account.incoming.exclude(chat_id__endswith=GROUP)
        .select_related("contact")
        .order_by("-sent_at")[:limit]
    )
    both: list[Message | Incoming] = [*sent, *received]
    newest = sorted(both, key=_said_at, reverse=True)
    chats: dict[str, dict[str, Any]] = {}
    for said in reversed(newest[:limit]):
        contact = said.contact
        phone = contact.phone if contact else getattr(said, "phone", "")
        chat = chats.setdefault(
            said.chat_id or phone,
            {
                "chat_id": said.chat_id or phone,
                "agent_id": account.name,
                "chat_status": "opted_out" if contact and contact.opted_out_at else "open",
                "start_timestamp": said.sent_at,
                "messages": [],
                "metadata": {"whatsapp_phone": phone or None, "channel": "whatsapp"},
            },
        )
        theirs = isinstance(said, Incoming) and not said.from_me
        role = "user" if theirs else "assistant"
        chat["messages"].append({"role": role, "content": said.body, "timestamp": said.sent_at})
    return list(chats.values())


def _said_at(said: Message | Incoming) -> datetime:
    assert said.sent_at is not None  # noqa: S101  the database has it of all that arrived
    return said.sent_at


def _answered(message: str, data: Any) -> Response:
    return Response({"success": True, "message": message, "data": data})
