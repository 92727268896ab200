"""`/api/v1/chats`: conversations with contacts, read, answered, taken over and given back."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import Body, Paging, narrowed, page, paged, phone_of, read
from accounts.permissions import EVERYBODY, WRITERS
from accounts.problems import Problem
from whatsapp import chats
from whatsapp.api import chat_examples as examples
from whatsapp.api.accounts import AccountRoute, Scope
from whatsapp.api.media import MediaAnswer
from whatsapp.api.sending import (
    IDEMPOTENCY_KEY,
    key_of,
    queued_message,
    quoted_of,
)
from whatsapp.chats import Entry
from whatsapp.contents import MAX_TEXT, TextContent
from whatsapp.models import Chat, Incoming, Message

WRITERS_OF_ENTRIES = [
    ("contact", "the contact"),
    ("phone", "the account's owner, on their own phone"),
    *Message.Origin.choices,
]


class ChatFilter(Paging):
    account = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    contact = serializers.CharField(required=False, max_length=60, help_text="A phone number.")
    unread = serializers.BooleanField(required=False, allow_null=True, default=None)
    takenOver = serializers.BooleanField(required=False, allow_null=True, default=None)


class HistoryFilter(Body):
    before = serializers.CharField(
        required=False,
        default="",
        max_length=100,
        help_text="`before` of a page.",
    )
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=200)


class ReplyBody(Body):
    text = serializers.CharField(max_length=MAX_TEXT, trim_whitespace=False)
    quotedMessageId = serializers.CharField(
        required=False, default="", max_length=200, help_text="What it answers: `id` of an entry."
    )
    idempotencyKey = serializers.CharField(required=False, default="", max_length=200)


class ChatAnswer(serializers.ModelSerializer[Chat]):
    account = serializers.IntegerField(source="account_id")
    accountName = serializers.CharField(source="account.name")
    contact = serializers.IntegerField(source="contact_id")
    contactName = serializers.CharField(source="contact.name")
    phone = serializers.CharField(source="contact.phone", help_text="Empty: it is not known.")
    optedOut = serializers.SerializerMethodField()
    startedAt = serializers.DateTimeField(source="started_at")
    lastIncomingAt = serializers.DateTimeField(source="last_incoming_at", allow_null=True)
    lastOutgoingAt = serializers.DateTimeField(
        source="last_outgoing_at",
        allow_null=True,
        help_text="Of what a person or an agent wrote; campaigns do not count.",
    )
    takenOver = serializers.SerializerMethodField()
    takenOverBy = serializers.SerializerMethodField()
    takenOverUntil = serializers.SerializerMethodField()

    class Meta:
        model = Chat
        fields = [
            "id", "account", "accountName", "contact", "contactName", "phone", "optedOut",
            "unread", "startedAt", "lastIncomingAt", "lastOutgoingAt", "takenOver", "takenOverBy",
            "takenOverUntil",
        ]  # fmt: skip
        read_only_fields = fields

    def get_optedOut(self, chat: Chat) -> bool:  # noqa: N802
        return chat.contact.opted_out_at is not None

    def get_takenOver(self, chat: Chat) -> bool:  # noqa: N802
        return chat.is_taken_over(now=timezone.now())

    @extend_schema_field(serializers.CharField(help_text="Empty: nobody."))
    def get_takenOverBy(self, chat: Chat) -> str:  # noqa: N802
        return chat.taken_over_by if self.get_takenOver(chat) else ""

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_takenOverUntil(self, chat: Chat) -> Any:  # noqa: N802
        return chat.taken_over_until if self.get_takenOver(chat) else None


class ChatEntryAnswer(serializers.Serializer[Any]):
    """One message of a conversation."""

    id = serializers.SerializerMethodField(help_text="A message's id, or WhatsApp's of theirs.")
    at = serializers.DateTimeField()
    writer = serializers.ChoiceField(choices=WRITERS_OF_ENTRIES)
    by = serializers.CharField(help_text="The login of whoever wrote it by hand.")
    kind = serializers.CharField(source="said.kind", help_text="WhatsApp's type of theirs.")
    text = serializers.CharField(source="said.body")
    content = serializers.DictField(source="said.content", help_text="Of a place or a link.")
    media = MediaAnswer(source="said.media", allow_null=True)
    mediaState = serializers.SerializerMethodField()
    mediaError = serializers.SerializerMethodField()
    quoted = serializers.CharField(source="said.quoted_wa_id", help_text="What it answers.")
    quotedText = serializers.CharField(source="quoted")
    state = serializers.SerializerMethodField()
    errorCode = serializers.SerializerMethodField()

    @extend_schema_field(serializers.CharField())
    def get_id(self, entry: Entry) -> str:
        said = entry.said
        return said.wa_id if isinstance(said, Incoming) else str(said.public_id)

    @extend_schema_field(
        serializers.ChoiceField(choices=Incoming.MediaState.choices, allow_blank=True)
    )
    def get_mediaState(self, entry: Entry) -> str:  # noqa: N802
        if isinstance(entry.said, Incoming):
            return entry.said.media_state
        return Incoming.MediaState.STORED if entry.said.media_id else ""

    @extend_schema_field(serializers.CharField())
    def get_mediaError(self, entry: Entry) -> str:  # noqa: N802
        return entry.said.media_error if isinstance(entry.said, Incoming) else ""

    @extend_schema_field(
        serializers.ChoiceField(
            choices=Message.State.choices, allow_blank=True, help_text="Of theirs: empty."
        )
    )
    def get_state(self, entry: Entry) -> str:
        return "" if isinstance(entry.said, Incoming) else entry.said.state

    @extend_schema_field(serializers.CharField())
    def get_errorCode(self, entry: Entry) -> str:  # noqa: N802
        return "" if isinstance(entry.said, Incoming) else entry.said.error_code


class HistoryAnswer(serializers.Serializer[Any]):
    messages = ChatEntryAnswer(many=True)
    before = serializers.CharField(
        allow_null=True, help_text="For the page before this one; null: it begins here."
    )


class ChatRoute(AccountRoute):
    """A route about chats of accounts that the caller may see."""

    scopes = {"GET": Scope.MESSAGES_READ, "POST": Scope.MESSAGES_SEND}

    def chats(self) -> QuerySet[Chat]:
        rows = Chat.objects.select_related("account__tenant", "contact", "tenant")
        return self.visible(rows, account="account")

    def chat(self, pk: int) -> Chat:
        return get_object_or_404(self.chats(), pk=pk)

    def answer(self, pk: int) -> Response:
        return Response(ChatAnswer(self.chat(pk)).data)


@extend_schema(tags=["chats"])
class ChatsView(ChatRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="Conversations of your company",
        description=(
            "Newest first. A chat begins when a contact writes to an account, or somebody writes "
            "to them by hand. Agents see those of their own accounts."
        ),
        parameters=[ChatFilter],
        responses=paged(ChatAnswer),
        examples=examples.CHATS,
    )
    def get(self, request: Request) -> Response:
        wishes = read(ChatFilter, request.query_params)
        rows = narrowed(self.chats(), wishes, {"account": "account"})
        if contact := wishes.get("contact"):
            rows = rows.filter(contact__phone=phone_of(contact, "contact", self.tenant.region))
        if wishes["unread"] is not None:
            rows = rows.filter(unread__gt=0) if wishes["unread"] else rows.filter(unread=0)
        if wishes["takenOver"] is not None:
            taken = Chat.objects.taken_over(now=timezone.now()).values("pk")
            rows = rows.filter(pk__in=taken) if wishes["takenOver"] else rows.exclude(pk__in=taken)
        return page(request, rows, ChatAnswer, size=wishes["pageSize"])


@extend_schema(tags=["chats"])
class ChatView(ChatRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(summary="One conversation", responses=ChatAnswer, examples=examples.CHAT)
    def get(self, request: Request, pk: int) -> Response:
        return self.answer(pk)


@extend_schema(tags=["chats"])
class ChatMessagesView(ChatRoute):
    roles = {"GET": EVERYBODY, "POST": WRITERS}
    calls_per_minute = {"GET": 100, "POST": 200}

    @extend_schema(
        summary="What was said in a conversation",
        description="Both sides, oldest first; the newest page without `before`.",
        parameters=[HistoryFilter],
        responses=HistoryAnswer,
        examples=examples.HISTORY,
    )
    def get(self, request: Request, pk: int) -> Response:
        wishes = read(HistoryFilter, request.query_params)
        chat = self.chat(pk)
        try:
            entries = chats.history(chat, before=wishes["before"], limit=wishes["limit"])
        except chats.BadCursor as error:
            raise Problem.of_field(
                "before", "invalid", "give `before` of a page as it was"
            ) from error
        more = len(entries) == wishes["limit"]
        return Response(
            {
                "messages": ChatEntryAnswer(entries, many=True).data,
                "before": entries[0].cursor if more else None,
            }
        )

    @extend_schema(
        summary="Answer in a conversation",
        description=(
            "Queued ahead of any sequence. A person who answers takes the chat over: agent and "
            "sequences keep silent there for a while; an API key's call does not."
        ),
        parameters=[IDEMPOTENCY_KEY],
        request=ReplyBody,
        responses={201: ChatEntryAnswer},
        examples=examples.REPLY,
    )
    def post(self, request: Request, pk: int) -> Response:
        wishes = read(ReplyBody, request.data)
        chat = self.chat(pk)
        quoted = wishes["quotedMessageId"]
        message = queued_message(
            account=chat.account,
            to=chat.contact,
            content=TextContent(wishes["text"]),
            key=key_of(request, otherwise=wishes["idempotencyKey"]) or f"chat:{uuid.uuid4()}",
            actor=self.actor,
            quoted=quoted_of(quoted, chat.account) if quoted else "",
        )
        entry = Entry(message.created_at, message, message.origin, by=self.actor.name)
        return Response(ChatEntryAnswer(entry).data, status=201)


@extend_schema(tags=["chats"])
class ChatTakeOverView(ChatRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Take a conversation over",
        description="Agent and sequences keep silent there for as long as the company has set.",
        request=None,
        responses=ChatAnswer,
        examples=examples.CHAT,
    )
    def post(self, request: Request, pk: int) -> Response:
        chats.take_over(self.chat(pk), actor=self.actor, now=timezone.now())
        return self.answer(pk)


@extend_schema(tags=["chats"])
class ChatGiveBackView(ChatRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Give a conversation back",
        description="Agent and sequences may write there again, at once.",
        request=None,
        responses=ChatAnswer,
        examples=examples.CHAT,
    )
    def post(self, request: Request, pk: int) -> Response:
        chats.give_back(self.chat(pk), actor=self.actor, now=timezone.now())
        return self.answer(pk)


@extend_schema(tags=["chats"])
class ChatReadView(ChatRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 100}

    @extend_schema(
        summary="Note that somebody has read it",
        request=None,
        responses=ChatAnswer,
        examples=examples.CHAT,
    )
    def post(self, request: Request, pk: int) -> Response:
        chats.mark_read(self.chat(pk))
        return self.answer(pk)
