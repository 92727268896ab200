"""`/api/v1/messages`: what was and will be sent, sent directly, tried again, cancelled, settled."""

from __future__ import annotations

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import narrowed, page, paged, phone_of, read
from accounts.permissions import EVERYBODY, WRITERS
from accounts.problems import FieldError, Problem
from campaigns.api import answers, examples
from whatsapp import messages, outbox
from whatsapp.api.accounts import AccountRoute, Scope
from whatsapp.api.contents import content_of, due_at_of
from whatsapp.api.sending import IDEMPOTENCY_KEY, key_of, queued_message, quoted_of
from whatsapp.contents import CannotSend
from whatsapp.models import Account, Group, Message


class MessageRoute(AccountRoute):
    """A route about messages of accounts that the caller may see."""

    scopes = {
        "GET": Scope.MESSAGES_READ,
        "POST": Scope.MESSAGES_SEND,
        "PATCH": Scope.MESSAGES_SEND,
    }

    def messages(self) -> QuerySet[Message]:
        rows = Message.objects.select_related("contact", "group", "media", "delivery")
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
            "group": "group",
            "kind": "kind",
            "origin": "origin",
            "target": "delivery__target",
            "step": "delivery__number",
            "since": "created_at__gte",
            "until": "created_at__lt",
        }
        rows = narrowed(self.messages(), wishes, lookups)
        if states := wishes.get("state"):
            rows = rows.filter(state__in=states)
        if wishes["scheduled"] is not None:
            rows = rows.filter(scheduled_for__isnull=not wishes["scheduled"])
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
        to: str | Group
        if "groupId" in wishes:
            to = group_of(wishes["groupId"], "groupId", account)
        else:
            to = phone_of(wishes["to"], "to", self.tenant.region)
        message = queued_message(
            account=account,
            to=to,
            due_at=due_at_of(wishes, account=account, to=to),
            quoted=quoted_of(wishes["quotedMessageId"], account),
            content=content_of(wishes, tenant=self.tenant),
            key=key,
            actor=self.actor,
        )
        return Response(answers.MessageDetail(message).data, status=201)


def group_of(pk: int, field: str, account: Account) -> Group:
    """A group of the account. Raises `Problem`."""
    group = Group.objects.filter(pk=pk, account=account).first()
    if group is None:
        raise Problem.of_field(field, "unknown", "this account is in no such group")
    return group


@extend_schema(tags=["messages"])
class MessageView(MessageRoute):
    roles = {"GET": EVERYBODY, "PATCH": WRITERS}
    calls_per_minute = {"GET": 100, "PATCH": 60}

    @extend_schema(
        summary="One message with its attempts",
        responses=answers.MessageDetail,
        examples=examples.MESSAGE,
    )
    def get(self, request: Request, public_id: object) -> Response:
        return Response(answers.MessageDetail(self.message(public_id)).data)

    @extend_schema(
        summary="Move a queued message to another time",
        description="409 when it is not waiting any more, or is held back by a pause.",
        request=answers.MessageMove,
        responses=answers.MessageDetail,
        examples=examples.MESSAGE_MOVED,
    )
    def patch(self, request: Request, public_id: object) -> Response:
        message = self.message(public_id)
        wishes = read(answers.MessageMove, request.data)
        due_at = due_at_of(wishes, account=message.account, to=message.recipient)
        assert due_at is not None  # noqa: S101  the body requires it
        try:
            moved = messages.move(message, due_at=due_at, actor=self.actor, now=timezone.now())
        except CannotSend as error:
            raise Problem.of_field(error.field, error.code, str(error)) from error
        if not moved:
            raise _refused(message, "only one that waits, and is not held back, can be moved.")
        return _detail(message)


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
