"""`/api/v1/messages`: what was and will be sent, sent directly, tried again, cancelled, settled."""

from __future__ import annotations

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import phones
from accounts.bodies import page, paged, read
from accounts.permissions import EVERYBODY, WRITERS
from accounts.problems import FieldError, Problem
from campaigns.api import answers, examples
from campaigns.api.files import fetched
from whatsapp import messages, outbox
from whatsapp.api.accounts import AccountRoute, Scope
from whatsapp.api.sending import IDEMPOTENCY_KEY, key_of, queued_message
from whatsapp.models import Message


class MessageRoute(AccountRoute):
    """A route about messages of accounts that the caller may see."""

    scopes = {"GET": Scope.MESSAGES_READ, "POST": Scope.MESSAGES_SEND}

    def messages(self) -> QuerySet[Message]:
        rows = Message.objects.select_related("contact", "media", "delivery")
        return self.visible(rows, account="account")

    def message(self, public_id: object) -> Message:
        return get_object_or_404(self.messages(), public_id=public_id)


def _detail(message: Message) -> Response:
    message.refresh_from_db()
    return Response(answers.MessageDetail(message).data)


def _refused(message: Message, sentence: str) -> Problem:
    """409: the message is not in a state in which that could be done."""
    message.refresh_from_db()
    state = message.get_state_display()
    text = f"This message is {state}: {sentence}"
    return Problem(409, "state", text, errors=[FieldError("state", message.state, text)])


@extend_schema(tags=["messages"])
class MessagesView(MessageRoute):
    roles = {"GET": EVERYBODY, "POST": WRITERS}
    calls_per_minute = {"GET": 100, "POST": 200}

    @extend_schema(
        summary="Messages of your company",
        description="Newest first; agents see those of their own accounts.",
        parameters=[answers.MessageFilter],
        responses=paged(answers.MessageAnswer),
        examples=examples.MESSAGES,
    )
    def get(self, request: Request) -> Response:
        wishes = read(answers.MessageFilter, request.query_params)
        lookups = {
            "account": "account",
            "target": "delivery__target",
            "step": "delivery__number",
            "since": "created_at__gte",
            "until": "created_at__lt",
        }
        rows = self.messages().filter(
            **{lookup: wishes[name] for name, lookup in lookups.items() if name in wishes}
        )
        if states := wishes.get("state"):
            rows = rows.filter(state__in=states)
        if contact := wishes.get("contact"):
            rows = rows.filter(contact__phone=phone_of(contact, "contact", self.tenant.region))
        return page(request, rows, answers.MessageAnswer, size=wishes["pageSize"])

    @extend_schema(
        summary="Send a message directly",
        description=(
            "Queued ahead of any sequence, within the account's limits. Name it with "
            "`idempotencyKey` or the header: a call that is repeated with the same key and "
            "content sends nothing again and returns the message that exists; with another "
            "content it is refused (409)."
        ),
        parameters=[IDEMPOTENCY_KEY],
        request=answers.NewMessage,
        responses={201: answers.MessageDetail},
        examples=examples.NEW_MESSAGE,
    )
    def post(self, request: Request) -> Response:
        wishes = read(answers.NewMessage, request.data)
        key = key_of(request, otherwise=wishes["idempotencyKey"])
        if not key:
            raise Problem.of_field(
                "idempotencyKey",
                "required",
                "name the message, here or in the header Idempotency-Key: a name that is used "
                "twice sends once",
            )
        account = self.accounts().filter(pk=wishes["account"]).first()
        if account is None:
            raise Problem.of_field("account", "unknown", "you have no such account")
        message = queued_message(
            account=account,
            to=wishes["to"],
            text=wishes["text"],
            media=fetched(wishes["media"], tenant=self.tenant) if wishes["media"] else None,
            key=key,
            actor=self.actor,
        )
        return Response(answers.MessageDetail(message).data, status=201)


def phone_of(text: str, field: str, region: str) -> str:
    """E.164 of what somebody wrote. Raises `Problem`."""
    try:
        return phones.parse(text, region=region)
    except phones.BadPhone as error:
        raise Problem.of_field(field, error.code, str(error)) from error


@extend_schema(tags=["messages"])
class MessageView(MessageRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="One message with its attempts",
        responses=answers.MessageDetail,
        examples=examples.MESSAGE,
    )
    def get(self, request: Request, public_id: object) -> Response:
        return Response(answers.MessageDetail(self.message(public_id)).data)


@extend_schema(tags=["messages"])
class MessageRetryView(MessageRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Send a failed message again",
        description=(
            "With the id it had. 409 when it is not failed any more, or when its sequence has "
            "ended or gone on."
        ),
        request=None,
        responses=answers.MessageDetail,
        examples=examples.MESSAGE_RETRIED,
    )
    def post(self, request: Request, public_id: object) -> Response:
        message = self.message(public_id)
        if not messages.retry(message, actor=self.actor, now=timezone.now()):
            raise _refused(
                message,
                "only a failed one is tried again, and only while the person may be written to "
                "and the sequence has not gone on.",
            )
        return _detail(message)


@extend_schema(tags=["messages"])
class MessageCancelView(MessageRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Cancel a queued message",
        description="Its sequence goes on with the next step. 409 when it is on its way already.",
        request=None,
        responses=answers.MessageDetail,
        examples=examples.MESSAGE_CANCELLED,
    )
    def post(self, request: Request, public_id: object) -> Response:
        message = self.message(public_id)
        if not messages.cancel([message.pk], actor=self.actor, now=timezone.now()):
            raise _refused(message, "only a queued one can be cancelled.")
        return _detail(message)


@extend_schema(tags=["messages"])
class MessageSettleView(MessageRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Decide about an uncertain message",
        description=(
            "Look at the phone first. Sending again keeps the id, so that a server which has the "
            "message all the same shows it once. 409 when it is not uncertain."
        ),
        request=answers.SettleBody,
        responses=answers.MessageDetail,
        examples=examples.SETTLE,
    )
    def post(self, request: Request, public_id: object) -> Response:
        message = self.message(public_id)
        sent = read(answers.SettleBody, request.data)["sent"]
        if not outbox.settle(message.pk, sent=sent, actor=self.actor, now=timezone.now()):
            raise _refused(message, "only an uncertain one can be settled.")
        return _detail(message)
